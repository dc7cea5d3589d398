//! The server, as its clients see it, while workers die.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

/// The program, listening on a free port. If a test fails, the program is killed, and its workers
/// end with it.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(workers: usize, flags: &[&str]) -> Self {
        Self::spawn(&mut Self::command(workers, flags))
    }

    fn command(workers: usize, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cc-procs"));
        command.args(["--workers", &workers.to_string(), "kv", "--listen", "127.0.0.1:0"]).args(flags);
        command
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("read");
        let address = line.strip_prefix("listening at ").expect("it listens").trim().to_owned();
        Self { child, address }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        Client(BufReader::new(stream))
    }

    fn workers(&self) -> Vec<Pid> {
        let parent = format!(" {} ", self.child.id());
        let processes = fs::read_dir("/proc").expect("listed").filter_map(|entry| {
            let entry = entry.ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name in parentheses: the state's letter, then the parent.
            let (_, rest) = stat.rsplit_once(')')?;
            rest[2..].starts_with(&parent).then(|| entry.file_name().to_str()?.parse().ok()).flatten()
        });
        processes.filter_map(Pid::from_raw).collect()
    }

    /// Stops the program, waits for its end, and checks that its workers have ended as well.
    fn stop(mut self) {
        let workers = self.workers();
        kill_process(pid(self.child.id()), Signal::INT).expect("it runs");
        assert_eq!(self.child.wait().expect("waited for").code(), Some(0));
        assert!(workers.iter().all(|&worker| pidfd_open(worker, PidfdFlags::empty()).is_err()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// Sends a line, and returns the reply, with `|` for its line ends.
    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply().expect("a reply")
    }

    fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("written");
    }

    /// The next reply; `None` if the connection is closed.
    fn reply(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let line = line.trim_end().to_owned();
        let count = line[1..].parse().unwrap_or(0);
        Some(match line.as_bytes()[0] {
            b'$' if !line.starts_with("$-") => {
                let mut bytes = vec![0; count + 2];
                self.0.read_exact(&mut bytes).expect("read");
                String::from_utf8(bytes).expect("text").trim_end().replace("\r\n", "|")
            }
            b'*' if !line.starts_with("*-") => {
                let items: Vec<_> = (0..count).map(|_| self.reply().expect("an item")).collect();
                format!("[{}]", items.join(" "))
            }
            _ => line,
        })
    }

    /// The worker that serves this client.
    fn worker(&mut self) -> Pid {
        assert_eq!(self.ask("PING"), "+PONG");
        self.accepted_by().expect("a worker has accepted the connection")
    }

    /// The process that has the other end of the connection.
    fn accepted_by(&self) -> Option<Pid> {
        let end = |address: std::net::SocketAddr| format!(":{:04X} ", address.port());
        let stream = self.0.get_ref();
        let [ours, theirs] = [stream.local_addr(), stream.peer_addr()].map(|it| end(it.expect("connected")));
        let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
        let other = sockets.lines().find(|line| {
            let (at, from) = (line.find(&theirs), line.find(&ours));
            at.zip(from).is_some_and(|(at, from)| at < from)
        })?;
        let socket = format!("socket:[{}]", other.split_whitespace().nth(9)?);
        let is_open = |process: &fs::DirEntry| {
            let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link == Path::new(&socket))
        };
        let mut processes = fs::read_dir("/proc").expect("listed").flatten();
        let process = processes.find(|process| is_open(process))?;
        Some(pid(process.file_name().to_str()?.parse::<i32>().ok()?))
    }

    fn epochs(&mut self) -> Vec<String> {
        let info = self.ask("INFO shards");
        let (_, rest) = info.split_once("shard_epoch:").expect("INFO has it");
        rest.split('|').next().expect("a line").split(',').map(str::to_owned).collect()
    }

    fn values(&mut self) -> Vec<String> {
        (0..KEYS).map(|n| self.ask(&format!("GET k{n}"))).collect()
    }
}

/// Number of keys: enough that every shard has some.
const KEYS: usize = 64;

fn pid(raw: impl TryInto<i32>) -> Pid {
    raw.try_into().ok().and_then(Pid::from_raw).expect("a process id")
}

/// Kills a process and waits until it is dead.
fn kill(process: Pid) {
    let fd = pidfd_open(process, PidfdFlags::empty()).expect("it is running");
    kill_process(process, Signal::KILL).expect("it is running");
    wait_for(&fd);
}

fn wait_for(process: &std::os::fd::OwnedFd) {
    let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)), Ok(1));
}

#[test]
fn every_client_sees_all_keys_in_order() {
    let server = Server::start(3, &[]);
    let mut clients: Vec<_> = (0..6).map(|_| server.client()).collect();
    let requests: String = (0..KEYS).map(|n| format!("SET k{n} {n}\r\nGET k{n}\r\n")).collect();
    clients[0].send(&requests);
    for n in 0..KEYS {
        assert_eq!([(); 2].map(|()| clients[0].reply().expect("a reply")), ["+OK", &n.to_string()]);
    }
    let expected: Vec<_> = (0..KEYS).map(|n| n.to_string()).collect();
    for client in &mut clients {
        assert_eq!(client.values(), expected);
        assert_eq!(client.ask("DBSIZE"), format!(":{KEYS}"));
    }
    // The worker with the fewest clients accepts the next, so each worker has some.
    let mut workers: Vec<_> = clients.iter_mut().map(|client| client.worker().as_raw_pid()).collect();
    workers.sort_unstable();
    workers.dedup();
    assert_eq!(workers.len(), 3);
    drop(clients);
    server.stop();
}

#[test]
fn large_values_travel_between_workers() {
    let server = Server::start(2, &[]);
    let value = "v".repeat(3 << 20);
    let mut client = server.client();
    for n in 0..4 {
        let key = format!("k{n}");
        let header = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len());
        client.send(&format!("{header}{value}"));
        assert_eq!(client.reply().as_deref(), Some("+OK"));
    }
    for n in 0..4 {
        assert!(client.ask(&format!("GET k{n}")) == value);
    }
}

#[test]
fn transactions_are_atomic() {
    let server = Server::start(3, &[]);
    let keys = "a b c d e f";
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.client();
                for _ in 0..200 {
                    let add: String = keys.split(' ').map(|key| format!("INCR {key}\r\n")).collect();
                    client.send(&format!("MULTI\r\n{add}EXEC"));
                    (0..7).for_each(|_| drop(client.reply().expect("a reply")));
                    let sums = client.reply().expect("a reply");
                    assert!(sums.starts_with("[:"), "{sums}");
                }
            });
            scope.spawn(|| {
                let mut client = server.client();
                for _ in 0..200 {
                    let values = client.ask(&format!("MGET {keys}"));
                    let mut values: Vec<_> = values.trim_matches(['[', ']']).split(' ').collect();
                    values.dedup();
                    assert_eq!(values.len(), 1, "{values:?}");
                }
            });
        }
    });
    assert_eq!(server.client().ask("MGET a f"), "[600 600]");
}

#[test]
fn a_watch_sees_changes_of_other_shards() {
    let server = Server::start(2, &[]);
    let (mut one, mut other) = (server.client(), server.client());
    assert_eq!(one.ask("WATCH a b c d"), "+OK");
    assert_eq!(other.ask("SET c 1"), "+OK");
    assert_eq!(one.ask("MULTI"), "+OK");
    assert_eq!(one.ask("MSET a 2 b 2 c 2 d 2"), "+QUEUED");
    assert_eq!(one.ask("EXEC"), "*-1");
    assert_eq!(other.ask("MGET a b c d"), "[$-1 $-1 1 $-1]");
}

#[test]
fn a_killed_worker_loses_its_own_data_and_nothing_else() {
    let server = Server::start(2, &[]);
    let mut clients = [server.client(), server.client()];
    let [victim, other] = clients.each_mut().map(Client::worker);
    assert_ne!(victim, other);
    let [theirs, ours] = &mut clients;
    (0..KEYS).for_each(|n| assert_eq!(ours.ask(&format!("SET k{n} {n}")), "+OK"));
    let watched: String = (0..KEYS).map(|n| format!(" k{n}")).collect();
    assert_eq!(ours.ask(&format!("WATCH{watched}")), "+OK");
    let before = ours.epochs();
    kill(victim);
    assert_eq!(theirs.reply(), None);
    let after = loop {
        let epochs = ours.epochs();
        if !epochs.iter().any(|epoch| epoch.parse::<u64>().is_err()) && epochs != before {
            break epochs;
        }
    };
    let lost: Vec<_> = (0..2).filter(|&n| before[n] != after[n]).collect();
    assert_eq!(lost.len(), 1);
    let values = ours.values();
    let kept = values.iter().enumerate().filter(|(n, value)| **value == n.to_string()).count();
    let gone = values.iter().filter(|value| *value == "$-1").count();
    assert!(kept > 0 && gone > 0 && kept + gone == KEYS, "{values:?}");
    assert_eq!(ours.ask("DBSIZE"), format!(":{kept}"));
    assert_eq!(ours.ask("MULTI"), "+OK");
    assert_eq!(ours.ask("SET k0 new"), "+QUEUED");
    assert_eq!(ours.ask("EXEC"), "*-1");
    // The successor serves, too.
    let mut third = server.client();
    assert!(![victim, other].contains(&third.worker()));
    assert_eq!(third.values(), values);
    server.stop();
}

#[test]
fn the_death_of_a_worker_is_reported() {
    let mut server = Server::spawn(Server::command(2, &[]).stderr(Stdio::piped()));
    let mut stderr = BufReader::new(server.child.stderr.take().expect("piped"));
    kill(server.client().worker());
    let mut line = String::new();
    stderr.read_line(&mut line).expect("read");
    let number = line.strip_prefix("kv: worker ").and_then(|line| line.split_once(' '));
    let (number, rest) = number.unwrap_or_else(|| panic!("{line:?}"));
    assert!(["0", "1"].contains(&number), "{line:?}");
    assert_eq!(rest, "is lost, with all of its data\n");
    server.stop();
}

#[test]
fn after_kills_at_any_moment_each_reply_is_a_result_or_an_error() {
    let server = Server::start(3, &[]);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| work(&server))).collect();
        for _ in 0..12 {
            let mut client = server.client();
            // Any worker. It may be killed while it answers.
            client.send("PING");
            if client.reply().is_none() {
                continue;
            }
            let Some(worker) = client.accepted_by() else { continue };
            let _ = kill_process(worker, Signal::KILL);
        }
        clients.into_iter().for_each(|client| client.join().expect("all replies were valid"));
    });
    // All workers serve again, and no shard is held.
    let mut client = server.client();
    while client.ask("MSET a 1 b 1 c 1 d 1 e 1 f 1") != "+OK" {}
    assert_eq!(client.ask("MGET a b c d e f"), "[1 1 1 1 1 1]");
    drop(client);
    server.stop();
}

/// Sends requests, also for several shards, and connects again if the connection is lost.
fn work(server: &Server) {
    let mut client = server.client();
    for n in 0..600 {
        let request =
            ["MSET a 1 b 1 c 1 d 1 e 1 f 1", "MGET a b c d e f", "INCR x", "GET y", "DBSIZE"][n % 5];
        if client.0.get_mut().write_all(format!("{request}\r\n").as_bytes()).is_err() {
            client = server.client();
            continue;
        }
        match client.reply() {
            None => client = server.client(),
            Some(reply) if reply.starts_with('-') => {
                let is_expected = reply.starts_with("-TRYAGAIN ") || reply.starts_with("-INDETERMINATE ");
                assert!(is_expected, "{reply}");
            }
            Some(_) => {}
        }
    }
}

#[test]
fn a_stop_does_not_wait_for_idle_clients_or_longer_than_the_drain_time() {
    let server = Server::start(2, &["--drain", "0.3"]);
    let mut idle: Vec<_> = (0..10).map(|_| server.client()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.ask("PING"), "+PONG"));
    let mut unread = server.client();
    unread.ask(&format!("SET k {}", "v".repeat(60_000)));
    (0..1000).for_each(|_| unread.send("GET k"));
    server.stop();
    assert!(idle.into_iter().all(|mut client| client.reply().is_none()));
}

#[test]
fn a_stop_answers_what_has_arrived() {
    let server = Server::start(2, &[]);
    let mut client = server.client();
    let requests: String = (0..KEYS).map(|n| format!("SET k{n} {n}\r\nMGET k{n} a b c\r\n")).collect();
    client.send(&requests);
    assert_eq!(client.reply().as_deref(), Some("+OK"));
    server.stop();
    let replies = std::iter::from_fn(|| client.reply()).count();
    assert_eq!(replies, 2 * KEYS - 1);
}

#[test]
fn the_limit_of_clients_holds_for_all_workers_together() {
    let server = Server::start(2, &["--max-connections", "6"]);
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..6).map(|_| server.client()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.ask("PING"), "+PONG"));
        assert_eq!(server.client().reply().as_deref(), Some("-ERR max number of clients reached"));
        // Once the connections are closed, the clients no longer count.
        clients.iter_mut().for_each(|client| assert_eq!(client.ask("QUIT"), "+OK"));
        clients.iter_mut().for_each(|client| assert_eq!(client.reply(), None));
    }
}

#[test]
fn workers_end_when_the_coordinator_is_killed() {
    let mut server = Server::start(2, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("MSET a 1 b 1 c 1 d 1"), "+OK");
    let open = |worker| pidfd_open(worker, PidfdFlags::empty()).expect("it is running");
    let workers: Vec<_> = server.workers().into_iter().map(open).collect();
    assert_eq!(workers.len(), 2);
    server.child.kill().expect("killed");
    workers.iter().for_each(wait_for);
    assert_eq!(client.reply(), None);
}
