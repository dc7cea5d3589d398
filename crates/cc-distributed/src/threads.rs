//! The coordinator's threads that feed a run. Each has a name and is joined; a panic of one is the
//! run's error.
//!
//! A closed channel does not say why it was closed: a thread that panics drops its sender, too. A
//! reader may take a closed channel for the end of the input only because the feeding thread is
//! joined afterwards: [`Threads::join`] reports whether it panicked.

use std::thread::{self, Scope, ScopedJoinHandle};

use cc_workloads::{Cause, Ctx, Error, Result, Stop};

/// The threads that a run, or a phase of it, has started.
pub(crate) struct Threads<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    stop: Stop,
    started: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope, 'env> Threads<'scope, 'env> {
    /// Creates an empty set of threads. The scope joins them even if [`Threads::join`] is not
    /// called.
    #[must_use]
    pub(crate) fn new(ctx: &Ctx, scope: &'scope Scope<'scope, 'env>) -> Self {
        Self { scope, stop: ctx.stop.clone(), started: Vec::new() }
    }

    /// Starts a thread. If it panics, a stop of the run is requested: other threads would wait
    /// forever for results that it can no longer produce.
    ///
    /// # Errors
    ///
    /// If the system refuses another thread.
    pub(crate) fn spawn(
        &mut self,
        name: impl Into<String>,
        body: impl FnOnce() + Send + 'scope,
    ) -> Result<()> {
        let stop_on_panic = StopOnPanic(self.stop.clone());
        let body = move || {
            let _stop_on_panic = stop_on_panic;
            body();
        };
        let thread = thread::Builder::new().name(name.into()).spawn_scoped(self.scope, body);
        self.started.push(thread.map_err(|e| Error::worker("thread", e))?);
        Ok(())
    }

    /// Waits until all threads have ended. The caller must first close every channel on which they
    /// may be waiting.
    ///
    /// # Errors
    ///
    /// The first panic, with the thread's name.
    pub(crate) fn join(self) -> Result<()> {
        // All are joined before the first error is returned.
        let results: Vec<_> = self.started.into_iter().map(join).collect();
        results.into_iter().collect()
    }
}

fn join(thread: ScopedJoinHandle<()>) -> Result<()> {
    let name = thread.thread().name().unwrap_or("thread").to_owned();
    thread.join().map_err(|panic| Error::panicked(name, &*panic))
}

/// Requests a stop if a panic drops it.
struct StopOnPanic(Stop);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.request(Cause::Break);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::mpsc::sync_channel};

    use super::*;

    #[test]
    fn a_panic_is_the_runs_error_by_name_and_stops_the_other_threads() {
        let ctx = Ctx::new(NonZeroUsize::MIN);
        let (stop_tx, stop_rx) = sync_channel::<()>(0);
        let _on_stop = ctx.stop.on_request(move || drop(stop_tx));
        let result = thread::scope(|scope| {
            let mut threads = Threads::new(&ctx, scope);
            threads.spawn("waits", move || assert!(stop_rx.recv().is_err()))?;
            threads.spawn("feed", || panic!("planned"))?;
            threads.join()
        });
        let error = result.expect_err("a thread panicked").to_string();
        assert_eq!(error, "feed: panicked: planned");
        assert_eq!(ctx.stop.cause(), Some(Cause::Break));
    }

    #[test]
    fn threads_that_return_are_no_error() {
        let ctx = Ctx::new(NonZeroUsize::MIN);
        let result = thread::scope(|scope| {
            let mut threads = Threads::new(&ctx, scope);
            threads.spawn("feed", || ())?;
            threads.join()
        });
        assert!(result.is_ok() && !ctx.stop.requested());
    }
}
