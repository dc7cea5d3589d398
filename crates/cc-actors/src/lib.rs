//! Isolated threads: actors that own their state and communicate by messages.
//!
//! A lock protects state that many threads can reach. Here only one thread reaches it: state
//! belongs to one actor, a thread that handles one message at a time. Other actors send messages to
//! its *mailbox*, a bounded queue. Instead of asking which thread holds which lock, one asks which
//! actor waits for room in which mailbox. These waits must not form a circle. The idea comes from
//! Hoare's communicating sequential processes and Hewitt's actors; Erlang, Go's channels and Akka
//! are built on it.
//!
//! In Rust a message that is not `Copy` is *moved*: the compiler rejects a sender that uses it
//! afterwards. So a `Vec` with a mebibyte is passed on as a pointer and two numbers, and no copy is
//! needed for safety. That actors share no state is a convention, which the compiler does not
//! check: two actors could borrow the same `Mutex`. Apart from the `Stop`, what actors share is
//! under *Share* at the head of each workload's file.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] makes a [`system`](actor::system): the actors of one run. Here they are a source,
//! a dispatcher, a supervisor and `ctx.workers` workers. The calling thread becomes the last actor,
//! the collector. It owns the *sink*, which takes the outputs and cannot leave that thread.
//!
//! 1. The collector sends the source *credits*: at first as many as the *window*, `ctx.window`. For
//!    each credit, the source lists the next files of its walk through the directories, and sends
//!    them to the dispatcher as one task. Without a credit it waits. So the window limits the
//!    source's tasks that are sent and not yet emitted, and thereby the memory.
//! 2. When a worker begins a task, it tells the dispatcher that it is ready for another; `run`
//!    sends the first of these messages for each worker. The dispatcher keeps a table of ready
//!    workers and a table of waiting tasks. When both have an entry, it sends the first task, in
//!    the order of the output, to the worker that has been ready longest. Load balancing is the
//!    decision of one actor, and can be changed there without a change to any other.
//! 3. The worker runs its own compiled search on the task, and sends the output to the collector.
//! 4. Outputs arrive in any order. Each comes with its [`position`]; the collector keeps early
//!    outputs until they are next. If a task was too large, its output has a *remainder*: further
//!    tasks, whose positions lie between this task and the next. The collector emits the output,
//!    and then begins to send these tasks to the dispatcher. It sends only a few at a time: a
//!    constant per worker limits the tasks of a remainder that are sent and not yet emitted. A task
//!    of a remainder may have a remainder as well. When a task of the source and all of its
//!    remainder are emitted, the collector sends a credit.
//! 5. When the source has no more tasks, it sends the collector their number. When the last of them
//!    and its remainder are emitted, the collector returns. Then the system halts the actors that
//!    still wait for messages, and joins all. A stop, such as a Ctrl-C, halts all actors; a worker
//!    first finishes the task that it is running.
//!
//! # Let it crash
//!
//! A worker does not catch its panics. A panic ends its thread, and the runtime sends the
//! [`supervisor`] all that the worker owned. The supervisor reports the failure of the task that
//! was running; a task of several files is then retried file by file. It starts a successor, with a
//! new search, on the same mailbox. The dispatcher does not notice, and the collector gets an
//! output as from any worker.
//!
//! All workloads that have tasks are supervised by the same code. A
//! [`ChildSpec`](supervisor::ChildSpec) says how to make a *kernel* (in `grep`, the search), what a
//! worker does, and how to report a task that panicked. If a worker cannot be replaced, the
//! supervisor *escalates* the error: all actors are halted, and the run ends with that error.
//!
//! # Without an order
//!
//! In [`resize`] and [`mandelbrot`] outputs may come in any order: no actor keeps early outputs,
//! and it does not matter which task is done first. So no dispatcher is needed. In `resize` the
//! workers ask the source itself for tasks. In `mandelbrot` making a task takes only some
//! arithmetic, so the collector does that, and answers each output with the next task.
//!
//! # Phases
//!
//! In [`wordcount`] all counts of one word must meet in one place. The workers are *mappers*, and
//! other actors, the *reducers*, own the partitions of the words. A mapper sends each reducer the
//! counts of that reducer's words, and then reports the task to the collector. After all reports,
//! the collector sends the reducers a message that ends the counts. So a reducer receives this
//! message after the last of the counts.
//!
//! In [`sort`] a phase needs everything that the phase before has made. So each phase is a system
//! of its own, and the end of the system is the barrier: all threads that it has started have
//! ended.
//!
//! # A server
//!
//! In [`kv`] the state stays and its users come and go. Each shard of the keys has a shard actor,
//! and each client has an actor. The client's actor sends the shard actors what the client
//! requests, and waits for the replies: each request carries the channel for its reply. A request
//! that must run as one on several shards needs them all at once. For that a shard actor can be
//! *held*: it replies with the sending end of a channel, and handles no other request until
//! something has come through it or that end is dropped. A client's actor holds shards in ascending
//! order, so the waits form no circle.
//!
//! # A client
//!
//! In [`fetch`] the scarce resource is not a processor but the permission to ask a host. One
//! dispatcher owns the schedule, which knows how many requests each host has, and when a download
//! may be retried. The dispatcher waits for a response, or until the schedule allows a further
//! request. A connection has one owner, a worker. The dispatcher prefers an idle worker whose last
//! download came from the same server.
//!
//! # Modules, in reading order
//!
//! - [`actor`]: the runtime: mailboxes and addresses, starting, watching and halting actors;
//! - [`supervisor`]: workers that are reported and replaced when they panic;
//! - [`mandelbrot`]: the smallest set of actors: the collector hands out the tasks;
//! - [`resize`]: a source, workers and a collector;
//! - [`grep`]: the actors of the parallel `grep`;
//! - [`position`]: the order of tasks, where a task may turn out to be several;
//! - [`wordcount`]: mappers, and reducers that own a large result;
//! - [`sort`]: a system for each phase;
//! - [`kv`]: an actor for each client, and its requests to the shard actors;
//! - [`shard_actor`]: actors that own a shard, and can be held;
//! - [`connection_registry`]: the actor that knows which clients are connected;
//! - [`fetch`]: connections that belong to actors, and a dispatcher that sends them downloads.

// All output goes through `cc_workloads::stdio`, which reports a write that fails instead of
// panicking.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod actor;
pub mod connection_registry;
pub mod position;
pub mod shard_actor;
pub mod supervisor;

use cc_workloads::{Entry, Model, with_workloads};

macro_rules! workloads {
    ($($name:ident: $run:path,)*) => {
        $(pub mod $name;)*

        /// The model of this crate.
        pub const MODELS: &[Model] = &[Model {
            name: "actors",
            mechanism: "threads that own their state, mailboxes",
            enter: || {},
            $($name: Entry::Run($name::run),)*
        }];
    };
}
with_workloads!(workloads);
