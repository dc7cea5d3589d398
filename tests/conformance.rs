//! The conformance suite: one test per workload × model × case, generated from tables.
//!
//! `cargo test -p cc-conformance` runs it, `-- grep::threads` runs a part of it, `-- --ignored` the
//! long cases. Each case runs in a process of its own, which is this program too, and so are the
//! worker processes that the models start.

use std::{num::NonZeroUsize, process::ExitCode, sync::Arc, thread};

use cc_conformance::{fault, isolate, subject, suite::Suite};
use cc_workloads::with_workloads;
use libtest_mimic::Arguments;
use signal_hook::{consts::SIGXFSZ, flag};

macro_rules! suites {
    ($($name:ident: $run:path,)*) => {
        $(mod $name;)*

        /// The tests of all workloads.
        const SUITES: &[Suite] = &[$($name::SUITE,)*];
    };
}
with_workloads!(suites);

fn main() -> ExitCode {
    // As the programs do: with a handler for SIGXFSZ, a write beyond the limit on file sizes fails
    // and does not end the process. Worker processes run this line as well.
    flag::register(SIGXFSZ, Arc::default()).expect("the signal's handler can be set");
    fault::install();
    subject::enter();
    if let Some(name) = isolate::requested() {
        run(&name);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // More cases at once than cores, because a case spends much of its time waiting: for a limit,
    // or until a dead worker is noticed.
    arguments
        .test_threads
        .get_or_insert_with(|| 2 * thread::available_parallelism().map_or(1, NonZeroUsize::get));
    let trials = SUITES.iter().flat_map(|suite| (suite.trials)()).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.num_ignored > 0 && !arguments.list {
        println!(
            "{} cases did not run: long ones, and those that lack something, as said above. To run all:\n    \
             cargo test -p cc-conformance -- --include-ignored\n",
            conclusion.num_ignored
        );
    }
    conclusion.exit_code()
}

/// Runs a case in this process.
fn run(name: &str) {
    let [workload, subject, case] = name.split("::").collect::<Vec<_>>()[..] else {
        panic!("{name} is not workload::subject::case")
    };
    let suite = SUITES.iter().find(|suite| suite.name == workload).expect("a workload");
    (suite.run)(subject, case);
}
