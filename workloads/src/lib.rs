//! The spec that every concurrency model of this workspace is written against.
//!
//! A *workload* is a practical program. Its pure work (search these bytes, print these lines) is a
//! kernel, in a package of its own that knows nothing of concurrency. The model crates decide how
//! the work is distributed, bounded, ordered and stopped, and what happens when a worker fails.
//! Read in this order:
//!
//! 1. [`contract`]: what a run is given ([`Ctx`]), and where its results go ([`Sink`]);
//! 2. [`stop`]: how a run is asked to end early;
//! 3. [`model`]: the table of workloads, and what a model provides for each ([`Model`]);
//! 4. [`mandelbrot`] and [`grep`]: two workloads: job, tasks, kernel, sink, and the sequential
//!    reference that every model is compared with;
//! 5. [`cli`]: the command line that every model's program shares;
//! 6. [`inputs`]: inputs, made from a seed;
//! 7. [`trace`]: records when each thread worked, on request.

// Programs print with `stdio`, which does not panic and reports output that it could not write.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
pub mod model;
pub mod cli;

pub use cc_core::{
    blobs, contract, error, failpoint, identity, inputs, output, printable, quantity, refusal, replace,
    report, root, signals, stdio, stop, stream, temporary, trace,
};
pub use contract::{Block, Ctx, Entry, Options, Sink};
pub use error::{Error, Result};
pub use model::{MODELS, Model};
pub use stop::{Cause, Stop};

macro_rules! packages {
    ($($name:ident: $package:ident::$run:ident,)*) => {
        $(#[doc(inline)] pub use $package as $name;)*
    };
}
with_workloads!(packages);
