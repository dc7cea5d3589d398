//! async/await: many activities that wait, on few threads.
//!
//! A call of an `async fn` runs nothing: it returns a *future*. When a future is polled, it runs
//! until an `await` is not ready. Then it leaves a *waker* with what it waits for, and returns. The
//! waker tells the runtime to poll it again. So a future that waits holds no thread: a thousand of
//! them take a thousand small values, and not a thousand stacks.
//!
//! The price is a rule that no compiler checks. Between two `await`s a future has its thread to
//! itself, and one that computes or blocks there stops all other futures on that thread. A grep
//! mostly computes and blocks. This crate shows what async does well for such a program (bounds,
//! order, cancellation), and where the work itself has to go.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] builds a tokio runtime with two kinds of threads. One *worker* of the runtime
//! polls futures. A *blocking pool* of at most `ctx.workers` threads runs plain functions to their
//! end. The calling thread is neither. It stays in `block_on`, with the sink, which must not change
//! threads.
//!
//! 1. The [`source`](source::Source) is a thread of its own that lists the files, since reading
//!    directories and standard input blocks. A bounded channel takes the tasks to `feed`: the
//!    thread waits in `blocking_send`, the future in `recv().await`.
//! 2. `feed`, a future on the worker, first waits for room in the queue of pending results. This is
//!    the *backpressure*, and it bounds the memory. Then it waits for a task.
//! 3. `work` spawns the task in the blocking pool. It returns immediately with a handle, the
//!    *pending result*, which goes into that queue. In the blocking pool, the task borrows a
//!    compiled search from an object pool, [`pool::Pool`], and gives it back.
//! 4. `gather`, on the calling thread, takes the pending results in the order of the tasks, and
//!    awaits each. So the outputs are in order although the tasks are done in any order.
//! 5. If a task is too large, its output has a *remainder*: further tasks. `emit_in_order` starts a
//!    few of these at a time, by `buffered`, and emits their outputs before `gather` goes on.
//!
//! # Ends
//!
//! In a run without trouble, the source ends first and drops its end of the channel. Then `feed`
//! ends and closes the queue of pending results, and `gather` ends when that queue is empty.
//!
//! A stop cancels a token, and the futures that run under the token are dropped at the `await`
//! where they wait. Dropping is what cancellation means in async Rust; the rest follows from
//! ownership. `gather` owns the queue, and the queue owns the pending results. Dropping a pending
//! result cancels its task, unless the task has begun. A task that has begun is a plain function
//! and cannot be interrupted. Dropping the runtime, at the end of `run`, waits for it.
//!
//! A future that is dropped loses what it has taken out of a channel. If it can lose nothing, it is
//! *cancel safe*. In a run that is stopped, nothing is needed any more. But a `select!` drops
//! futures in a run that goes on; a comment at each `select!` says why nothing is lost.
//!
//! A panic of a task ends only this task. Awaiting the handle returns the panic, which becomes the
//! task's output. A panic of the source or of `feed` closes a channel just as their normal end
//! does. So both are joined after `gather` has ended, and the joins give the run's result.
//! [`runtime::Run`] holds the runtime and the token, and joins `feed`; [`source::Source`] joins its
//! thread.
//!
//! # Without an order
//!
//! In [`resize`] and [`mandelbrot`], outputs may come in any order, so there are no pending results
//! in a queue. `feed` makes a stream of the tasks: `work` makes a future of each, and
//! `buffer_unordered` polls a few of these at a time and returns each output as soon as it is
//! completed.
//!
//! In [`wordcount`], counts of the same words must be added up. The words are divided into
//! partitions by their hash, and each group of partitions is owned by a future, the *reducer*. All
//! reducers are polled in one task of the runtime. To add counts, a reducer moves its partitions
//! into the blocking pool, and gets them back after the `await`. This moves the ownership, where
//! threads would take a lock.
//!
//! # On one thread
//!
//! [`single::grep`] is async without the blocking pool: `feed`, `work` and `gather` are three
//! futures that one thread polls in turn, slice by slice (`single/slice.rs`). Taking turns makes no
//! computation faster: async is about *waiting*, and parallelism comes from threads. In return, the
//! futures may borrow from the function that runs them, without an `Arc` or a lock.
//!
//! # Waiting for several futures
//!
//! | tool | waits for | used in |
//! |---|---|---|
//! | `join!` | a fixed number of futures, until all have ended | [`single`], [`wordcount`] |
//! | `join_all` | a list of futures, until all have ended | [`wordcount`] |
//! | `select!` | the first of several; drops the others | [`fetch`], [`kv`] |
//! | `FuturesUnordered` | a growing set, one output at a time, as completed | [`fetch`] |
//! | `buffer_unordered` | a few of a stream, as ready | [`resize`], [`mandelbrot`], [`wordcount`] |
//! | `buffered` | the same, but in order | [`grep`] |
//! | `TaskTracker` | spawned tasks whose outputs are not needed | [`kv`] |
//!
//! # Modules, in reading order
//!
//! - [`mandelbrot`]: many small tasks that only compute;
//! - [`runtime`]: how every run begins and ends; [`spawned`]: a handle whose only error is a panic;
//! - [`resize`]: images, as they are completed;
//! - [`source`]: the thread that lists the tasks; [`pending`]: the pending result of a task in the
//!   blocking pool; [`pool`]: the object pool from which blocking tasks borrow;
//! - [`grep`]: outputs in order, and remainders;
//! - [`wordcount`]: two phases, and state that is owned by futures;
//! - [`sort`]: phases, each with a queue of pending results;
//! - [`kv`]: what async is for: many clients that wait, and little work for each;
//! - [`fetch`]: the other side: many requests that wait, each a future that owns its connection;
//! - [`single`]: the variant, on a current-thread runtime.

// All output goes through `cc_workloads::stdio`, which does not panic and reports what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod pending;
pub mod pool;
pub mod runtime;
pub mod single;
pub mod source;
pub mod spawned;

use cc_workloads::{Entry, Model, with_workloads};

macro_rules! workloads {
    ($($name:ident: $run:path,)*) => {
        $(pub mod $name;)*

        /// The models of this crate: async, and the variant on one thread.
        pub const MODELS: &[Model] = &[
            Model {
                name: "async",
                mechanism: "tokio: multi-thread runtime, blocking pool",
                enter: || {},
                $($name: Entry::Run($name::run),)*
            },
            single::MODEL,
        ];
    };
}
with_workloads!(workloads);
