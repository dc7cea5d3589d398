//! Multiprocessing: one program as several processes, which exchange messages.
//!
//! A process has an address space of its own. The crash of a worker, by an abort, a corrupted heap
//! or a `kill -9`, ends that process and no other. The program starts another worker, and repeats
//! the tasks that have no output yet. ([`kv`] has no tasks: there the worker's keys are lost.) The
//! processes still compete for the resources of one machine, such as memory and process ids, and
//! they see the same files. The price of the isolation is serialization: a message is encoded,
//! copied and decoded. So a program sends *names* and not contents where it can, and sends few
//! messages.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] is called on the main thread of the program that the user started. It starts a
//! [`Pool`](pool::Pool), which manages processes and knows nothing of grep. One thread *feeds* the
//! pool, while the main thread *gathers* the outputs.
//!
//! 1. `feed` walks the directories and submits tasks, each with at most 32 file names. A task goes
//!    into the pool's *request queue*. For each task the pool returns a *pending result*, which
//!    goes into the *pending queue*. While the pending queue is full, `feed` waits: that is the
//!    *backpressure*, and the bound on memory.
//! 2. Each worker process has an *owner*, a thread of the pool. An owner starts its worker when it
//!    takes its first task. The worker is the same program with an environment variable set. Its
//!    `main` calls [`cc_workloads::cli::main`], which calls [`Model::enter`] before it reads the
//!    arguments. In a worker process, that call never returns.
//! 3. In a *handshake*, the worker receives one message over a socket whose file is removed as soon
//!    as the message has arrived. The message has the *setup*, which is here the query. It also has
//!    the ends of two channels of `ipc-channel`, one for tasks and one for outputs. The worker
//!    compiles the query, and then does one task after the other. An owner sends up to two tasks,
//!    so that the worker does not wait while an output travels.
//! 4. The owner receives the output and completes the pending result. `gather` takes the pending
//!    results in the order of the tasks, so the output is in order although the tasks complete in
//!    any order. A task that is too large, or that has failed, may leave a *remainder*: further
//!    tasks. `gather` submits these to the pool's *urgent queue*, from which owners take first. It
//!    emits their outputs before the next pending result.
//!
//! [`resize`] and [`mandelbrot`] need no order, so they have no pending results. All outputs go to
//! one bounded channel as they are completed, and each says where it belongs. The tasks are names
//! in `resize`, and numbers in `mandelbrot`.
//!
//! [`wordcount`] has two phases: the tasks of the second add up the counts that those of the first
//! have made. The counts travel through files in a directory of the run, and not through the
//! parent. [`sort`] passes its sorted runs to its merges in the same way.
//!
//! [`kv`] is another way to use processes: no tasks are handed out. All workers accept clients on
//! one listener, each owns a part of the keys, and they send each other requests for the rest. The
//! program that the user started (the *coordinator*) serves no client: it starts the workers,
//! connects them, and replaces those that die. A worker that dies loses its keys, and its successor
//! begins with none. Process isolation contains a crash; it does not undo one.
//!
//! # How it ends, well and badly
//!
//! This is how a pool and its workers end. [`kv`] and [`fetch`] have no pool: their files say what
//! differs, under **Stop** and **Fail**.
//!
//! - **A task panics.** The worker catches the panic and goes on; the panic becomes the task's
//!   output.
//! - **A worker dies.** Its owner finds one of the channels closed, and drops both. An output that
//!   it has not received by then is lost with them, and its task is done again. The owner starts
//!   another worker and sends it the tasks that were in flight. An output arrives complete or not
//!   at all, so no task has two outputs. A task that was alone in flight at three deaths is given
//!   up. What the loss of a task means is under **Fail** in each workload's file.
//! - **The run is done, or stopped.** The workers are killed. That ends a worker in any state, even
//!   a suspended one, and a worker holds nothing that would be lost. Each owner reaps its worker,
//!   so no zombie is left, and the pool joins the owners.
//! - **The program itself is killed.** It can no longer end the workers, so they must notice. Each
//!   has a *lifeline*: its standard input, a socket whose other end the program holds. When the
//!   program ends, the operating system closes that end. A thread of the worker waits for this, and
//!   ends the process.
//! - **Ctrl-C** in a terminal signals a whole process group. The workers are in groups of their
//!   own. So the signal reaches only the program, which stops the run.
//!
//! # Modules, in reading order
//!
//! - [`mandelbrot`]: small tasks, in few messages, and outputs in any order;
//! - `feed`: the thread that submits tasks, and `caught`: where panics of tasks are caught;
//! - [`resize`]: names are sent, thumbnails come back;
//! - [`grep`]: outputs in order, and remainders of tasks;
//! - [`pool`]: the runtime: how workers are fed and replaced;
//! - `in_flight`: the tasks in flight to a worker, and which of them its death counts against;
//! - [`worker`]: how a worker process is started and connected, and what it does;
//! - `process`: a child process that is killed and reaped when its Rust value is dropped;
//! - [`wordcount`] and [`sort`]: phases, with files between them;
//! - [`kv`]: workers that serve clients together, and plans that need several of them;
//! - [`mesh`] and [`prefork`]: the links between the workers of `kv`, and the coordinator that
//!   starts and replaces them;
//! - [`fetch`]: a process for each request in flight;
//! - [`fleet`]: the workers of `fetch`, each addressed by its number, and one thread that waits for
//!   all of them;
//! - `lifeline`: the lifelines of the workers of `prefork` and `fleet`, which carry messages during
//!   the whole run.

// All output goes through `cc_workloads::stdio`, which reports a write that fails instead of
// panicking.
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

        /// In a worker process, does the work of its workload and does not return.
        fn enter() {
            $($name::enter();)*
        }
    };
}
with_workloads!(workloads);
