//! The threads of a run. Each thread has a name and is joined; a panic of a thread is the run's
//! error.
//!
//! A closed channel does not tell why it was closed: a thread that panics drops its sender, too. A
//! receiver may take it for the end of the input only because [`Threads::join`] follows, which
//! reports a panic of the sender.

use std::thread::{self, Scope, ScopedJoinHandle};

use cc_workloads::{Cause, Ctx, Error, Result};

/// Maximum tasks in flight of one remainder, and the size of a batch in rayon's `wordcount`: two
/// per worker. While a worker does one task, another waits in the queue, so the worker need not
/// wait for the next.
#[must_use]
pub fn max_in_flight(ctx: &Ctx) -> usize {
    2 * ctx.workers.get()
}

/// The threads that a run, or one phase of it, has started.
pub struct Threads<'scope, 'env: 'scope> {
    ctx: &'env Ctx,
    scope: &'scope Scope<'scope, 'env>,
    started: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope, 'env> Threads<'scope, 'env> {
    /// Creates an empty set of threads. If [`Threads::join`] is not reached, the scope still waits
    /// for all of them.
    #[must_use]
    pub fn new(ctx: &'env Ctx, scope: &'scope Scope<'scope, 'env>) -> Self {
        Self { ctx, scope, started: Vec::new() }
    }

    /// Starts `ctx.workers` threads. `worker` returns the body of each, given its number.
    ///
    /// `worker` is dropped on return, so it should own the channel ends that it clones for the
    /// workers. A channel then closes when the last worker ends. If `run` kept a receiver until its
    /// own end, a `send` to workers that have ended would never fail: `feed` would wait forever for
    /// room in the queue, and the join would wait forever for `feed`.
    ///
    /// # Errors
    ///
    /// If the system cannot create another thread.
    pub fn spawn_workers<F: FnOnce() + Send + 'scope>(&mut self, worker: impl Fn(usize) -> F) -> Result<()> {
        (0..self.ctx.workers.get()).try_for_each(|n| self.spawn(format!("worker-{n}"), worker(n)))
    }

    /// Starts a thread. If it panics, it requests a stop of the run: other threads may be waiting
    /// for what it did not finish.
    ///
    /// # Errors
    ///
    /// If the system cannot create another thread.
    pub fn spawn(&mut self, name: impl Into<String>, body: impl FnOnce() + Send + 'scope) -> Result<()> {
        let guard = StopOnPanic(self.ctx);
        let body = move || {
            let _guard = guard;
            body();
        };
        self.started.push(start(self.scope, name, body)?);
        Ok(())
    }

    /// Waits until all threads have ended. The caller must first drop its end of each channel that
    /// a thread may be waiting on; otherwise both wait forever.
    ///
    /// # Errors
    ///
    /// The first panic, with the thread's name.
    pub fn join(self) -> Result<()> {
        // Join all of them before returning the first error: `collect` into a `Result` stops early.
        let results: Vec<Result<()>> = self.started.into_iter().map(join).collect();
        results.into_iter().collect()
    }
}

/// Starts a thread in the scope. The scope waits for it, and panics if the thread has panicked and
/// its handle was not joined.
///
/// # Errors
///
/// If the system cannot create another thread.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: impl Into<String>,
    body: impl FnOnce() + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, ()>> {
    let thread = thread::Builder::new().name(name.into());
    thread.spawn_scoped(scope, body).map_err(|error| Error::worker("thread", error))
}

fn join(thread: ScopedJoinHandle<()>) -> Result<()> {
    let name = thread.thread().name().unwrap_or("thread").to_owned();
    thread.join().map_err(|panic| Error::panicked(name, &*panic))
}

/// Requests a stop if it is dropped while its thread unwinds.
struct StopOnPanic<'a>(&'a Ctx);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop.request(Cause::Break);
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
        let error = result.expect_err("a thread has panicked").to_string();
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
