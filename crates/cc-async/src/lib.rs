//! async/await: many activities that wait, on few threads.
//!
//! An `async fn` is a function that can be left in the middle. Called, it does nothing but return a *future*;
//! polled, it runs to the next `await` that has to wait, and says who shall wake it. So a thread is not held
//! by what waits, and a thousand futures that wait cost a thousand small values, not a thousand stacks. The
//! price is a rule that no compiler checks: between two `await`s a future has its thread for itself, and one
//! that computes or blocks there stops all the others. A grep does hardly anything else. This crate shows
//! what async does well for such a program (bounds, order, cancellation) and where the work itself has to go.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] builds a tokio runtime, which has two kinds of threads: a *worker* that polls futures, and a
//! *blocking pool*, one thread for each that was asked for, that runs plain functions to their end. The
//! calling thread is neither: it stays in `block_on`, with the sink, which must not change threads.
//!
//! 1. [`walk`] has a thread of its own, since a directory or standard input can only be read by
//!    blocking (tokio's `fs` and `stdin` do so too, call by call, in the pool). Its tasks go into a
//!    bounded channel that both worlds understand: the thread waits in `blocking_send`, the future
//!    on the other end in `recv().await`.
//! 2. `feed`, a future on the worker, first waits for a place in the `line`; that is the *backpressure*, and
//!    the bound on memory. Then it waits for a task.
//! 3. `work` hands the task to the blocking pool. What comes back at once is a handle, the *promise* of the
//!    output, and goes into the line. On a thread of the blocking pool, the task borrows a compiled search
//!    and gives it back: [`pool::Pool`] is where such values lie meanwhile, and has no threads.
//! 4. `gather`, on the calling thread, takes promises out of the line in the order they were made, and awaits
//!    each. So the output is in order whatever order the tasks were done in.
//! 5. A task that turned out too big has a *rest*. `settle` starts its parts a few at a time, `buffered`, and
//!    emits their outputs before `gather` goes on along the line.
//!
//! # Ends
//!
//! If all goes well, the walk ends and drops its end of the channel, `feed` then drops its end of the line,
//! and `gather` comes to the end of the line. A stop need not be asked about in any of these places: it
//! cancels a token, and what runs under the token is dropped where it waits. Dropping is what
//! cancellation means in async Rust, and everything follows from ownership: with `gather` goes the
//! line, with the line the promises, with a promise its task, unless that has begun. What has begun
//! is a plain function, which cannot be made to give up its thread; the runtime waits for it when it is
//! dropped, at the end of `run`.
//!
//! A panic ends its task alone. The handle says so when it is awaited, and that becomes the task's
//! output. A panic of the walk or of `feed` closes a channel just as their end does; so both are
//! joined when `gather` has come to the end of the line, and the run has an end only if they have
//! one. [`runtime::Run`] is all of this: the runtime, the token, and what is joined.
//!
//! # Without an order
//!
//! In [`resize`] and [`mandelbrot`] outputs may come in any order, so there is no line. `feed` is a stream: tasks go
//! in, `work` makes a future of each, and `buffer_unordered` polls a few of these at a time and lets out what is done
//! first. Bound, sharing and end are those of the stream, and nothing is left to write but the loop that pulls it.
//!
//! In [`wordcount`] what is counted must meet. Each group of partitions belongs to a task of the runtime, which moves it into
//! the blocking pool to have something added, and has it back behind the `await`: ownership goes where a lock would not.
//!
//! # Alone on one thread
//!
//! [`single::grep`] is async without the blocking pool: `feed`, `work` and `gather` are three
//! futures that one thread polls in turn, slice by slice (`single/slice.rs`). That they take turns
//! makes nothing faster, which is the lesson: async is about *waiting*, and parallelism comes from
//! threads. In return the futures borrow what they like from the function that runs them, without a
//! lock or an `Arc`.
//!
//! # Modules, in reading order
//!
//! - [`grep`]: the model itself, on tokio's multi-thread runtime;
//! - [`runtime`]: what every run begins and ends with;
//! - [`walk`]: the thread that looks for its tasks;
//! - [`promise`]: the output of a task in the blocking pool;
//! - [`spawned`]: why the error of what was spawned is a panic;
//! - [`pool`]: what blocking tasks borrow from;
//! - [`resize`]: images, as they are completed;
//! - [`mandelbrot`]: many small tasks that only compute;
//! - [`wordcount`]: two phases, and state that several tasks add to;
//! - [`sort`]: phases, and a stream of promises for each;
//! - [`kv`]: what async is for: clients that wait, and little to do for each;
//! - [`fetch`]: the same from the other side: requests that wait, each a future that owns its connection;
//! - [`single`]: the variant, on a current-thread runtime.

// What prints goes through `cc_workloads::stdio`, which does not panic and tells what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod pool;
pub mod promise;
pub mod runtime;
pub mod single;
pub mod spawned;
pub mod walk;

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
