//! The tests of the program: one executable, because each takes long to link. The tests that are
//! the same for all programs are in `workloads/tests`.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;
#[path = "../../../../workloads/tests/lessons/mod.rs"]
mod lessons;
#[path = "../../../../workloads/tests/threads/mod.rs"]
mod threads;
#[path = "../../../../workloads/tests/command_line/workers.rs"]
mod workers;

mod cli;
mod cluster;
mod examples;
mod kv;
