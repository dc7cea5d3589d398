//! Stands in for the contract of the spec, without its workloads.

use std::{num::NonZeroUsize, ops::ControlFlow};

use crate::stop::{Cause, Stop};

/// What every run is given beside its job.
#[derive(Clone)]
pub struct Ctx {
    /// How many workers do the work.
    pub workers: NonZeroUsize,
    /// How many tasks may be between feed and gather.
    pub window: NonZeroUsize,
    /// How the run is asked to end early.
    pub stop: Stop,
    /// The options of the model itself: none.
    pub options: (),
}

impl Ctx {
    /// A context with so many workers and a window of so many tasks.
    ///
    /// # Panics
    ///
    /// If one of them is zero.
    #[must_use]
    pub fn with_window(workers: usize, window: usize) -> Self {
        let not_zero = |n| NonZeroUsize::new(n).expect("a test has workers and a window");
        Self { workers: not_zero(workers), window: not_zero(window), stop: Stop::new(), options: () }
    }

    /// For the unit tests of a file under test, which are compiled and not run.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        Self::with_window(workers.get(), workers.get())
    }

    /// Hands `item` to `out`, as the spec does it.
    pub fn emit<T>(&self, item: T, out: &mut dyn Sink<T>) -> ControlFlow<()> {
        if out.push(item).is_break() {
            self.stop.request(Cause::Break);
        }
        if self.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Where a run's results go, in order.
pub trait Sink<T> {
    /// Takes the next result. `Break` means that nothing more is wanted.
    fn push(&mut self, item: T) -> ControlFlow<()>;
}
