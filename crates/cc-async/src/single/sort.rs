//! `sort` on async/await, on one thread.
//!
//! - **Split.** A slice is a task, followed by a yield. Merging a range is short. A chunk is as
//!   large as memory allows, and the other future waits as long as sorting it takes. Smaller chunks
//!   would make more runs, and every run makes merges more expensive. Where others must not wait,
//!   sorting belongs on another thread.
//! - **Share.** One thread and one sorter, so nothing is shared and nothing needs a lock.
//! - **Bound.** One slice in progress and one output, for any `window`.
//! - **Order.** That of the tasks, since there is one worker.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` where they wait. A slice has no `await`; its kernel checks for the stop itself.
//! - **Fail.** A panic is caught around the slice, and becomes its output. That ends the run, since
//!   an incomplete result is wrong.

use std::ops::ControlFlow;

use cc_workloads::{
    Ctx, Result, Sink,
    blobs::{BlobStore, MemStore},
    sort::{Job, Output, Sorter, Task, external},
};
use tokio::{
    join,
    sync::mpsc::{self, Receiver, Sender},
};

use super::slice::{send_and_yield, slice};
use crate::runtime::Run;

// ANCHOR: sort-run
/// Runs the job on the calling thread, in each phase as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs: &dyn BlobStore = if plan.in_memory { &MemStore::default() } else { &job.folder()? };
    let mut sorter = Sorter::new(&job.query, &ctx.stop);
    let run = Run::on_this_thread(ctx)?;
    external(job, &plan, blobs, ctx, out, |tasks, out| {
        Ok(run_phase(ctx, &run, &mut sorter, blobs, tasks, out))
    })
}

/// Does the tasks of one phase, and emits their outputs in order.
fn run_phase(
    ctx: &Ctx,
    run: &Run,
    sorter: &mut Sorter,
    blobs: &dyn BlobStore,
    tasks: impl Iterator<Item = Task>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    let work = work(sorter, blobs, tasks, outputs_tx);
    let flow = run.block_on(async { join!(work, gather(ctx, outputs_rx, out)).1 });
    flow.unwrap_or(ControlFlow::Break(()))
}
// ANCHOR_END: sort-run

// ANCHOR: sort-work
/// Does the tasks, slice by slice. Yields after each, so that the other future runs.
///
/// Looking for the next task blocks the thread, too, as long as standard input is silent. There is
/// nothing else to do then, and a stop ends that wait.
async fn work(
    sorter: &mut Sorter,
    blobs: &dyn BlobStore,
    tasks: impl Iterator<Item = Task>,
    outputs_tx: Sender<Output>,
) {
    for task in tasks {
        let output = slice(|| sorter.task(&task, blobs), |why| task.failed(why));
        if send_and_yield(&outputs_tx, output).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs as they arrive.
async fn gather(ctx: &Ctx, mut outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    while let Some(output) = outputs_rx.recv().await {
        ctx.emit(output, out)?;
    }
    ctx.stop.flow() // a stop also ends the tasks early, and no output may tell
}
// ANCHOR_END: sort-gather
