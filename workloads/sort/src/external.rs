//! The external sort, from phase to phase.

use std::ops::ControlFlow;

use cc_core::{
    contract::{Ctx, Sink},
    error::Result,
    shelf::Shelf,
};

use crate::{Job, Output, Plan, Runs, Task};

/// The tasks of a phase, in order.
pub type Tasks<'a> = dyn Iterator<Item = Task> + Send + 'a;

/// Has runs made of the input, merges some of them while there are more than a merge can read from,
/// and merges the rest into the result.
///
/// `phase` is the model's part: it has the workers do these tasks, emits their outputs in the order
/// of the tasks, and breaks if nothing more is wanted.
///
/// # Errors
///
/// Those of `phase`, and what keeps a run from being written.
pub fn external(
    job: &Job,
    plan: &Plan,
    shelf: &dyn Shelf,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
    mut phase: impl FnMut(&mut Tasks<'_>, &mut dyn Sink<Output>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut runs = Runs::new(job, plan, shelf);
    let mut flow = phase(&mut job.chunks(plan, shelf, &ctx.stop), &mut runs.gather(out))?;
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
