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
        let mut read = work(&task, &mut counter, &mut sums);
        failed.append(&mut read.apart);
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
/// One task. A panic is that task's failure, not the run's, and then nothing of it counts.
fn work(task: &Task, counter: &mut Counter, sums: &mut [Partition]) -> Read {
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
