//! Multiprocessing: one program as several processes, which share nothing and exchange messages.
//!
//! A process is the strongest wall that one machine has between two pieces of work. Nothing that happens in a
//! worker process, not an abort, not a corrupted heap, not a `kill -9`, can hurt the others; whoever started
//! it notices, starts another, and has the work done again. The price is that nothing is shared either: what
//! goes over the wall is turned into bytes, copied by the kernel, and turned back. So one sends *names* and
//! not contents where both sides can see the same files, and sends rarely.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] is called on the main thread of the program that the user started. It opens a
//! [`Pool`](pool::Pool), which knows processes and nothing of grep, and runs, as in the models with threads,
//! one thread that *feeds* while the main thread *gathers*.
//!
//! 1. `feed` walks the directories and submits a task for every 32 file names. What it gets back is a
//!    *promise*, which goes into the `line`; when the line is full, `feed` waits. That is the bound on
//!    memory.
//! 2. Each worker process has an *owner*, a thread of the pool. The first task an owner takes from the queue
//!    makes it start its worker: the same program, with an environment variable set, so that the first call
//!    in its `main` ([`Model::enter`]) turns it into a worker and never returns. The two meet at a socket,
//!    which is removed at once; what stays are two channels of `ipc-channel`, one for tasks and one for
//!    outputs.
//! 3. The worker is sent the query, compiles it, and then does one task after the other. It finds the next
//!    one waiting already: an owner hands out two, so that no worker idles while an output is on its way.
//! 4. The owner receives the output and keeps the promise. `gather` takes the promises out of the line in the
//!    order they were made, so the output is in order whatever order the tasks were done in. The *rest* of a
//!    large file is submitted as urgent, and gathered before the next promise of the line.
//!
//! [`resize`] and [`mandelbrot`] need no order, so there are no promises: all outputs go to one bounded channel, as
//! they are completed, and each says where it belongs. Again it is names, or numbers, that are sent.
//!
//! In [`wordcount`] what one worker has counted is needed by another. It goes through files in a directory of the run's own,
//! not through the parent: who counts writes them under names from the parent, and who adds up reads its part of each.
//! [`sort`] does the same with sorted runs, and has only the merged text come back.
//!
//! [`kv`] is another way to use processes: nobody hands out tasks. All workers accept clients on one listener, each owns a part of the
//! keys, and asks the others for theirs. The program that the user started only watches: a worker that dies takes its keys along,
//! and the next one begins with none. That is the lesson of it: a wall between processes contains a crash, it does not undo it.
//!
//! # How it ends, well and badly
//!
//! - **A task panics.** The worker catches that and lives; the panic becomes the task's output.
//! - **A worker dies.** First the outputs it had sent are received, then its owner finds the channel closed.
//!   The first task in hand is the one it was doing; the owner starts another worker and gives it the same
//!   tasks again. An output arrives whole or not at all, so nothing is lost or doubled. A task that has
//!   killed three workers is given up: `grep` takes it apart, until it is known which file it was.
//! - **The run is done, or stopped.** The workers are killed. That sounds rude, and is the only end that
//!   reaches a worker in any state, even a suspended one; and it owes nobody anything. Its owner waits for
//!   it, so no zombie is left, and the pool waits for the owners.
//! - **The program itself is killed.** Nobody is left to end the workers, so they must notice. Each has a
//!   *lifeline*: its standard input, a socket whose other end the program holds and never writes to.
//!   When the program goes, the kernel closes that end, and a thread in the worker that waits for just this
//!   exits.
//! - **Ctrl-C** in a terminal goes to a whole process group. The workers are in groups of their own, so that
//!   the program hears it first and decides.
//!
//! # Modules, in reading order
//!
//! - [`grep`]: the model file: what is sent to whom, and in what order it comes back;
//! - [`resize`]: names go out, thumbnails come back, in any order;
//! - [`mandelbrot`]: many small tasks in few messages;
//! - [`wordcount`] and [`sort`]: phases, with files between them;
//! - `feed`: the thread that feeds it;
//! - [`pool`]: the runtime: how workers are driven and replaced;
//! - [`worker`]: how a worker process is started, met and ended, and what it does;
//! - `process`: a child process, which ends with what owns it;
//! - `in_flight`: what a worker was given, and which of it a death counts against;
//! - [`kv`]: workers that serve beside each other, and what a plan on several of them takes;
//! - [`mesh`] and [`prefork`]: the ways between such workers, and whoever starts and replaces them;
//! - [`fetch`]: a process for each request that waits;
//! - [`fleet`]: such processes, each asked by itself, and one thread that waits for all of them.

// What prints goes through `cc_workloads::stdio`, which does not panic and tells what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod caught;
mod feed;
pub mod fleet;
mod in_flight;
mod lifeline;
pub mod mesh;
pub mod pool;
pub mod prefork;
mod process;
pub mod worker;

use cc_workloads::{Entry, Model, with_workloads};

macro_rules! workloads {
    ($($name:ident: $run:path,)*) => {
        $(pub mod $name;)*

        /// The model of this crate.
        pub const MODELS: &[Model] = &[Model {
            name: "procs",
            mechanism: "worker processes, ipc-channel",
            enter,
            $($name: Entry::Run($name::run),)*
        }];

        /// In a worker process, does its part of a workload and does not return.
        fn enter() {
            $($name::enter();)*
        }
    };
}
with_workloads!(workloads);
