//! How a run begins and ends: it has its own runtime and a token for its stop, and joins all that
//! it has started.
//!
//! A closed channel does not tell why it was closed: a future or a thread that panics drops its
//! sender, too. A receiver may take it for the end of the input only because a join follows.
//! [`Run::join`] or [`Source::join`](crate::source::Source::join) reports a panic of the sender.

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

/// Maximum tasks that `buffered` or `buffer_unordered` holds: two per worker. While a thread of the
/// blocking pool does one task, another waits in the pool's queue, so the thread need not wait for
/// the next.
pub fn max_in_flight(ctx: &Ctx) -> usize {
    2 * ctx.workers.get()
}

/// The runtime of a run, and the token for its stop.
pub struct Run<'a> {
    /// The first field, and so the first to be dropped. Its drop waits for all functions that run
    /// in the blocking pool.
    runtime: Runtime,
    stop: CancellationToken,
    _on_stop: OnRequest,
    ctx: &'a Ctx,
}

impl<'a> Run<'a> {
    /// A run on a multi-thread runtime, with `ctx.workers` threads in its blocking pool.
    ///
    /// # Errors
    ///
    /// If the system cannot create the first threads.
    pub fn start(ctx: &'a Ctx) -> Result<Self> {
        Ok(Self::on(ctx, runtime(ctx.workers)?))
    }

    /// A run on the calling thread alone, without timers and sockets.
    ///
    /// # Errors
    ///
    /// If the runtime cannot be created.
    pub fn on_this_thread(ctx: &'a Ctx) -> Result<Self> {
        let runtime = Builder::new_current_thread().build().map_err(Error::io("runtime"))?;
        Ok(Self::on(ctx, runtime))
    }

    /// A run on the given runtime.
    pub fn on(ctx: &'a Ctx, runtime: Runtime) -> Self {
        let (stop, on_stop) = token(&ctx.stop);
        Self { runtime, stop, _on_stop: on_stop, ctx }
    }

    /// Spawns `future` as a task of the runtime. A stop cancels it: it is dropped at the `await`
    /// where it waits. What it holds there is lost, which is fine in a stopped run: no more outputs
    /// are needed.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(self.stop.clone().run_until_cancelled_owned(future))
    }

    /// Polls `future` on the calling thread. On a multi-thread runtime, nothing else is polled
    /// there, so a sink that blocks this thread does not block the others. Returns none if a stop
    /// was requested, which drops the future at the `await` where it waits.
    pub fn block_on<F: Future>(&self, future: F) -> Option<F::Output> {
        self.runtime.block_on(self.stop.run_until_cancelled(future))
    }

    /// Waits for a spawned task. This must happen before the runtime shuts down: otherwise the task
    /// sees its blocking tasks cancelled, and takes that for a panic.
    ///
    /// # Errors
    ///
    /// If the task has panicked. Then a stop of the run is requested, too.
    pub fn join<T>(&self, name: &str, task: JoinHandle<T>) -> Result<()> {
        let Err(failure) = self.runtime.block_on(task) else { return Ok(()) };
        self.ctx.stop.request(Cause::Break);
        Err(match failure.try_into_panic() {
            Ok(panic) => Error::panicked(name, &*panic),
            Err(cancelled) => Error::worker(name, cancelled),
        })
    }
}

/// Builds a multi-thread runtime with `workers` threads in its blocking pool, and one worker.
///
/// The first thread of the pool is created here, and stays. `spawn_blocking` panics if the system
/// cannot create a thread while the pool has none; if it has one, it queues the task instead.
fn runtime(workers: NonZeroUsize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(1) // it polls futures that only pass messages on
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
/// If the system cannot create a worker, tokio's `build` panics. While it unwinds, it waits for the
/// workers that were already started, and these never end. Within a future, where blocking is
/// forbidden, it does not wait; so `build` is called in a future. The workers begin only after it
/// has returned. If it has panicked, they end instead.
///
/// # Errors
///
/// If the system cannot create a thread, or the descriptors for timers and sockets.
pub fn build(builder: &mut Builder) -> Result<Runtime> {
    let is_built = Arc::new(OnceLock::<bool>::new());
    let may_begin = is_built.clone();
    builder.on_thread_start(move || {
        if !*may_begin.wait() {
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
/// If the system cannot create its descriptors. Tokio panics if these are the ones for signals;
/// that panic is returned as an error, too.
pub fn current_thread() -> Result<Runtime> {
    let build = || Builder::new_current_thread().enable_all().build();
    refusal::returned("runtime", build)?.map_err(Error::io("runtime"))
}

/// Returns a token that a stop cancels, and the registration that connects the two. Dropping the
/// registration disconnects them.
pub fn token(stop: &Stop) -> (CancellationToken, OnRequest) {
    let token = CancellationToken::new();
    let cancelled_by_stop = token.clone();
    (token, stop.on_request(move || cancelled_by_stop.cancel()))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// A stack larger than the address space: the system cannot create such a thread.
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
    fn a_stop_drops_futures_that_wait() {
        let ctx = Ctx::new(NonZeroUsize::MIN);
        let run = Run::start(&ctx).unwrap();
        let feed = run.spawn(pending::<()>());
        ctx.stop.request(Cause::Test);
        assert_eq!(run.block_on(pending::<()>()), None);
        assert!(run.join("feed", feed).is_ok());
    }
}
