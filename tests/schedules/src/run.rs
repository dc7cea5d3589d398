//! The harness.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

/// What is run under each schedule, and its name.
pub type Case = (&'static str, fn());

/// How often a schedule by priorities lets another thread overtake.
const OVERTAKES: usize = 3;

/// Runs each case under so many random schedules.
///
/// In one half of them, each thread is as likely to go on as any other. In the other half each has
/// a priority, so that one of them rests while others go far: by chance alone that is rare.
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
            Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(case);
            Runner::new(PctScheduler::new(OVERTAKES, schedules / 2), config).run(case);
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), cases.iter().map(trial).collect()).exit_code()
}
