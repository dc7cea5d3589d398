//! The tests of the program: one executable, since each takes a while to link. What is the same for
//! all programs is in `workloads/tests`.

#[path = "../command_line/mod.rs"]
mod command_line;
#[path = "../threads/mod.rs"]
mod threads;

mod cli;
mod trace;
