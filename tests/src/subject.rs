//! What is tested: every model of the crates, and some models once more with options.

use std::num::NonZeroUsize;

use cc_workloads::{Ctx, Entry, Model, Options, Result, Sink};

use crate::workload::{Batch, Run, Workload};

/// Where a model's workers are. That decides which faults a run can survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// In this process: an abort ends all of them and the caller.
    Threads,
    /// Each in a process of its own, which can be killed.
    Processes,
    /// Each in a process of its own, and one that hangs is noticed and replaced.
    Watched,
}

impl Workers {
    /// Whether a single worker can be killed.
    #[must_use]
    pub fn are_processes(self) -> bool {
        self != Self::Threads
    }
}

/// What a case may know of a subject. Cases never compare a subject's name: a model that is added
/// gets a row in the table, and no case changes.
#[derive(Clone, Copy)]
pub struct Facts {
    /// Where its workers are.
    pub workers: Workers,
    /// Whether it is the reference, which does one task after the other. Results that are known
    /// from elsewhere are compared only with the reference; all other models are compared with the
    /// reference.
    pub is_reference: bool,
    /// How many threads it has with a given number of workers, if that is known.
    pub threads: Option<fn(usize) -> usize>,
    /// Into how many slices it divides a task, so that other tasks have their turn in between.
    pub slices: usize,
    /// Whether files are read ahead and sent to the workers. Then a change of a file while a worker
    /// has it is not seen.
    pub reads_ahead: bool,
    /// Whether the data that tasks leave for a later phase lies in files without names. Then no
    /// directory is made for them, and one file may hold all data of a worker.
    pub has_nameless_files: bool,
    /// Whether it merges in several passes if there are too many sorted runs.
    pub merges_in_passes: bool,
    /// Whether its servers refuse to start with more workers than they can have.
    pub limits_workers: bool,
}

/// The facts of most models.
const THREADS: Facts = Facts {
    workers: Workers::Threads,
    is_reference: false,
    threads: None,
    slices: 1,
    reads_ahead: false,
    has_nameless_files: false,
    merges_in_passes: true,
    limits_workers: false,
};

const DISTRIBUTED: Facts = Facts {
    workers: Workers::Watched,
    reads_ahead: true,
    has_nameless_files: true,
    merges_in_passes: false,
    limits_workers: true,
    ..THREADS
};

/// The facts of each subject, by name.
const FACTS: &[(&str, Facts)] = &[
    ("sequential", Facts { is_reference: true, threads: Some(|_| 1), ..THREADS }),
    // The calling thread collects, one thread feeds, the others work.
    ("threads", Facts { threads: Some(|workers| 2 + workers), ..THREADS }),
    ("rayon", THREADS),
    ("actors", Facts { limits_workers: true, ..THREADS }),
    ("async", THREADS),
    ("async-single", Facts { slices: 8, ..THREADS }),
    ("procs", Facts { workers: Workers::Processes, limits_workers: true, ..THREADS }),
    ("distributed", DISTRIBUTED),
    ("distributed_shared_fs", Facts { reads_ahead: false, ..DISTRIBUTED }),
];

impl Facts {
    fn of(name: &str) -> Self {
        let row = FACTS.iter().find(|(of, _)| *of == name);
        row.unwrap_or_else(|| panic!("{name} has no row in the table of facts")).1
    }
}

/// A model or a variant under test.
#[derive(Clone)]
pub struct Subject {
    /// The second part of the test's name.
    pub name: &'static str,
    /// The model, with its implementation of each workload.
    pub model: Model,
    /// Whether it is a variant of its crate's model, which may decline a workload.
    pub is_variant: bool,
    /// Whether it is a model that is tested once more, with options.
    pub is_retest: bool,
    /// The values of the model's own options.
    pub options: Options,
    /// The facts that a case may ask for.
    pub facts: Facts,
}

impl Subject {
    /// The sequential reference.
    #[must_use]
    pub fn reference() -> Self {
        let [model] = cc_workloads::MODELS else { panic!("there is one reference") };
        Self::of(model)
    }

    /// A model with its default options.
    fn of(model: &Model) -> Self {
        Self {
            name: model.name,
            model: *model,
            is_variant: false,
            is_retest: false,
            options: Options::default(),
            facts: Facts::of(model.name),
        }
    }

    /// A subject that runs this implementation of the workload, in place of the reference's.
    #[must_use]
    pub fn mutant<W: Workload>(name: &'static str, run: Run<W>) -> Self {
        let mut mutant = Self { name, ..Self::reference() };
        mutant.facts.is_reference = false;
        *W::entry(&mut mutant.model) = Entry::Run(run);
        mutant
    }

    /// The model's entry for this workload.
    #[must_use]
    pub fn entry<W: Workload>(&self) -> Entry<Run<W>> {
        *W::entry(&mut self.model.clone())
    }

    /// Runs a job.
    ///
    /// # Panics
    ///
    /// If the model does not implement this workload, or if the run fails as a whole.
    pub fn run<W: Batch>(&self, job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) {
        if let Err(error) = self.try_run::<W>(job, ctx, out) {
            panic!("{} failed: {error}", self.name);
        }
    }

    /// Runs a job that may fail as a whole.
    ///
    /// # Panics
    ///
    /// If the model does not implement this workload.
    pub fn try_run<W: Batch>(&self, job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
        match self.entry::<W>() {
            Entry::Run(run) => run(job, ctx, out),
            Entry::Declined(why) => panic!("{} has no {}: {why}", self.name, W::NAME),
        }
    }

    /// How many threads the model has with this number of workers.
    ///
    /// # Panics
    ///
    /// If that is not known.
    #[must_use]
    pub fn threads(&self, workers: usize) -> usize {
        let threads = self.facts.threads.expect("the case is for subjects whose threads are counted");
        threads(workers)
    }

    /// The context of a run with this number of workers and the default window.
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

/// The models of every crate.
const CRATES: &[&[Model]] = &[
    cc_workloads::MODELS,
    cc_threads::MODELS,
    cc_actors::MODELS,
    cc_async::MODELS,
    cc_procs::MODELS,
    cc_distributed::MODELS,
];

/// Models that are tested once more with options: the subject's name, the model, the options.
const RETESTS: &[(&str, &str, &[&str])] = &[("distributed_shared_fs", "distributed", &["shared-fs"])];

/// Turns this process into a worker if a model started it as one. `main` calls it before it reads
/// its arguments.
pub fn enter() {
    CRATES.iter().copied().flatten().for_each(|model| (model.enter)());
}

/// All subjects.
#[must_use]
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for models in CRATES {
        for (nth, model) in models.iter().enumerate() {
            let subject = Subject { is_variant: nth > 0, ..Subject::of(model) };
            let retests = RETESTS.iter().filter(|(_, of, _)| *of == model.name);
            let retests =
                retests.map(|(name, _, switches)| retest(&subject, name, switches)).collect::<Vec<_>>();
            subjects.push(subject);
            subjects.extend(retests);
        }
    }
    subjects
}

fn retest(subject: &Subject, name: &'static str, switches: &[&str]) -> Subject {
    let mut retest = Subject { name, is_retest: true, facts: Facts::of(name), ..subject.clone() };
    switches.iter().for_each(|switch| retest.options.add(switch, ""));
    retest
}
