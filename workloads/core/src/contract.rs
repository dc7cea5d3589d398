//! What a model provides and what it is given.

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

/// A model's answer to one workload.
#[derive(Clone, Copy, Debug)]
pub enum Entry<F> {
    /// The function that runs it.
    Run(F),
    /// Why this model has none. Only variants may decline; `compare` prints the reason.
    Declined(&'static str),
}

impl<F> Entry<F> {
    /// Why there is no function, if there is none.
    #[must_use]
    pub fn declined(&self) -> Option<&'static str> {
        match self {
            Self::Run(_) => None,
            Self::Declined(why) => Some(why),
        }
    }
}

impl<F: Copy> Entry<F> {
    /// The function.
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

/// The values of a model's own options, by the names of the options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, Vec<OsString>>);

impl Options {
    /// Adds a value to those of an option. That of a switch is empty.
    pub fn add(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.entry(name.to_owned()).or_default().push(value.into());
    }

    /// The values of an option, in the order in which they were given.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.0.get(name).into_iter().flatten().map(OsString::as_os_str)
    }

    /// The value of an option that has one. Of several, the last counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.all(name).last()
    }
}

/// What every run is given beside its job.
#[derive(Clone)]
pub struct Ctx {
    /// How many workers do the work: threads, processes or hosts.
    pub workers: NonZeroUsize,
    /// How many tasks may be between feed and gather: started, or done and waiting for their turn. A task is
    /// bounded in bytes, so this is the bound on memory in every model.
    pub window: NonZeroUsize,
    /// How the run is asked to end early.
    pub stop: Stop,
    /// The options of the model itself.
    pub options: Options,
}

impl Ctx {
    /// A context for `workers` workers with the default window of sixteen tasks a worker.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        let window = workers.saturating_mul(const { NonZeroUsize::new(16).expect("sixteen is not zero") });
        Self { workers, window, stop: Stop::new(), options: Options::default() }
    }

    /// As many workers as this machine runs threads at once.
    #[must_use]
    pub fn available_workers() -> NonZeroUsize {
        thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// Hands `item` to `out`. If `out` wants nothing more, asks the whole run to stop. `Break` means that a stop was
    /// requested, by whomever: there is no point in handing over more.
    pub fn emit<T>(&self, item: T, out: &mut dyn Sink<T>) -> ControlFlow<()> {
        if out.push(item).is_break() {
            self.stop.request(Cause::Break);
        }
        self.stop.flow()
    }
}

/// Where a run's results go, in order.
///
/// A `dyn Sink` is not `Send`: the compiler keeps it on the thread that called the model, so every model
/// brings its results back by its own means, which is what there is to compare.
pub trait Sink<T> {
    /// Takes the next result. Blocks while its consumer is behind, but returns once a stop is requested.
    /// `Break` means that nothing more is wanted.
    fn push(&mut self, item: T) -> ControlFlow<()>;
}

/// Keeps everything.
impl<T> Sink<T> for Vec<T> {
    fn push(&mut self, item: T) -> ControlFlow<()> {
        Vec::push(self, item);
        ControlFlow::Continue(())
    }
}

/// A part of what a program prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// For standard output.
    Out(Vec<u8>),
    /// For standard error.
    Err(Vec<u8>),
}
