//! `sort` on free threads.
//!
//! - **Split.** First by the input: a chunk is what fits into one worker's share of the memory.
//!   Then by the result: a merge makes at most about two mebibytes of it, however long the runs
//!   are. A single merge of everything would leave all workers but one idle.
//! - **Share.** One queue, shared by all workers, in every phase. Each worker has its own sorter,
//!   which reuses its memory from task to task. Workers pass runs to each other through a blob
//!   store, in memory or in files. A run is written once, and read only after all of it is written,
//!   so it needs no lock.
//! - **Bound.** The plan's: a chunk per worker, then a limited number of merges between `feed` and
//!   `gather`. Text that waits for its turn takes memory, too.
//! - **Order.** A queue of pending results: workers complete them in any order, `gather` takes them
//!   in the order of the tasks. Runs must stay in the order of the input, or equal lines would not.
//! - **Stop.** The workers check for a stop before each task, the sorter also within one. A thread
//!   that waits on a channel is woken when all ends on the other side are dropped. The blob store
//!   outlives all threads and is emptied last.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. That ends the
//!   run, since an incomplete result is wrong. For the same reason, each phase joins its `feed`
//!   before it trusts that the tasks were complete.

use std::{ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    blobs::{BlobStore, MemStore},
    sort::{Job, Output, Sorter, Task, external},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, pending, threads::Threads};

// ANCHOR: sort-run
/// Runs the job on `ctx.workers` threads, and in each phase one that feeds them; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs: &dyn BlobStore = if plan.in_memory { &MemStore::default() } else { &job.folder()? };
    let window = ctx.window.min(plan.fits).get();
    let (requests_tx, requests_rx) = bounded(window + 1);
    thread::scope(|scope| {
        let mut workers = Threads::new(ctx, scope);
        workers.spawn_workers(move |_| {
            let requests_rx = requests_rx.clone();
            move || work(ctx, Sorter::new(&job.query, &ctx.stop), blobs, &requests_rx)
        })?;
        external(job, &plan, blobs, ctx, out, |tasks, out| run_phase(ctx, tasks, window, &requests_tx, out))?;
        // The workers wait for requests until this closes the queue.
        drop(requests_tx);
        workers.join()
    })
}

/// Has the workers do the tasks of one phase, and emits their outputs in order.
fn run_phase(
    ctx: &Ctx,
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    requests_tx: &Sender<Request>,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let (pending_tx, pending_rx) = bounded(window);
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn("feed", move || feed(tasks, &pending_tx, requests_tx))?;
        let flow = gather(ctx, pending_rx, out);
        threads.join()?;
        Ok(flow)
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Queues the tasks and, in the same order, their pending results.
fn feed(tasks: impl Iterator<Item = Task>, pending_tx: &Sender<Pending>, requests_tx: &Sender<Request>) {
    for task in tasks {
        if Request::submit(task, pending_tx, requests_tx).is_break() {
            break;
        }
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Does tasks until there are no more, or a stop is requested.
fn work(ctx: &Ctx, mut sorter: Sorter, blobs: &dyn BlobStore, requests_rx: &Receiver<Request>) {
    for request in requests_rx {
        // `break` may leave requests in the queue, whose pending results are not abandoned while
        // `run` holds the sending end. `gather` does not wait for those. Requests are taken in
        // order, so it first meets the result of the request that is dropped here, and returns.
        if ctx.stop.requested() {
            break;
        }
        let output = caught(|| sorter.task(&request.task, blobs), |why| request.task.failed(why));
        request.complete(output);
    }
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

type Request = pending::Request<Task, Output>;
type Pending = pending::Pending<Output>;
