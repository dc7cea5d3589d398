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

/// Runs `cases` random cases. If one fails, tries up to `max_shrink_iters` times to find a smaller
/// one.
///
/// # Panics
///
/// If a case fails, with the smallest failing case that was found.
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

/// Turns a panic into a failure of this random case, so that the runner looks for a smaller one.
///
/// # Errors
///
/// If the check panics.
pub fn caught(check: impl FnOnce()) -> Result<(), TestCaseError> {
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| TestCaseError::fail(panic_reason(&*panic)))
}
