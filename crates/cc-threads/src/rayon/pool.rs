//! The pool of a run: its threads, and what each of them has for itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cc_workloads::{Ctx, Error, Result};
use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder, current_thread_index};

/// Runs `body` with a pool of `ctx.workers` threads, made for it. `body` stays on the calling
/// thread, with the sink. It spawns by `in_place_scope`, which keeps it there: `scope` would move
/// it to a worker, which would be blocked by gathering.
///
/// # Errors
///
/// That of `body`, or that the system refuses a thread.
pub(crate) fn with_pool<T>(ctx: &Ctx, body: impl FnOnce(&ThreadPool) -> Result<T>) -> Result<T> {
    ThreadPoolBuilder::new()
        .num_threads(ctx.workers.get())
        .thread_name(|n| format!("worker-{n}"))
        // Scoped: a pool that is merely dropped does not wait until its threads have ended.
        .build_scoped(ThreadBuilder::run, body)
        .map_err(|e| Error::worker("pool", e))?
}

/// Runs a job that feeds the others. Its panic closes the channel of the outputs as its end does,
/// so it is told apart here.
///
/// # Errors
///
/// The job's panic, with its name.
pub(crate) fn catch_panic(name: &str, job: impl FnOnce()) -> Result<()> {
    // The run ends with this error, and nothing that the job has changed is looked at.
    catch_unwind(AssertUnwindSafe(job)).map_err(|panic| Error::panicked(name, &*panic))
}

/// A kernel for each worker of the pool. The lock around it is never waited for: only its worker
/// takes it.
pub(crate) struct Kernels<K>(Vec<Mutex<K>>);

impl<K: Clone> Kernels<K> {
    /// Clones of `kernel`, as many as there are workers.
    pub(crate) fn new(kernel: &K, ctx: &Ctx) -> Self {
        Self((0..ctx.workers.get()).map(|_| Mutex::new(kernel.clone())).collect())
    }
}

impl<K> Kernels<K> {
    /// The kernel of the worker that this job runs on.
    pub(crate) fn mine(&self) -> MutexGuard<'_, K> {
        let worker = current_thread_index().expect("jobs run in the pool");
        self.0[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
