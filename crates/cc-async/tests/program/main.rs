//! The tests of the program: one executable, since each takes a while to link.

mod cli;
mod examples;
mod threads;
