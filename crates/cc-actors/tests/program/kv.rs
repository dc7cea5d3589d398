//! The server, as its clients see it.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cc_actors::kv;
use cc_workloads::{
    Cause, Ctx, Result, Stop,
    kv::{Config, Totals},
};

struct Server {
    address: SocketAddr,
    stop: Stop,
    thread: JoinHandle<Result<Totals>>,
}

impl Server {
    fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let ctx = Ctx::new(NonZeroUsize::new(3).expect("not zero"));
        let stop = ctx.stop.clone();
        let thread = thread::spawn(move || kv::run(listener, &config, &ctx));
        Self { address, stop, thread }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        Client(BufReader::new(stream))
    }

    fn stop(self) -> Totals {
        self.stop.request(Cause::Test);
        self.thread.join().expect("no panic").expect("served")
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, lines: &str) {
        self.0.get_mut().write_all(lines.as_bytes()).expect("sent");
    }

    /// The next lines of the replies, without their line ends.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let mut read = || {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("replied");
            line.trim_end().to_owned()
        };
        (0..count).map(|_| read()).collect()
    }

    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let server = Server::start(Config::default());
    let mut client = server.client();
    let mut expected = Vec::new();
    let mut lines = String::new();
    for n in 0..2000 {
        lines += &format!("SET key{n} {n}\r\nPING\r\nSTRLEN key{n}\r\nMGET key{n} key{}\r\n", n + 1);
        let digits = n.to_string().len();
        let value = [format!("${digits}"), n.to_string(), "$-1".to_owned()];
        expected.extend(
            ["+OK", "+PONG", &format!(":{digits}"), "*2"].map(str::to_owned).into_iter().chain(value),
        );
    }
    let mut sender = Client(BufReader::new(client.0.get_ref().try_clone().unwrap()));
    let sender = thread::spawn(move || sender.send(&lines));
    assert_eq!(client.lines(expected.len()), expected);
    sender.join().unwrap();
    assert_eq!(server.stop(), Totals { connections: 1, refused: 0, commands: 8000 });
}

#[test]
fn transactions_on_several_shards_are_atomic() {
    let server = Server::start(Config::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.client();
                for _ in 0..300 {
                    client.send("MULTI\r\nINCR a\r\nINCR b\r\nINCR c\r\nINCR d\r\nEXEC\r\n");
                    let replies = client.lines(10);
                    assert_eq!(replies[5], "*4");
                    assert!(replies[6..].iter().all(|reply| *reply == replies[6]), "{replies:?}");
                }
            });
        }
    });
    let mut client = server.client();
    client.send("GET a\r\nWATCH a d\r\n");
    assert_eq!(client.lines(3), ["$4", "1200", "+OK"]);
    let mut other = server.client();
    other.send("INCR d\r\n");
    assert_eq!(other.lines(1), [":1201"]);
    client.send("MULTI\r\nSET b lost\r\nSET a lost\r\nEXEC\r\nMGET a b\r\n");
    assert_eq!(client.lines(9), ["+OK", "+QUEUED", "+QUEUED", "*-1", "*2", "$4", "1200", "$4", "1200"]);
    server.stop();
}

#[test]
fn info_lists_every_shard() {
    let server = Server::start(Config::default());
    let mut client = server.client();
    client.send("INFO\r\n");
    let length: usize = client.lines(1)[0][1..].parse().unwrap();
    let mut info = vec![0; length];
    client.0.read_exact(&mut info).unwrap();
    let info = String::from_utf8(info).unwrap();
    let epochs = info.lines().find_map(|line| line.strip_prefix("shard_epoch:")).unwrap();
    let epochs: HashSet<u64> = epochs.split(',').map(|epoch| epoch.parse().unwrap()).collect();
    assert_eq!(epochs.len(), 3, "{info}");
    server.stop();
}

#[test]
fn too_many_clients_are_turned_away() {
    let server = Server::start(Config { max_connections: 1, ..Config::default() });
    let mut first = server.client();
    first.send("PING\r\n");
    assert_eq!(first.lines(1), ["+PONG"]);
    let mut second = server.client();
    assert_eq!(second.lines(1), ["-ERR max number of clients reached"]);
    assert!(second.is_closed());
    assert_eq!(server.stop(), Totals { connections: 1, refused: 1, commands: 1 });
}

#[test]
fn a_stop_does_not_wait_for_idle_clients() {
    let server = Server::start(Config { drain: Duration::from_secs(15), ..Config::default() });
    let mut idle = server.client();
    idle.send("PING\r\n");
    assert_eq!(idle.lines(1), ["+PONG"]);
    let begun = Instant::now();
    assert_eq!(server.stop().connections, 1);
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert!(idle.is_closed());
}

#[test]
fn a_stop_waits_for_the_drain_time_only_if_clients_do_not_read() {
    let server = Server::start(Config { drain: Duration::from_millis(200), ..Config::default() });
    let mut unread = server.client();
    let value = "x".repeat(8 << 20);
    unread.send(&format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len()));
    assert_eq!(unread.lines(1), ["+OK"]);
    unread.send(&"GET k\r\n".repeat(8));
    // Once the first byte has arrived, the server is writing, and the rest is much more than the
    // sockets have room for.
    let mut first = [0];
    unread.0.read_exact(&mut first).unwrap();
    let mut other = server.client();
    other.send("PING\r\n");
    assert_eq!(other.lines(1), ["+PONG"], "other clients are still served");
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
}

#[test]
fn an_idle_client_is_disconnected() {
    let server = Server::start(Config { idle_timeout: Some(Duration::from_millis(50)), ..Config::default() });
    assert!(server.client().is_closed());
    server.stop();
}

#[test]
fn a_stop_before_the_start_ends_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ctx = Ctx::new(NonZeroUsize::MIN);
    ctx.stop.request(Cause::Test);
    assert_eq!(kv::run(listener, &Config::default(), &ctx).unwrap(), Totals::default());
}
