//! Stops: requests that have arrived are answered, and no client delays the stop.

use std::time::Duration;

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::kv::Config;

use super::{
    server::Served,
    talk::{Client, encoded, of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("idle_clients_do_not_hold_up_a_stop", idle_clients),
        Case::new("who_does_not_read_holds_up_a_stop_no_longer_than_allowed", who_does_not_read),
        Case::new("half_a_request_does_not_hold_up_a_stop", half_a_request),
        Case::new("a_stop_before_the_first_client", |subject| {
            let config = Config { drain: LONG, ..Config::default() };
            assert!(Served::start(subject, &config).time_to_stop() < SOON);
        }),
        Case::new("times_beyond_any_clock", |subject| {
            let (drain, idle_timeout) = (Duration::MAX, Some(Duration::MAX));
            let served = Served::start(subject, &Config { drain, idle_timeout, ..Config::default() });
            served.client().says("PING", "+PONG");
            assert!(served.time_to_stop() < SOON);
        }),
        Case::new("every_reply_is_one_of_a_request_that_was_run", replies_are_whole),
    ]
}

/// Far longer than a stop takes.
const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);

fn idle_clients(subject: &Subject) {
    let served = Served::start(subject, &Config { drain: LONG, ..Config::default() });
    let mut clients: Vec<Client> = (0..50).map(|_| served.client()).collect();
    clients.iter_mut().for_each(|client| client.says("PING", "+PONG"));
    assert!(served.time_to_stop() < SOON);
    assert!(clients.iter_mut().all(Client::is_closed));
}

fn half_a_request(subject: &Subject) {
    let served = Served::start(subject, &Config { drain: LONG, ..Config::default() });
    let mut client = served.client();
    client.says("PING", "+PONG");
    client.send(b"*2\r\n$3\r\nGET\r\n$1000\r\nabc");
    assert!(served.time_to_stop() < SOON);
    assert!(client.is_closed());
}

fn who_does_not_read(subject: &Subject) {
    let served = Served::start(subject, &Config { drain: Duration::from_millis(200), ..Config::default() });
    let mut client = served.client();
    client.send(&of(&[b"SET", b"large", &vec![b'x'; 4 << 20]]));
    assert_eq!(client.reply(), "+OK");
    client.send(&encoded("GET large").repeat(100));
    assert!(served.time_to_stop() < SOON);
}

/// The stop comes while requests do. Each reply is the next number, and the last one is complete.
fn replies_are_whole(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let mut client = served.client();
    client.says("INCR a", ":1");
    client.send(&encoded("INCR a").repeat(100));
    served.request_stop();
    client.close_half();
    let mut replies = 0;
    while let Some(reply) = client.next_reply() {
        replies += 1;
        assert_eq!(reply, format!(":{}", replies + 1));
    }
    assert!(replies <= 100);
    // All requests that were run are counted, and no others.
    assert!(served.stop().commands > replies);
}
