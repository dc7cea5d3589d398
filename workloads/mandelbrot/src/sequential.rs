//! The reference: one tile after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Grain, Job, Output, Plane, Task};
use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};

// ANCHOR: mandelbrot-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    for task in job.tasks(Grain::TILE) {
        let Some(output) = work(&plane, &task) else { break };
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does one task. A panic fails the task, not the run. Returns `None` once a stop is requested.
fn work(plane: &Plane, task: &Task) -> Option<Output> {
    catch_unwind(AssertUnwindSafe(|| plane.task(task)))
        .unwrap_or_else(|panic| Some(task.failed(&panic_reason(&*panic))))
}
// ANCHOR_END: mandelbrot-work
