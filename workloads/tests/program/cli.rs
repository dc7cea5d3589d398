//! The command line as a user types it, with the reference behind it.

#[path = "../command_line/mod.rs"]
mod command_line;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-workloads");

command_line::tests!(PROGRAM, ["sequential"]);
