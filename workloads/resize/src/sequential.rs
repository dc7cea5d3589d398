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
        if ctx.emit(work(&task, &mut resizer), out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: resize-run

// ANCHOR: resize-work
/// One task. A panic is that task's failure, not the run's.
fn work(task: &Task, resizer: &mut Resizer) -> Output {
    // A resizer fills its buffers anew for every image, so a panic leaves nothing behind that the next would see.
    catch_unwind(AssertUnwindSafe(|| resizer.task(task)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: resize-work
