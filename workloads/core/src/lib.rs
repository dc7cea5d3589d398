//! What all workloads are made of.
//!
//! Nothing here knows a workload, a model, or the library that parses command lines.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod bounded;
pub mod contract;
pub mod error;
pub mod failpoint;
pub mod inputs;
pub mod output;
pub mod printable;
pub mod quantity;
pub mod refusal;
pub mod replace;
pub mod report;
pub mod root;
pub mod shelf;
pub mod signals;
pub mod stdio;
pub mod stop;
pub mod stream;
mod sync;
pub mod temporary;
pub mod trace;

pub use contract::{Block, Ctx, Entry, Options, Sink};
pub use error::{Error, Result};
pub use stop::{Cause, Stop};
