//! `sort` on rayon's work-stealing pool.
//!
//! - **Split.** Sorting a chunk, then merging a range of the result: each is a job in the pool.
//!   `par_sort` would need all lines in memory, and a record for each. A chunk is what fits into
//!   one worker's share of the memory, and one worker sorts it.
//! - **Share.** The pool distributes the jobs. Each worker of the pool has its own sorter, which
//!   reuses its memory from task to task, found by the worker's index (`Kernels`). A run in the
//!   blob store is written once, and read only after all of it is written.
//! - **Bound.** The plan's: its number of pending results. The pool accepts any number of jobs, so
//!   the code that spawns them must count.
//! - **Order.** A queue of pending results. Jobs from outside of the pool begin in the order in
//!   which they were spawned. So at most a window of jobs is ahead of the one that `gather` waits
//!   for.
//! - **Stop.** A job in the pool cannot be cancelled. When it begins, it checks for a stop, and if
//!   there is one, it drops its request and so abandons the pending result. A sorter checks also
//!   within a task. The scope ends after all jobs, and then the blob store is emptied.
//! - **Fail.** A panic is caught in the job, and becomes the task's output. That ends the run,
//!   since an incomplete result is wrong. For the same reason, each phase joins its `feed` before
//!   it trusts that the tasks were complete.

use std::{ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    blobs::{BlobStore, MemStore},
    sort::{Job, Output, Sorter, Task, external},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::Scope;

use super::pool::{Kernels, with_pool};
use crate::{caught::caught, pending, threads::Threads};

// ANCHOR: sort-run
/// Runs the job on a pool of `ctx.workers` threads, made for it, and in each phase one thread that
/// feeds them; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs: &dyn BlobStore = if plan.in_memory { &MemStore::default() } else { &job.folder()? };
    let sorters = Kernels::new(ctx, &Sorter::new(&job.query, &ctx.stop));
    with_pool(ctx, |pool| {
        pool.in_place_scope(|scope| {
            let window = ctx.window.min(plan.fits).get();
            let spawner = JobSpawner { ctx, scope, sorters: &sorters, blobs };
            external(job, &plan, blobs, ctx, out, |tasks, out| run_phase(&spawner, tasks, window, out))
        })
    })
}

/// Has the workers do the tasks of one phase, and emits their outputs in order.
fn run_phase(
    spawner: &JobSpawner,
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let ctx = spawner.ctx;
    let (pending_tx, pending_rx) = bounded(window);
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn("feed", move || feed(spawner, tasks, &pending_tx))?;
        let flow = gather(ctx, pending_rx, out);
        threads.join()?;
        Ok(flow)
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Spawns the tasks and, in the same order, queues their pending results.
///
/// It runs on a thread of its own: standard input may be silent, and a worker of the pool must not
/// wait.
fn feed(spawner: &JobSpawner, tasks: impl Iterator<Item = Task>, pending_tx: &Sender<Pending>) {
    for task in tasks {
        let (request, pending) = Request::new(task);
        if pending_tx.send(pending).is_err() {
            break;
        }
        spawner.spawn(request);
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
impl JobSpawner<'_, '_> {
    /// Spawns a job that does the task and completes its pending result.
    fn spawn(&self, request: Request) {
        let Self { ctx, sorters, blobs, .. } = *self;
        self.scope.spawn(move |_| work(ctx, sorters, blobs, request));
    }
}

/// Does a task, on a thread of the pool, unless a stop is requested by then.
fn work(ctx: &Ctx, sorters: &Kernels<Sorter>, blobs: &dyn BlobStore, request: Request) {
    if ctx.stop.requested() {
        return;
    }
    let mut sorter = sorters.mine();
    let output = caught(|| sorter.task(&request.task, blobs), |why| request.task.failed(why));
    request.complete(output);
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of the tasks. Takes the receiver by value: dropping it fails the
/// `send` of `feed` if that waits for room.
fn gather(ctx: &Ctx, pending_rx: Receiver<Pending>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    for pending in pending_rx {
        ctx.emit(pending.wait()?, out)?;
    }
    ctx.stop.flow() // a stop also ends the tasks early, and no output may tell
}
// ANCHOR_END: sort-gather

/// Spawns jobs in the pool during one run, with what they borrow.
#[derive(Clone, Copy)]
struct JobSpawner<'a, 'scope> {
    ctx: &'scope Ctx,
    scope: &'a Scope<'scope>,
    sorters: &'scope Kernels<Sorter>,
    blobs: &'scope dyn BlobStore,
}

type Request = pending::Request<Task, Output>;
type Pending = pending::Pending<Output>;
