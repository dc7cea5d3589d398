//! The checker against histories that must be right, and against a checker that tries every order.

use std::cell::Cell;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

use super::{
    super::{
        history::{Answer, History, NEVER, Op, Operation, Outcome},
        state::State,
    },
    passes, runs,
};

fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// A sequential run is accepted with any delays of its answers.
#[test]
fn what_happened_one_after_the_other_is_accepted() {
    let run = runner(300).run(&runs::chosen(0..=120, 5, 6, 30), |chosen| {
        prop_assert!(passes(&runs::history(&chosen)));
        Ok(())
    });
    run.unwrap();
}

/// A value that no operation wrote, or a count of keys that are missing.
#[test]
fn an_impossible_answer_is_rejected() {
    let mutated = Cell::new(0);
    let run =
        runner(300).run(&(runs::chosen(1..=60, 4, 4, 30), any::<prop::sample::Index>()), |(chosen, nth)| {
            let mut history = runs::history(&chosen);
            let mut answers: Vec<_> =
                history.operations.iter_mut().filter_map(|o| number(&mut o.outcome)).collect();
            if answers.is_empty() {
                return Err(TestCaseError::reject("nothing to alter"));
            }
            let nth = nth.index(answers.len());
            *answers[nth] = Answer::Value(1 << 40);
            mutated.set(mutated.get() + 1);
            prop_assert!(!passes(&history));
            Ok(())
        });
    run.unwrap();
    assert!(mutated.get() >= 300);
}

/// The first number of an answer.
fn number(outcome: &mut Outcome) -> Option<&mut Answer> {
    fn of(answer: &mut Answer) -> Option<&mut Answer> {
        match answer {
            Answer::Integer(_) | Answer::Value(_) => Some(answer),
            Answer::List(answers) => answers.iter_mut().find_map(of),
            _ => None,
        }
    }
    match outcome {
        Outcome::Ok(answer) => of(answer),
        _ => None,
    }
}

/// On short histories, some of which are altered until they are wrong or almost wrong.
#[test]
fn every_order_says_the_same() {
    let (accepted, rejected) = (Cell::new(0), Cell::new(0));
    let altered = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3);
    let run = runner(6000).run(&(runs::chosen(1..=7, 4, 5, 10), altered), |(chosen, altered)| {
        let mut history = runs::history(&chosen);
        altered.iter().for_each(|(to, from)| alter(&mut history, to, from));
        let expected = some_order(&history);
        let count = if expected { &accepted } else { &rejected };
        count.set(count.get() + 1);
        prop_assert_eq!(passes(&history), expected, "{:#?}", history);
        Ok(())
    });
    run.unwrap();
    let (accepted, rejected) = (accepted.get(), rejected.get());
    assert!(accepted > 1000 && rejected > 1000, "{accepted} accepted, {rejected} rejected");
}

/// Replaces one operation's answer by another operation's.
fn alter(history: &mut History, to: &prop::sample::Index, from: &prop::sample::Index) {
    let of = |nth: usize| match &history.operations[nth].outcome {
        Outcome::Ok(answer) if !matches!(history.operations[nth].op, Op::Crash(_)) => Some(answer.clone()),
        _ => None,
    };
    let count = history.operations.len();
    let (to, from) = (to.index(count), from.index(count));
    if let (Some(_), Some(answer)) = (of(to), of(from)) {
        history.operations[to].outcome = Outcome::Ok(answer);
    }
}

/// Tries every order: whether one of them explains every answer.
fn some_order(history: &History) -> bool {
    let left: Vec<&Operation> = history.operations.iter().collect();
    explains(history, &left, &State::new(history.keys.len()))
}

fn explains(history: &History, left: &[&Operation], state: &State) -> bool {
    let may_be_first = |one: &Operation| left.iter().all(|other| other.completed >= one.invoked);
    let is_explained = |(nth, one): (usize, &&Operation)| {
        let mut rest = left.to_vec();
        rest.remove(nth);
        let without = one.completed == NEVER && explains(history, &rest, state);
        without || then(history, one, state).is_some_and(|state| explains(history, &rest, &state))
    };
    let firsts = left.iter().enumerate().filter(|(_, one)| may_be_first(one));
    left.is_empty() || firsts.into_iter().any(is_explained)
}

/// The state after an operation, if its answer is right.
fn then(history: &History, one: &Operation, state: &State) -> Option<State> {
    let mut state = state.clone();
    match (&one.outcome, &one.op) {
        (Outcome::Ok(seen), op) => (state.apply(one.client, op, &history.keys) == *seen).then_some(state),
        (Outcome::Unknown, op) => {
            state.apply(one.client, op, &history.keys);
            Some(state)
        }
        (Outcome::Failed, Op::Exec { watched, .. }) => {
            let nothing = Op::Exec { watched: watched.clone(), ops: vec![] };
            state.apply(one.client, &nothing, &history.keys);
            Some(state)
        }
        (Outcome::Failed, _) => Some(state),
    }
}
