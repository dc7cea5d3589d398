//! The other end of a workload's connections: what clients fetch from.

// What prints reports what it could not write; `println!` would panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod origin;
