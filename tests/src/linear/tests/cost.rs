//! What a check costs.

use std::time::Instant;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use super::{passes, runs};

/// Prints the time; the suite has 50 histories a model, or 1,000.
#[test]
#[ignore = "a measurement"]
fn of_a_thousand_histories() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Default::default(), rng);
    let chosen = runs::chosen(200, 6, 6, 60);
    let histories = (0..1000).map(|_| runs::history(&chosen.new_tree(&mut runner).unwrap().current()));
    let histories: Vec<_> = histories.collect();
    let started = Instant::now();
    let times = histories.iter().map(|history| {
        let started = Instant::now();
        assert!(passes(history));
        started.elapsed()
    });
    let longest = times.max().unwrap();
    println!("1000 histories of 200 operations: {:?}, the longest {longest:?}", started.elapsed());
}
