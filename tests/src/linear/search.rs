//! The search for an order: depth first, with a cache of states from which no order was found.
//!
//! The algorithm is that of Wing and Gong ([Testing and Verifying Concurrent
//! Objects](https://doi.org/10.1006/jpdc.1993.1015), 1993), with the cache that Lowe added
//! ([Testing for Linearizability](https://doi.org/10.1002/cpe.3928), 2017): two orders of the same
//! operations that end in the same state can be continued in the same ways.
//! [Porcupine](https://github.com/anishathalye/porcupine) and
//! [Knossos](https://github.com/jepsen-io/knossos) search in this way too.

use std::{array, collections::HashMap, vec};

use super::{
    Limit, MAX_OPERATIONS,
    history::{Answer, KeyInfo, NEVER, Op, Operation, Outcome},
    state::State,
};

/// The result of a search.
#[derive(Debug)]
pub(super) enum Found {
    /// An order: indices in the list that was searched, each with the answer given there. Unknown
    /// operations may be missing.
    Order(Vec<(usize, Answer)>),
    /// There is no order.
    Nothing,
    /// The limit was reached.
    Limit,
}

/// Looks for an order in which every answer is right. `operations` are sorted by their calls. Of
/// the unknown ones, the order contains those that it needs.
///
/// `steps` is the number of steps left, and is counted down.
pub(super) fn search(operations: &[Operation], keys: &[KeyInfo], steps: &mut Limit) -> Found {
    Search::new(operations, keys).run(steps)
}

/// A set of operations.
type Set = [u64; MAX_OPERATIONS.div_ceil(64)];

fn has(set: &Set, nth: usize) -> bool {
    set[nth / 64] >> (nth % 64) & 1 == 1
}

fn flip(set: &mut Set, nth: usize) {
    set[nth / 64] ^= 1 << (nth % 64);
}

/// A position of the search: after one operation, before the next.
struct Frame {
    /// The operation that led here; `None` at the start.
    last: Option<(usize, Answer)>,
    state: State,
    next: vec::IntoIter<usize>,
}

struct Search<'a> {
    operations: &'a [Operation],
    keys: &'a [KeyInfo],
    /// For each operation, the one that must be done before it. Among answered operations: the
    /// previous one of the same connection. Among unknown ones, which may be done at any time: the
    /// previous equal one.
    after: Vec<Option<usize>>,
    /// The operations that may be missing from the order.
    unknown: Set,
    /// How many answered operations are not yet in the order.
    missing: usize,
    done: Set,
    /// The cache of what was tried. For the answered operations in the order and the state reached:
    /// the sets of unknown operations that were used. Using fewer of these leaves no fewer
    /// continuations.
    seen: HashMap<(Set, State), Vec<Set>>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [Operation], keys: &'a [KeyInfo]) -> Self {
        let before = |nth: usize| (0..nth).rev().find(|b| comes_after(&operations[nth], &operations[*b]));
        let mut unknown = Set::default();
        let may = (0..operations.len()).filter(|nth| !must(&operations[*nth]));
        may.for_each(|nth| flip(&mut unknown, nth));
        Self {
            operations,
            keys,
            after: (0..operations.len()).map(before).collect(),
            unknown,
            missing: operations.iter().filter(|operation| must(operation)).count(),
            done: Set::default(),
            seen: HashMap::new(),
        }
    }

    fn run(mut self, steps: &mut Limit) -> Found {
        let mut path = vec![self.frame(None, State::new(self.keys.len()))];
        while self.missing > 0 {
            let Some(frame) = path.last_mut() else { return Found::Nothing };
            let Some(nth) = frame.next.next() else {
                let last = path.pop().and_then(|frame| frame.last);
                last.into_iter().for_each(|(nth, _)| self.flip(nth));
                continue;
            };
            if steps.0 == 0 {
                return Found::Limit;
            }
            steps.0 -= 1;
            let state = &frame.state;
            if let Some(frame) = self.step(nth, state) {
                path.push(frame);
            }
        }
        Found::Order(path.into_iter().filter_map(|frame| frame.last).collect())
    }

    /// Appends an operation to the order, if its answer is right and the result was not tried
    /// before.
    fn step(&mut self, nth: usize, state: &State) -> Option<Frame> {
        let (state, answer) = self.apply(nth, state)?;
        self.flip(nth);
        if !self.is_new(&state) {
            self.flip(nth);
            return None;
        }
        Some(self.frame(Some((nth, answer)), state))
    }

    /// Whether nothing as good was tried: the same state with the same unknown operations, or
    /// fewer.
    fn is_new(&mut self, state: &State) -> bool {
        let (done, unknown) = (self.done, self.unknown);
        let must: Set = array::from_fn(|nth| done[nth] & !unknown[nth]);
        let took: Set = array::from_fn(|nth| done[nth] & unknown[nth]);
        let tried = self.seen.entry((must, state.clone())).or_default();
        let is_new = !tried.iter().any(|less| less.iter().zip(&took).all(|(less, took)| less & !took == 0));
        if is_new {
            tried.push(took);
        }
        is_new
    }

    fn frame(&self, last: Option<(usize, Answer)>, state: State) -> Frame {
        let next = self.next(&state).into_iter();
        Frame { last, state, next }
    }

    /// The state after an operation, and its answer, if that is right.
    fn apply(&self, nth: usize, state: &State) -> Option<(State, Answer)> {
        let operation = &self.operations[nth];
        let mut state = state.clone();
        let answer = state.apply(operation.client, &operation.op, self.keys);
        let is_right = match &operation.outcome {
            Outcome::Ok(seen) => *seen == answer,
            Outcome::Failed | Outcome::Unknown => true,
        };
        is_right.then_some((state, answer))
    }

    /// The operations that may come next: those that were called before the first answer to another
    /// operation that is left.
    ///
    /// If one of them changes nothing and its answer is right here, then any order that has it
    /// later can have it now, so nothing else is tried. Otherwise the one that was answered first
    /// is tried first.
    fn next(&self, state: &State) -> Vec<usize> {
        let mut next = self.callable();
        if let Some(read) = next.iter().find(|nth| self.is_free(**nth, state)) {
            return vec![*read];
        }
        next.sort_by_key(|nth| self.operations[*nth].completed);
        next
    }

    fn callable(&self) -> Vec<usize> {
        let mut first_answer = NEVER;
        let mut callable = vec![];
        for (nth, operation) in self.operations.iter().enumerate().filter(|(nth, _)| !has(&self.done, *nth)) {
            if operation.invoked > first_answer {
                break;
            }
            first_answer = first_answer.min(operation.completed);
            if self.after[nth].is_none_or(|before| has(&self.done, before)) {
                callable.push(nth);
            }
        }
        callable
    }

    fn is_free(&self, nth: usize, state: &State) -> bool {
        let operation = &self.operations[nth];
        match &operation.outcome {
            Outcome::Ok(answer) if operation.op.changed_nothing(answer) => self.apply(nth, state).is_some(),
            _ => false,
        }
    }

    fn flip(&mut self, nth: usize) {
        flip(&mut self.done, nth);
        if must(&self.operations[nth]) {
            self.missing = if has(&self.done, nth) { self.missing - 1 } else { self.missing + 1 };
        }
    }
}

fn comes_after(later: &Operation, earlier: &Operation) -> bool {
    match (must(later), must(earlier)) {
        (true, true) => later.client == earlier.client,
        (false, false) => later.op == earlier.op && !watches(&later.op),
        _ => false,
    }
}

/// Whether the operation depends on the connection.
fn watches(op: &Op) -> bool {
    matches!(op, Op::Exec { watched, .. } if !watched.is_empty())
}

/// Whether the operation must be part of the order.
fn must(operation: &Operation) -> bool {
    operation.completed != NEVER
}
