//! One client: reads requests, and plays the script of each.

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

/// Maximum size of a request's head.
const LARGEST: usize = 64 << 10;
const MOST_HEADERS: usize = 64;

/// Serves a client until it or a script closes the connection.
pub(super) async fn serve(mut stream: TcpStream, settings: Settings, counters: Arc<Counters>) {
    // Disables Nagle's algorithm: otherwise a small answer waits for an acknowledgement. Failing
    // costs only latency, so the error is ignored.
    let _ = stream.set_nodelay(true);
    let mut received = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut received).await {
        match answer(&mut stream, &request, settings, &counters).await {
            Ok(true) => {}
            Ok(false) | Err(_) => break,
        }
    }
}

/// The next request; `None` if the client has closed.
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

/// Answers a request, and returns whether the connection can have another.
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
    let (in_flight, before) = counters.begin(request.host_name(), &request.path);
    counters.together(settings.together).await;
    sleep(counters.latency()).await;
    let mut steps = script::of(request, before, &settings);
    let last = steps.pop();
    for step in steps {
        play(stream, step).await?;
    }
    // The request must no longer count when its last bytes are sent: the client may send its next
    // request before this task runs again, and both would count. Endless answers count until they
    // end.
    let in_flight = if matches!(last, Some(Step::Silence | Step::Flood(_))) { Some(in_flight) } else { None };
    let goes_on = match last {
        Some(step) => play(stream, step).await?,
        None => false,
    };
    drop(in_flight);
    Ok(goes_on)
}

/// Does a step, and returns whether the connection can be used after it.
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
            // Closing the socket now sends a reset in place of the normal end.
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
