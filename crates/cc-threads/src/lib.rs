//! Free threads: several threads in one address space, which share what they like.
//!
//! Threads are the operating system's own unit of concurrency: the kernel schedules them on the
//! cores. They see the same memory, so data is handed over without a copy. The price: data that is
//! shared and changes must be protected, and a crash of one thread (an abort, a corrupted heap)
//! ends the whole program. They are "free", in contrast to the isolated threads of the actors: each
//! may use all of the memory. Rust makes unprotected sharing a compile error. Only a type that is
//! `Send` may move to another thread, and only one that is `Sync` may be shared.
//!
//! # One job's way through this crate
//!
//! The example is [`grep::run`], which the main thread calls. Inside of a [`std::thread::scope`] it
//! starts one thread that *feeds* and `ctx.workers` threads that *work*; the calling thread
//! *gathers*. The scope cannot be left before all of its threads have ended, whether the job is
//! finished, stopped or panics. That is also why these threads may borrow the job: threads that are
//! started by `thread::spawn` could not, and would share it through an `Arc`.
//!
//! Bounded channels connect them. They are crossbeam's, which may have several receivers: each
//! worker has a clone of the same receiver, and each message goes to one of them.
//!
//! 1. `feed` lists the files. For each task it makes a channel for one value. The receiving half,
//!    the *pending result*, goes into a queue for `gather`. The sending half and the task are a
//!    *request* and go into a queue for the workers. While the queue of pending results is full,
//!    `feed` waits: this is the *backpressure*, and it bounds the memory.
//! 2. A worker takes the next request, runs the kernel on its task and completes the pending
//!    result. A worker whose tasks are cheap returns sooner and takes more of them: one shared
//!    queue balances the load.
//! 3. `gather` takes the pending results in the order of the tasks, and waits for each. So the
//!    outputs are in order although workers complete the tasks in any order.
//! 4. If a task is too large, its output has a *remainder*: further tasks. `gather` sends these to
//!    the `urgent` queue, which workers prefer, and emits their outputs before it goes on.
//!
//! No thread is told to end. `feed` has no more tasks and drops its ends of the channels. `gather`
//! finds the queue of pending results empty and closed, returns, and `run` closes the `urgent`
//! queue. Then nothing is left that the workers could wait for. A stop (Ctrl-C, or a reader of the
//! output that has gone) ends the run in the same way, only earlier: `feed` gets no more tasks,
//! a worker finishes the task that it has begun, and all other pending results are abandoned.
//!
//! A panic of a task is not a stop. It is caught where the task runs (`caught.rs`), and becomes the
//! task's output. A panic anywhere else is the run's error. A thread that panics closes its
//! channels, too. So a closed channel counts as the end of the input only after its thread was
//! joined ([`threads`]).
//!
//! # Modules, in reading order
//!
//! - [`mandelbrot`]: workers that take tasks by incrementing a shared counter;
//! - [`resize`]: the same with a queue of tasks;
//! - [`grep`]: outputs in order, remainders, and two queues with priority;
//! - [`pending`]: requests and their pending results; [`threads`]: how threads are started and
//!   joined;
//! - [`wordcount`]: a large result that all workers add to, in partitions that have a lock each;
//! - [`sort`]: phases, one after the other, on the same workers;
//! - [`kv`]: a thread for each client, and locks around the state that they share;
//! - [`fetch`]: a thread for each request in flight, and a shared schedule with condition
//!   variables;
//! - [`rayon`]: the variant, in which a work-stealing pool distributes the work (`rayon/pool.rs`).

// All output goes through `cc_workloads::stdio`, which does not panic and reports what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod caught;
pub mod pending;
pub mod rayon;
pub mod threads;

use cc_workloads::{Entry, Model, with_workloads};

macro_rules! workloads {
    ($($name:ident: $run:path,)*) => {
        $(pub mod $name;)*

        /// The models of this crate: threads, and the variant on rayon's pool.
        pub const MODELS: &[Model] = &[
            Model {
                name: "threads",
                mechanism: "std::thread, crossbeam channels",
                enter: || {},
                $($name: Entry::Run($name::run),)*
            },
            rayon::MODEL,
        ];
    };
}
with_workloads!(workloads);
