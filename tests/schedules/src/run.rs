//! The harness, which runs each case under many schedules.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

/// The name of a case, and what is run under each schedule.
pub type Case = (&'static str, fn());

/// Maximum number of priority changes in a schedule by priorities.
const OVERTAKES: usize = 3;

/// Runs each case under this number of random schedules.
///
/// In one half of them, every thread is equally likely to go on. In the other half, each thread has
/// a priority, so that one thread rests while others run far ahead, which is rare by chance alone.
///
/// The harness is libtest-mimic's, because the files under test have their own unit tests, which
/// are for std's primitives.
#[must_use]
pub fn run(cases: &[Case], schedules: usize) -> ExitCode {
    let trial = |&(name, case): &Case| {
        Trial::test(name, move || {
            let mut config = Config::new();
            // The warnings are about weak memory orderings, which shuttle does not model.
            config.silence_warnings = true;
            Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(case);
            Runner::new(PctScheduler::new(OVERTAKES, schedules / 2), config).run(case);
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), cases.iter().map(trial).collect()).exit_code()
}
