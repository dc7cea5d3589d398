//! Free threads: several threads that share one address space.
//!
//! Threads are the operating system's own unit of concurrency: the system schedules them on the
//! cores. They see the same memory, so a thread hands data over as a pointer and not as a copy. The
//! price: data that is shared and changes must be protected, and an abort in one thread ends the
//! whole program. Rust makes unprotected sharing a compile error. Only a type that is `Send` may
//! move to another thread, and only one that is `Sync` may be shared.
//!
//! # One job's way through this crate
//!
//! The example is [`grep::run`], which the main thread calls. Inside of a [`std::thread::scope`] it
//! starts one thread that *feeds* and `ctx.workers` threads that *work*; the calling thread
//! *gathers*. The scope ends only after all of its threads have ended, even if the run is stopped
//! or panics. So these threads may borrow the job. Threads that are started by `thread::spawn`
//! could not, and would share it through an `Arc`.
//!
//! The queues between these threads are bounded channels of crossbeam. Such a channel may have
//! several receivers: each worker has a clone of the receiver of tasks, and each task goes to one
//! worker.
//!
//! 1. `feed` lists the files. For each task it makes a channel for one value. The receiving half,
//!    the *pending result*, goes into a queue for `gather`. The sending half and the task are a
//!    *request* and go into a queue for the workers. While the queue of pending results is full,
//!    `feed` waits: this is the *backpressure*, and it bounds the memory.
//! 2. A worker takes the next request, runs the *kernel* (the function that searches) on its task,
//!    and completes the pending result. A worker whose tasks are cheap returns sooner and takes
//!    more of them: one shared queue balances the load.
//! 3. `gather` takes the pending results in the order of the tasks, and waits for each. So the
//!    outputs are in order although workers complete the tasks in any order.
//! 4. If a task is too large, its output has a *remainder*: further tasks. `gather` sends these to
//!    the `urgent` queue, which workers prefer, and emits their outputs before it goes on.
//!
//! At the end of the input, `feed` drops its ends of the channels. `gather` finds the queue of
//! pending results closed and empty, and returns. `run` closes the `urgent` queue, and the workers
//! end.
//!
//! A stop ends the run earlier: for example Ctrl-C, or a reader of the output that has gone. `feed`
//! gets no more tasks from its iterator. A worker finishes the task that it has begun, and drops
//! the requests that are queued. This abandons their pending results, so `gather` does not wait for
//! them.
//!
//! A panic of a task does not end the run: it is caught where the task runs (`caught.rs`), and
//! becomes the task's output. Any other panic of `feed` or a worker is the run's error. It closes
//! the thread's channels just as a normal end does. So `run` joins all threads before it trusts
//! that the outputs are complete ([`threads`]).
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
