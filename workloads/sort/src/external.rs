//! The phases of the external sort.

use std::ops::ControlFlow;

use cc_core::{
    blobs::BlobStore,
    contract::{Ctx, Sink},
    error::Result,
};

use crate::{Job, Output, Plan, Runs, Task};

/// The tasks of a phase, in order.
pub type Tasks<'a> = dyn Iterator<Item = Task> + Send + 'a;

/// Makes runs of the input, merges some of them while there are more than a merge can read from,
/// and merges all runs into the result.
///
/// `phase` is the model's part: it does the tasks and emits their outputs in the order of the
/// tasks. It breaks if no more outputs are needed.
///
/// # Errors
///
/// The errors of `phase`, and those of writing a run.
pub fn external(
    job: &Job,
    plan: &Plan,
    blobs: &dyn BlobStore,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
    mut phase: impl FnMut(&mut Tasks<'_>, &mut dyn Sink<Output>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut runs = Runs::new(job, plan, blobs);
    let mut flow = phase(&mut job.chunks(plan, blobs, &ctx.stop), &mut runs.gather(out))?;
    while flow.is_continue()
        && let Some(pass) = runs.pass()
    {
        let mut writer = pass.writer(out)?;
        flow = phase(&mut pass.merges(), &mut writer)?;
        let made = writer.finish()?;
        runs.put(pass, made);
    }
    if flow.is_continue() {
        let _ = phase(&mut runs.merges(), out)?;
    }
    Ok(())
}
