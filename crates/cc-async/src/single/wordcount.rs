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

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    error::panic_reason,
    wordcount::{Counter, Grain, Job, Output, Partial, Partition, Read, Task, absorb, partitions},
};
use tokio::{
    join,
    runtime::Builder,
    sync::mpsc::{self, Receiver, Sender},
    task::yield_now,
};

use crate::runtime::token;

/// What is counted between two yields.
const GRAIN: Grain = Grain { bytes: 512 << 10, files: 128 };

// ANCHOR: wordcount-run
/// Runs the job on the calling thread, as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let runtime = Builder::new_current_thread().build().map_err(Error::io("runtime"))?;
    let (stop, _on_stop) = token(&ctx.stop);
    let (done, outputs) = mpsc::channel(1);
    let all = async { join!(work(job, ctx, done), gather(outputs, ctx, out)).1 };
    runtime.block_on(stop.run_until_cancelled(all)).unwrap_or(Ok(()))
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
        let mut read = slice(&task, &mut counter, &mut sums);
        failed.append(&mut read.apart);
        if done.send(Ok(Output::Read(read))).await.is_err() {
            return;
        }
        yield_now().await;
    }
    for sum in sums {
        if done.send(sum.try_rank(&job.settings).map(Output::Ranked)).await.is_err() {
            return;
        }
        yield_now().await;
    }
}

/// One slice. A panic is its failure, not the run's.
fn slice(task: &Task, counter: &mut Counter, sums: &mut [Partition]) -> Read {
    // A counter begins each task afresh, so a panic leaves nothing behind that the next one would see.
    match catch_unwind(AssertUnwindSafe(|| counter.task(task))) {
        Ok(Partial { read, counts }) => {
            absorb(sums, &counts);
            read
        }
        Err(panic) => task.failed(&panic_reason(&*panic)),
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
