//! `sort` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** Sorting a chunk, then merging a range of the result: each is one call of
//!   `spawn_blocking`, since it computes, and reads and writes files.
//! - **Share.** All tasks share the blob store through an `Arc`. A run in it is written once, and
//!   read only after all of it is written. Tasks borrow sorters from an object [`Pool`]; a sorter
//!   reuses its memory from task to task.
//! - **Bound.** The plan's: its number of pending results, since text that waits for its turn takes
//!   memory, too. A phase that has ended leaves nothing in memory but its runs.
//! - **Order.** A queue of pending results, awaited in the order of the tasks. Runs must stay in
//!   the order of the input, or equal lines would not. The tasks are spawned, so they are done also
//!   while `gather` prints and awaits nothing.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather` where they wait. Dropping pending results cancels the tasks that have not begun. A
//!   kernel that runs checks for the stop itself. Dropping the runtime waits for it, and only then
//!   is the blob store emptied.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. That
//!   ends the run, since an incomplete result is wrong. For the same reason, each phase joins
//!   `feed` and the source before it trusts that the tasks were complete.

use std::{ops::ControlFlow, sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    blobs::{BlobStore, MemStore},
    sort::{Job, Output, Sorter, Task, external},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{pending, pool::Pool, runtime::Run, source::Source};

// ANCHOR: sort-run
/// Runs the job on its own runtime, with `ctx.workers` threads for blocking tasks; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs: Arc<dyn BlobStore> =
        if plan.in_memory { Arc::new(MemStore::default()) } else { Arc::new(job.folder()?) };
    let sorters = Arc::new(Pool::new(Sorter::new(&job.query, &ctx.stop)));
    let window = ctx.window.min(plan.fits).get();
    // Declared after `blobs`, so it is dropped before: its drop waits for kernels that use them.
    let run = Run::start(ctx)?;
    external(job, &plan, &*blobs, ctx, out, |tasks, out| {
        run_phase(ctx, &run, &sorters, &blobs, tasks, window, out)
    })
}

/// Has the blocking pool do the tasks of one phase, and emits their outputs in order.
fn run_phase(
    ctx: &Ctx,
    run: &Run,
    sorters: &Arc<Pool<Sorter>>,
    blobs: &Arc<dyn BlobStore>,
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let (pending_tx, pending_rx) = mpsc::channel(window);
    thread::scope(|scope| {
        let (source, tasks_rx) = Source::start(scope, tasks)?;
        let feed = run.spawn(feed(sorters.clone(), blobs.clone(), tasks_rx, pending_tx));
        let flow = run.block_on(gather(ctx, pending_rx, out));
        let fed = run.join("feed", feed);
        source.join().and(fed)?;
        Ok(flow.unwrap_or(ControlFlow::Break(())))
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Starts the tasks, each only when there is room for its pending result.
async fn feed(
    sorters: Arc<Pool<Sorter>>,
    blobs: Arc<dyn BlobStore>,
    mut tasks_rx: Receiver<Task>,
    pending_tx: Sender<Pending>,
) {
    // The permit comes first: to spawn a task and then wait for room would exceed the bound by one.
    while let Ok(permit) = pending_tx.reserve().await {
        let Some(task) = tasks_rx.recv().await else { break };
        permit.send(work(&sorters, &blobs, task));
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Starts a task in the blocking pool.
fn work(sorters: &Arc<Pool<Sorter>>, blobs: &Arc<dyn BlobStore>, task: Task) -> Pending {
    let (sorters, blobs) = (sorters.clone(), blobs.clone());
    Pending::spawn(task, Task::failed, move |task| sorters.lend().task(task, &*blobs))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of the tasks.
async fn gather(ctx: &Ctx, mut pending_rx: Receiver<Pending>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    while let Some(pending) = pending_rx.recv().await {
        ctx.emit(pending.output().await, out)?;
    }
    ctx.stop.flow() // a stop also ends the tasks early, and no output may tell
}
// ANCHOR_END: sort-gather

type Pending = pending::Pending<Task, Output>;
