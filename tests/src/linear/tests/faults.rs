//! Wrong servers: the checker must reject each of them, and accept the right one.

use std::thread;

use super::{
    super::{client::Recorder, history::Outcome, violation::Violation},
    Answer, History, KeyInfo, Limit, Op, Operation, Verdict, check,
    server::Server,
    store::{Fault, shard_of},
};

/// Two keys of the first shard, two of the second one.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

fn keys() -> Vec<KeyInfo> {
    let names = ["{a}:0", "{a}:1", "{b}:0", "{b}:1"];
    names.map(|name| KeyInfo { name: name.to_owned(), shard: shard_of(name) }).into()
}

/// What clients do with a server.
type Script = fn(&Recorder, &Server) -> Vec<Vec<Operation>>;

fn history(fault: Fault, script: Script) -> History {
    let server = Server::new(fault);
    let recorder = Recorder::new(&[server.address], &keys());
    recorder.history(script(&recorder, &server))
}

/// Asserts that the right server passes and the wrong one does not, and that the report names the
/// wrong answer.
#[track_caller]
fn catches(fault: Fault, script: Script, culprit: &str) -> Violation {
    check(&history(Fault::Nothing, script), Limit::default()).assert_linearizable();
    match check(&history(fault, script), Limit::default()) {
        Verdict::Violation(violation) => {
            let text = violation.to_string();
            let first = text.lines().next().unwrap();
            assert!(first.contains(culprit), "{text}");
            *violation
        }
        other => panic!("{fault:?}: {other:?}"),
    }
}

/// One client, one operation after the other.
fn alone(recorder: &Recorder, ops: Vec<Op>) -> Vec<Vec<Operation>> {
    let mut client = recorder.client();
    ops.into_iter().for_each(|op| drop(client.ask(op)));
    vec![client.operations()]
}

/// Two clients at the same time.
fn together(recorder: &Recorder, ops: [Op; 2]) -> Vec<Vec<Operation>> {
    thread::scope(|scope| {
        let clients = ops.map(|op| scope.spawn(|| alone(recorder, vec![op])));
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn transaction(ops: &[Op]) -> Op {
    Op::Exec { watched: vec![], ops: ops.to_vec() }
}

fn get_all() -> Vec<Op> {
    vec![Op::Get(A), Op::Get(B), Op::Get(C), Op::Get(D)]
}

fn crash(recorder: &Recorder, server: &Server) -> Vec<Operation> {
    let invoked = recorder.now();
    server.kill(0);
    server.back();
    vec![Operation::ok(usize::MAX, Op::Crash(0), (invoked, recorder.now()), Answer::Done)]
}

#[test]
fn lost_update() {
    let violation = catches(
        Fault::LostUpdate,
        |recorder, _| together(recorder, [Op::Add(A, 1), Op::Add(A, 1)]),
        "INCR {a}:0 -> (integer) 1",
    );
    assert_eq!(violation.expected.as_deref(), Some("(integer) 2"));
    assert_eq!(violation.concurrent().len(), 1);
}

#[test]
fn stale_read() {
    let script: Script = |recorder, _| alone(recorder, vec![Op::Set(A, 1), Op::Set(A, 2), Op::Get(A)]);
    catches(Fault::StaleRead, script, "GET {a}:0 -> \"1\"");
}

const TRANSFER: Script = |recorder, _| {
    let transfer = transaction(&[Op::Add(A, -1), Op::Add(C, 1)]);
    together(recorder, [transfer, Op::Mget(vec![A, C])])
};

#[test]
fn torn_transaction() {
    let violation = catches(Fault::TornTransaction, TRANSFER, "");
    assert!(violation.to_string().contains("-> [\"-1\", nil]"), "{violation}");
}

#[test]
fn torn_read() {
    let violation = catches(Fault::TornRead, TRANSFER, "");
    assert!(violation.to_string().contains("-> [nil, \"1\"]"), "{violation}");
}

#[test]
fn watch_ignored() {
    let script: Script = |recorder, _| {
        let (mut one, mut other) = (recorder.client(), recorder.client());
        one.ask(Op::Watch(vec![A]));
        other.ask(Op::Set(A, 1));
        one.ask(transaction(&[Op::Set(C, 1)]));
        vec![one.operations(), other.operations()]
    };
    let violation = catches(Fault::WatchIgnored, script, "EXEC -> [OK]");
    assert_eq!(violation.expected.as_deref(), Some("nil"));
}

#[test]
fn watch_compares_values() {
    let script: Script = |recorder, _| {
        let (mut one, mut other) = (recorder.client(), recorder.client());
        one.ask(Op::Watch(vec![A]));
        other.ask(Op::Set(A, 1));
        other.ask(Op::Del(vec![A]));
        one.ask(transaction(&[Op::Set(C, 1)]));
        vec![one.operations(), other.operations()]
    };
    catches(Fault::WatchComparesValues, script, "EXEC -> [OK]");
}

#[test]
fn lost_write() {
    let script: Script = |recorder, _| alone(recorder, vec![Op::Set(A, 1), Op::Set(A, 2), Op::Get(A)]);
    catches(Fault::LostWrite, script, "GET {a}:0 -> \"1\"");
}

const CRASH: Script = |recorder, server| {
    let before = alone(recorder, vec![Op::Mset(vec![(A, 1), (B, 2), (C, 3), (D, 4)])]);
    let crash = crash(recorder, server);
    [before, vec![crash], alone(recorder, get_all())].concat()
};

#[test]
fn half_crash() {
    catches(Fault::HalfCrash, CRASH, "GET {a}:1 -> \"2\"");
}

#[test]
fn double_crash() {
    catches(Fault::DoubleCrash, CRASH, "GET {b}:0 -> nil");
}

#[test]
fn watch_across_a_crash() {
    let script: Script = |recorder, server| {
        let mut client = recorder.client();
        client.ask(Op::Watch(vec![A]));
        let crash = crash(recorder, server);
        client.ask(transaction(&[Op::Set(A, 1)]));
        vec![crash, client.operations()]
    };
    catches(Fault::WatchAcrossCrash, script, "EXEC -> [OK]");
}

#[test]
fn refused_but_done() {
    let script: Script = |recorder, server| {
        let invoked = recorder.now();
        server.kill(0);
        let mut client = recorder.client();
        assert_eq!(client.ask(Op::Set(A, 1)), Outcome::Failed);
        assert_eq!(client.ask(Op::Mset(vec![(A, 1), (C, 1)])), Outcome::Failed);
        assert_eq!(client.ask(transaction(&[Op::Set(C, 1), Op::Set(A, 1)])), Outcome::Failed);
        server.back();
        let crash = Operation::ok(usize::MAX, Op::Crash(0), (invoked, recorder.now()), Answer::Done);
        client.ask(Op::Get(A));
        client.ask(Op::Get(C));
        vec![vec![crash], client.operations()]
    };
    catches(Fault::RefusedButDone, script, "GET {a}:0 -> \"1\"");
}

#[test]
fn reordered_pipeline() {
    let script: Script = |recorder, _| {
        let mut client = recorder.client();
        client.ask_all(vec![Op::Set(A, 1), Op::Get(A)]);
        vec![client.operations()]
    };
    catches(Fault::Reordered, script, "GET {a}:0 -> nil");
}

#[test]
fn an_error_that_is_not_a_refusal() {
    catches(Fault::Errs, |recorder, _| alone(recorder, vec![Op::Get(A)]), "\"ERR no\"");
}
