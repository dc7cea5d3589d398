use std::{
    io::{BufRead, BufReader, Write},
    num::NonZeroUsize,
    thread,
};

use cc_workloads::{
    Cause,
    kv::{Slots, slot},
};

use super::*;
use crate::shard_actor::tests::DEADLY;

/// The first `count` lines that a server with three shards replies to these lines, all sent at
/// once.
fn ask(lines: &str, count: usize) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, ctx) = (listener.local_addr().unwrap(), Ctx::new(NonZeroUsize::new(3).unwrap()));
    let stop = ctx.stop.clone();
    let server = thread::spawn(move || run(listener, &Config::default(), &ctx));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    let replies = BufReader::new(stream).lines().take(count).map(Result::unwrap).collect();
    stop.request(Cause::Test);
    server.join().unwrap().unwrap();
    replies
}

/// A key of another shard than the deadly one.
fn other() -> String {
    let shard = |key: &[u8]| Slots::new(3).shard(key);
    assert_eq!(slot(b"{deadly}x"), slot(DEADLY));
    (0..).map(|n| format!("key{n}")).find(|key| shard(key.as_bytes()) != shard(DEADLY)).unwrap()
}

#[test]
fn a_panic_of_a_shard_actor_is_reported_to_the_client_and_costs_one_shard() {
    let other = other();
    let replies = ask(
        &format!(
            "SET {{deadly}}x 1\r\nSET {other} 2\r\nWATCH {{deadly}}x\r\nINCR deadly\r\nGET {other}\r\n\
             MULTI\r\nSET {other} never\r\nEXEC\r\nEXISTS {{deadly}}x\r\nGET {other}\r\n"
        ),
        12,
    );
    assert!(replies[3].starts_with("-INDETERMINATE "), "{replies:?}");
    let [before, after] = [&replies[..3], &replies[4..]];
    assert_eq!(before, ["+OK", "+OK", "+OK"]);
    assert_eq!(after, ["$1", "2", "+OK", "+QUEUED", "*-1", ":0", "$1", "2"]);
}

#[test]
fn a_panic_of_a_shard_actor_in_a_transaction_is_no_refusal() {
    let other = other();
    let replies = ask(&format!("MULTI\r\nINCR deadly\r\nINCR {other}\r\nEXEC\r\nINCR {other}\r\n"), 5);
    assert!(replies[3].starts_with("-INDETERMINATE "), "{replies:?}");
    assert_eq!(replies[4], ":2", "the other part was committed, and its shard is released");
}
