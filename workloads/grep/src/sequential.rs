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
        if emit_in_order(ctx, job, &mut search, task, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: grep-run

// ANCHOR: grep-gather
/// Does a task and pushes its output, then does the same with the remainder.
fn emit_in_order(
    ctx: &Ctx,
    job: &Job,
    search: &mut Search,
    task: Task,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let mut output = work(search, &task);
    let remainder = std::mem::take(&mut output.remainder);
    ctx.emit(output, out)?;
    for task in remainder {
        if ctx.stop.requested() {
            return ControlFlow::Break(());
        }
        if job.wants(&task) {
            emit_in_order(ctx, job, search, task, out)?;
        }
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

// ANCHOR: grep-work
/// Does one task. A panic fails the task, not the run.
fn work(search: &mut Search, task: &Task) -> Output {
    catch_unwind(AssertUnwindSafe(|| search.task(task)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: grep-work
