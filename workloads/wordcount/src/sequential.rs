//! The reference: one task after the other, into one set of counts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Counter, Grain, Job, Output, Partial, Partition, Read, Task, absorb, partitions};
use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};

// ANCHOR: wordcount-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (mut counter, mut sums) = (Counter::new(&job.settings), partitions(job.settings.seed));
    let (mut tasks, mut failed) = (job.tasks(Grain::default(), &ctx.stop), Vec::new());
    while let Some(task) = tasks.next().or_else(|| failed.pop()) {
        let mut read = work(&mut counter, &mut sums, &task);
        failed.append(&mut read.split);
        if ctx.emit(Output::Read(read), out).is_break() {
            return Ok(());
        }
    }
    for sum in sums {
        if ctx.stop.requested() || ctx.emit(Output::Ranked(sum.try_rank(&job.settings)?), out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-work
/// Does one task. A panic fails the task, not the run, and nothing of the task counts.
fn work(counter: &mut Counter, sums: &mut [Partition], task: &Task) -> Read {
    match catch_unwind(AssertUnwindSafe(|| counter.task(task))) {
        Ok(Partial { read, counts }) => {
            absorb(sums, &counts);
            read
        }
        Err(panic) => task.failed(&panic_reason(&*panic)),
    }
}
// ANCHOR_END: wordcount-work
