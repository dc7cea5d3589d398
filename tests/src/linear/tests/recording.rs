//! What the recorder records of a right server.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::{
    super::{
        MAX_OPERATIONS,
        client::Recorder,
        history::{NEVER, Outcome},
        plan::{Kind, Plan, spread},
        record::{Kill, record},
    },
    Answer, History, Limit, Op, check, passes,
    server::Server,
    store::{Fault, shard_of},
};

/// A plan for four clients on two keys in each of two shards.
fn plan(kind: Kind, seed: u64) -> Plan {
    let keys = spread(2, 2, &format!("{kind:?}-{seed}"), shard_of);
    Plan::random(kind, keys, 4, MAX_OPERATIONS - 2, seed)
}

#[test]
fn a_right_server_passes() {
    let server = Server::new(Fault::Nothing);
    let plans = (0..10).flat_map(|seed| Kind::ALL.map(|kind| plan(kind, seed)));
    let histories: Vec<History> = plans.map(|plan| record(&[server.address], &plan, vec![])).collect();
    for history in &histories {
        let (answered, refused, unknown) = history.counts();
        assert!(answered > 150 && refused + unknown == 0, "{answered} answered, {refused}, {unknown}");
        check(history, Limit::default()).assert_linearizable();
    }
    assert!(histories.iter().any(|history| history.overlapping() > 0));
}

/// A history of a plan during which both shards crash.
fn killed(server: &Server, plan: &Plan) -> History {
    let kill = |after, shard| Kill {
        after,
        shards: vec![shard],
        kill: Box::new(move || {
            server.kill(shard);
            server.hang_up();
        }),
        back: Box::new(|| server.back()),
    };
    let kills = vec![kill(plan.actions() / 3, 0), kill(plan.actions() * 2 / 3, 1)];
    record(&[server.address], plan, kills)
}

/// Two histories of each kind: with kills, and without.
pub(super) fn with_and_without_kills() -> Vec<History> {
    let server = Server::new(Fault::Nothing);
    let without = |kind| record(&[server.address], &plan(kind, 1), vec![]);
    Kind::ALL.iter().flat_map(|kind| [without(*kind), killed(&server, &plan(*kind, 2))]).collect()
}

#[test]
fn kills_are_crashes() {
    let server = Server::new(Fault::Nothing);
    for (seed, kind) in (0..4).flat_map(|seed| Kind::ALL.map(|kind| (seed, kind))) {
        let history = killed(&server, &plan(kind, seed));
        let crashes = history.operations.iter().filter(|operation| matches!(operation.op, Op::Crash(_)));
        let crashes: Vec<u64> = crashes.map(|crash| crash.completed).collect();
        assert_eq!(crashes.len(), 2);
        let later = history.operations.iter().filter(|operation| operation.invoked > crashes[1]);
        assert!(later.count() > 20, "the other operations wait for the end of a kill");
        check(&history, Limit::default()).assert_linearizable();
    }
}

#[test]
#[should_panic(expected = "cannot be killed")]
fn a_kill_that_fails_does_not_hang() {
    let server = Server::new(Fault::Nothing);
    let kill = Box::new(|| panic!("cannot be killed"));
    let kill = Kill { after: 1, shards: vec![0], kill, back: Box::new(|| ()) };
    drop(record(&[server.address], &plan(Kind::Counters, 1), vec![kill]));
}

/// An operation whose connection was lost may have been done, so both readings are accepted.
#[test]
fn a_lost_connection_is_unknown() {
    for (fault, seen) in [(Fault::HangsUpAfterIt, Answer::Value(1)), (Fault::HangsUpBeforeIt, Answer::Nil)] {
        let server = Server::new(fault);
        let recorder = Recorder::new(&[server.address], &spread(2, 2, "lost", shard_of));
        let mut client = recorder.client();
        assert_eq!(client.ask(Op::Watch(vec![1])), Outcome::Ok(Answer::Done));
        assert_eq!(client.ask_all(vec![Op::Set(0, 1), Op::Get(0)]), [Outcome::Unknown, Outcome::Unknown]);
        assert_eq!(client.ask(Op::Get(0)), Outcome::Ok(seen));
        client.ask(Op::Exec { watched: vec![], ops: vec![Op::Get(1)] });
        let history = recorder.history([client.operations()]);
        assert!(passes(&history));
        let [watch, set, _, get, exec] = &history.operations[..] else { panic!("{history:?}") };
        assert_eq!((set.client, set.completed), (watch.client, NEVER));
        assert_ne!(get.client, set.client, "another connection is another client");
        assert_eq!(exec.op, Op::Exec { watched: vec![], ops: vec![Op::Get(1)] });
    }
}

#[test]
fn a_seed_is_a_plan() {
    for kind in Kind::ALL {
        let [one, same, other] =
            [7, 7, 8].map(|seed| Plan::random(kind, spread(2, 2, "seed", shard_of), 4, MAX_OPERATIONS, seed));
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert!((MAX_OPERATIONS - 3..=MAX_OPERATIONS).contains(&one.operations()));
    }
}

#[test]
fn keys_are_spread() {
    let calls = AtomicUsize::new(0);
    let keys = spread(2, 3, "h1", |key| {
        calls.fetch_add(1, SeqCst);
        shard_of(key)
    });
    assert_eq!(keys.iter().map(|key| key.shard).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
    assert!(keys.iter().all(|key| shard_of(&key.name) == key.shard), "{keys:?}");
    let names: std::collections::BTreeSet<_> = keys.iter().map(|key| &key.name).collect();
    assert_eq!(names.len(), 6);
}
