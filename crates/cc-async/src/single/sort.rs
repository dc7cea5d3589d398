//! `sort` on async/await, on one thread.
//!
//! - **Split.** A slice is a task, and a yield behind it. Merging a range takes milliseconds, but a chunk is as large as there
//!   is memory for, and nobody else has a turn while it is sorted: a second, with hundreds of megabytes. Smaller ones
//!   would be more runs, which every merge pays for. Where others wait for a turn, sorting belongs on another thread.
//! - **Share.** One thread, one sorter, so nothing is shared and there is nothing to lock.
//! - **Bound.** One slice in hand, and one output, however wide the window is.
//! - **Order.** That of the tasks, as there is one worker.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` they have come to. A slice is not dropped; its kernel sees the stop for itself.
//! - **Fail.** A panic is caught around the slice; that ends the run, since a part of the lines is not what was asked for.

use std::ops::ControlFlow;

use cc_workloads::{
    Ctx, Result, Sink,
    shelf::{Memory, Shelf},
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
    let shelf: &dyn Shelf = if plan.in_memory { &Memory::default() } else { &job.folder()? };
    let run = Run::on_this_thread(ctx)?;
    let mut phases = Phases { run, sorter: Sorter::new(&job.query, &ctx.stop), shelf, ctx };
    external(job, &plan, shelf, ctx, out, |tasks, out| Ok(phases.phase(tasks, out)))
}

/// What all phases run on.
struct Phases<'a> {
    run: Run<'a>,
    sorter: Sorter,
    shelf: &'a dyn Shelf,
    ctx: &'a Ctx,
}

impl Phases<'_> {
    /// Does these tasks, and emits what comes of them.
    fn phase(&mut self, tasks: impl Iterator<Item = Task>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        let (done, outputs) = mpsc::channel(1);
        let work = work(tasks, &mut self.sorter, self.shelf, done);
        let flow = self.run.block_on(async { join!(work, gather(outputs, self.ctx, out)).1 });
        flow.unwrap_or(ControlFlow::Break(()))
    }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-work
/// Does the tasks, slice by slice; in between, the others have their turn. To look for the next one blocks the thread too, on
/// standard input for as long as that is silent; but there is nothing else to do then, and the stop ends the wait.
async fn work(
    tasks: impl Iterator<Item = Task>,
    sorter: &mut Sorter,
    shelf: &dyn Shelf,
    done: Sender<Output>,
) {
    for task in tasks {
        let output = slice(|| sorter.task(&task, shelf), |why| task.failed(why));
        if send_and_yield(&done, output).await.is_err() {
            return;
        }
    }
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs as they come.
async fn gather(mut outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    while let Some(output) = outputs.recv().await {
        ctx.emit(output, out)?;
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather
