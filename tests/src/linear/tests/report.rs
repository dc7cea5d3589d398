//! The report of a violation.

use super::{
    super::{
        Limit,
        check::{Verdict, check},
        violation::Violation,
    },
    Answer, Op, Operation, X, Y, of, read, write,
};

fn violation(operations: &[Operation]) -> Violation {
    match check(&of(operations), Limit::default()) {
        Verdict::Violation(violation) => *violation,
        other => panic!("{other:?}"),
    }
}

/// A history with a stale read in the middle, among operations on other keys and some without
/// answers.
fn stale() -> Vec<Operation> {
    vec![
        write(0, 1, (0, 1)),
        Operation::ok(1, Op::Set(Y, 5), (2, 9), Answer::Done),
        write(0, 2, (3, 5)),
        Operation::unknown(1, Op::Del(vec![Y]), 10),
        read(2, 1, (7, 11)),
        Operation::unknown(3, Op::Add(X, 1), 8),
        write(0, 3, (6, 12)),
        read(2, 3, (13, 14)),
    ]
}

#[test]
fn the_smallest_prefix_ends_with_the_culprit() {
    let violation = violation(&stale());
    assert_eq!(violation.culprit, read(2, 1, (7, 11)));
    assert_eq!(violation.prefix.len(), 5, "{violation}");
    assert!(violation.prefix.contains(&Operation::unknown(0, Op::Set(X, 3), 6)), "it was not answered yet");
    assert_eq!(violation.concurrent().len(), 2, "{violation}");
}

#[test]
fn it_is_a_timeline() {
    let expected = [
        "not linearizable: no order explains the answer to c2 GET x -> \"1\"",
        "it could have been \"2\", for one",
        "in the order of the calls, time from left to right (0 earlier ones are left out):",
        "  c0 SET x 1 -> OK  ||",
        "  c0 SET x 2 -> OK    ||",
        "  c0 SET x 3 -> ?       |--->",
        "  c3 INCR x -> ?          |->",
        "  c2 GET x -> \"1\"        |-|  <- not explained",
    ];
    let text = violation(&stale()).to_string();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn a_limit_is_not_a_verdict() {
    let verdict = check(&of(&stale()), Limit(3));
    assert!(matches!(verdict, Verdict::Undecided), "{verdict:?}");
}

#[test]
#[should_panic(expected = "undecided")]
fn undecided_is_not_a_pass() {
    check(&of(&stale()), Limit(3)).assert_linearizable();
}

#[test]
#[should_panic(expected = "at most 200 operations")]
fn too_long_is_refused() {
    let reads: Vec<_> = (0..201).map(|nth| read(0, 1, (2 * nth, 2 * nth + 1))).collect();
    let _ = check(&of(&reads), Limit::default());
}
