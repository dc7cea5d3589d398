//! The tests of the program, in one executable, since linking one takes a while. Tests that are the
//! same for all programs are in `workloads/tests`.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;
#[path = "../../../../workloads/tests/lessons/mod.rs"]
mod lessons;
#[path = "../../../../workloads/tests/threads/mod.rs"]
mod threads;
#[path = "../../../../workloads/tests/threads/sort.rs"]
mod threads_of_sort;

mod cli;
mod examples;
