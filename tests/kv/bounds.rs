//! Bounds: clients, memory, descriptors, patience.

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
        Case::new("who_does_not_read_is_not_asked_for_more", who_does_not_read),
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

/// Workers who have the clients between them may each turn some away before all places are taken.
const PLACES: usize = 8;

fn too_many_clients(subject: &Subject) {
    let config = Config { max_connections: PLACES, ..Config::default() };
    let served = Served::start(subject, &config);
    let (mut inside, mut outside) = (Vec::new(), 0);
    for _ in 0..2 * PLACES {
        let mut client = served.client();
        client.send(&encoded("PING"));
        match client.reply().as_str() {
            "+PONG" => inside.push(client),
            "-ERR max number of clients reached" => outside += 1,
            other => panic!("{other}"),
        }
    }
    assert!((PLACES / 2..=PLACES).contains(&inside.len()) && outside > 0, "{} inside", inside.len());
    inside.iter_mut().for_each(|client| client.says("PING", "+PONG"));
    // A place is free again when the server has seen that its client is gone.
    inside.clear();
    let again = || {
        let mut client = served.client();
        client.send(&encoded("PING"));
        client.reply() == "+PONG"
    };
    while !again() {}
}

/// The server is without descriptors, not without clients: those whom it has are served on, and the next one is when
/// there is one again.
fn no_more_descriptors(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let mut first = served.client();
    first.says("SET a 1", "+OK");
    limit_descriptors(64);
    // In this process each client takes two; none is left for the last ones.
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
    assert!(peak < 24 << 20, "{peak} bytes for what was refused");
    greedy.says("GET large", "$nil");
    other.says("GET a", "$1");
}

/// They ask for a thousand times a megabyte each, and take nothing. With a key of his own for each, some keys are not
/// where their client is.
fn who_does_not_read(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
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
    assert!(peak < 128 << 20, "{peak} bytes for replies that nobody takes");
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

/// Whichever worker is asked: what all have, and what one may have.
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
        assert_eq!((value("maxclients"), value("maxmemory")), (101, MAX_MEMORY));
        assert_eq!(value("total_connections_received"), 8);
        assert!(value("total_commands_processed") >= 8);
        assert!([MAX_MEMORY, MAX_MEMORY / 2].contains(&value("maxmemory_per_worker")));
    }
    clients[0].says("CONFIG GET maxmemory", &format!("[$maxmemory ${MAX_MEMORY}]"));
}

/// Longer than any of the limits of a test.
const LONG: Duration = Duration::from_secs(20);

/// Sends a byte of a request that never ends, as often as another client is answered, until it is
/// hung up on.
fn is_hung_up_on(served: &Served, mut client: Client, mut other: Client) {
    let began = Instant::now();
    client.send(b"*2\r\n$4\r\nECHO\r\n$100000000\r\n");
    while client.trickle(b"x") {
        other.says("AUTH secret", "+OK");
        assert!(began.elapsed() < LONG, "bytes keep a place");
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

/// They have no idle timeout, and say something all the time; a client that gives the password in
/// time stays.
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
        assert!(began.elapsed() < LONG, "a stranger keeps a place");
    }
    assert!(silent.is_closed());
    known.says("PING", "+PONG");
}

/// After the first five there are pauses of 50, 100, 200, 400 and 800 ms, in which others are
/// served.
fn wrong_passwords(subject: &Subject) {
    let config = Config { password: Some("secret".to_owned()), ..Config::default() };
    let served = Served::start(subject, &config);
    let (mut guessing, mut other) = (served.client(), served.client());
    other.says("AUTH secret", "+OK");
    let began = Instant::now();
    guessing.send(&encoded("AUTH guess").repeat(6));
    for nth in 0..6 {
        assert!(guessing.reply().starts_with("-WRONGPASS"));
        let asked = Instant::now();
        other.says("PING", "+PONG");
        assert!(asked.elapsed() < Duration::from_secs(5), "others wait after guess {nth}");
    }
    assert!(began.elapsed() >= Duration::from_millis(1550), "guesses come too fast: {:?}", began.elapsed());
    // The pause after the sixth does not hold up a stop.
    assert!(served.time_to_stop() < LONG);
}

fn announced_sizes(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let peak = peak_memory(|| {
        let mut clients: Vec<_> = (0..50).map(|_| served.client()).collect();
        clients.iter_mut().for_each(|client| client.send(b"*1048576\r\n$536870912\r\nx"));
        served.client().says("PING", "+PONG");
    });
    assert!(peak < 32 << 20, "{peak} bytes for what was only announced");
}

/// What a server may take in these tests with a maximum of this: as much again for plans and
/// replies, as much twice for copies on their way between processes.
const MAX_MEMORY: u64 = 64 << 20;
const MOST: u64 = 4 * MAX_MEMORY;

/// One that asks every shard a hundred thousand times: each command becomes one for each shard. It
/// is refused, or done without more memory than there is.
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
            let asked = Instant::now();
            other.says("PING", "+PONG");
            assert!(
                asked.elapsed() < Duration::from_secs(5),
                "{command}: others wait for {:?}",
                asked.elapsed()
            );
            let reply = client.reply();
            assert!(reply.starts_with('[') || reply.starts_with("-EXECABORT"), "{reply:.80}");
        });
        assert!(peak < MOST, "{command}: {peak} bytes");
        client.says("PING", "+PONG");
    }
}

/// Six clients ask for two hundred megabytes each, and take nothing. Where replies are no copies,
/// they may have them.
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
    // A value by itself can be read, whichever worker has it.
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
