//! What a workload's tests provide.

use std::path::Path;

use cc_workloads::{Ctx, Entry, Model, Result, Sink};

use crate::{case::Case, subject::Subject};

/// What a model provides for a workload.
pub type Run<W> = <W as Workload>::Run;

/// A mutant's name, the cases that must reject it, and a part of what they must say; `hung` of one that hangs.
pub type Rejected = (&'static str, &'static [&'static str], &'static str);

/// A workload, as it is tested.
pub trait Workload: Sized + 'static {
    /// Its name: the first part of its tests' names.
    const NAME: &'static str;
    /// What a model provides.
    type Run: Copy + 'static;

    /// The workload's place in the table of the models.
    fn entry(model: &mut Model) -> &mut Entry<Run<Self>>;

    /// A short run, so that what a library makes once for each process is there before the case begins.
    fn warm_up(subject: &Subject);

    /// Makes the inputs that the cases share, in an empty directory (see [`crate::suite::corpus`]).
    fn corpus(_dir: &Path) {}

    /// Whether its tasks read files, which is what the options of a model that is tested once more
    /// are about: without files it would do the same again.
    const READS_FILES: bool = true;

    /// What every model is asked to do.
    fn cases() -> Vec<Case>;

    /// Wrong implementations.
    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        vec![]
    }

    /// Which cases reject them.
    const REJECTED: &'static [Rejected] = &[];
}

/// A workload that has a job, and is done when that is.
pub trait Batch:
    Workload<Run = fn(&<Self as Batch>::Job, &Ctx, &mut dyn Sink<<Self as Batch>::Output>) -> Result<()>>
{
    /// What is to be done.
    type Job;
    /// What a model pushes.
    type Output: Clone;

    /// Whether something of this output is seen; a mutant alters one of which it is.
    fn shows(_output: &Self::Output) -> bool {
        true
    }
}
