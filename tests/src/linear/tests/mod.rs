//! Tests of the checker and the recorder.

mod agreement;
mod cost;
mod examples;
mod faults;
mod protocol;
mod recording;
mod report;
mod runs;
mod server;
mod store;

use super::{
    Limit,
    check::{Verdict, check},
    history::{Answer, History, Key, KeyInfo, Op, Operation},
};

const X: Key = 0;
const Y: Key = 1;

/// Up to three keys, in as many shards.
fn keys(count: usize) -> Vec<KeyInfo> {
    let names = ["x", "y", "z"].into_iter().take(count);
    names.enumerate().map(|(shard, name)| KeyInfo { name: name.to_owned(), shard }).collect()
}

/// A history of two keys.
fn of(operations: &[Operation]) -> History {
    History { keys: keys(2), operations: operations.to_vec() }
}

/// Whether a history is linearizable.
fn passes(history: &History) -> bool {
    match check(history, Limit::default()) {
        Verdict::Linearizable => true,
        Verdict::Violation(_) => false,
        Verdict::Undecided => panic!("undecided: {history:?}"),
    }
}

fn write(client: usize, value: i64, times: (u64, u64)) -> Operation {
    Operation::ok(client, Op::Set(X, value), times, Answer::Done)
}

fn read(client: usize, value: i64, times: (u64, u64)) -> Operation {
    Operation::ok(client, Op::Get(X), times, Answer::Value(value))
}

fn read_nothing(client: usize, times: (u64, u64)) -> Operation {
    Operation::ok(client, Op::Get(X), times, Answer::Nil)
}
