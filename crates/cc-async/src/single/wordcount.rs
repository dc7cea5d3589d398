//! `wordcount` on async/await, on one thread.
//!
//! - **Split.** A slice is half a mebibyte of text, and a yield behind it: some milliseconds in which nobody else has a
//!   turn. Larger ones would leave fewer counts to add up.
//! - **Share.** One thread, so the sums are in one place and need no owner and no lock. Partitions are ranked one by one,
//!   with a yield behind each.
//! - **Bound.** One slice in hand, and one output, however wide the window is.
//! - **Order.** That of the tasks, as there is one worker; nobody asks for it.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at the `await` they have come to: after a slice at most.
//! - **Fail.** A panic is caught around the slice, and nothing of it is added. A task of many files is then done once more,
//!   file by file. A partition that cannot be ranked ends the run: a part of the truth is none.

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

/// What is counted between two yields.
const GRAIN: Grain = Grain { bytes: 512 << 10, files: 128 };

// ANCHOR: wordcount-run
/// Runs the job on the calling thread, as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let run = Run::on_this_thread(ctx)?;
    let (done, outputs) = mpsc::channel(1);
    let gathered = run.block_on(async { join!(work(job, ctx, done), gather(outputs, ctx, out)).1 });
    gathered.unwrap_or(Ok(()))
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-work
/// Counts and ranks, slice by slice; in between, the others have their turn. To look for the next name blocks the
/// thread too, but for less than a slice does; a silent pipe, until it speaks or somebody asks for a stop. By then the
/// others have nothing left to do.
async fn work(job: &Job, ctx: &Ctx, done: Sender<Result<Output>>) {
    let (mut counter, mut sums) = (Counter::new(&job.settings), partitions(job.settings.seed));
    let (mut tasks, mut failed) = (job.tasks(GRAIN, &ctx.stop), Vec::new());
    while let Some(task) = tasks.next().or_else(|| failed.pop()) {
        let failed_task = |why: &str| Partial { read: task.failed(why), counts: Vec::new() };
        let Partial { mut read, counts } = slice(|| counter.task(&task), failed_task);
        absorb(&mut sums, &counts);
        drop(counts);
        failed.append(&mut read.apart);
        if send_and_yield(&done, Ok(Output::Read(read))).await.is_err() {
            return;
        }
    }
    for sum in sums {
        let ranked = sum.try_rank(&job.settings).map(Output::Ranked);
        if send_and_yield(&done, ranked).await.is_err() {
            return;
        }
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Emits the outputs as they come.
async fn gather(mut outputs: Receiver<Result<Output>>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output?, out).is_continue()
    {}
    Ok(())
}
// ANCHOR_END: wordcount-gather
