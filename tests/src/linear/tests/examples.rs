//! Histories whose verdict is known.

use super::{super::history::Outcome, Answer::*, Op, Operation, X, Y, of, passes, read, read_nothing, write};

const PASSES: bool = true;
const FAILS: bool = false;

#[track_caller]
fn is(verdict: bool, operations: &[Operation]) {
    assert_eq!(passes(&of(operations)), verdict, "{operations:#?}");
}

fn ok(client: usize, op: Op, times: (u64, u64), answer: super::Answer) -> Operation {
    Operation::ok(client, op, times, answer)
}

fn exec(watched: &[usize], ops: &[Op]) -> Op {
    Op::Exec { watched: watched.to_vec(), ops: ops.to_vec() }
}

/// [Porcupine](https://github.com/anishathalye/porcupine), `TestRegisterModel`, after a quiz of
/// MIT's course 6.824, 2017.
#[test]
fn porcupine_register() {
    is(PASSES, &[write(0, 100, (0, 100)), read(1, 100, (25, 75)), read_nothing(2, (30, 60))]);
    is(FAILS, &[write(0, 200, (0, 100)), read(1, 200, (10, 30)), read_nothing(2, (40, 90))]);
}

/// Porcupine, `TestZeroDuration`.
#[test]
fn porcupine_zero_duration() {
    let early = [read_nothing(2, (30, 30)), read_nothing(3, (30, 30))];
    is(PASSES, &[&[write(0, 100, (0, 100)), read(1, 100, (25, 75))], &early[..]].concat());
    let late = [read(1, 200, (10, 10)), read(2, 200, (10, 10)), read_nothing(3, (40, 90))];
    is(FAILS, &[&[write(0, 200, (0, 100))], &late[..]].concat());
}

/// [Knossos](https://github.com/jepsen-io/knossos), `wgl_test.clj`: `crash-test`,
/// `sequential-test`, `read-wrong-initial-value-test`, `preserves-indices-test`.
#[test]
fn knossos_small() {
    is(PASSES, &[Operation::unknown(0, Op::Set(X, 1), 0)]);
    is(PASSES, &[read_nothing(0, (0, 1))]);
    is(FAILS, &[read(0, 1, (0, 1))]);
    is(FAILS, &[write(0, 1, (5, 7)), read(0, 2, (99, 100))]);
}

/// Knossos, `README.md`: a read may see a crashed write of 3; once it is seen, the write was done.
#[test]
fn knossos_crashed_write() {
    let crashed = Operation::unknown(1, Op::Set(X, 3), 1);
    is(PASSES, &[crashed.clone(), read(0, 3, (0, 2))]);
    is(PASSES, &[crashed.clone(), read_nothing(0, (10, 11)), read(0, 3, (90, 91))]);
    is(FAILS, &[crashed, read(0, 3, (10, 11)), read_nothing(0, (90, 91))]);
}

/// Knossos, `bad-analysis-test-2`: reads of the old value and a write at the same time, then a read
/// of the old value.
#[test]
fn knossos_cas_failure() {
    let reads = (2..6).map(|client| read(client, 1, (10 + client as u64, 20 + client as u64)));
    let history = [write(0, 1, (0, 1)), write(1, 2, (11, 26))];
    let history = [&history[..], &reads.collect::<Vec<_>>()].concat();
    is(PASSES, &history);
    is(FAILS, &[&history[..], &[read(6, 1, (30, 40))]].concat());
}

/// Lamport, [On Interprocess Communication](https://doi.org/10.1007/BF01786228), 1986: a regular
/// register that is not atomic (new-old inversion): of two reads during a write the first one sees
/// the new value and the second one the old value.
#[test]
fn lamport_new_old_inversion() {
    let writes = [write(0, 1, (0, 1)), write(0, 2, (10, 50))];
    is(PASSES, &[&writes[..], &[read(1, 1, (20, 25)), read(1, 2, (30, 35))]].concat());
    is(FAILS, &[&writes[..], &[read(1, 2, (20, 25)), read(2, 1, (30, 35))]].concat());
}

/// Herlihy and Wing, section 2: a call without an answer may have taken effect. Section 3.1:
/// linearizability is stronger than sequential consistency, which allows a read of an overwritten
/// value.
#[test]
fn herlihy_and_wing() {
    let pending = Operation::unknown(0, Op::Set(X, 1), 0);
    is(PASSES, &[pending.clone(), read(1, 1, (1, 2)), write(1, 2, (3, 4)), read(2, 2, (5, 6))]);
    is(FAILS, &[write(0, 1, (0, 1)), write(1, 2, (2, 3)), read(0, 1, (4, 5))]);
}

/// The litmus test SB of [x86-TSO](https://doi.org/10.1145/1785414.1785443) (Sewell and others,
/// 2010). If the operations overlap, each key alone is linearizable, and so are both, because
/// linearizability is local. If a read begins after the write has ended, the history is not
/// linearizable.
#[test]
fn store_buffering() {
    let of = |x: (u64, u64), y: (u64, u64)| {
        [
            ok(0, Op::Set(X, 1), x, Done),
            ok(0, Op::Get(Y), (20, 30), Nil),
            ok(1, Op::Set(Y, 1), y, Done),
            ok(1, Op::Get(X), (21, 31), Nil),
        ]
    };
    is(FAILS, &of((0, 10), (1, 11)));
    let sees_one = |mut operations: [Operation; 4]| {
        operations[3].outcome = Outcome::Ok(Value(1));
        operations
    };
    is(FAILS, &sees_one(of((0, 10), (1, 11))));
    let [write_x, read_y, mut write_y, read_x] = sees_one(of((0, 10), (1, 11)));
    write_y.completed = 40;
    is(PASSES, &[write_x, read_y, write_y, Operation { client: 2, ..read_x }]);
}

#[test]
fn refused_operations_did_not_happen() {
    let refused = Operation { outcome: Outcome::Failed, ..write(0, 1, (0, 5)) };
    is(PASSES, &[refused.clone(), read_nothing(1, (1, 2))]);
    is(FAILS, &[refused, read(1, 1, (6, 7))]);
}

#[test]
fn conditional_writes() {
    let set = |client, value, times, answer| ok(client, Op::SetNx(X, value), times, answer);
    is(PASSES, &[set(0, 1, (0, 9), Nil), set(1, 2, (1, 8), Done), read(2, 2, (10, 11))]);
    is(FAILS, &[set(0, 1, (0, 9), Done), set(1, 2, (1, 8), Done)]);
    is(FAILS, &[set(0, 1, (0, 9), Nil), set(1, 2, (1, 8), Nil)]);
    is(PASSES, &[write(0, 1, (0, 1)), ok(0, Op::Del(vec![X, Y, X]), (2, 3), Integer(1))]);
    is(FAILS, &[write(0, 1, (0, 1)), ok(0, Op::Del(vec![X]), (2, 3), Integer(0))]);
}

#[test]
fn counters() {
    let add = |client, times, sum| ok(client, Op::Add(X, 1), times, Integer(sum));
    is(PASSES, &[add(0, (0, 9), 2), add(1, (1, 8), 1)]);
    is(FAILS, &[add(0, (0, 9), 1), add(1, (1, 8), 1)]);
    is(FAILS, &[add(0, (0, 4), 2), add(1, (5, 8), 1)]);
    is(PASSES, &[Operation::unknown(0, Op::Add(X, 1), 0), add(1, (5, 8), 2)]);
    is(FAILS, &[Operation::unknown(0, Op::Add(X, 1), 0), add(1, (5, 8), 3)]);
}

#[test]
fn transactions_are_whole() {
    let transfer = exec(&[], &[Op::Add(X, -1), Op::Add(Y, 1)]);
    let transfer = ok(0, transfer, (0, 9), List(vec![Integer(-1), Integer(1)]));
    let read = |x, y| ok(1, Op::Mget(vec![X, Y]), (1, 8), List(vec![x, y]));
    is(PASSES, &[transfer.clone(), read(Nil, Nil)]);
    is(PASSES, &[transfer.clone(), read(Value(-1), Value(1))]);
    is(FAILS, &[transfer.clone(), read(Value(-1), Nil)]);
    let pending = Operation::unknown(0, transfer.op, 0);
    is(PASSES, &[pending.clone(), read(Value(-1), Value(1))]);
    is(FAILS, &[pending, read(Nil, Value(1))]);
}

#[test]
fn watched_keys() {
    let watch = ok(0, Op::Watch(vec![X]), (0, 1), Done);
    let set = exec(&[X], &[Op::Set(Y, 1)]);
    let done = ok(0, set.clone(), (8, 9), List(vec![Done]));
    let not_done = ok(0, set, (8, 9), Nil);
    let other = |times| ok(1, Op::Set(X, 7), times, Done);
    is(PASSES, &[watch.clone(), done.clone()]);
    is(FAILS, &[watch.clone(), not_done.clone()]);
    is(FAILS, &[watch.clone(), other((2, 3)), done.clone()]);
    is(PASSES, &[watch.clone(), other((2, 3)), not_done.clone()]);
    is(PASSES, &[watch.clone(), other((2, 30)), done.clone()]);
    is(PASSES, &[watch.clone(), other((2, 30)), not_done]);
    let seen = [ok(2, Op::Get(X), (4, 5), Value(7)), ok(2, Op::Get(Y), (10, 11), Value(1))];
    is(FAILS, &[&[watch.clone(), other((2, 30)), done.clone()], &seen[..]].concat());
    let deletes_nothing = ok(1, Op::Del(vec![X]), (2, 3), Integer(0));
    is(PASSES, &[watch, deletes_nothing, done]);
}

#[test]
fn a_refused_exec_ends_the_watch() {
    let watch = |times| ok(0, Op::Watch(vec![X]), times, Done);
    let refused = Operation { outcome: Outcome::Failed, ..ok(0, exec(&[X], &[Op::Set(Y, 1)]), (4, 5), Nil) };
    let done = ok(0, exec(&[X], &[Op::Set(Y, 2)]), (8, 9), List(vec![Done]));
    let other = ok(1, Op::Set(X, 7), (2, 3), Done);
    is(PASSES, &[watch((0, 1)), other.clone(), refused, watch((6, 7)), done.clone()]);
    is(FAILS, &[watch((0, 1)), other, watch((6, 7)), done]);
}

#[test]
fn crashes_empty_a_shard_at_once() {
    let one_shard = |operations: &[Operation]| {
        let mut history = of(operations);
        history.keys[Y].shard = 0;
        passes(&history)
    };
    let both = ok(0, Op::Mset(vec![(X, 1), (Y, 2)]), (0, 1), Done);
    let crash = ok(9, Op::Crash(0), (2, 20), Done);
    let get = |key, times, answer| ok(1, Op::Get(key), times, answer);
    assert!(one_shard(&[both.clone(), crash.clone(), get(X, (21, 22), Nil), get(Y, (23, 24), Nil)]));
    assert!(one_shard(&[both.clone(), crash.clone(), get(X, (3, 4), Value(1)), get(Y, (5, 6), Nil)]));
    assert!(!one_shard(&[both.clone(), crash.clone(), get(X, (3, 4), Nil), get(Y, (5, 6), Value(2))]));
    assert!(!one_shard(&[both.clone(), crash.clone(), get(Y, (21, 22), Value(2))]));
    assert!(!one_shard(&[both.clone(), get(Y, (21, 22), Nil)]));
    // The keys of the other shard remain.
    assert!(passes(&of(&[both.clone(), crash.clone(), get(Y, (21, 22), Value(2))])));
    assert!(!passes(&of(&[both, crash, get(Y, (21, 22), Nil)])));
}

#[test]
fn a_watch_across_a_crash_fails() {
    let watch = ok(0, Op::Watch(vec![X]), (0, 1), Done);
    let crash = ok(9, Op::Crash(0), (2, 3), Done);
    let exec = |answer| ok(0, exec(&[X], &[Op::Set(X, 1)]), (4, 5), answer);
    is(PASSES, &[watch.clone(), crash.clone(), exec(Nil)]);
    is(FAILS, &[watch, crash, exec(List(vec![Done]))]);
}

#[test]
fn pipelined_operations_keep_their_order() {
    let both = |client| [write(0, 1, (0, 9)), read_nothing(client, (1, 10))];
    is(PASSES, &both(1));
    is(FAILS, &both(0));
}

/// The same state is reached in two ways: with an unknown write, and without it. The second keeps
/// the write for the read.
#[test]
fn what_is_unknown_is_saved_for_later() {
    let increments = ok(2, exec(&[], &[Op::Add(X, 1), Op::Set(X, 7)]), (4, 11), List(vec![Integer(2), Done]));
    let lost = Operation::unknown(3, Op::Set(X, 1), 2);
    let history = [write(0, 1, (0, 1)), lost, write(1, 7, (3, 10)), increments, read(4, 1, (20, 21))];
    is(PASSES, &history);
    is(FAILS, &[&history[..], &[read(4, 7, (22, 23))]].concat());
}
