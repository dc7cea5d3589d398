//! How a run begins and ends: a runtime of its own and a token for its stop; and everything that it
//! has started is joined.
//!
//! A channel does not say why it was closed: a future or a thread that panics drops its sender,
//! too. So a reader may take a closed channel for the end of the input only because the task or
//! thread that feeds it is joined afterwards, by [`Run::join`] or
//! [`Walk::join`](crate::walk::Walk::join): a panic there is the run's error.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::{Arc, OnceLock},
    time::Duration,
};

use cc_workloads::{Cause, Ctx, Error, Result, Stop, refusal, stop::OnRequest};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// What a run runs on.
///
/// The runtime is dropped before anything else of it, and waits for what its blocking threads are
/// doing.
pub struct Run<'a> {
    runtime: Runtime,
    stop: CancellationToken,
    _on_stop: OnRequest,
    ctx: &'a Ctx,
}

impl<'a> Run<'a> {
    /// A run on a runtime of its own, with `ctx.workers` threads for what blocks or computes.
    ///
    /// # Errors
    ///
    /// If the system refuses the first threads.
    pub fn start(ctx: &'a Ctx) -> Result<Self> {
        Ok(Self::on(runtime(ctx.workers)?, ctx))
    }

    /// A run on the calling thread alone, without timers and sockets.
    ///
    /// # Errors
    ///
    /// If the system refuses the runtime.
    pub fn on_this_thread(ctx: &'a Ctx) -> Result<Self> {
        let runtime = Builder::new_current_thread().build().map_err(Error::io("runtime"))?;
        Ok(Self::on(runtime, ctx))
    }

    /// A run on this runtime.
    pub fn on(runtime: Runtime, ctx: &'a Ctx) -> Self {
        let (stop, on_stop) = token(&ctx.stop);
        Self { runtime, stop, _on_stop: on_stop, ctx }
    }

    /// Has a worker of the runtime poll `future`, which is dropped where it waits when a stop is
    /// requested.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(self.stop.clone().run_until_cancelled_owned(future))
    }

    /// Polls `future` on the calling thread. Nothing else is polled there, so a sink may block it,
    /// and the other threads go on. None if a stop was requested, which drops it where it waits.
    pub fn block_on<F: Future>(&self, future: F) -> Option<F::Output> {
        self.runtime.block_on(self.stop.run_until_cancelled(future))
    }

    /// Waits for a spawned task, before the runtime is dropped: otherwise the task would see the
    /// blocking pool abort what it has started there.
    ///
    /// # Errors
    ///
    /// If the task has panicked. What else is under way then is asked to stop.
    pub fn join<T>(&self, name: &str, task: JoinHandle<T>) -> Result<()> {
        let Err(failure) = self.runtime.block_on(task) else { return Ok(()) };
        self.ctx.stop.request(Cause::Break);
        Err(match failure.try_into_panic() {
            Ok(panic) => Error::panicked(name, &*panic),
            Err(cancelled) => Error::worker(name, cancelled),
        })
    }
}

/// A runtime with so many threads for what blocks or computes.
///
/// The first of these threads is started here and stays. `spawn_blocking` panics if the system
/// refuses a thread while the pool has none; where there is one, it queues the task for that.
fn runtime(workers: NonZeroUsize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(1) // it only passes things on
        .max_blocking_threads(workers.get())
        .thread_keep_alive(Duration::MAX);
    start(&mut builder)
}

fn start(builder: &mut Builder) -> Result<Runtime> {
    let runtime = build(builder)?;
    refusal::returned("thread", || drop(runtime.spawn_blocking(|| ())))?;
    Ok(runtime)
}

/// Builds a multi-thread runtime. Replaces the builder's `on_thread_start`.
///
/// If the system refuses a worker, tokio's `build` panics, and while it unwinds, waits for the
/// workers that it has started already, which never end. It does not wait in a future, where
/// blocking is forbidden; so it is called in one. The workers begin when it has returned; if it has
/// panicked, they end instead.
///
/// # Errors
///
/// If the system refuses a thread, or what the runtime waits with.
pub fn build(builder: &mut Builder) -> Result<Runtime> {
    let is_built = Arc::new(OnceLock::<bool>::new());
    let begin = is_built.clone();
    builder.on_thread_start(move || {
        if !*begin.wait() {
            resume_unwind(Box::new("there is no runtime"));
        }
    });
    let outside = Builder::new_current_thread().build().map_err(Error::io("runtime"))?;
    let built = outside.block_on(async { refusal::returned("thread", || builder.build()) });
    let _ = is_built.set(built.is_ok());
    built?.map_err(Error::io("runtime"))
}

/// Builds a runtime for the calling thread, with timers and sockets.
///
/// # Errors
///
/// If the system refuses what it waits with, which is where tokio panics for its signals.
pub fn current_thread() -> Result<Runtime> {
    let build = || Builder::new_current_thread().enable_all().build();
    refusal::returned("runtime", build)?.map_err(Error::io("runtime"))
}

/// A token that is cancelled when a stop is requested, for as long as the other half is there.
pub fn token(stop: &Stop) -> (CancellationToken, OnRequest) {
    let token = CancellationToken::new();
    let doomed = token.clone();
    (token, stop.on_request(move || doomed.cancel()))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// More than there are addresses: the system refuses a thread with such a stack.
    const STACK: usize = 1 << 47;

    fn message<T>(result: Result<T>) -> String {
        result.err().expect("it cannot be started").to_string()
    }

    #[test]
    fn a_runtime_whose_workers_cannot_be_started_is_an_error_and_does_not_hang() {
        let why = message(build(Builder::new_multi_thread().worker_threads(2).thread_stack_size(STACK)));
        assert!(why.starts_with("thread: panicked: OS can't spawn worker thread"), "{why}");
    }

    #[test]
    fn a_panic_of_a_task_is_the_runs_error_and_stops_the_run() {
        let ctx = Ctx::new(NonZeroUsize::MIN);
        let run = Run::start(&ctx).unwrap();
        let feed = run.spawn(async { panic!("planned") });
        let why = message(run.join::<Option<()>>("feed", feed));
        assert_eq!((&*why, ctx.stop.requested()), ("feed: panicked: planned", true));
    }

    #[test]
    fn a_stop_drops_what_waits() {
        let ctx = Ctx::new(NonZeroUsize::MIN);
        let run = Run::start(&ctx).unwrap();
        let feed = run.spawn(pending::<()>());
        ctx.stop.request(Cause::Test);
        assert_eq!(run.block_on(pending::<()>()), None);
        assert!(run.join("feed", feed).is_ok());
    }
}
