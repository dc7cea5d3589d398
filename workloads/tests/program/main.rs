//! The tests of the program: one executable, since each takes a while to link. What is the same for
//! all programs is in `workloads/tests`.

#[path = "../command_line/mod.rs"]
mod command_line;
#[path = "../threads/mod.rs"]
mod threads;
#[path = "../threads/sort.rs"]
mod threads_of_sort;

mod cli;
mod trace;
