//! What a model provides and what it is given.

use std::{num::NonZeroUsize, ops::ControlFlow, thread};

use crate::{
    fetch, grep, kv, mandelbrot, resize, sort,
    stop::{Cause, Stop},
    wordcount,
};

/// A concurrency model, as the table of the workloads it is written for.
///
/// Being one struct, it makes a forgotten workload or a wrong signature a compile error in the model's crate.
#[derive(Clone, Copy)]
pub struct Model {
    /// What `--model` takes, and the row's name in every table.
    pub name: &'static str,
    /// The mechanism in a few words: "`std::thread` + crossbeam channels".
    pub mechanism: &'static str,
    /// The first call of every `main`, tests included: in a program that was started as this model's worker
    /// process, it does the worker's part and does not return.
    pub enter: fn(),
    /// Adds the command-line options that only this model has; a run finds their values in [`Ctx::args`].
    pub args: fn(clap::Command) -> clap::Command,
    /// The parallel `grep`.
    pub grep: Entry<grep::Run>,
    /// Photographs into thumbnails.
    pub resize: Entry<resize::Run>,
    /// Iteration counts of every pixel.
    pub mandelbrot: Entry<mandelbrot::Run>,
    /// How often each word occurs.
    pub wordcount: Entry<wordcount::Run>,
    /// The lines of files in order, with as much memory as is allowed.
    pub sort: Entry<sort::Run>,
    /// A key-value server.
    pub kv: Entry<kv::Serve>,
    /// Many resources, downloaded at once, with limits.
    pub fetch: Entry<fetch::Run>,
}

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
    /// The options of the model itself (see [`Model::args`]).
    pub args: clap::ArgMatches,
}

impl Ctx {
    /// A context for `workers` workers with the default window of sixteen tasks a worker.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        let window = workers.saturating_mul(const { NonZeroUsize::new(16).expect("sixteen is not zero") });
        Self { workers, window, stop: Stop::new(), args: clap::ArgMatches::default() }
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
        if self.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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

/// A part of what a program prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// For standard output.
    Out(Vec<u8>),
    /// For standard error.
    Err(Vec<u8>),
}
