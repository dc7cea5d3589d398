//! The reference: one task after the other.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Job, Output, Sorter, Task, external};
use cc_core::{
    blobs::{BlobStore, MemStore},
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};

// ANCHOR: sort-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs: &dyn BlobStore = if plan.in_memory { &MemStore::default() } else { &job.folder()? };
    let sorter = &mut Sorter::new(&job.query, &ctx.stop);
    external(job, &plan, blobs, ctx, out, |tasks, out| Ok(phase(ctx, sorter, blobs, tasks, out)))
}
// ANCHOR_END: sort-run

// ANCHOR: sort-gather
/// Does the tasks of a phase, and emits their outputs.
fn phase(
    ctx: &Ctx,
    sorter: &mut Sorter,
    blobs: &dyn BlobStore,
    tasks: impl IntoIterator<Item = Task>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    for task in tasks {
        ctx.emit(work(sorter, blobs, &task), out)?;
    }
    ctx.stop.flow() // `tasks` ends early after a stop
}
// ANCHOR_END: sort-gather

// ANCHOR: sort-work
/// Does one task. A panic fails the task.
fn work(sorter: &mut Sorter, blobs: &dyn BlobStore, task: &Task) -> Output {
    catch_unwind(AssertUnwindSafe(|| sorter.task(task, blobs)))
        .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
}
// ANCHOR_END: sort-work
