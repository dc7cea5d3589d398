//! `kv`, as clients see it: a server whose workers can be killed.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-distributed");

/// Maximum wait for an answer, on a machine that is busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server with two nodes. It is killed at the end, also when the test fails.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        Self::start_with(&["--suspect-after", "1", "--lose-after", "1"], args)
    }

    /// The same, with these options of the cluster.
    fn start_with(cluster: &[&str], args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--workers", "2"]).args(cluster).args(["kv", "--listen", "127.0.0.1:0"]).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        let address = line.trim().strip_prefix("listening at ").expect("an address").parse();
        Self { child, address: address.expect("an address") }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("set");
        stream.set_write_timeout(Some(TIMEOUT)).expect("set");
        Client(BufReader::new(stream))
    }

    fn workers(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let children = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        children
            .flat_map(|ids| {
                ids.split_whitespace().map(|id| id.parse().expect("a number")).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Requests a stop, waits for the end, and asserts that no process is left.
    fn stop(mut self) -> (ExitStatus, Duration) {
        let workers = self.workers();
        let requested = Instant::now();
        signal(self.child.id(), Signal::INT);
        let status = self.child.wait().expect("waited for");
        let took = requested.elapsed();
        assert!(TcpStream::connect(self.address).is_err(), "the port is closed");
        for worker in workers {
            assert!(!fs::exists(format!("/proc/{worker}")).expect("Linux"), "worker {worker} is left");
        }
        (status, took)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, signal: Signal) {
    let pid = process.try_into().ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the process is there");
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn say(&mut self, line: &str) {
        self.0.get_ref().write_all(format!("{line}\r\n").as_bytes()).expect("written");
    }

    /// A reply, as one line. The items of an array are between brackets.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("read");
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("*" | "$", "-1")) => "nil".to_owned(),
            Some(("*", items)) => {
                let items: Vec<_> = (0..items.parse().expect("a number")).map(|_| self.hear()).collect();
                format!("[{}]", items.join(" "))
            }
            Some(("$", length)) => {
                let mut bytes = vec![0; length.parse::<usize>().expect("a number") + 2];
                self.0.read_exact(&mut bytes).expect("read");
                String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned()
            }
            Some((_, text)) => text.to_owned(),
            None => "the end".to_owned(),
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    fn epochs(&mut self) -> Vec<String> {
        let info = self.ask("INFO");
        let line = info.lines().find_map(|line| line.strip_prefix("shard_epoch:")).expect("it is told");
        line.split(',').map(str::to_owned).collect()
    }
}

/// A key of each node. The first node has the lower slots.
const FIRST: &str = "bar";
const SECOND: &str = "foo";

#[test]
fn commands_and_transactions_go_over_nodes() {
    let server = Server::start(&[]);
    let (mut one, mut other) = (server.connect(), server.connect());
    assert_eq!(one.ask("PING"), "PONG");
    assert_eq!(one.ask("MSET bar 1 foo 2 hello 3"), "OK");
    assert_eq!(other.ask("MGET foo nothing bar hello foo"), "[2 nil 1 3 2]");
    assert_eq!(other.ask("DBSIZE"), "3");
    one.say("WATCH foo\r\nMULTI\r\nINCR bar\r\nINCR foo\r\nGET hello\r\nEXEC");
    assert_eq!([(); 6].map(|()| one.hear()), ["OK", "OK", "QUEUED", "QUEUED", "QUEUED", "[2 3 3]"]);
    assert_eq!(one.ask("WATCH foo bar"), "OK");
    assert_eq!(other.ask("INCR bar"), "3");
    one.say("MULTI\r\nSET foo no\r\nSET hello no\r\nEXEC");
    assert_eq!([(); 4].map(|()| one.hear()), ["OK", "QUEUED", "QUEUED", "nil"]);
    assert_eq!(one.ask("MGET foo hello"), "[3 3]");
    assert_eq!(other.ask("DEL foo bar hello nothing"), "3");
    assert!(server.stop().0.success());
}

#[test]
fn replies_come_in_the_order_of_requests() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let requests: Vec<_> = (0..2000)
        .map(|n| match n % 4 {
            0 => format!("SET {n} {n}"),
            1 => format!("MSET a{n} {n} b{n} {n} c{n} {n}"),
            2 => format!("MGET {} a{} c{}", n - 2, n - 1, n - 1),
            _ => format!("ECHO {n}"),
        })
        .collect();
    client.say(&requests.join("\r\n"));
    for n in 0..2000 {
        let expected = match n % 4 {
            0 | 1 => "OK".to_owned(),
            2 => format!("[{} {} {}]", n - 2, n - 1, n - 1),
            _ => n.to_string(),
        };
        assert_eq!(client.hear(), expected);
    }
}

#[test]
fn no_client_sees_half_of_a_transaction_on_two_nodes() {
    const ROUNDS: usize = 300;
    let server = Server::start(&[]);
    server.connect().ask("MSET bar 0 foo 0");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.connect();
                for _ in 0..ROUNDS {
                    client.say("MULTI\r\nINCR foo\r\nINCR bar\r\nEXEC");
                    let replies = [(); 4].map(|()| client.hear());
                    assert!(replies[3].starts_with('['), "{replies:?}");
                }
            });
        }
        scope.spawn(|| {
            let mut client = server.connect();
            for _ in 0..ROUNDS {
                let both = client.ask("MGET bar foo");
                let (bar, foo) = both.trim_matches(['[', ']']).split_once(' ').unwrap();
                assert_eq!(bar, foo);
            }
        });
    });
    assert_eq!(server.connect().ask("MGET bar foo"), format!("[{0} {0}]", 3 * ROUNDS));
}

#[test]
fn a_stop_answers_what_has_arrived_and_waits_for_no_idle_client() {
    let server = Server::start(&["--drain", "20"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask("SET foo 1"), "OK"));
    let (status, took) = server.stop();
    assert!(status.success() && took < Duration::from_secs(10), "{took:?}");
    clients.iter_mut().for_each(|client| assert_eq!(client.hear(), "the end"));
}

#[test]
fn a_client_that_does_not_read_delays_no_other_and_a_stop_only_for_the_drain_time() {
    let server = Server::start(&["--drain", "0.5"]);
    let mut client = server.connect();
    let value = "x".repeat(60_000);
    assert_eq!(client.ask(&format!("SET foo {value}")), "OK");
    // Requests until the socket is full; their replies are far larger.
    client.0.get_ref().set_nonblocking(true).unwrap();
    while client.0.get_ref().write(&b"GET foo\r\n".repeat(1000)).is_ok() {}
    assert_eq!(server.connect().ask("STRLEN foo"), "60000");
    let (status, took) = server.stop();
    assert!(status.success() && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn too_many_clients_are_told_so() {
    let server = Server::start(&["--max-connections", "1"]);
    let mut client = server.connect();
    assert_eq!(client.ask("PING"), "PONG");
    assert_eq!(server.connect().hear(), "ERR max number of clients reached");
    assert_eq!(client.ask("SET foo 1"), "OK");
}

/// A node is lost by this signal. Clients notice it, and all of its keys are lost at the same time;
/// the other node loses nothing.
fn loses_a_node(by: Signal) {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask("MSET bar 1 foo 2"), "OK");
    let before = client.epochs();
    let mut watching = [FIRST, SECOND].map(|key| {
        let mut client = server.connect();
        assert_eq!(client.ask(&format!("WATCH {key}")), "OK");
        client
    });
    let workers = server.workers();
    assert_eq!(workers.len(), 2);
    signal(workers[0], by);
    let began = Instant::now();
    let is_lost = |reply: &str| reply.starts_with("TRYAGAIN") || reply.starts_with("INDETERMINATE");
    // Until the node is back: then one of the two keys is missing.
    let both = loop {
        let both = client.ask("MGET bar foo");
        if !is_lost(&both) && both != "[1 2]" {
            break both;
        }
        assert!(began.elapsed() < TIMEOUT, "{both}");
    };
    let is_first = both == "[nil 2]";
    assert!(is_first || both == "[1 nil]", "{both}");
    let after = client.epochs();
    let changed: Vec<_> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(changed, (0..16).map(|shard| (shard < 8) == is_first).collect::<Vec<_>>());
    let execs = watching.each_mut().map(|client| {
        client.say("MULTI\r\nSET hello 1\r\nEXEC");
        [(); 3].map(|()| client.hear())[2].clone()
    });
    assert_eq!(execs, if is_first { ["nil", "[OK]"] } else { ["[OK]", "nil"] });
    assert_eq!(client.ask("MSET bar 3 foo 4"), "OK");
    assert!(server.stop().0.success());
}

#[test]
fn a_node_that_pauses_for_seconds_loses_nothing() {
    let server = Server::start_with(&[], &[]);
    let mut client = server.connect();
    assert_eq!(client.ask("MSET bar 1 foo 2"), "OK");
    let before = client.epochs();
    let mut watching = server.connect();
    assert_eq!(watching.ask("WATCH bar foo"), "OK");
    let workers = server.workers();
    let paused = Instant::now();
    signal(workers[0], Signal::STOP);
    let is_silent = |reply: &str| reply.starts_with("TRYAGAIN") || reply.starts_with("INDETERMINATE");
    // Each request needs both nodes, so it waits for the paused one until that is suspected. Later
    // requests are refused at once.
    let mut refused = 0;
    while refused == 0 || paused.elapsed() < Duration::from_secs(3) {
        let both = client.ask("MGET bar foo");
        assert!(is_silent(&both) || both == "[1 2]", "{both}");
        refused += usize::from(is_silent(&both));
    }
    assert!(refused > 1, "no client waits for a suspected node");
    signal(workers[0], Signal::CONT);
    let both = loop {
        let both = client.ask("MGET bar foo");
        if !is_silent(&both) {
            break both;
        }
        assert!(paused.elapsed() < TIMEOUT, "{both}");
    };
    assert_eq!(both, "[1 2]");
    assert_eq!(client.epochs(), before);
    watching.say("MULTI\r\nINCR bar\r\nINCR foo\r\nEXEC");
    assert_eq!([(); 4].map(|()| watching.hear()), ["OK", "QUEUED", "QUEUED", "[2 3]"]);
    assert!(server.stop().0.success());
}

#[test]
fn a_killed_worker_loses_what_it_held_and_comes_back() {
    loses_a_node(Signal::KILL);
}

#[test]
fn a_worker_that_hangs_is_taken_for_dead() {
    loses_a_node(Signal::STOP);
}
