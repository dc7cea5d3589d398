//! `wordcount` on async/await, on one thread.
//!
//! - **Split.** A slice is half a mebibyte of text, followed by a yield: the other future waits
//!   some milliseconds. Larger slices would leave fewer counts to add.
//! - **Share.** One thread, so the sums have one place and need no lock. Partitions are ranked one
//!   by one, with a yield after each.
//! - **Bound.** One slice in progress and one output, for any `window`.
//! - **Order.** That of the tasks, since there is one worker; it is not needed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` where they wait: after one slice at most.
//! - **Fail.** A panic is caught around the slice, and nothing of it is added. A task of many files
//!   is then split and done once more, file by file. A partition that cannot be ranked ends the
//!   run: an incomplete count is a wrong result.

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{Counter, Grain, Job, Output, Partial, absorb, partitions},
};
use tokio::{
    join,
    sync::mpsc::{self, Receiver, Sender},
};

use super::slice::{send_and_yield, slice};
use crate::runtime::Run;

/// Maximum size of a slice: small in comparison with a task of the other models, since the other
/// future waits meanwhile.
const GRAIN: Grain = Grain { bytes: 512 << 10, files: 128 };

// ANCHOR: wordcount-run
/// Runs the job on the calling thread, as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let run = Run::on_this_thread(ctx)?;
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    let gathered = run.block_on(async { join!(work(ctx, job, outputs_tx), gather(ctx, outputs_rx, out)).1 });
    gathered.unwrap_or(Ok(()))
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-work
/// Counts and ranks, slice by slice. Yields after each, so that the other future runs.
///
/// Looking for the next file blocks the thread, too, but for less time than a slice takes. Only a
/// silent pipe blocks it until it has data or a stop is requested; `gather` has emitted everything
/// by then.
async fn work(ctx: &Ctx, job: &Job, outputs_tx: Sender<Result<Output>>) {
    let mut counter = Counter::new(&job.settings);
    let mut sums = partitions(job.settings.seed);
    let mut tasks = job.tasks(GRAIN, &ctx.stop);
    let mut failed = Vec::new();
    while let Some(task) = tasks.next().or_else(|| failed.pop()) {
        let failed_task = |why: &str| Partial { read: task.failed(why), counts: Vec::new() };
        let Partial { mut read, counts } = slice(|| counter.task(&task), failed_task);
        absorb(&mut sums, &counts);
        drop(counts); // frees them before the `await`
        failed.append(&mut read.split);
        if send_and_yield(&outputs_tx, Ok(Output::Read(read))).await.is_err() {
            return;
        }
    }
    for sum in sums {
        let ranked = sum.try_rank(&job.settings).map(Output::Ranked);
        if send_and_yield(&outputs_tx, ranked).await.is_err() {
            return;
        }
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Emits the outputs as they arrive.
async fn gather(
    ctx: &Ctx,
    mut outputs_rx: Receiver<Result<Output>>,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output?, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather
