//! Tests of the command line, run with the sequential reference.

use crate::{command_line, threads};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-workloads");

command_line::tests!(PROGRAM, ["sequential"]);
threads::tests!(PROGRAM);
