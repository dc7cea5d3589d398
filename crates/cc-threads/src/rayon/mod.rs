//! The variant on rayon's work-stealing pool: the library owns the threads and distributes the
//! work.

pub mod grep;
pub mod mandelbrot;
mod pool;
pub mod resize;
pub mod sort;
pub mod wordcount;

use cc_workloads::{Entry, Model};

/// The table of this variant.
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
        "a pool is for computation; a task that waits for a client would block one of its threads",
    ),
    fetch: Entry::Declined(
        "a pool is for computation; a task that waits for a server would block one of its threads",
    ),
};
