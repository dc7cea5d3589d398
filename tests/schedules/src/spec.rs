//! Stands in for the contract of the spec, without its workloads.

use std::{num::NonZeroUsize, ops::ControlFlow};

use crate::stop::{Cause, Stop};

/// What every run is given besides its job.
#[derive(Clone)]
pub struct Ctx {
    /// The number of workers.
    pub workers: NonZeroUsize,
    /// The window: limits the tasks that are begun, or done and not yet emitted.
    pub window: NonZeroUsize,
    /// The request to end the run early.
    pub stop: Stop,
    /// The model's own options: none.
    pub options: (),
}

impl Ctx {
    /// A context with this number of workers and this window.
    ///
    /// # Panics
    ///
    /// If either is zero.
    #[must_use]
    pub fn with_window(workers: usize, window: usize) -> Self {
        let not_zero = |n| NonZeroUsize::new(n).expect("a test has workers and a window");
        Self { workers: not_zero(workers), window: not_zero(window), stop: Stop::new(), options: () }
    }

    /// Used by the unit tests of files under test, which are compiled but not run.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        Self::with_window(workers.get(), workers.get())
    }

    /// Pushes `item` to `out`, as the spec does.
    pub fn emit<T>(&self, item: T, out: &mut dyn Sink<T>) -> ControlFlow<()> {
        if out.push(item).is_break() {
            self.stop.request(Cause::Break);
        }
        if self.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Where a run's results go, in order.
pub trait Sink<T> {
    /// Takes the next result. `Break` means that no more are wanted.
    fn push(&mut self, item: T) -> ControlFlow<()>;
}
