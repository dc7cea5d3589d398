//! The cost of a check. Both tests print it and set no limit.

use std::time::{Duration, Instant};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{History, passes, recording, runs};

/// Long delays on keys of one group, with few values: more orders are possible than with a real
/// server.
#[test]
#[ignore = "a measurement"]
fn of_a_thousand_random_histories() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let chosen = runs::chosen(200, 6, 6, 60);
    let histories = (0..1000).map(|_| runs::history(&chosen.new_tree(&mut runner).unwrap().current()));
    print(&histories.collect::<Vec<_>>());
}

#[test]
#[ignore = "a measurement"]
fn of_a_thousand_recorded_histories() {
    let started = Instant::now();
    let histories: Vec<_> = (0..100).flat_map(|_| recording::with_and_without_kills()).collect();
    println!("recorded: {:?}", started.elapsed());
    print(&histories);
}

fn print(histories: &[History]) {
    let times = histories.iter().map(|history| {
        let started = Instant::now();
        assert!(passes(history));
        started.elapsed()
    });
    let times: Vec<Duration> = times.collect();
    let operations: usize = histories.iter().map(|history| history.operations.len()).sum();
    let overlapping: usize = histories.iter().map(History::overlapping).sum();
    println!("{} histories of {operations} operations, {overlapping} of them overlapping", histories.len());
    let (sum, max) = (times.iter().sum::<Duration>(), times.iter().max());
    println!("checked in {sum:?}, the longest in {max:?}");
}
