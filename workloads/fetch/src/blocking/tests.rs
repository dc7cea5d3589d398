use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc::sync_channel,
    thread,
};

use super::*;
use cc_core::stop::Cause;

use crate::{Action, Failure, Fetched, Job, Schedule, Wanted};

/// Starts a server that passes each connection to `serve`, and ends after `connections` of them.
/// Returns its URL.
fn serving(connections: usize, serve: fn(TcpStream)) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let thread = thread::spawn(move || {
        listener.incoming().take(connections).for_each(|stream| serve(stream.unwrap()));
    });
    (url, thread)
}

/// The outcomes of fetching the URL `times` times, one after the other.
fn fetched(url: &str, times: usize, stop: &Stop) -> Vec<std::result::Result<Fetched, Failure>> {
    let settings = Settings { retries: 0, ..Settings::default() };
    let client = Client::new(&settings, stop).unwrap();
    let job = Job { settings, wanted: vec![Wanted::new(url); times] };
    let mut schedule = Schedule::new(&job, Instant::now());
    let mut outcomes = vec![];
    while let Action::Start(download) = schedule.poll(Instant::now()) {
        outcomes.extend(schedule.complete(client.attempt(download)).map(|output| output.outcome));
    }
    outcomes
}

fn read_request(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    stream.read(&mut buffer).is_ok_and(|length| length > 0)
}

#[test]
fn a_connection_is_used_again() {
    let (url, server) = serving(1, |mut stream| {
        while read_request(&mut stream) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        }
    });
    let outcomes = fetched(&url, 3, &Stop::new());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Fetched { status: 200, bytes: 2, .. }))));
    server.join().unwrap();
}

#[test]
fn a_connection_on_which_too_much_came_is_not() {
    let (url, server) = serving(2, |mut stream| {
        assert!(read_request(&mut stream));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 404 No\r\n\r\n").unwrap();
    });
    let outcomes = fetched(&url, 2, &Stop::new());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Fetched { status: 200, bytes: 2, .. }))));
    server.join().unwrap();
}

#[test]
fn a_stop_ends_an_attempt_in_flight() {
    let (url, server) = serving(1, |mut stream| {
        assert!(read_request(&mut stream));
        // Returns when the client closes the connection; without the stop it would time out after
        // 30 s.
        assert!(!read_request(&mut stream));
    });
    let (stop, (ended, end)) = (Stop::new(), sync_channel(1));
    let asks = stop.clone();
    let client = thread::spawn(move || ended.send(fetched(&url, 1, &asks).len()));
    stop.request(Cause::Test);
    assert!(end.recv_timeout(Duration::from_secs(10)).is_ok());
    client.join().unwrap().unwrap();
    drop(server);
}
