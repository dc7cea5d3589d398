mod redis;

use std::{
    io::{BufRead, BufReader},
    net::{Shutdown, SocketAddr},
    thread::{self, JoinHandle},
};

use super::*;
use cc_core::stop::{Cause, Stop};

/// A server for one test. Dropping it stops the server.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<Result<Totals>>>,
}

impl Running {
    pub(super) fn start(config: Config) -> Self {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, ctx) = (listener.local_addr().unwrap(), Ctx::new(std::num::NonZeroUsize::MIN));
        let stop = ctx.stop.clone();
        Self { address, stop, thread: Some(thread::spawn(move || run(listener, &config, &ctx))) }
    }

    fn client(&self) -> Client {
        Client::of(net::TcpStream::connect(self.address).unwrap())
    }

    fn stop(mut self) -> Totals {
        self.stop.request(Cause::Test);
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.request(Cause::Test);
    }
}

/// Longer than any step that does not hang.
const LONG: Duration = Duration::from_secs(60);

struct Client(BufReader<net::TcpStream>);

impl Client {
    fn of(stream: net::TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn stream(&self) -> &net::TcpStream {
        self.0.get_ref()
    }

    fn says(&self, text: impl AsRef<[u8]>) {
        self.stream().write_all(text.as_ref()).unwrap();
    }

    /// The next line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn asks(&mut self, text: impl AsRef<[u8]>) -> String {
        self.says(text);
        self.line()
    }

    /// Everything that arrives until the server closes the connection.
    fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        String::from_utf8(rest).unwrap()
    }
}

fn running() -> Running {
    Running::start(Config::default())
}

/// Waits until the condition holds.
fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG);
        thread::yield_now();
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = running();
    let mut client = server.client();
    let requests: String = (0..10_000).map(|n| format!("SET key:{n} {n}\r\nGET key:{n}\r\n")).collect();
    let mut writer = client.stream().try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
    for n in 0..10_000 {
        let expected = ["+OK".to_owned(), format!("${}", n.to_string().len()), n.to_string()];
        assert_eq!([client.line(), client.line(), client.line()], expected);
    }
    writing.join().unwrap();
    assert_eq!(client.asks("DBSIZE\r\n"), ":10000");
    assert_eq!(server.stop(), Totals { connections: 1, refused: 0, commands: 20_001 });
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = running();
    let (mut client, mut other) = (server.client(), server.client());
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\n\r\n1\r\nGET a\r\n" {
        client.says([*byte]);
        assert_eq!(other.asks("PING\r\n"), "+PONG");
    }
    assert_eq!([(); 4].map(|()| client.line()), ["+OK", "$3", "", "1"]);
}

#[test]
fn a_half_closed_client_is_answered() {
    let server = running();
    let client = server.client();
    client.says("SET a 1\r\nGET a\r\nGET");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "+OK\r\n$1\r\n1\r\n");
}

#[test]
fn a_client_that_does_not_read_does_not_delay_others() {
    let server = running();
    let (mut client, mut other) = (server.client(), server.client());
    let value = "x".repeat(100_000);
    assert_eq!(other.asks(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n{value}\r\n")), "+OK");
    let mut writer = client.stream().try_clone().unwrap();
    let (said, heard) = crossbeam_channel::bounded(1);
    let writing = thread::spawn(move || {
        writer.write_all(b"GET a\r\n").unwrap();
        said.send(()).unwrap();
        (1..5_000).for_each(|_| writer.write_all(b"GET a\r\n").unwrap());
    });
    heard.recv().unwrap();
    for _ in 0..100 {
        assert_eq!(other.asks("PING\r\n"), "+PONG");
    }
    for _ in 0..5_000 {
        assert_eq!((client.line(), client.line().len()), ("$100000".into(), 100_000));
    }
    writing.join().unwrap();
}

#[test]
fn nonsense_is_told_and_hung_up_on() {
    let server = running();
    let client = server.client();
    // The bytes after the error are unread when the server closes the connection. The reply must
    // arrive all the same.
    client.says(format!("*1\r\n$-5\r\n{}", "x".repeat(50_000)));
    assert_eq!(client.rest(), "-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(server.client().asks("PING\r\n"), "+PONG");
}

#[test]
fn quitters_are_hung_up_on() {
    let server = running();
    let client = server.client();
    client.says("PING\r\nQUIT\r\n");
    assert_eq!(client.rest(), "+PONG\r\n+OK\r\n");
}

#[test]
fn a_client_too_many_is_told_so() {
    let server = Running::start(Config { max_connections: 2, ..Config::default() });
    let mut clients = [server.client(), server.client()];
    for client in &mut clients {
        assert_eq!(client.asks("PING\r\n"), "+PONG");
    }
    assert_eq!(server.client().rest(), "-ERR max number of clients reached\r\n");
    let [first, mut second] = clients;
    drop(first);
    until(|| server.client().asks("PING\r\n") == "+PONG");
    assert_eq!(second.asks("PING\r\n"), "+PONG");
    drop(second);
    assert!(server.stop().refused >= 1);
}

#[test]
fn the_largest_value_does_not_fit_and_others_are_served() {
    let server = Running::start(Config { max_memory: Some(64 << 20), ..Config::default() });
    let (mut client, mut other) = (server.client(), server.client());
    client.says("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n");
    let part = vec![b'x'; 4 << 20];
    for n in 0..128 {
        client.says(&part);
        assert_eq!(other.asks(format!("SET b {n}\r\n")), "+OK");
    }
    let refusal = "-OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(client.asks("\r\n"), refusal);
    assert_eq!(client.asks("PING\r\n"), "+PONG");
    assert_eq!(other.asks("STRLEN a\r\n"), ":0");
}

#[test]
fn expired_keys_are_removed_without_a_request() {
    let server = running();
    let mut client = server.client();
    for n in 0..100 {
        assert_eq!(client.asks(format!("SET key:{n} 1 PX 1\r\n")), "+OK");
    }
    until(|| client.asks("DBSIZE\r\n") == ":0");
}

#[test]
fn idle_clients_are_disconnected() {
    let server =
        Running::start(Config { idle_timeout: Some(Duration::from_millis(20)), ..Config::default() });
    assert_eq!(server.client().rest(), "");
}

#[test]
fn a_stop_answers_what_has_arrived_and_returns() {
    let server = Running::start(Config { drain: LONG, ..Config::default() });
    let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.asks("PING\r\n"), "+PONG");
    }
    let (busy, idle) = clients.split_at(25);
    for client in busy {
        client.says("SET a 1\r\nECHO answered\r\nGET");
    }
    let start = Instant::now();
    server.stop.request(Cause::Test);
    assert_eq!(idle.len(), 25);
    for (n, client) in clients.into_iter().enumerate() {
        assert_eq!(client.rest(), if n < 25 { "+OK\r\n$8\r\nanswered\r\n" } else { "" });
    }
    server.stop();
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn a_stop_does_not_wait_for_clients_that_do_not_read() {
    let server = Running::start(Config { drain: Duration::from_millis(50), ..Config::default() });
    let mut client = server.client();
    let value = "x".repeat(16 << 20);
    assert_eq!(client.asks(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len())), "+OK");
    client.says("GET a\r\n");
    assert_eq!(client.line(), format!("${}", value.len()));
    server.stop();
    drop(client);
}

#[test]
fn a_server_tells_of_itself() {
    let server = Running::start(Config { max_memory: Some(1 << 30), ..Config::default() });
    let mut client = server.client();
    assert_eq!(client.asks("SET a 1 EX 100\r\n"), "+OK");
    client.says("INFO\r\nQUIT\r\n");
    let info = client.rest();
    for line in [
        "redis_version:7.0.0",
        &format!("tcp_port:{}", server.address.port()),
        "connected_clients:1",
        "maxmemory:1073741824",
        "total_connections_received:1",
        "shards:1",
        "db0:keys=1,expires=1,avg_ttl=0",
    ] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "{line}: {info}");
    }
    assert!(info.contains("\r\nshard_epoch:"));
}
