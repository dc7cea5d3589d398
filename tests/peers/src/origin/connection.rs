//! One client: reads requests, and plays what they get.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{
    Settings,
    script::{self, Request, Step},
    stats::Counters,
};

/// A larger request is none.
const LARGEST: usize = 64 << 10;
const MOST_HEADERS: usize = 64;

/// Serves a client until it goes, or has to.
pub(super) async fn serve(mut stream: TcpStream, settings: Settings, counters: Arc<Counters>) {
    // Without it, it is slower. Whatever goes wrong is the client's concern.
    let _ = stream.set_nodelay(true);
    let mut received = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut received).await {
        match answer(&mut stream, &request, settings, &counters).await {
            Ok(true) => {}
            Ok(false) | Err(_) => break,
        }
    }
}

/// The next request, unless the client has gone.
async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some((length, request)) = parse(received)? {
            received.drain(..length);
            return Ok(Some(request));
        }
        if received.len() > LARGEST || stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(received: &[u8]) -> io::Result<Option<(usize, Request)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let request = Request {
        path: head.path.unwrap_or("/").to_owned(),
        host: header("host").unwrap_or_default(),
        authorization: header("authorization"),
        range: header("range"),
        if_range: header("if-range"),
    };
    Ok(Some((length, request)))
}

/// Answers, and says whether there may be another request.
async fn answer(
    stream: &mut TcpStream,
    request: &Request,
    settings: Settings,
    counters: &Arc<Counters>,
) -> io::Result<bool> {
    if request.path == "/~stats" {
        let stats = serde_json::to_vec(&counters.stats())?;
        stream.write_all(&script::ok(&stats)).await?;
        return Ok(true);
    }
    let (under_way, before) = counters.begin(request.host_name(), &request.path);
    counters.together(settings.together).await;
    sleep(counters.latency()).await;
    let mut steps = script::of(request, before, &settings);
    let last = steps.pop();
    for step in steps {
        play(stream, step).await?;
    }
    // Whoever has the last byte may ask again before this thread is on again: then this request is no more.
    let under_way = if matches!(last, Some(Step::Silence | Step::Flood(_))) { Some(under_way) } else { None };
    let goes_on = match last {
        Some(step) => play(stream, step).await?,
        None => false,
    };
    drop(under_way);
    Ok(goes_on)
}

/// Does a step, and says whether the connection may be used after it.
async fn play(stream: &mut TcpStream, step: Step) -> io::Result<bool> {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await?,
        Step::Pause(time) => sleep(time).await,
        Step::Close(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            return Ok(false);
        }
        Step::Reset => {
            // What has been sent is to arrive before.
            stream.set_zero_linger()?;
            return Ok(false);
        }
        Step::Snub => {
            let _ = stream.read(&mut [0; 1024]).await?;
            return Ok(false);
        }
        Step::Silence => {
            let mut ignored = [0; 1024];
            while stream.read(&mut ignored).await? > 0 {}
            return Ok(false);
        }
        Step::Flood(bytes) => loop {
            stream.write_all(&bytes).await?;
        },
    }
    Ok(true)
}
