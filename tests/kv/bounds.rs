//! Bounds: clients, memory, descriptors, patience.

use std::time::Duration;

use cc_conformance::{
    bounds::{limit_descriptors, peak_memory},
    case::Case,
    subject::Subject,
};
use cc_workloads::kv::Config;

use super::{
    server::Served,
    talk::{Client, encoded, of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("too_many_clients_are_turned_away", too_many_clients),
        Case::new("no_more_descriptors", no_more_descriptors),
        Case::new("no_more_memory", no_more_memory),
        Case::new("who_does_not_read_is_not_asked_for_more", who_does_not_read),
        Case::new("who_says_nothing_is_hung_up_on", who_says_nothing),
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
