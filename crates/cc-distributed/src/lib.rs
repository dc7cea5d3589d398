//! Distributed: a coordinator and workers over gRPC.
//!
//! Machines share nothing. What one machine knows of another arrived in a message, and was true
//! when that message was sent. The question of this model is what to believe when no message
//! arrives. A worker that is dead, one that hangs, one whose cable is cut and one that is only slow
//! look the same from outside.
//!
//! The answer here is the usual one, for tasks that are *repeatable* (idempotent). The coordinator
//! hands out a task on a *lease*. A worker that is silent for too long is suspected: its *session*,
//! the time for which it works for this job, ends. The session's leases end too, and its tasks are
//! handed out again. So a task may run several times (*at-least-once*). But only a session that
//! holds a lease can complete it, and only the first accepted answer counts. So a wrong suspicion
//! costs repeated work, and no output is counted twice.
//!
//! If the data of a worker cannot be made again, as in [`kv`], the session's end would lose it. So
//! there a suspected worker keeps its session until a second limit (`--lose-after`).
//!
//! # One job's way through this crate
//!
//! [`grep::run`] is called on the main thread, which later *gathers*. It starts a [`cluster`]: a
//! tokio runtime with one *member* for each worker, and a [queue](cluster::queue) of encoded tasks.
//! A member is the coordinator's side of the connection to its worker. If the command line names no
//! workers, each member starts one as a process.
//!
//! 1. `feed` lists the files. It makes a *reply channel* for each task. The receiver goes into a
//!    channel to `gather`, in the order of the tasks. That channel has room for `window` receivers;
//!    when it is full, `feed` waits (backpressure). The task, with the sender of its reply channel,
//!    goes into a channel to `load`.
//! 2. `load` (several threads, unless `--shared-fs`) prepares the task for sending. It reads the
//!    files' contents into it, or leaves the names, and submits it to the queue as bytes. The queue
//!    returns a *pending result*; `load` sends it on the task's reply channel.
//! 3. The member has sent its worker what all tasks of the job have in common (for `grep` the
//!    query), in a *hello*, and was granted a *credit*. While credit is left, it takes tasks on
//!    lease and sends them on one stream, in frames of at most 256 KiB.
//! 4. The worker does the tasks in its *slots*: threads that each do one task at a time. Each slot
//!    calls the function that `work` has returned for it. The worker sends back each output. A
//!    panic is sent back as a failure.
//! 5. The member hands the output to the queue, which completes the pending result. `gather` emits
//!    the outputs in the order of the tasks. If a task was too large, or failed with several files,
//!    its *remainder* (further tasks) is submitted in the same way, with priority (the *urgent
//!    lane*).
//!
//! Meanwhile the member pings its worker, on a second connection. If no answer comes, or the stream
//! breaks, the member leaves the queue and closes the connection, so that no late answer arrives.
//! The worker's leases end, and the queue hands out these tasks again, each to a worker that has no
//! other task (see *quarantine* below). The member then starts another session from the beginning:
//! a session is never resumed.
//!
//! When a worker is lost, the queue cannot know which of its tasks was the cause. It *quarantines*
//! all of them: each runs alone from then on. A task that was alone on its worker at three losses
//! is given up.
//!
//! When a job ends or is stopped, the queue closes. Pending results are abandoned, members leave
//! their sessions, and the worker processes that the run started are killed. They hold nothing that
//! must be saved.
//!
//! [`resize`] and [`mandelbrot`] need no order. They take results in the order of completion, from
//! a bounded number of pending ones (`buffer_unordered`).
//!
//! [`wordcount`] has a *shuffle*: every task of the second phase needs results of all tasks of the
//! first. These results do not come back to the coordinator. A worker keeps them in a [blob
//! store](cluster::blob_store) of its session, and returns names that say where they are. The tasks
//! of the second phase get these names, and fetch the bytes directly from the workers.
//!
//! With a shuffle, results of complete tasks are lost with their session. So the coordinator keeps
//! the tasks (their *lineage*). If a session has ended, and its results are still needed, the
//! coordinator has them made again. If the session is alive, and one worker cannot fetch from it,
//! the fetching task goes to another worker. A task of the second phase gets at most one name for
//! each task of the first, so nothing is counted twice.
//!
//! [`sort`] shuffles runs of sorted lines, and its second phase has an order. A task there that
//! could not fetch a run keeps its position in the order while the run is made again.
//!
//! [`kv`] is a server, and its workers are *stateful*: each owns shards of the data, for as long as
//! its session lasts. Requests are not repeatable, so nothing is leased and nothing is sent twice.
//! A suspected worker gets no new requests (only the commit or abort of what it has begun). Its
//! session ends when its connection breaks, or when it is silent for `--lose-after`; then its data
//! is lost. As soon as a worker is suspected, or its session ends, requests that it may have
//! executed and not answered are *indeterminate*: their clients are told so.
//!
//! The next session begins with empty shards, under new *epochs* (random numbers, by which clients
//! notice the loss). If the old worker was only slow, no request can reach its data any more. To
//! survive a loss, the server would need replicas and a consensus protocol between them; both are
//! beyond what this crate shows.
//!
//! [`fetch`] is a client with many requests. Each host belongs to one worker, which keeps the
//! schedule and the limits of this host. What is lost with a worker is requested again.
//!
//! # Modules, in reading order
//!
//! - [`mandelbrot`]: small tasks, each of several tiles, so that the tiles share the cost of a
//!   message;
//! - [`resize`]: large tasks, which travel as contents or as names;
//! - [`grep`]: outputs in order, and remainders of tasks;
//! - `job_setup`: what a worker is told once about a job;
//! - `threads`: the coordinator's threads. A channel is also closed when the thread that sends on
//!   it panics. So a run joins its threads before it reports success;
//! - [`cluster`]: the small runtime of this model. It knows no workload, and its queue knows no
//!   transport: a message broker could replace everything between queue and worker;
//! - [`wordcount`]: two phases, and a shuffle between them;
//! - [`sort`]: the same, but runs have names without a session. The coordinator keeps a table of
//!   which session has each run, and completes the names when it sends a merge;
//! - [`kv`]: a server whose data is with the workers; its `node` is their side;
//! - [`fetch`]: requests to hosts, each of which belongs to one worker.

// All printing goes through `cc_workloads::stdio`, which does not panic, and reports what could not
// be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cluster;
mod job_setup;
mod threads;

use cc_workloads::{Entry, Model, with_workloads};

macro_rules! workloads {
    ($($name:ident: $run:path,)*) => {
        $(pub mod $name;)*

        /// The model that this crate implements.
        pub const MODELS: &[Model] = &[Model {
            name: "distributed",
            mechanism: "gRPC (tonic), N processes on loopback",
            enter,
            $($name: Entry::Run($name::run),)*
        }];

        /// The services that a worker of this crate offers.
        const SERVICES: &[cluster::worker::Service] = &[$($name::SERVICE,)*];
    };
}
with_workloads!(workloads);

fn enter() {
    cluster::command::enter(SERVICES, MODELS);
}
