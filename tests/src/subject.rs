//! What is tested: every model that the crates have, and the ways of using one that deserve tests of their own.

use cc_workloads::{Ctx, Entry, Model, grep};
use clap::{ArgMatches, Command};
use std::num::NonZeroUsize;

/// Where a model's workers are, which decides what faults they can survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// In this process: an abort ends them all, and the caller with them.
    Threads,
    /// Each in a process of its own, which can be killed.
    Processes,
    /// The same, and one that hangs is noticed and replaced.
    Watched,
}

impl Workers {
    /// Whether one can be killed alone.
    #[must_use]
    pub fn are_processes(self) -> bool {
        self != Self::Threads
    }
}

/// A model as it is tested.
#[derive(Clone)]
pub struct Subject {
    /// Its part of the test's name.
    pub name: &'static str,
    /// The implementation.
    pub run: grep::Run,
    /// The values of the model's own options.
    pub args: ArgMatches,
    /// Where its workers are.
    pub workers: Workers,
    /// Whether files are read ahead and sent to the workers, so that what happens to a file while a worker has
    /// it is not seen.
    pub loads: bool,
}

impl Subject {
    /// The sequential reference.
    #[must_use]
    pub fn reference() -> Self {
        Self::new("sequential", grep::sequential::run, Workers::Threads)
    }

    /// An implementation without options.
    #[must_use]
    pub fn new(name: &'static str, run: grep::Run, workers: Workers) -> Self {
        Self { name, run, args: ArgMatches::default(), workers, loads: false }
    }

    /// The context of a run with so many workers and the default window.
    ///
    /// # Panics
    ///
    /// If `workers` is zero.
    #[must_use]
    pub fn ctx(&self, workers: usize) -> Ctx {
        let mut ctx = Ctx::new(NonZeroUsize::new(workers).expect("a run has workers"));
        ctx.args = self.args.clone();
        ctx
    }
}

/// The models of every crate, and where their workers are.
const CRATES: &[(&[Model], Workers)] = &[
    (cc_workloads::MODELS, Workers::Threads),
    (cc_threads::MODELS, Workers::Threads),
    (cc_actors::MODELS, Workers::Threads),
    (cc_async::MODELS, Workers::Threads),
    (cc_procs::MODELS, Workers::Processes),
    (cc_distributed::MODELS, Workers::Watched),
];

/// Models that are tested once more with options: the test's name, the model, the options.
const VARIANTS: &[(&str, &str, &[&str])] = &[("distributed_shared_fs", "distributed", &["--shared-fs"])];

/// Turns this process into a worker if it was started as one. The first call of `main`.
pub fn enter() {
    CRATES.iter().flat_map(|(models, _)| *models).for_each(|model| (model.enter)());
}

/// Everything that is to be tested.
#[must_use]
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (models, workers) in CRATES {
        for model in *models {
            subjects.extend(subject(model, model.name, *workers, &[]));
            for (name, _, args) in VARIANTS.iter().filter(|(_, of, _)| *of == model.name) {
                subjects.extend(subject(model, name, *workers, args));
            }
        }
    }
    subjects
}

fn subject(model: &Model, name: &'static str, workers: Workers, args: &[&str]) -> Option<Subject> {
    let run = match model.grep {
        Entry::Run(run) => run,
        Entry::Declined(why) => {
            eprintln!("{name} has no grep: {why}");
            return None;
        }
    };
    let command = (model.args)(Command::new("grep").no_binary_name(true));
    let args = command.try_get_matches_from(args).expect("the model has these options");
    let loads = model.name == "distributed" && name == model.name;
    Some(Subject { args, loads, ..Subject::new(name, run, workers) })
}
