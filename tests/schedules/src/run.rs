//! The harness.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use shuttle::{Config, Runner, scheduler::RandomScheduler};

/// What is run under each schedule, and its name.
pub type Case = (&'static str, fn());

/// Runs each case under so many random schedules.
///
/// The harness is libtest-mimic's, since the files under test have unit tests of their own, which
/// are for std's primitives.
#[must_use]
pub fn run(cases: &[Case], schedules: usize) -> ExitCode {
    let trial = |&(name, case): &Case| {
        Trial::test(name, move || {
            let mut config = Config::new();
            // Of weak orderings, which it does not know.
            config.silence_warnings = true;
            Runner::new(RandomScheduler::new(schedules), config).run(case);
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), cases.iter().map(trial).collect()).exit_code()
}
