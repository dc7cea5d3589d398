//! The reference: one image after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Job, Output, Resizer, Task};
use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};

// ANCHOR: resize-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut resizer = Resizer::new(&job.settings);
    for task in job.tasks(&ctx.stop) {
        if ctx.emit(work(&mut resizer, &task), out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: resize-run

// ANCHOR: resize-work
/// Does one task. A panic fails the task, not the run.
fn work(resizer: &mut Resizer, task: &Task) -> Output {
    catch_unwind(AssertUnwindSafe(|| resizer.task(task)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: resize-work
