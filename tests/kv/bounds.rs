//! Bounds: clients, memory, descriptors, time.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use cc_conformance::{
    bounds::{limit_descriptors, peak_memory},
    case::{Case, Needs},
    subject::Subject,
};
use cc_workloads::{Entry, Error, kv::Config};

use super::{
    Kv,
    server::Served,
    talk::{Client, encoded, of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("too_many_clients_are_turned_away", too_many_clients),
        Case::new("no_more_descriptors", no_more_descriptors),
        Case::new("no_more_memory", no_more_memory),
        Case::new("info_tells_of_all_workers", info),
        Case::new("a_pipeline_may_be_written_before_a_reply_is_read", written_before_read),
        Case::new("who_does_not_read_is_not_asked_for_more", who_does_not_read),
        Case::new("who_takes_no_reply_is_hung_up_on", takes_no_reply),
        Case::new("who_says_nothing_is_hung_up_on", who_says_nothing),
        Case::new("a_byte_now_and_then_is_no_request", trickles),
        Case::new("who_does_not_give_the_password_is_hung_up_on", strangers),
        Case::new("wrong_passwords_take_longer_each_time", wrong_passwords),
        Case::new("announced_sizes_take_no_memory", announced_sizes),
        Case::new("a_transaction_over_all_shards_is_bounded", long_transactions),
        Case::new("copies_of_values_are_bounded", copies),
        Case::new("too_many_workers_are_a_usage_error", too_many_workers).needs(Needs::LimitedWorkers),
    ]
}

/// Maximum number of clients in this test. Workers that share the clients may each refuse some
/// before the maximum is reached.
const MAX_CLIENTS: usize = 8;

fn too_many_clients(subject: &Subject) {
    let config = Config { max_connections: MAX_CLIENTS, ..Config::default() };
    let served = Served::start(subject, &config);
    let (mut inside, mut outside) = (Vec::new(), 0);
    for _ in 0..2 * MAX_CLIENTS {
        let mut client = served.client();
        client.send(&encoded("PING"));
        match client.reply().as_str() {
            "+PONG" => inside.push(client),
            "-ERR max number of clients reached" => outside += 1,
            other => panic!("{other}"),
        }
    }
    assert!(
        (MAX_CLIENTS / 2..=MAX_CLIENTS).contains(&inside.len()) && outside > 0,
        "{} inside",
        inside.len()
    );
    inside.iter_mut().for_each(|client| client.says("PING", "+PONG"));
    // A client counts until the server has seen that it is gone.
    inside.clear();
    let again = || {
        let mut client = served.client();
        client.send(&encoded("PING"));
        client.reply() == "+PONG"
    };
    while !again() {}
}

/// While the server has no free descriptor, its present clients are served. The next client is
/// served when there is a descriptor again.
fn no_more_descriptors(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let mut first = served.client();
    first.says("SET a 1", "+OK");
    limit_descriptors(64);
    // Client and server are in this process, so each connection takes two descriptors; none is left
    // for the last.
    let connect = || std::net::TcpStream::connect(served.address).ok();
    let flood: Vec<_> = (0..64).map_while(|_| connect()).collect();
    first.says("GET a", "$1");
    drop(flood);
    served.client().says("GET a", "$1");
}

fn no_more_memory(subject: &Subject) {
    let config = Config { max_memory: Some(8 << 20), ..Config::default() };
    let served = Served::start(subject, &config);
    let [mut greedy, mut other] = [served.client(), served.client()];
    other.says("SET a 1", "+OK");
    let request = of(&[b"SET", b"large", &vec![b'x'; 64 << 20]]);
    let peak = peak_memory(|| {
        greedy.send(&request);
        assert_eq!(greedy.reply(), "-OOM command not allowed when used memory > 'maxmemory'.");
    });
    assert!(peak < 24 << 20, "{peak} bytes for a refused request");
    greedy.says("GET large", "$nil");
    other.says("GET a", "$1");
}

/// Requests and replies are each more than the sockets have room for. While the replies wait,
/// another client is served.
fn written_before_read(subject: &Subject) {
    const TIMES: usize = 400;
    let served = Served::start(subject, &Config::default());
    let (mut client, mut other) = (served.client(), served.client());
    let value = "x".repeat(64 << 10);
    let pair = [of(&[b"SET", b"a", value.as_bytes()]), encoded("GET a")].concat();
    client.send(&pair.repeat(TIMES));
    other.says("PING", "+PONG");
    for _ in 0..TIMES {
        assert_eq!(client.reply(), "+OK");
        assert!(client.reply()[1..] == value);
    }
    client.says("PING", "+PONG");
}

/// The client sends requests for as long as it can, and takes none of the replies.
fn takes_no_reply(subject: &Subject) {
    let output_timeout = Duration::from_millis(100);
    let served = Served::start(subject, &Config { max_output: 1 << 20, output_timeout, ..Config::default() });
    let (mut client, mut other) = (served.client(), served.client());
    let requests = of(&[b"ECHO", &vec![b'x'; 64 << 10]]);
    let is_open = (0..500).all(|_| {
        other.says("PING", "+PONG");
        client.trickle(&requests)
    });
    assert!(!is_open, "32 MB of requests are answered to a client that takes no reply");
    other.says("PING", "+PONG");
    while !client.is_closed() {}
}

/// Clients request a megabyte a thousand times each, and read nothing. Each has its own key, so
/// some keys are at another worker than their client.
fn who_does_not_read(subject: &Subject) {
    let served = Served::start(subject, &Config { max_output: 8 << 20, ..Config::default() });
    let keys = ["a", "b", "c", "d"];
    let mut greedy = keys.map(|_| served.client());
    for (client, key) in greedy.iter_mut().zip(keys) {
        client.send(&of(&[b"SET", key.as_bytes(), &vec![b'x'; 1 << 20]]));
        assert_eq!(client.reply(), "+OK");
    }
    let mut other = served.client();
    let peak = peak_memory(|| {
        for (client, key) in greedy.iter_mut().zip(keys) {
            client.send(&encoded(&format!("GET {key}")).repeat(1000));
        }
        for _ in 0..1000 {
            other.says("PING", "+PONG");
        }
    });
    assert!(peak < 128 << 20, "{peak} bytes for replies that are not read");
    other.says("STRLEN d", ":1048576");
}

fn who_says_nothing(subject: &Subject) {
    let config = Config { idle_timeout: Some(Duration::from_millis(300)), ..Config::default() };
    let served = Served::start(subject, &config);
    let mut idle: Vec<Client> = (0..3).map(|_| served.client()).collect();
    idle[0].says("PING", "+PONG");
    idle[1].send(b"*1\r\n$4\r\nPI");
    assert!(idle.iter_mut().all(Client::is_closed));
    served.client().says("PING", "+PONG");
}

/// The answer of any worker to INFO has the totals of all workers, and the limits of one.
fn info(subject: &Subject) {
    let config = Config { max_memory: Some(MAX_MEMORY), max_connections: 101, ..Config::default() };
    let served = Served::start(subject, &config);
    let mut clients: Vec<_> = (0..8).map(|_| served.client()).collect();
    clients.iter_mut().for_each(|client| client.says("PING", "+PONG"));
    for client in &mut clients {
        client.send(&encoded("INFO"));
        let info = client.reply();
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{name}: {info}")).parse::<u64>().expect("it is a number")
        };
        assert_eq!(value("connected_clients"), 8);
        assert_eq!(value("process_id"), u64::from(std::process::id()));
        assert_eq!((value("maxclients"), value("maxmemory")), (101, MAX_MEMORY));
        assert_eq!(value("total_connections_received"), 8);
        assert!(value("total_commands_processed") >= 8);
        assert!([MAX_MEMORY, MAX_MEMORY / 2].contains(&value("maxmemory_per_worker")));
    }
    clients[0].says("CONFIG GET maxmemory", &format!("[$maxmemory ${MAX_MEMORY}]"));
}

/// Longer than any time limit in these tests.
const LONG: Duration = Duration::from_secs(20);

/// Sends single bytes of a request that never ends, while another client is answered, until the
/// server closes the connection.
fn is_hung_up_on(served: &Served, mut client: Client, mut other: Client) {
    let began = Instant::now();
    client.send(b"*2\r\n$4\r\nECHO\r\n$100000000\r\n");
    while client.trickle(b"x") {
        other.says("AUTH secret", "+OK");
        assert!(began.elapsed() < LONG, "a client that sends single bytes is not disconnected");
    }
    drop(other);
    let mut next = served.client();
    next.says("AUTH secret", "+OK");
}

fn trickles(subject: &Subject) {
    let config = Config {
        password: Some("secret".to_owned()),
        idle_timeout: Some(Duration::from_millis(300)),
        ..Config::default()
    };
    let served = Served::start(subject, &config);
    let mut known = served.client();
    known.says("AUTH secret", "+OK");
    is_hung_up_on(&served, known, served.client());
}

/// Clients that do not give the password are disconnected, even if there is no idle timeout and
/// they send requests all the time. A client that gives it in time stays.
fn strangers(subject: &Subject) {
    let auth_timeout = Duration::from_millis(500);
    let config = Config { password: Some("secret".to_owned()), auth_timeout, ..Config::default() };
    let served = Served::start(subject, &config);
    let mut known = served.client();
    known.says("AUTH secret", "+OK");
    let mut silent = served.client();
    let mut talkative = served.client();
    let (mut other, began) = (served.client(), Instant::now());
    other.says("AUTH secret", "+OK");
    while talkative.trickle(&encoded("PING")) {
        other.says("PING", "+PONG");
        assert!(began.elapsed() < LONG, "a client without the password is not disconnected");
    }
    assert!(silent.is_closed());
    known.says("PING", "+PONG");
}

/// The pauses after the six wrong guesses are 0, 50, 100, 200, 400 and 800 ms; other clients are
/// served meanwhile.
fn wrong_passwords(subject: &Subject) {
    let config = Config { password: Some("secret".to_owned()), ..Config::default() };
    let served = Served::start(subject, &config);
    let (mut guessing, mut other) = (served.client(), served.client());
    other.says("AUTH secret", "+OK");
    let began = Instant::now();
    guessing.send(&encoded("AUTH guess").repeat(6));
    for nth in 0..6 {
        assert!(guessing.reply().starts_with("-WRONGPASS"));
        let since = Instant::now();
        other.says("PING", "+PONG");
        assert!(since.elapsed() < Duration::from_secs(5), "others wait after guess {nth}");
    }
    assert!(began.elapsed() >= Duration::from_millis(1550), "guesses come too fast: {:?}", began.elapsed());
    // The pause after the sixth guess does not delay a stop.
    assert!(served.time_to_stop() < LONG);
}

fn announced_sizes(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let peak = peak_memory(|| {
        let mut clients: Vec<_> = (0..50).map(|_| served.client()).collect();
        clients.iter_mut().for_each(|client| client.send(b"*1048576\r\n$536870912\r\nx"));
        served.client().says("PING", "+PONG");
    });
    assert!(peak < 32 << 20, "{peak} bytes for sizes that were only announced");
}

/// The `maxmemory` of these tests. A server may take four times as much: as much again for plans
/// and replies, and twice for copies in flight between processes.
const MAX_MEMORY: u64 = 64 << 20;
const MOST: u64 = 4 * MAX_MEMORY;

/// A transaction of a hundred thousand commands, each of which goes to every shard. It is refused,
/// or done within the memory limit.
fn long_transactions(subject: &Subject) {
    let config = Config { max_memory: Some(MAX_MEMORY), ..Config::default() };
    let served = Served::start(subject, &config);
    let (mut client, mut other) = (served.client(), served.client());
    for command in ["DBSIZE", "INFO", "COMMAND"] {
        client.says("MULTI", "+OK");
        let batch = encoded(command).repeat(1000);
        let peak = peak_memory(|| {
            for _ in 0..100 {
                client.send(&batch);
                (0..1000).for_each(|_| drop(client.reply()));
            }
            client.send(&encoded("EXEC"));
            let since = Instant::now();
            other.says("PING", "+PONG");
            assert!(
                since.elapsed() < Duration::from_secs(5),
                "{command}: others wait for {:?}",
                since.elapsed()
            );
            let reply = client.reply();
            assert!(reply.starts_with('[') || reply.starts_with("-EXECABORT"), "{reply:.80}");
        });
        assert!(peak < MOST, "{command}: {peak} bytes");
        client.says("PING", "+PONG");
    }
}

/// Six clients request two hundred megabytes each, and read nothing. A model whose replies do not
/// copy values may answer them.
fn copies(subject: &Subject) {
    let config = Config { max_memory: Some(MAX_MEMORY), ..Config::default() };
    let served = Served::start(subject, &config);
    let keys = ["a", "b", "c", "d", "e", "f"];
    let mut clients = keys.map(|_| served.client());
    for (client, key) in clients.iter_mut().zip(keys) {
        client.send(&of(&[b"SET", key.as_bytes(), &vec![b'x'; 1 << 20]]));
        assert_eq!(client.reply(), "+OK");
    }
    let mut other = served.client();
    let peak = peak_memory(|| {
        for (client, key) in clients.iter_mut().zip(keys) {
            client.send(&encoded(&format!("MGET{}", format!(" {key}").repeat(200))));
        }
        for _ in 0..1000 {
            other.says("PING", "+PONG");
        }
        for client in &mut clients {
            assert!(client.next_reply_is_large_or("-OOM"));
        }
    });
    assert!(peak < MOST, "{peak} bytes for copies");
    // A single value can be read through any worker.
    clients.iter_mut().zip(keys).for_each(|(client, key)| {
        client.close_half();
        served.client().says(&format!("STRLEN {key}"), ":1048576");
        let mut reader = served.client();
        reader.send(&encoded(&format!("GET {key}")));
        assert_eq!(reader.reply().len(), 1 + (1 << 20));
    });
}

fn too_many_workers(subject: &Subject) {
    let Entry::Run(serve) = subject.entry::<Kv>() else { panic!("{} has no kv", subject.name) };
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let ended = serve(listener, &Config::default(), &subject.ctx(20_000));
    assert!(matches!(&ended, Err(Error::Usage(what)) if what.contains("--workers")), "{ended:?}");
}
