use std::{thread, time::Duration};

use cc_workloads::{
    Error, Stop,
    kv::{Command, Config, Expiry, Key, Now, SetReply, Slots, Value, When},
};

use super::*;
use crate::actor::system;

/// A shard actor panics when it adds to this key.
pub(crate) const DEADLY: &[u8] = b"deadly";

pub(super) fn hit(part: &Part) {
    let is_deadly = |op: &Command| matches!(op, Command::Add(key, _) if **key == *DEADLY);
    assert!(!part.ops.iter().any(is_deadly), "a bug in a shard actor");
}

const SHARDS: usize = 3;

fn with_shards(test: impl FnOnce(&ShardRouter)) {
    let server = Server::new(Config::default(), SHARDS, 0);
    system(&Stop::new(), |system| {
        test(&ShardRouter::start(&system, &server)?);
        Ok::<_, Error>(())
    })
    .unwrap();
}

/// A key of that shard.
fn key(shard: usize) -> Key {
    let mut keys = (0..).map(|n: u32| Key::from(n.to_string().as_bytes()));
    keys.find(|key| Slots::new(SHARDS).shard(key) == shard).unwrap()
}

fn plan(command: Command) -> Plan {
    Plan::new(command, Slots::new(SHARDS), Now(1))
}

fn set(key: Key, value: &str) -> Command {
    Command::set(key, Value::from(value.as_bytes()))
}

fn wide(value: &str) -> Command {
    Command::Mset((0..SHARDS).map(|shard| (key(shard), Value::from(value.as_bytes()))).collect())
}

fn deadly() -> Command {
    Command::Add(Key::from(DEADLY), 1)
}

fn part(command: Command) -> Part {
    plan(command).take_parts().pop().unwrap()
}

fn send(shards: &ShardRouter, command: Command) -> oneshot::Receiver<Vec<Answer>> {
    let part = part(command);
    shards.send(part.shard, Parts::from_buf([part]))
}

/// The reply to the one command that was sent.
fn only(answers_rx: oneshot::Receiver<Vec<Answer>>) -> Reply {
    answers_rx.recv().unwrap().pop().unwrap().unwrap().pop().unwrap()
}

fn epoch(shards: &ShardRouter, shard: usize) -> Reply {
    let Reply::Array(mut versions) =
        only(send(shards, Command::Versions([key(shard)].into_iter().collect())))
    else {
        panic!("an array")
    };
    versions.swap_remove(0)
}

#[test]
fn a_hold_comes_before_requests_that_are_sent_meanwhile() {
    with_shards(|shards| {
        let hold = shards.hold(part(Command::Get(key(0)))).unwrap();
        let later = send(shards, set(key(0), "later"));
        assert_eq!(hold.commit().recv().unwrap()[..], [Reply::Nil]);
        assert_eq!(only(later), Reply::Ok);
    });
}

#[test]
fn a_shard_serves_on_when_its_hold_is_dropped() {
    with_shards(|shards| {
        drop(shards.hold(part(set(key(0), "never"))).unwrap());
        assert_eq!(only(send(shards, Command::Get(key(0)))), Reply::Nil);
    });
}

#[test]
fn a_hold_that_has_no_receiver_ends() {
    with_shards(|shards| {
        let (hold_tx, hold_rx) = oneshot::channel();
        drop(hold_rx);
        shards.0[0].send(Request::Hold(part(set(key(0), "never")), hold_tx)).unwrap();
        assert_eq!(only(send(shards, Command::Get(key(0)))), Reply::Nil);
    });
}

#[test]
fn holders_do_not_wait_in_a_circle_and_see_all_or_nothing() {
    let read = || Command::Mget((0..SHARDS).rev().map(key).collect());
    with_shards(|shards| {
        thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || {
                    for n in 0..500 {
                        shards.run(&mut plan(wide(&format!("{writer}-{n}"))));
                        let Reply::Array(values) = shards.run(&mut plan(read())) else { panic!("an array") };
                        assert_eq!(values, vec![values[0].clone(); SHARDS]);
                    }
                });
            }
        });
    });
}

#[test]
fn a_panic_loses_one_shard_and_the_running_request() {
    with_shards(|shards| {
        let lost_shard = Slots::new(SHARDS).shard(DEADLY);
        let other = (lost_shard + 1) % SHARDS;
        shards.run(&mut plan(wide("here")));
        let epochs = [lost_shard, other].map(|shard| epoch(shards, shard));
        let running = send(shards, deadly());
        let next = send(shards, Command::Get(key(lost_shard)));
        assert!(running.recv().is_err());
        assert_eq!(only(next), Reply::Nil, "a request in the mailbox runs on an empty shard");
        assert_ne!(epoch(shards, lost_shard), epochs[0]);
        assert_eq!(epoch(shards, other), epochs[1]);
        assert_eq!(only(send(shards, Command::Get(key(other)))), Reply::bulk("here"));
    });
}

#[test]
fn a_panic_of_a_held_shard_releases_the_others() {
    with_shards(|shards| {
        let number = Slots::new(SHARDS).shard(DEADLY);
        let hold = shards.hold(part(deadly())).unwrap();
        assert!(hold.commit().recv().is_err());
        assert_eq!(shards.run(&mut plan(wide("after"))), Reply::Ok);
        assert!(matches!(lost(number), Reply::Error(text) if text.starts_with("INDETERMINATE ")));
    });
}

#[test]
fn expired_keys_are_removed_even_if_no_client_reads_them() {
    with_shards(|shards| {
        let (expiry, when, reply) = (Expiry::After(1), When::Always, SetReply::Status);
        let expires = Command::Set { key: key(0), value: Value::number(1), expiry, when, reply };
        assert_eq!(only(send(shards, expires)), Reply::Ok);
        let begun = Instant::now();
        let keys = || {
            let part = Part { ops: [Command::Dbsize].into_iter().collect(), ..part(Command::Get(key(0))) };
            only(shards.send(0, Parts::from_buf([part])))
        };
        while keys() != Reply::Int(0) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it was not swept");
        }
    });
}
