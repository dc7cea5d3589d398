use std::{thread, time::Duration};

use cc_workloads::{
    Error, Stop,
    kv::{Command, Config, Key, Now, Slots, Value, When},
};

use super::*;
use crate::actor::system;

/// To add to this key is a keeper's death.
pub(crate) const DEADLY: &[u8] = b"deadly";

pub(super) fn strike(part: &Part) {
    let is_deadly = |op: &Command| matches!(op, Command::Add(key, _) if **key == *DEADLY);
    assert!(!part.ops.iter().any(is_deadly), "a bug in a keeper");
}

const SHARDS: usize = 3;

fn with_keepers(test: impl FnOnce(&Keepers)) {
    let server = Server::new(Config::default(), SHARDS, 0);
    system(&Stop::new(), |system| {
        test(&Keepers::start(&system, &server)?);
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
    Command::Set { key, value: Value::from(value.as_bytes()), after: None, when: When::Always }
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

fn ask(keepers: &Keepers, command: Command) -> oneshot::Receiver<Vec<Answer>> {
    let part = part(command);
    keepers.ask(part.shard, Parts::from_buf([part]))
}

fn only(answers: oneshot::Receiver<Vec<Answer>>) -> Reply {
    answers.recv().unwrap().pop().unwrap().unwrap().pop().unwrap()
}

fn epoch(keepers: &Keepers, shard: usize) -> Reply {
    let Reply::Array(mut versions) =
        only(ask(keepers, Command::Versions([key(shard)].into_iter().collect())))
    else {
        panic!("an array")
    };
    versions.swap_remove(0)
}

#[test]
fn whoever_holds_comes_before_those_who_ask_meanwhile() {
    with_keepers(|keepers| {
        let hold = keepers.hold(part(Command::Get(key(0)))).unwrap();
        let waits = ask(keepers, set(key(0), "later"));
        assert_eq!(hold.commit().recv().unwrap()[..], [Reply::Nil]);
        assert_eq!(only(waits), Reply::Ok);
    });
}

#[test]
fn who_is_held_serves_on_when_the_hold_is_dropped() {
    with_keepers(|keepers| {
        drop(keepers.hold(part(set(key(0), "never"))).unwrap());
        assert_eq!(only(ask(keepers, Command::Get(key(0)))), Reply::Nil);
    });
}

#[test]
fn a_hold_that_nobody_takes_ends() {
    with_keepers(|keepers| {
        let (to, gone) = oneshot::channel();
        drop(gone);
        keepers.0[0].send(Question::Hold(part(set(key(0), "never")), to)).unwrap();
        assert_eq!(only(ask(keepers, Command::Get(key(0)))), Reply::Nil);
    });
}

#[test]
fn holders_do_not_wait_in_a_circle_and_see_all_or_nothing() {
    let read = || Command::Mget((0..SHARDS).rev().map(key).collect());
    with_keepers(|keepers| {
        thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || {
                    for n in 0..500 {
                        keepers.run(&mut plan(wide(&format!("{writer}-{n}"))));
                        let Reply::Array(values) = keepers.run(&mut plan(read())) else { panic!("an array") };
                        assert_eq!(values, vec![values[0].clone(); SHARDS]);
                    }
                });
            }
        });
    });
}

#[test]
fn a_panic_loses_one_shard_and_what_is_in_hand() {
    with_keepers(|keepers| {
        let lost_shard = Slots::new(SHARDS).shard(DEADLY);
        let other = (lost_shard + 1) % SHARDS;
        keepers.run(&mut plan(wide("here")));
        let epochs = [lost_shard, other].map(|shard| epoch(keepers, shard));
        let (in_hand, next) = (ask(keepers, deadly()), ask(keepers, Command::Get(key(lost_shard))));
        assert!(in_hand.recv().is_err());
        assert_eq!(only(next), Reply::Nil, "what was not begun is run on an empty shard");
        assert_ne!(epoch(keepers, lost_shard), epochs[0]);
        assert_eq!(epoch(keepers, other), epochs[1]);
        assert_eq!(only(ask(keepers, Command::Get(key(other)))), Reply::bulk("here"));
    });
}

#[test]
fn a_panic_of_one_who_is_held_leaves_the_others_free() {
    with_keepers(|keepers| {
        let number = Slots::new(SHARDS).shard(DEADLY);
        let hold = keepers.hold(part(deadly())).unwrap();
        assert!(hold.commit().recv().is_err());
        assert_eq!(keepers.run(&mut plan(wide("after"))), Reply::Ok);
        assert!(matches!(lost(number), Reply::Error(text) if text.starts_with("INDETERMINATE ")));
    });
}

#[test]
fn what_has_expired_goes_even_if_nobody_asks_for_it() {
    with_keepers(|keepers| {
        let expires =
            Command::Set { key: key(0), value: Value::number(1), after: Some(1), when: When::Always };
        assert_eq!(only(ask(keepers, expires)), Reply::Ok);
        let begun = Instant::now();
        let keys = || {
            let part = Part { ops: [Command::Dbsize].into_iter().collect(), ..part(Command::Get(key(0))) };
            only(keepers.ask(0, Parts::from_buf([part])))
        };
        while keys() != Reply::Int(0) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it was not swept");
        }
    });
}
