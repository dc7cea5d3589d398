//! The tests of the program. They are one executable, since each executable takes a while to link.
//! Tests that all programs share are in `workloads/tests`.

#[path = "../command_line/mod.rs"]
mod command_line;
#[path = "../threads/mod.rs"]
mod threads;
#[path = "../threads/sort.rs"]
mod threads_of_sort;

mod cli;
mod trace;
