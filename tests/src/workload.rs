//! What the tests of a workload provide.

use std::path::Path;

use cc_workloads::{Ctx, Entry, Model, Result, Sink};

use crate::{case::Case, subject::Subject};

/// What a model provides for a workload.
pub type Run<W> = <W as Workload>::Run;

/// A mutant's name, the cases that must reject it, and a part of the message with which they reject
/// it. The part contains `hung` if the mutant must hang.
pub type Rejected = (&'static str, &'static [&'static str], &'static str);

/// A workload under test.
pub trait Workload: Sized + 'static {
    /// Its name: the first part of its tests' names.
    const NAME: &'static str;
    /// What a model provides.
    type Run: Copy + 'static;

    /// The workload's entry in a model.
    fn entry(model: &mut Model) -> &mut Entry<Run<Self>>;

    /// A short run. It makes what a library creates once per process, so that this exists before
    /// the case begins and does not count as left behind by it.
    fn warm_up(subject: &Subject);

    /// Makes the inputs that the cases share, in an empty directory (see [`crate::suite::corpus`]).
    fn corpus(_dir: &Path) {}

    /// Whether its tasks read files. A model that is tested once more with options (see
    /// [`Subject::is_retest`]) is tested only on workloads that do, because these options are about
    /// how files are read.
    const READS_FILES: bool = true;

    /// The cases of this workload.
    fn cases() -> Vec<Case>;

    /// Wrong implementations, by name.
    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        vec![]
    }

    /// For each mutant, the cases that must reject it.
    const REJECTED: &'static [Rejected] = &[];
}

/// A workload with a job: a run ends when the job is done.
pub trait Batch:
    Workload<Run = fn(&<Self as Batch>::Job, &Ctx, &mut dyn Sink<<Self as Batch>::Output>) -> Result<()>>
{
    /// The input of a run.
    type Job;
    /// What a model pushes.
    type Output: Clone;

    /// Whether the user sees something of this output. A mutant alters only outputs of which this
    /// is true.
    fn shows(_output: &Self::Output) -> bool {
        true
    }
}
