use std::net::Ipv4Addr;

use cc_fetch::{Action, Failure, Fetched, Job, Schedule, Wanted};
use tokio::{
    join,
    net::{TcpListener, TcpStream},
};

use super::*;

/// The outcomes of fetching the URL `times` times, one after the other.
async fn fetched(url: String, times: usize) -> Vec<Result<Fetched, Failure>> {
    let settings = Settings { retries: 0, ..Settings::default() };
    let client = Client::new(&settings, 1);
    let job = Job { settings, wanted: vec![Wanted::new(url); times] };
    let mut schedule = Schedule::new(&job, Instant::now());
    let mut outcomes = vec![];
    while let Action::Start(download) = schedule.poll(Instant::now()) {
        let attempted = client.attempt(download).await;
        outcomes.extend(schedule.complete(attempted).map(|output| output.outcome));
    }
    outcomes
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    (listener, url)
}

/// Whether a request arrived before the client closed the connection.
async fn read_request(stream: &TcpStream) -> bool {
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut [0; 4096]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read.is_ok_and(|length| length > 0),
        }
    }
}

async fn answer(stream: &TcpStream, bytes: &[u8]) {
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(bytes).unwrap(), bytes.len());
}

fn is_hi(outcome: &Result<Fetched, Failure>) -> bool {
    matches!(outcome, Ok(Fetched { status: 200, bytes: 2, .. }))
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (listener, url) = listener().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        while read_request(&stream).await {
            answer(&stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        }
    };
    let (outcomes, ()) = join!(fetched(url, 3), serve);
    assert!(outcomes.iter().all(is_hi), "{outcomes:?}");
}

#[tokio::test]
async fn a_connection_that_has_ended_is_not() {
    let endings: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 404 No\r\n\r\n",
    ];
    for ending in endings {
        let (listener, url) = listener().await;
        let serve = async {
            for _ in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                assert!(read_request(&stream).await);
                answer(&stream, ending).await;
            }
        };
        let (outcomes, ()) = join!(fetched(url, 2), serve);
        assert!(outcomes.iter().all(is_hi), "{outcomes:?}");
    }
}

#[tokio::test]
async fn an_attempt_that_is_dropped_has_no_connection() {
    let (listener, url) = listener().await;
    let (asked, is_asked) = tokio::sync::oneshot::channel();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(read_request(&stream).await);
        asked.send(()).unwrap();
        // Returns when the client closes the connection; otherwise it would time out after 30 s.
        assert!(!timeout(Duration::from_secs(10), read_request(&stream)).await.unwrap());
    };
    let ask = async {
        tokio::select! {
            outcomes = fetched(url, 1) => panic!("{outcomes:?}"),
            asked = is_asked => asked.unwrap(),
        }
    };
    join!(ask, serve);
}

/// With a limit of one connection, the idle one to the first host is closed for one to the other
/// host.
#[tokio::test]
async fn idle_connections_make_room() {
    let (first, second) = (listener().await, listener().await);
    let client = Client::new(&Settings::default(), 1);
    let open = async |url: &str| {
        let (peer, _) = addressed(&Request::get(url).body(()).unwrap());
        let connection = client.open(&peer).await.unwrap();
        client.pool.keep(peer.clone(), connection);
        peer
    };
    let one = open(&first.1).await;
    let other = open(&second.1).await;
    assert!(client.pool.take(&one).is_none() && client.pool.take(&other).is_some());
}

/// If the permit were released first, another waiter would take it, and this caller would find
/// neither a permit nor an idle connection.
#[tokio::test]
async fn a_permit_is_passed_on_even_if_others_wait_for_one() {
    let (_listener, url) = listener().await;
    let client = Client::new(&Settings::default(), 1);
    let (peer, _) = addressed(&Request::get(&url).body(()).unwrap());
    let connection = client.open(&peer).await.unwrap();
    client.pool.keep(peer.clone(), connection);
    let mut waits = pin!(client.pool.wait_for_permit());
    assert!(futures::poll!(waits.as_mut()).is_pending());
    let permit = client.pool.permit();
    assert!(futures::poll!(waits.as_mut()).is_pending(), "the permit was released");
    drop(permit);
    assert!(futures::poll!(waits).is_ready());
}
