//! The spec that every concurrency model of this workspace is written against.
//!
//! A *workload* is a practical program. Its pure work (search these bytes, print these lines) is a kernel in
//! this crate; how that work is shared out, bounded, ordered, stopped and survived is the subject of the
//! model crates, and this crate knows nothing of it. Read in this order:
//!
//! 1. [`contract`]: what a model provides ([`Model`]), what it is given ([`Ctx`]), where its results go
//!    ([`Sink`]);
//! 2. [`stop`]: the one way in which a run is asked to end early;
//! 3. [`grep`]: the first workload: its job, its tasks, its kernel, its printer, and the sequential
//!    reference that every model is compared with;
//! 4. [`cli`]: the command line that every model's program shares;
//! 5. [`inputs`]: something to work on, made from a seed;
//! 6. [`trace`]: what of it each thread did when, if somebody asks.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bounded;
pub mod cli;
pub mod contract;
pub mod error;
pub mod failpoint;
pub mod fetch;
pub mod grep;
pub mod inputs;
pub mod kv;
pub mod mandelbrot;
pub mod printable;
pub mod refusal;
pub mod replace;
pub mod report;
pub mod resize;
pub mod root;
pub mod shelf;
pub mod sort;
pub mod stdio;
pub mod stop;
mod stream;
mod sync;
pub mod temporary;
pub mod trace;
pub mod wordcount;

pub use contract::{Block, Ctx, Entry, Model, Sink};
pub use error::{Error, Result};
pub use stop::{Cause, Stop};

use std::convert::identity;

/// The sequential reference, in the same table as the models that are compared with it.
pub const MODELS: &[Model] = &[Model {
    name: "sequential",
    mechanism: "a plain loop",
    enter: || {},
    args: identity,
    grep: Entry::Run(grep::sequential::run),
    resize: Entry::Run(resize::sequential::run),
    mandelbrot: Entry::Run(mandelbrot::sequential::run),
    wordcount: Entry::Run(wordcount::sequential::run),
    sort: Entry::Run(sort::sequential::run),
    kv: Entry::Run(kv::sequential::run),
    fetch: Entry::Run(fetch::sequential::run),
}];
