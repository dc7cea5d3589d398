//! The variant on one thread: async alone gives concurrency without parallelism.

pub mod fetch;
pub mod grep;
pub mod kv;
pub mod mandelbrot;
pub mod resize;
mod slice;
pub mod sort;
pub mod wordcount;

use cc_workloads::{Entry, Model};

/// The table of this variant.
pub(crate) const MODEL: Model = Model {
    name: "async-single",
    mechanism: "tokio: current-thread runtime",
    enter: || {},
    mandelbrot: Entry::Run(mandelbrot::run),
    resize: Entry::Run(resize::run),
    grep: Entry::Run(grep::run),
    wordcount: Entry::Run(wordcount::run),
    sort: Entry::Run(sort::run),
    kv: Entry::Run(kv::run),
    fetch: Entry::Run(fetch::run),
};
