//! Isolated threads: actors that own their state and share nothing but messages.
//!
//! A lock protects state that many threads can reach. Here only one can: every piece of state
//! belongs to one actor, a thread that does one thing at a time, and the only way to it is a
//! message to its bounded mailbox. Instead of asking which thread holds which lock, one asks which
//! actor may be waiting for room in which mailbox, and the answer is a drawing, in which there must
//! be no circle. The idea is old (Hoare's communicating sequential processes, Hewitt's actors) and
//! has served well: Erlang's switches, Go's channels, Akka.
//!
//! What Rust adds is that a message is *moved*. Its sender cannot touch it any more, so handing
//! over a mebibyte costs as much as handing over a pointer, and yet no two actors ever see the same
//! bytes. An actor that borrowed another's state, or sent something that must stay on its thread,
//! would not compile.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] makes a [`system`](actor::system), the actors of one run: a walker, a dispatcher,
//! a supervisor and as many searchers as were asked for. The calling thread becomes the last of
//! them, the collator, because the sink, into which the outputs go, cannot leave that thread.
//!
//! 1. The collator sends the walker *credits*, as many as tasks may be in flight (the *window*).
//!    For each, the walker takes one step of its walk through the directories and sends the
//!    dispatcher a task. Without a credit it waits: demand travels upstream, work travels
//!    downstream, and memory is bounded by the demand.
//! 2. A searcher tells the dispatcher when it has room for a task: whenever it begins one, and at
//!    first `run` does so for it. The dispatcher keeps a table of free room and one of waiting
//!    tasks. Whenever both have an entry, it puts the foremost task into that searcher's own
//!    mailbox. Balancing the load is one actor's decision, in one place: it can be changed without
//!    a change to any other actor.
//! 3. The searcher searches, with a compiled search of its own, and sends the output to the
//!    collator.
//! 4. Outputs arrive in any order. Each carries its [`position`], and the collator keeps what comes
//!    early, emits what is next. If a task turned out too big, its output has a *rest*: the
//!    collator sends the dispatcher the tasks in it, whose positions lie between this task and the
//!    next. The credit goes back when nothing is left of the task.
//! 5. When the walker has told how many tasks there were, and the last one is emitted, the collator
//!    returns. That closes the system: all other actors, which wait for messages that will not
//!    come, are halted, and waited for. A stop, such as a Ctrl-C, closes it in the same way; a
//!    searcher finishes the task in its hands first.
//!
//! # Let it crash
//!
//! A searcher that panics does not go on. Its thread ends, and the runtime sends all that it owned
//! to the [`supervisor`]: the task in its hands, which is reported as failed, and its mailbox,
//! which a successor with a fresh search takes over. The dispatcher does not notice, and no other
//! actor has code for it: failure is one actor's job.
//!
//! All workloads that have tasks are supervised by the same code. Each tells it in a
//! [`ChildSpec`](supervisor::ChildSpec) how to make a kernel, what a worker does, and how to report
//! a task that killed one. A worker that cannot be replaced is an error of the whole run: the
//! supervisor *escalates* it, which halts all actors.
//!
//! # Without an order
//!
//! In [`resize`] and [`mandelbrot`] outputs may come in any order, so no actor has to keep what
//! came early, and any task is as good as another. The actors are fewer for it: in `resize` the
//! workers ask the walker itself for an image, and in `mandelbrot`, where even the next task is but
//! a number, the actor with the sink hands out the tasks as well, one for each output that it is
//! sent.
//!
//! # Two phases
//!
//! In [`wordcount`] what is counted must meet. The partitions of the words have owners of their
//! own, the adders, to which every counter sends what it has counted of theirs. No actor waits at a
//! barrier: a counter reports after it has sent its counts, and the curator writes to the adders
//! after all reports, which is the order that the second phase needs.
//!
//! In [`sort`] the second phase is about what the first has made as a whole. There each phase is a
//! system of its own, and its end is the barrier: no actor of the first phase is left.
//!
//! # A server
//!
//! In [`kv`] the state stays and its users come and go. Every shard has a keeper and every client
//! an actor, which sends the keepers what the client asks for and waits for the answers: each
//! question carries the channel for its answer. What concerns several shards needs them all at
//! once. A keeper can be held for that: it answers with the sending end of a channel, and listens
//! to nothing else before something has come through it or that end is dropped. A client's actor
//! that holds several has asked for them in ascending order, so here, too, there is no circle of
//! actors that wait.
//!
//! # A client
//!
//! In [`fetch`] what is scarce is not a processor but the right to ask a host. One dispatcher has
//! all of it: it knows how many requests each host has, when each download may be tried again, and
//! which fetcher still has a connection to which host. It waits for a message or for the next such
//! time, whichever is first. A connection has one owner, like all else, and work travels to it.
//!
//! # Modules, in reading order
//!
//! - [`actor`]: the runtime: mailboxes and addresses, starting and watching actors, halting them;
//! - [`supervisor`]: workers that are reported and replaced when they panic;
//! - [`position`]: where a task belongs in the order when some tasks turn out to be many;
//! - [`grep`]: the actors of the parallel `grep`;
//! - [`resize`]: its topology without an order;
//! - [`mandelbrot`]: one owner for all that costs nothing;
//! - [`wordcount`]: owners for a large result;
//! - [`sort`]: a system for each phase;
//! - [`keeper`]: actors that keep a shard, and can be held;
//! - [`porter`]: the actor that knows which clients are connected;
//! - [`kv`]: an actor for each client, and what it asks of the keepers;
//! - [`fetch`]: connections that belong to actors, and a dispatcher that brings them downloads.

// What prints goes through `cc_workloads::stdio`, which does not panic and tells what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod actor;
pub mod keeper;
pub mod porter;
pub mod position;
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
