//! The variant on rayon's work-stealing pool: the library shares the work out, and owns the threads.

pub mod grep;
pub mod mandelbrot;
pub mod resize;
pub mod sort;
pub mod wordcount;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::{Error, Result};

/// Runs a job that feeds the others. Its panic closes the channel of the outputs as its end does,
/// so it is told apart here.
fn caught(name: &str, job: impl FnOnce()) -> Result<()> {
    // The run ends with this error, and nothing that the job has changed is looked at.
    catch_unwind(AssertUnwindSafe(job)).map_err(|panic| Error::panicked(name, &*panic))
}
