//! Free threads: several threads in one address space, sharing what they like.
//!
//! Threads are the model that the machine itself has. They see the same memory, so nothing has to be copied to
//! hand it over; the price is that everything shared must be protected, and that one thread's crash (an abort,
//! a corrupted heap) takes all of them along. Rust's part of the bargain is that unprotected sharing does not
//! compile.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] is called on the main thread. It starts, inside a [`std::thread::scope`], one thread that
//! *feeds* and as many as were asked for that *work*; the calling thread itself *gathers*. The scope is the
//! owner of these threads: it cannot be left before they have all ended, whether the job is done, stopped or
//! panicking, and that is also why they may borrow the job instead of sharing it by `Arc`.
//!
//! Between them are bounded channels, the threads' shared queues:
//!
//! 1. `feed` walks the directories. For each task it makes a *promise*, a channel for one value; its receiving
//!    half goes into the `line`, the sending half goes with the task into the `fed` queue. When the line is
//!    full, `feed` waits: that is the *backpressure*, and the bound on memory.
//! 2. Each worker takes the next task from the queue, runs the kernel on it and keeps the promise. Workers that
//!    get cheap tasks come back sooner and take more: sharing one queue is all the load balancing there is.
//! 3. `gather` takes promises out of the line, in the order they were made, and waits for each. So the output
//!    is in order whatever order the tasks were done in.
//! 4. A task that turned out too big has a *rest*. `gather` puts it on the `urgent` queue, which workers prefer,
//!    and waits for its parts before it goes on along the line.
//!
//! Nothing has to be told to end: `feed` has no more tasks and drops its ends of the channels, the
//! line runs empty, `gather` closes the `urgent` queue, and the workers have nothing left to wait
//! for. A stop (Ctrl-C, or a reader of the output who has gone) takes the same way, only earlier:
//! `feed` gets no more tasks, a worker finishes the one in its hands, and all other promises are
//! broken. A task that panics is no stop: the panic is caught where it runs (`caught.rs`), and
//! becomes its output. A panic anywhere else is the run's error: a queue that has closed is
//! believed only after the thread that fed it was joined ([`threads`]).
//!
//! # Modules, in reading order
//!
//! - [`grep`]: the model itself, on `std::thread` and crossbeam's channels;
//! - [`promise`]: both ends of a promise, and [`threads`]: how threads are started and joined;
//! - [`resize`] and [`mandelbrot`]: work without an order, from a queue and from a cursor;
//! - [`wordcount`]: a large result that all workers add to, in parts that have a lock each;
//! - [`sort`]: phases, one after the other, for workers that stay;
//! - [`kv`]: a thread for each client, and locks around what they share;
//! - [`fetch`]: a thread for each request that waits, and a schedule that they share;
//! - [`rayon`]: the variant, in which a work-stealing pool does the sharing (`rayon/pool.rs`).

// What prints goes through `cc_workloads::stdio`, which does not panic and tells what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod caught;
pub mod promise;
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
