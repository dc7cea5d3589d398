//! The other end of a workload's connections: the origin that clients fetch from.

// Code that prints must report a failed write as an error; `println!` would panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod origin;
