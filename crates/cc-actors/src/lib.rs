//! Isolated threads: actors that own their state and communicate by messages.
//!
//! A lock protects state that many threads can reach. Here only one thread can: every piece of
//! state belongs to one actor, a thread that handles one message at a time, and the only way to the
//! state is a message to the actor's bounded mailbox. Instead of asking which thread holds which
//! lock, one asks which actor may be waiting for room in which mailbox. The answer is a drawing in
//! which there must be no circle. The idea comes from Hoare's communicating sequential processes
//! and Hewitt's actors; Erlang, Go's channels and Akka are built on it.
//!
//! In Rust a message that is not `Copy` is *moved*: the compiler rejects a sender that uses it
//! afterwards. So passing on a mebibyte in a `Vec` costs as much as passing a pointer, and no copy
//! is needed for safety. That actors share no state is a convention of this crate, which the
//! compiler does not check: two actors could borrow the same `Mutex`. Exceptions, besides the run's
//! `Stop`, are named under *Share* at the top of each workload's file.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] makes a [`system`](actor::system): the actors of one run, or of one phase of it.
//! Here they are a source, a dispatcher, a supervisor and the number of workers that was asked for.
//! The calling thread becomes the last actor, the collector, because the sink, into which the
//! outputs go, cannot leave that thread.
//!
//! 1. The collector sends the source *credits*: one for each of the source's tasks that may be in
//!    flight (their number is the *window*). For each credit, the source lists the next files of
//!    its walk through the directories, and sends them to the dispatcher as a task. Without a
//!    credit it waits: demand travels upstream, work travels downstream, and the demand bounds the
//!    memory.
//! 2. A worker tells the dispatcher that it is ready for another task whenever it begins one; `run`
//!    sends the first of these messages. The dispatcher keeps a table of ready workers and a table
//!    of waiting tasks. When both have an entry, it sends the foremost task to that worker's own
//!    mailbox. Load balancing is the decision of one actor, in one place, and can be changed there
//!    without a change to any other actor.
//! 3. The worker runs its own compiled search on the task, and sends the output to the collector.
//! 4. Outputs arrive in any order. Each carries its [`position`]; the collector keeps early outputs
//!    and emits the next one. If a task turned out too big, its output has a *remainder*: further
//!    tasks, whose positions lie between this task and the next. When it emits that output, the
//!    collector begins to send the dispatcher these tasks, a few at a time: at most two per worker
//!    are submitted and not yet emitted. A task of a remainder may have a remainder as well. The
//!    credit goes back when nothing is left of the source's task.
//! 5. When the source has sent the number of tasks, and the last of them has been emitted, the
//!    collector returns. That closes the system: the source has ended already; the other actors,
//!    which wait for messages that will not come, are halted, and all are joined. A stop, such as a
//!    Ctrl-C, halts all actors, the source included; a worker first finishes the task that it is
//!    running.
//!
//! # Let it crash
//!
//! A worker does not catch its panics. A panic ends its thread, and the runtime sends all that the
//! worker owned to the [`supervisor`]: the task that it was running, which is reported as failed,
//! and its mailbox, which a successor with a new search takes over. The dispatcher does not notice,
//! and the collector gets an output as from any worker: in `grep`, only the supervisor has code for
//! a death.
//!
//! All workloads that have tasks are supervised by the same code. Each tells it in a
//! [`ChildSpec`](supervisor::ChildSpec) how to make a kernel, what a worker does, and how to report
//! a task that panicked. A worker that cannot be replaced is an error of the whole run: the
//! supervisor *escalates* it, which halts all actors.
//!
//! # Without an order
//!
//! In [`resize`] and [`mandelbrot`] outputs may come in any order: no actor keeps early outputs,
//! and it does not matter which task is done first. So no dispatcher is needed. In `resize` the
//! workers ask the source itself for an image. In `mandelbrot` making a task takes only some
//! arithmetic, so the collector hands out the tasks as well, one for each output that it receives.
//!
//! # Two phases
//!
//! In [`wordcount`] all counts of one word must meet in one place. The workers are *mappers*, and
//! the partitions of the words belong to other actors, the *reducers*, to which every mapper sends
//! its counts of their words. No actor waits at a barrier: a mapper reports a task after it has
//! sent the task's counts, and after all reports the collector sends the reducers a message that
//! ends the counts. So a reducer receives that message after the last of the counts.
//!
//! In [`sort`] the second phase needs everything that the first has made. There each phase is a
//! system of its own, and its end is the barrier: no actor of the first phase is left.
//!
//! # A server
//!
//! In [`kv`] the state stays and its users come and go. Every shard has a shard actor and every
//! client has an actor, which sends the shard actors what the client requests and waits for the
//! replies: each request carries the channel for its reply. A plan on several shards needs them all
//! at once. For that a shard actor can be *held*: it replies with the sending end of a channel, and
//! handles no other request until something has come through it or that end is dropped. A client's
//! actor acquires its holds in ascending order, so there is no circle of waiting actors.
//!
//! # A client
//!
//! In [`fetch`] the scarce resource is not a processor but the permission to ask a host. One
//! dispatcher decides on it: it knows how many requests each host has, when each download may be
//! retried, and which worker still has a connection to which host. It waits for a message or for
//! the next such time, whichever is first. A connection has one owner, like all other state, and
//! downloads are sent to that owner.
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
