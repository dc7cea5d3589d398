//! The conformance suite: one test per workload × model × case, generated from the tables.
//!
//! `cargo test -p cc-conformance` runs it, `-- grep::threads` a part of it, `-- --ignored` what takes longer.
//! This program is also the process that each case runs in, and the worker process that a case's model spawns.

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
    // As the programs do it: a write beyond the limit on the size of files fails, in worker processes as well.
    flag::register(SIGXFSZ, Arc::default()).expect("the signal can be taken");
    fault::install();
    subject::enter();
    if let Some(name) = isolate::requested() {
        run(&name);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // A third of the time a case waits, for a limit or for a worker to be missed.
    arguments
        .test_threads
        .get_or_insert_with(|| 2 * thread::available_parallelism().map_or(1, NonZeroUsize::get));
    let trials = SUITES.iter().flat_map(|suite| (suite.trials)()).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.num_ignored > 0 && !arguments.list {
        println!(
            "{} cases were left out: what takes long, and what says above what is missing. All of them:\n    \
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
