//! Requests to a server, and their replies. The kernels are tested in the spec; these cases test
//! that each model uses them correctly.

use std::time::Duration;

use cc_conformance::{
    case::{Case, Needs},
    subject::Subject,
};
use cc_workloads::kv::{Clock, Config};

use super::{
    server::Served,
    talk::{encoded, of},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("commands", commands),
        Case::new("plans_span_shards", plans_span_shards),
        Case::new("keys_move_between_shards", keys_move),
        Case::new("a_transaction_is_queued_and_run", transaction),
        Case::new("a_watched_key_that_changes_fails_exec", watch),
        Case::new("pipelined", pipelined),
        Case::new("one_byte_at_a_time", one_byte_at_a_time),
        Case::new("half_closed", half_closed),
        Case::new("malformed", malformed),
        Case::new("password", password),
        Case::new("large_values", large_values),
        Case::new("a_web_page_is_hung_up_on", web_page),
        Case::new("keys_expire", keys_expire),
        Case::new("keys_expire_by_a_clock_that_only_goes_forward", manual_clock).needs(Needs::OneProcess),
    ]
}

fn served(subject: &Subject) -> Served {
    Served::start(subject, &Config::default())
}

fn commands(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    for (request, reply) in [
        ("PING", "+PONG"),
        ("ECHO hello", "$hello"),
        ("SET a 1", "+OK"),
        ("GET a", "$1"),
        ("INCRBY a 41", ":42"),
        ("SET a 2 NX", "$nil"),
        ("GET missing", "$nil"),
        ("DEL a missing", ":1"),
        ("INCR text", ":1"),
        ("SET text x", "+OK"),
        ("INCR text", "-ERR value is not an integer or out of range"),
        ("EXPIRE text 100", ":1"),
        ("TTL text", ":100"),
        ("DBSIZE", ":1"),
        ("FLUSHDB", "+OK"),
        ("DBSIZE", ":0"),
        ("NONSENSE a", "-ERR unknown command 'NONSENSE', with args beginning with: 'a' "),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("QUIT", "+OK"),
    ] {
        client.says(request, reply);
    }
    assert!(client.is_closed());
    assert_eq!(served.stop().commands, 19);
}

/// Enough keys for every shard to have some.
fn plans_span_shards(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    let keys: Vec<String> = (0..2000).map(|n| format!("key:{n}")).collect();
    let pairs: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("{key} {n}")).collect();
    client.says(&format!("MSET {}", pairs.join(" ")), "+OK");
    let values: Vec<String> = (0..2000).map(|n| format!("${n}")).collect();
    client.says(&format!("MGET {}", keys.join(" ")), &format!("[{}]", values.join(" ")));
    client.says("DBSIZE", ":2000");
    client.says(&format!("EXISTS {}", keys.join(" ")), ":2000");
    client.says(&format!("DEL {}", keys[..1500].join(" ")), ":1500");
    served.client().says("DBSIZE", ":500");
    client.says("FLUSHDB", "+OK");
    client.says("DBSIZE", ":0");
}

/// What needs several shards in other ways than MSET and MGET do. The keys are on many shards.
fn keys_move(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    client.says("MSETNX key:0 0 key:1 1 key:2 2 key:3 3", ":1");
    client.says("MSETNX key:4 4 key:5 5 key:6 6 key:3 x", ":0");
    client.says("EXISTS key:4 key:5 key:6", ":0");
    for n in 0..20 {
        client.says(&format!("SET key:0 {n} EX 1000"), "+OK");
        client.says(&format!("RENAME key:0 to:{n}"), "+OK");
        client.says(&format!("GET to:{n}"), &format!("${n}"));
        client.says(&format!("COPY to:{n} copy:{n}"), ":1");
        client.says(&format!("COPY to:{n} copy:{n}"), ":0");
        client.says(&format!("RENAMENX to:{n} copy:{n}"), ":0");
    }
    client.says("RENAME key:0 key:9", "-ERR no such key");
    client.says("DBSIZE", ":43");
    // Few keys are one page; their order differs.
    client.says("SCAN 0 MATCH key:1 COUNT 1000", "[$0 [$key:1]]");
    client.says("KEYS key:[12]x", "[]");
    client.says("MULTI", "+OK");
    client.says("RENAME key:1 key:2", "-CROSSSLOT Keys in request don't hash to the same slot");
    client.says("DISCARD", "+OK");
    client.says("FLUSHALL", "+OK");
    client.says("RANDOMKEY", "$nil");
}

fn transaction(subject: &Subject) {
    let served = served(subject);
    let [mut one, mut other] = [served.client(), served.client()];
    one.says("MULTI", "+OK");
    for n in 0..20 {
        one.says(&format!("INCRBY key:{n} {n}"), "+QUEUED");
    }
    one.says("GET key:7", "+QUEUED");
    other.says("GET key:7", "$nil");
    let sums: Vec<String> = (0..20).map(|n| format!(":{n}")).collect();
    one.says("EXEC", &format!("[{} $7]", sums.join(" ")));
    other.says("GET key:7", "$7");
    one.says("MULTI", "+OK");
    one.says("SET key:7 0", "+QUEUED");
    one.says("DISCARD", "+OK");
    other.says("GET key:7", "$7");
}

/// Each of the watched keys counts, independent of its shard.
fn watch(subject: &Subject) {
    let served = served(subject);
    let [mut one, mut other] = [served.client(), served.client()];
    for n in 0..20 {
        one.says("WATCH key:0 key:5 key:10 key:15", "+OK");
        other.says(&format!("SET key:{n} {n}"), "+OK");
        one.says("MULTI", "+OK");
        one.says("INCR count", "+QUEUED");
        one.says("GET key:19", "+QUEUED");
        let last = if n == 19 { "$19" } else { "$nil" };
        let count = n + 1 - (n / 5 + 1);
        let expected = if n % 5 == 0 { "nil".to_owned() } else { format!("[:{count} {last}]") };
        one.says("EXEC", &expected);
    }
}

/// Replies come in the order of the requests, independent of the shards.
fn pipelined(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    let keys = 97;
    let mut requests = Vec::new();
    for n in 0..20_000 {
        requests.extend(encoded(&format!("INCR key:{}", n % keys)));
        if n % 1000 == 0 {
            requests.extend(encoded("PING"));
        }
    }
    // A second thread reads, because both sides would block once their buffers are full.
    std::thread::scope(|scope| {
        let mut sender = served.client();
        let sent = scope.spawn(move || {
            sender.send(&requests);
            sender.close_half();
            for n in 0..20_000 {
                assert_eq!(sender.reply(), format!(":{}", n / keys + 1), "reply {n}");
                if n % 1000 == 0 {
                    assert_eq!(sender.reply(), "+PONG");
                }
            }
            assert!(sender.is_closed());
        });
        client.says("PING", "+PONG");
        sent.join().expect("replies are in order");
    });
}

fn one_byte_at_a_time(subject: &Subject) {
    let served = served(subject);
    let [mut slow, mut other] = [served.client(), served.client()];
    for (nth, byte) in encoded("SET slow and-steady").into_iter().enumerate() {
        slow.send(&[byte]);
        if nth % 8 == 0 {
            other.says("PING", "+PONG");
        }
    }
    assert_eq!(slow.reply(), "+OK");
}

fn half_closed(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    client.send(&[encoded("SET a 1"), encoded("GET a"), b"*2\r\n$3\r\nGE".to_vec()].concat());
    client.close_half();
    assert_eq!([client.reply(), client.reply()], ["+OK", "$1"]);
    assert!(client.is_closed());
}

/// A client that sends malformed requests gets an error and is disconnected; no other client is.
fn malformed(subject: &Subject) {
    let served = served(subject);
    let mut other = served.client();
    for (bytes, why) in [
        (&b"*1\r\n$x\r\n"[..], "-ERR Protocol error: invalid bulk length"),
        (b"*x\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'"),
    ] {
        let mut client = served.client();
        client.send(&[&encoded("PING")[..], bytes, &[b'x'; 100_000]].concat());
        assert_eq!([client.reply(), client.reply()], ["+PONG", why]);
        assert!(client.is_closed());
        other.says("PING", "+PONG");
    }
    let mut inline = served.client();
    inline.send(b"SET a b\r\nGET a\r\n");
    assert_eq!([inline.reply(), inline.reply()], ["+OK", "$b"]);
}

fn password(subject: &Subject) {
    let config = Config { password: Some("secret".to_owned()), ..Config::default() };
    let served = Served::start(subject, &config);
    let mut client = served.client();
    client.says("GET a", "-NOAUTH Authentication required.");
    client.says("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.");
    client.says("AUTH secret", "+OK");
    client.says("GET a", "$nil");
}

/// The request of a browser for a web page that tries to command the server. Commands before it are
/// run, commands that follow in it are not.
fn web_page(subject: &Subject) {
    let served = served(subject);
    let mut other = served.client();
    for (nth, attack) in [
        &b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"OPTIONS / HTTP/1.1\r\nHOST: 127.0.0.1\r\n\r\n",
        b"*1\r\n$4\r\nPoSt\r\n",
        b"MULTI\r\npost\r\n",
    ]
    .iter()
    .enumerate()
    {
        let mut page = served.client();
        let body = format!("SET owned:{nth} yes\r\nEXEC\r\n");
        page.send(&[&encoded(&format!("SET before:{nth} yes"))[..], attack, body.as_bytes()].concat());
        assert_eq!(page.reply(), "+OK");
        while page.next_reply().is_some() {}
        other.says(&format!("MGET before:{nth} owned:{nth}"), "[$yes $nil]");
    }
}

/// Keys expire as time passes, also in models whose workers read their own clocks.
fn keys_expire(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    for key in 0..20 {
        client.says(&format!("SET key:{key} 1 PX 50"), "+OK");
        client.says(&format!("SET lasting:{key} 1 EX 1000"), "+OK");
    }
    let mut is_gone = || {
        client.send(&encoded("EXISTS key:0 key:5 key:10 key:15 key:19"));
        client.reply() == ":0"
    };
    while !is_gone() {}
    client.says("TTL lasting:7", ":1000");
    client.says("SET lasting:7 1 PX 50 XX", "+OK");
    let mut is_gone = || {
        client.send(&encoded("PTTL lasting:7"));
        client.reply() == ":-2"
    };
    while !is_gone() {}
}

/// The date is set ahead, and then back before the start. Neither existing keys nor later ones are
/// affected.
fn manual_clock(subject: &Subject) {
    let (clock, hands) = Clock::manual();
    let served = Served::start(subject, &Config { clock, ..Config::default() });
    let mut client = served.client();
    client.says("SET day 1 EX 86400", "+OK");
    let year = 365 * 86_400_000;
    for wall in [60 * year, year, 57 * year] {
        hands.set_wall(wall);
        client.says("TTL day", ":86400");
        client.says("SET lock v PX 300", "+OK");
        client.says("PTTL lock", ":300");
        hands.advance(Duration::from_millis(299));
        client.says("PTTL lock", ":1");
        hands.advance(Duration::from_millis(1));
        client.says("GET lock", "$nil");
        hands.advance(Duration::from_secs(3600));
        client.says("GET day", "$1");
        client.says("EXPIRE day 86400", ":1");
    }
    hands.advance(Duration::from_secs(86_400));
    client.says("GET day", "$nil");
}

fn large_values(subject: &Subject) {
    let served = served(subject);
    let mut client = served.client();
    let value = "0123456789abcdef".repeat(1 << 20);
    client.send(&of(&[b"SET", b"large", value.as_bytes()]));
    assert_eq!(client.reply(), "+OK");
    client.send(&encoded("GET large"));
    assert!(client.reply() == format!("${value}"));
}
