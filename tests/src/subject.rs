//! What is tested: every model that the crates have, and the ways of using one that deserve tests of their own.

use std::num::NonZeroUsize;

use cc_workloads::{Ctx, Entry, Model, Options, Result, Sink};

use crate::workload::{Batch, Run, Workload};

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
    /// The implementations.
    pub model: Model,
    /// Whether it is a variant of its crate's model, which may decline a workload.
    pub is_variant: bool,
    /// Whether it is a model that is tested once more, with options.
    pub is_retest: bool,
    /// The values of the model's own options.
    pub options: Options,
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
        let [model] = cc_workloads::MODELS else { panic!("there is one reference") };
        Self::of(model, Workers::Threads)
    }

    /// A model without options.
    fn of(model: &Model, workers: Workers) -> Self {
        Self {
            name: model.name,
            model: *model,
            is_variant: false,
            is_retest: false,
            options: Options::default(),
            workers,
            loads: false,
        }
    }

    /// The reference, with another implementation of this workload.
    #[must_use]
    pub fn mutant<W: Workload>(name: &'static str, run: Run<W>) -> Self {
        let mut mutant = Self { name, ..Self::reference() };
        *W::entry(&mut mutant.model) = Entry::Run(run);
        mutant
    }

    /// What the model has of this workload.
    #[must_use]
    pub fn entry<W: Workload>(&self) -> Entry<Run<W>> {
        *W::entry(&mut self.model.clone())
    }

    /// Runs a job.
    ///
    /// # Panics
    ///
    /// If the model has none of this workload, or if the run fails as a whole.
    pub fn run<W: Batch>(&self, job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) {
        if let Err(error) = self.try_run::<W>(job, ctx, out) {
            panic!("{} failed: {error}", self.name);
        }
    }

    /// Runs a job that may fail as a whole.
    ///
    /// # Panics
    ///
    /// If the model has none of this workload.
    pub fn try_run<W: Batch>(&self, job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
        match self.entry::<W>() {
            Entry::Run(run) => run(job, ctx, out),
            Entry::Declined(why) => panic!("{} has no {}: {why}", self.name, W::NAME),
        }
    }

    /// The context of a run with so many workers and the default window.
    ///
    /// # Panics
    ///
    /// If `workers` is zero.
    #[must_use]
    pub fn ctx(&self, workers: usize) -> Ctx {
        let mut ctx = Ctx::new(NonZeroUsize::new(workers).expect("a run has workers"));
        ctx.options = self.options.clone();
        ctx
    }

    /// The same with a window of this many tasks.
    ///
    /// # Panics
    ///
    /// If `workers` or `window` is zero.
    #[must_use]
    pub fn ctx_with_window(&self, workers: usize, window: usize) -> Ctx {
        let mut ctx = self.ctx(workers);
        ctx.window = NonZeroUsize::new(window).expect("a window has room");
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

/// Models that are tested once more with switches: the test's name, the model, the switches.
const RETESTS: &[(&str, &str, &[&str])] = &[("distributed_shared_fs", "distributed", &["shared-fs"])];

/// Turns this process into a worker if it was started as one. The first call of `main`.
pub fn enter() {
    CRATES.iter().flat_map(|(models, _)| *models).for_each(|model| (model.enter)());
}

/// Everything that is to be tested.
#[must_use]
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (models, workers) in CRATES {
        for (nth, model) in models.iter().enumerate() {
            let subject = Subject { is_variant: nth > 0, ..Subject::of(model, *workers) };
            let retests = RETESTS.iter().filter(|(_, of, _)| *of == model.name);
            let retests =
                retests.map(|(name, _, switches)| retest(&subject, name, switches)).collect::<Vec<_>>();
            let loads = model.name == "distributed";
            subjects.push(Subject { loads, ..subject });
            subjects.extend(retests);
        }
    }
    subjects
}

fn retest(subject: &Subject, name: &'static str, switches: &[&str]) -> Subject {
    let mut retest = Subject { name, is_retest: true, ..subject.clone() };
    switches.iter().for_each(|switch| retest.options.add(switch, ""));
    retest
}
