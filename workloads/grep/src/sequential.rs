//! The reference: one task after the other.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Grain, Job, Output, Search, Task};
use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};

// ANCHOR: grep-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut search = Search::new(&job.query)?;
    for task in job.tasks(Grain::default(), &ctx.stop) {
        if settle(task, &mut search, job, ctx, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: grep-run

// ANCHOR: grep-gather
/// Does a task, pushes its output, then does what is left of it.
fn settle(
    task: Task,
    search: &mut Search,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let mut output = work(&task, search);
    let rest = std::mem::take(&mut output.rest);
    ctx.emit(output, out)?;
    for task in rest {
        if ctx.stop.requested() {
            return ControlFlow::Break(());
        }
        if job.wants(&task) {
            settle(task, search, job, ctx, out)?;
        }
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

// ANCHOR: grep-work
/// One task. A panic is that task's failure, not the run's.
fn work(task: &Task, search: &mut Search) -> Output {
    // A search fills its buffer anew for every piece, so a panic leaves nothing behind that the next would see.
    catch_unwind(AssertUnwindSafe(|| search.task(task)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: grep-work
