//! The command line as a user types it, with the reference behind it.

use crate::{command_line, threads};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-workloads");

command_line::tests!(PROGRAM, ["sequential"]);
threads::tests!(PROGRAM);
