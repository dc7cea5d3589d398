//! The thread pool of a run, and the kernels that its workers own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cc_workloads::{Ctx, Error, Result};
use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder, current_thread_index};

/// Runs `body` with a pool of `ctx.workers` threads, made for it.
///
/// `body` stays on the calling thread, with the sink. To spawn jobs, it calls `in_place_scope`,
/// which stays there, too. `scope` would move its closure to a worker, and gathering would block
/// that worker.
///
/// # Errors
///
/// The error of `body`, or that the system cannot create a thread.
pub(crate) fn with_pool<T>(ctx: &Ctx, body: impl FnOnce(&ThreadPool) -> Result<T>) -> Result<T> {
    ThreadPoolBuilder::new()
        .num_threads(ctx.workers.get())
        .thread_name(|n| format!("worker-{n}"))
        // Scoped, since a run must leave no threads: dropping a `ThreadPool` does not wait for
        // them.
        .build_scoped(ThreadBuilder::run, body)
        .map_err(|e| Error::worker("pool", e))?
}

/// Runs a job that feeds the other jobs, and returns its panic as an error. Its panic closes the
/// channel of the outputs just as its normal end does, so `gather` cannot tell the two apart.
///
/// # Errors
///
/// The job's panic, with its name.
pub(crate) fn catch_panic(name: &str, job: impl FnOnce()) -> Result<()> {
    // `AssertUnwindSafe` is sound: the run ends with this error, and nothing reads what the job has
    // changed.
    catch_unwind(AssertUnwindSafe(job)).map_err(|panic| Error::panicked(name, &*panic))
}

/// One kernel for each worker of the pool. Its lock satisfies the compiler and is never contended:
/// only that worker takes it.
pub(crate) struct Kernels<K>(Vec<Mutex<K>>);

impl<K: Clone> Kernels<K> {
    /// Clones `kernel` once for each worker.
    pub(crate) fn new(ctx: &Ctx, kernel: &K) -> Self {
        Self((0..ctx.workers.get()).map(|_| Mutex::new(kernel.clone())).collect())
    }
}

impl<K> Kernels<K> {
    /// The kernel of the worker that this job runs on. Poison is ignored: a kernel resets its
    /// buffers at the start of each task.
    pub(crate) fn mine(&self) -> MutexGuard<'_, K> {
        let worker = current_thread_index().expect("jobs run in the pool");
        self.0[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
