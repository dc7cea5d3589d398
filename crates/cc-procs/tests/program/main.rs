//! The tests of the program, in one executable, since linking each takes a while. Tests that all
//! programs share are in `workloads/tests`.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;
#[path = "../../../../workloads/tests/command_line/leftovers.rs"]
mod leftovers;
#[path = "../../../../workloads/tests/lessons/mod.rs"]
mod lessons;
#[path = "../../../../workloads/tests/threads/mod.rs"]
mod threads;
#[path = "../../../../workloads/tests/threads/sort.rs"]
mod threads_of_sort;
#[path = "../../../../workloads/tests/command_line/workers.rs"]
mod workers;

mod cli;
mod examples;
mod kv;
