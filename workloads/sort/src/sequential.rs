//! The reference: one task after the other.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Job, Output, Runs, Sorter, Task};
use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
    shelf::Shelf,
};

// ANCHOR: sort-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf = &*job.shelf(&plan)?;
    let sorter = &mut Sorter::new(&job.query, &ctx.stop);
    let mut runs = Runs::new(job, &plan, shelf);
    let mut flow = phase(job.chunks(&plan, shelf, &ctx.stop), sorter, shelf, ctx, &mut runs.gather(out));
    while flow.is_continue()
        && let Some(pass) = runs.pass()
    {
        let mut writer = pass.writer(out)?;
        flow = phase(pass.merges(), sorter, shelf, ctx, &mut writer);
        let made = writer.finish()?;
        runs.put(pass, made);
    }
    if flow.is_continue() {
        let _ = phase(runs.merges(), sorter, shelf, ctx, out);
    }
    Ok(())
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
    if ctx.stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
