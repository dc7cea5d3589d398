//! The reference: one task after the other.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Job, Output, Sorter, Task, external};
use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
    shelf::{Memory, Shelf},
};

// ANCHOR: sort-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: &dyn Shelf = if plan.in_memory { &Memory::default() } else { &job.folder()? };
    let sorter = &mut Sorter::new(&job.query, &ctx.stop);
    external(job, &plan, shelf, ctx, out, |tasks, out| Ok(phase(tasks, sorter, shelf, ctx, out)))
}
// ANCHOR_END: sort-run

// ANCHOR: sort-gather
/// Does the tasks of a phase, and emits what comes of each.
fn phase(
    tasks: impl IntoIterator<Item = Task>,
    sorter: &mut Sorter,
    shelf: &dyn Shelf,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    for task in tasks {
        ctx.emit(work(&task, sorter, shelf), out)?;
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

// ANCHOR: sort-work
/// One task. A panic is that task's failure.
fn work(task: &Task, sorter: &mut Sorter, shelf: &dyn Shelf) -> Output {
    // A sorter begins each task afresh, so a panic leaves nothing behind that the next one would see.
    catch_unwind(AssertUnwindSafe(|| sorter.task(task, shelf)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: sort-work
