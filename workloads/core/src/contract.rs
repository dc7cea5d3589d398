//! The contract between workloads and models: what a model provides, and what each run receives.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    num::NonZeroUsize,
    ops::ControlFlow,
    thread,
};

use crate::{
    error::{Error, Result},
    stop::{Cause, Stop},
};

/// A model's entry for one workload.
#[derive(Clone, Copy, Debug)]
pub enum Entry<F> {
    /// The function that runs the workload.
    Run(F),
    /// The reason why the model does not implement the workload. Only variants may decline;
    /// `compare` prints the reason.
    Declined(&'static str),
}

impl<F> Entry<F> {
    /// The reason, if the model has declined the workload.
    #[must_use]
    pub fn declined(&self) -> Option<&'static str> {
        match self {
            Self::Run(_) => None,
            Self::Declined(why) => Some(why),
        }
    }
}

impl<F: Copy> Entry<F> {
    /// The function that runs the workload.
    ///
    /// # Errors
    ///
    /// An [`Error::Usage`] with the reason, if the model has declined the workload.
    pub fn or_usage(self, model: &str, workload: &str) -> Result<F> {
        match self {
            Self::Run(run) => Ok(run),
            Self::Declined(why) => Err(Error::Usage(format!("{model} has no {workload}: {why}"))),
        }
    }
}

/// The values of a model's own command-line options, by option name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, Vec<OsString>>);

impl Options {
    /// Adds a value to an option. A switch has an empty value.
    pub fn add(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.entry(name.to_owned()).or_default().push(value.into());
    }

    /// The values of an option, in the order in which they were given.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.0.get(name).into_iter().flatten().map(OsString::as_os_str)
    }

    /// The value of an option that takes one value. If it was given several times, the last one
    /// counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.all(name).last()
    }
}

/// What every run receives in addition to its job.
#[derive(Clone)]
pub struct Ctx {
    /// Number of workers: threads, processes or hosts.
    pub workers: NonZeroUsize,
    /// Limits the tasks that are begun, or done and not yet emitted: it is the capacity of the
    /// queues between feed and gather, or the number of credits. Where a model does not use the
    /// window, it limits tasks by another number, such as a constant per worker. That number, and
    /// what a model holds beyond the window, is under "Bound" in each file. Since a task is bounded
    /// in bytes, a limit on tasks bounds memory as well.
    pub window: NonZeroUsize,
    /// Requests that the run end early.
    pub stop: Stop,
    /// The model's own options.
    pub options: Options,
}

impl Ctx {
    /// A context for `workers` workers with the default window of 16 tasks per worker.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        let window = workers.saturating_mul(const { NonZeroUsize::new(16).expect("sixteen is not zero") });
        Self { workers, window, stop: Stop::new(), options: Options::default() }
    }

    /// The number of threads that this machine runs in parallel.
    #[must_use]
    pub fn available_workers() -> NonZeroUsize {
        thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// Pushes `item` into `out`. If the sink wants no more, requests a stop of the whole run.
    /// Returns `Break` once a stop was requested, by any part of the program: further results are
    /// not needed.
    pub fn emit<T>(&self, item: T, out: &mut dyn Sink<T>) -> ControlFlow<()> {
        if out.push(item).is_break() {
            self.stop.request(Cause::Break);
        }
        self.stop.flow()
    }
}

/// Receives a run's results.
///
/// A `dyn Sink` is not `Send`, so the compiler keeps it on the thread that called the model. Each
/// model must bring its results back to that thread by its own means, and these means are what the
/// project compares.
pub trait Sink<T> {
    /// Takes the next result. Blocks while the consumer is slower than the run, but returns once a
    /// stop is requested. `Break` means that no more results are wanted.
    fn push(&mut self, item: T) -> ControlFlow<()>;
}

/// Collects all results.
impl<T> Sink<T> for Vec<T> {
    fn push(&mut self, item: T) -> ControlFlow<()> {
        Vec::push(self, item);
        ControlFlow::Continue(())
    }
}

/// A piece of a program's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// For standard output.
    Out(Vec<u8>),
    /// For standard error.
    Err(Vec<u8>),
}
