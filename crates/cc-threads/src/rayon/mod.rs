//! The variant on rayon's work-stealing pool: the library shares the work out, and owns the threads.

pub mod grep;
pub mod mandelbrot;
pub mod resize;
pub mod sort;
pub mod wordcount;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::{Entry, Error, Model, Result};

/// The variant.
pub(crate) const MODEL: Model = Model {
    name: "rayon",
    mechanism: "a thread pool (rayon)",
    enter: || {},
    mandelbrot: Entry::Run(mandelbrot::run),
    resize: Entry::Run(resize::run),
    grep: Entry::Run(grep::run),
    wordcount: Entry::Run(wordcount::run),
    sort: Entry::Run(sort::run),
    kv: Entry::Declined(
        "a pool shares out what computes; who waits for a client would keep one of its threads",
    ),
    fetch: Entry::Declined(
        "a pool shares out what computes; who waits for a server would keep one of its threads",
    ),
};

/// Runs a job that feeds the others. Its panic closes the channel of the outputs as its end does,
/// so it is told apart here.
fn caught(name: &str, job: impl FnOnce()) -> Result<()> {
    // The run ends with this error, and nothing that the job has changed is looked at.
    catch_unwind(AssertUnwindSafe(job)).map_err(|panic| Error::panicked(name, &*panic))
}
