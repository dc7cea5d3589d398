//! The variant on rayon's work-stealing pool: the library shares the work out, and owns the threads.

pub mod grep;
pub mod mandelbrot;
mod pool;
pub mod resize;
pub mod sort;
pub mod wordcount;

use cc_workloads::{Entry, Model};

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
