//! Checks whether a history is linearizable, and finds the first answer that no order explains.

use super::{
    Limit, MAX_KEYS, MAX_OPERATIONS,
    history::{History, Key, KeyInfo, NEVER, Op, Operation, Outcome},
    search::{Found, search},
    violation::Violation,
};

/// The result of a check.
#[derive(Debug)]
pub enum Verdict {
    /// There is an order of the operations that explains every answer.
    Linearizable,
    /// There is no such order.
    Violation(Box<Violation>),
    /// The search reached its limit. This is not a pass.
    Undecided,
}

impl Verdict {
    /// Asserts that the history is linearizable.
    ///
    /// # Panics
    ///
    /// If it is not, with the violation, or if the search reached its limit.
    pub fn assert_linearizable(&self) {
        match self {
            Self::Linearizable => (),
            Self::Violation(violation) => panic!("{violation}"),
            Self::Undecided => panic!("undecided: the search for an order came to its limit"),
        }
    }
}

/// Checks a history, one group of keys at a time. Linearizability is local ([Herlihy and
/// Wing](https://doi.org/10.1145/78969.78972), 1990, theorem 1): groups that no operation spans can
/// be ordered separately.
///
/// # Panics
///
/// If the history has more than [`MAX_OPERATIONS`] operations or [`MAX_KEYS`] keys.
#[must_use]
pub fn check(history: &History, limit: Limit) -> Verdict {
    assert!(history.operations.len() <= MAX_OPERATIONS, "a history has at most {MAX_OPERATIONS} operations");
    assert!(history.keys.len() <= MAX_KEYS, "a history has at most {MAX_KEYS} keys");
    let mut verdict = Verdict::Linearizable;
    for mut group in groups(history) {
        group.sort_by_key(|operation| operation.invoked);
        match find(&group, &history.keys, u64::MAX, limit) {
            Found::Order(_) => (),
            Found::Nothing => return Verdict::Violation(Box::new(violation(&group, &history.keys, limit))),
            Found::Limit => verdict = Verdict::Undecided,
        }
    }
    verdict
}

/// The operations, divided into groups of keys that no operation spans.
fn groups(history: &History) -> Vec<Vec<Operation>> {
    let mut group_of: Vec<Key> = (0..history.keys.len()).collect();
    let keys = history.operations.iter().map(|operation| operation.op.keys(&history.keys));
    for keys in keys.clone() {
        for pair in keys.windows(2) {
            let (one, other) = (group_of[pair[0]], group_of[pair[1]]);
            group_of.iter_mut().filter(|group| **group == other).for_each(|group| *group = one);
        }
    }
    let mut groups = vec![vec![]; history.keys.len()];
    for (operation, keys) in history.operations.iter().zip(keys) {
        if let Some(key) = keys.first() {
            groups[group_of[*key]].push(operation.clone());
        }
    }
    groups
}

/// Looks for an order of what was known at `time`.
fn find(group: &[Operation], keys: &[KeyInfo], time: u64, mut limit: Limit) -> Found {
    search(&known(group, time), keys, &mut limit)
}

/// What was known at a time. Operations called later are missing; those that had not ended are
/// open.
fn known(group: &[Operation], time: u64) -> Vec<Operation> {
    let called = group.iter().filter(|operation| operation.invoked <= time);
    called.filter_map(|operation| known_of(operation, operation.completed <= time)).collect()
}

/// What the search gets for an operation that may have ended.
fn known_of(operation: &Operation, has_ended: bool) -> Option<Operation> {
    match &operation.outcome {
        Outcome::Failed if has_ended => forgets(operation),
        Outcome::Failed => None,
        Outcome::Ok(_) if has_ended => Some(operation.clone()),
        Outcome::Ok(_) | Outcome::Unknown => {
            let Operation { client, op, invoked, .. } = operation.clone();
            let tells_nothing = op.only_reads() || matches!(op, Op::Watch(_));
            (!tells_nothing).then(|| Operation::unknown(client, op, invoked))
        }
    }
}

/// What remains of an operation that was refused: an `EXEC` still ends the watch.
fn forgets(operation: &Operation) -> Option<Operation> {
    match &operation.op {
        Op::Exec { watched, .. } if !watched.is_empty() => {
            let op = Op::Exec { watched: watched.clone(), ops: vec![] };
            Some(Operation { op, ..operation.clone() })
        }
        _ => None,
    }
}

/// The violation in a group that has one: the earliest answer up to which there is no order.
///
/// If a history has an order, so has what was known at any earlier time. So a binary search finds
/// the answer.
fn violation(group: &[Operation], keys: &[KeyInfo], limit: Limit) -> Violation {
    let mut answers: Vec<&Operation> =
        group.iter().filter(|operation| operation.completed != NEVER).collect();
    answers.sort_by_key(|operation| operation.completed);
    let has_order = |last: &&Operation| !matches!(find(group, keys, last.completed, limit), Found::Nothing);
    let nth = answers.partition_point(has_order).min(answers.len() - 1);
    let culprit = answers[nth];
    let called = group.iter().filter(|operation| operation.invoked <= culprit.completed);
    Violation {
        keys: keys.to_vec(),
        culprit: culprit.clone(),
        prefix: called.map(|operation| as_of(operation, culprit.completed)).collect(),
        expected: expected(group, keys, culprit, limit),
    }
}

/// The operation as it was known at a time.
fn as_of(operation: &Operation, time: u64) -> Operation {
    let Operation { client, op, invoked, completed, .. } = operation.clone();
    if completed <= time { operation.clone() } else { Operation::unknown(client, op, invoked) }
}

/// A right answer to the culprit: the one in an order of all other operations, if there is one.
fn expected(group: &[Operation], keys: &[KeyInfo], culprit: &Operation, mut limit: Limit) -> Option<String> {
    let mut others = known(group, culprit.completed);
    let nth = others.iter().position(|operation| operation == culprit)?;
    others[nth].outcome = Outcome::Unknown;
    match search(&others, keys, &mut limit) {
        Found::Order(order) => {
            order.into_iter().find(|(index, _)| *index == nth).map(|(_, answer)| answer.to_string())
        }
        Found::Nothing | Found::Limit => None,
    }
}
