//! The spec that every concurrency model of this workspace is written against.
//!
//! A *workload* is a practical program. Its pure work (search these bytes, print these lines) is a
//! kernel in a package of its own; how that work is shared out, bounded, ordered, stopped and
//! survived is the subject of the model crates, and these packages know nothing of it. Read in this
//! order:
//!
//! 1. [`contract`]: what a run is given ([`Ctx`]), and where its results go ([`Sink`]);
//! 2. [`stop`]: the one way in which a run is asked to end early;
//! 3. [`model`]: the table of workloads, and what a model provides for each ([`Model`]);
//! 4. [`grep`]: a workload: its job, its tasks, its kernel, its printer, and the sequential
//!    reference that every model is compared with;
//! 5. [`cli`]: the command line that every model's program shares;
//! 6. [`inputs`]: something to work on, made from a seed;
//! 7. [`trace`]: what of it each thread did when, on request.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
pub mod model;
pub mod cli;

pub use cc_core::{
    contract, error, failpoint, inputs, output, printable, quantity, refusal, replace, report, root, shelf,
    signals, stdio, stop, stream, temporary, trace,
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
