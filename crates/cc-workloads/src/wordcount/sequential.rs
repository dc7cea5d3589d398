//! The reference: one task after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Job, Output, Task, kernel};
use crate::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};

// ANCHOR: wordcount-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    for task in job.tasks() {
        if ctx.stop.requested() || ctx.emit(work(&task), out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-work
/// One task. A panic is that task's failure, not the run's.
fn work(task: &Task) -> Output {
    catch_unwind(AssertUnwindSafe(|| kernel(task)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: wordcount-work
