//! How a run begins and ends: a runtime of its own and a token for its stop; and everything that it
//! has started is joined.
//!
//! A channel does not say why it was closed: a future or a thread that panics drops its sender,
//! too. So a reader may take a closed channel for the end of the input only because the task or
//! thread that feeds it is joined afterwards, by [`join`] or [`join_thread`]: a panic there is the
//! run's error.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::{Arc, OnceLock},
    thread::{self, Scope, ScopedJoinHandle},
    time::Duration,
};

use cc_workloads::{Cause, Ctx, Error, Result, Stop, refusal, stop::OnRequest};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A runtime with so many threads for what blocks or computes.
///
/// The first of these threads is started here and stays. `spawn_blocking` panics if the system
/// refuses a thread while the pool has none; where there is one, it queues the task for that.
///
/// # Errors
///
/// If the system refuses the first threads.
pub fn runtime(workers: NonZeroUsize) -> Result<Runtime> {
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

/// Waits for a task of the runtime, before the runtime is dropped: otherwise the task would see the
/// blocking pool abort what it has started there.
///
/// # Errors
///
/// If the task has panicked. What else is under way then is asked to stop.
pub async fn join<T>(ctx: &Ctx, name: &str, task: JoinHandle<T>) -> Result<()> {
    let Err(failure) = task.await else { return Ok(()) };
    ctx.stop.request(Cause::Break);
    Err(match failure.try_into_panic() {
        Ok(panic) => Error::panicked(name, &*panic),
        Err(cancelled) => Error::worker(name, cancelled),
    })
}

/// Starts a thread for what waits in system calls, such as a walk: the blocking pool is for what
/// ends soon.
///
/// # Errors
///
/// If the system refuses it.
pub fn start_thread<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, ()>> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn_scoped(scope, body).map_err(|e| Error::worker("thread", e))
}

/// Waits for a thread.
///
/// # Errors
///
/// If it has panicked.
pub fn join_thread(thread: ScopedJoinHandle<()>) -> Result<()> {
    let name = thread.thread().name().unwrap_or("thread").to_owned();
    thread.join().map_err(|panic| Error::panicked(name, &*panic))
}

#[cfg(test)]
mod tests {
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
        let runtime = runtime(ctx.workers).unwrap();
        let feed = runtime.spawn(async { panic!("planned") });
        let why = message(runtime.block_on(join::<()>(&ctx, "feed", feed)));
        assert_eq!((&*why, ctx.stop.requested()), ("feed: panicked: planned", true));
    }

    #[test]
    fn a_panic_of_a_thread_is_the_runs_error() {
        let joined = thread::scope(|scope| join_thread(start_thread(scope, "walk", || panic!("planned"))?));
        assert_eq!(message(joined), "walk: panicked: planned");
    }
}
