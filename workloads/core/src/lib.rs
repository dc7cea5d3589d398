//! What all workloads share: the contract of a run, stops, errors, blob stores, streams and output.
//!
//! This package depends on no workload, on no model, and not on the library that parses command
//! lines.

// Output goes through `stdio`, which returns write errors; `println!` panics on them.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod background;
pub mod blobs;
pub mod bounded;
pub mod contract;
pub mod error;
pub mod failpoint;
pub mod identity;
pub mod inputs;
pub mod output;
pub mod printable;
pub mod quantity;
pub mod refusal;
pub mod replace;
pub mod report;
pub mod root;
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
