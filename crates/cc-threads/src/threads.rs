//! The threads of a run: each has a name and is joined, and if it panics, that is the run's error.
//!
//! A channel does not say why it was closed: a thread that panics drops its sender, too. So a
//! reader may take a closed channel for the end of the input only because the thread that feeds it
//! is joined afterwards, and [`Threads::join`] says whether it came to its end.

use std::thread::{self, Scope, ScopedJoinHandle};

use cc_workloads::{Cause, Ctx, Error, Result};

/// The threads that a run, or a phase of it, has started.
pub struct Threads<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    ctx: &'env Ctx,
    started: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope, 'env> Threads<'scope, 'env> {
    /// No threads yet. The scope waits for all of them even if [`Threads::join`] is never reached.
    #[must_use]
    pub fn new(scope: &'scope Scope<'scope, 'env>, ctx: &'env Ctx) -> Self {
        Self { scope, ctx, started: Vec::new() }
    }

    /// Starts `ctx.workers` threads; `worker` makes what each of them runs, by its number.
    ///
    /// `worker` is dropped then, so it should own the ends of channels that it clones for the
    /// workers: they close with the last worker, and not when the run ends.
    ///
    /// # Errors
    ///
    /// If the system has no room for a thread more.
    pub fn spawn_workers<F: FnOnce() + Send + 'scope>(&mut self, worker: impl Fn(usize) -> F) -> Result<()> {
        (0..self.ctx.workers.get()).try_for_each(|n| self.spawn(format!("worker-{n}"), worker(n)))
    }

    /// Starts a thread. If it panics, the run is asked to stop: what it left undone would be waited
    /// for.
    ///
    /// # Errors
    ///
    /// If the system has no room for a thread more.
    pub fn spawn(&mut self, name: impl Into<String>, body: impl FnOnce() + Send + 'scope) -> Result<()> {
        let alarm = Alarm(self.ctx);
        let body = move || {
            let _alarm = alarm;
            body();
        };
        self.started.push(start(self.scope, name, body)?);
        Ok(())
    }

    /// Waits until all of them have ended. The channels on which they may be waiting must be closed
    /// before.
    ///
    /// # Errors
    ///
    /// The first panic, with the thread's name.
    pub fn join(self) -> Result<()> {
        let ends: Vec<_> = self.started.into_iter().map(join).collect();
        ends.into_iter().collect()
    }
}

/// Starts a thread. The scope waits for it, and passes its panic on if the handle is not joined.
///
/// # Errors
///
/// If the system has no room for it.
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

/// Requests a stop if it is dropped by a panic.
struct Alarm<'a>(&'a Ctx);

impl Drop for Alarm<'_> {
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
        let (stopped, waits) = sync_channel::<()>(0);
        let _on_stop = ctx.stop.on_request(move || drop(stopped));
        let ended = thread::scope(|scope| {
            let mut threads = Threads::new(scope, &ctx);
            threads.spawn("waits", move || assert!(waits.recv().is_err()))?;
            threads.spawn("feed", || panic!("planned"))?;
            threads.join()
        });
        let error = ended.expect_err("a thread has panicked").to_string();
        assert_eq!(error, "feed: panicked: planned");
        assert_eq!(ctx.stop.cause(), Some(Cause::Break));
    }

    #[test]
    fn threads_that_come_to_their_end_are_no_error() {
        let ctx = Ctx::new(NonZeroUsize::MIN);
        let ended = thread::scope(|scope| {
            let mut threads = Threads::new(scope, &ctx);
            threads.spawn("feed", || ())?;
            threads.join()
        });
        assert!(ended.is_ok() && !ctx.stop.requested());
    }
}
