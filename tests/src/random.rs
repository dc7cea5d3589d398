//! Random cases, the same in every run.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
};

use cc_workloads::error::panic_reason;
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

/// Runs this many cases, and tries this often to make a failing one smaller.
///
/// # Panics
///
/// If a case fails, with the smallest one that was found.
pub fn each<S: Strategy<Value: Debug>>(
    cases: u32,
    max_shrink_iters: u32,
    strategy: &S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    if let Err(error) = runner.run(strategy, check) {
        panic!("{error}");
    }
}

/// A panic fails this one of the random cases, and makes the runner look for a smaller one.
///
/// # Errors
///
/// If the check panics.
pub fn caught(check: impl FnOnce()) -> Result<(), TestCaseError> {
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| TestCaseError::fail(panic_reason(&*panic)))
}
