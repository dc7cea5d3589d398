//! Distributed: a coordinator and workers over gRPC.
//!
//! Machines share nothing. Whatever one knows of another came in a message, and was true when that was sent. The
//! model's question is therefore not how to share the work (a queue does that, as elsewhere) but what to
//! believe when nothing is heard: a worker that is dead, one that hangs, one whose cable was pulled and one that
//! is merely slow look the same. The answer here is the usual one. Tasks are *repeatable*, handing one out is a
//! *lease*, a worker that is silent for too long is cut off and loses its leases, and only a worker
//! that holds a lease of a task can settle it, once. A wrong suspicion then costs work, never
//! correctness.
//!
//! # One job's way through this crate
//!
//! [`grep::run`] is called on the main thread, which in the end *gathers*. It starts a [`cluster`]: a tokio
//! runtime with one *member* for each worker, which speaks with it, and a [queue](cluster::queue) of encoded
//! tasks between the members and the job. If the command line names no workers, each member starts one, as a
//! process of its own.
//!
//! 1. `feed` walks the directories. For each task it puts a *promise* into the `line`, which is bounded: that is the
//!    backpressure, and the bound on memory.
//! 2. `load` makes the task ready for its journey: it reads the files' contents into it, or leaves the names
//!    (`--shared-fs`), and submits it to the queue as bytes. The queue gives a promise of its own, of the
//!    output, and this is what keeps the one in the line.
//! 3. A member has greeted its worker with the job, and was granted a *credit*. As far as that goes it takes tasks on
//!    lease and sends them, in frames of a quarter of a mebibyte, on one stream.
//! 4. The worker runs the kernel (`work`) in its *slots*, threads that do a task each, and sends each output
//!    back. A panic goes back as a failure.
//! 5. The member hands the output to the queue, which keeps its promise, and `gather` emits the outputs in
//!    the order of the line. What is left of a task goes the same way, on the urgent lane.
//!
//! Meanwhile the member asks its worker for a sign of life, on a connection of its own. When there is none,
//! or the stream breaks, it leaves the queue and closes the connection, so that nothing late arrives, and the
//! leases go to whoever has room. The member then tries again, from the beginning: a session is never mended.
//! A task that was lost three times is given up.
//!
//! When a job ends, or is stopped, the queue closes: promises break, members leave their sessions, processes of
//! the run's own are killed and waited for. They hold nothing that could be lost.
//!
//! [`resize`] and [`mandelbrot`] need no order. They take the promises in the line as they are kept, a bounded number
//! of them at a time (`buffer_unordered`), and so one slow worker holds up nothing but its own tasks.
//!
//! [`wordcount`] has a *shuffle*: what the tasks of the first phase make is needed by all of the second. It does not
//! come back. A worker keeps it on a [shelf](cluster::shelf) of its session, and returns names, which say where it is;
//! the tasks of the second phase are given these names, and fetch the bytes from worker to worker. With this, losing
//! a worker is no longer harmless: what it had done is lost, too, though its leases were settled. So the coordinator
//! keeps the tasks themselves, and each thing is known by its session and its attempt. When a session has ended, or
//! somebody could not fetch from it, its tasks are done again elsewhere, and then those that wait for them. Nothing
//! is used twice, since who needs it is told one name for each task.
//!
//! [`sort`] does the same with runs of sorted lines, and its second phase has an order. There a task that could not
//! fetch something waits for its turn, and while it does, what is lost is made again.
//!
//! [`kv`] is a server, and *keeps* what others only pass on: a worker owns shards of the data, for as long as the session
//! lasts. Its questions are not repeatable, so nothing is leased and nothing is done again. When a session ends, what it
//! kept is lost, and whoever waits for an answer is told that nobody knows it. The next session begins with nothing, under
//! another name: what a worker that was only slow still holds can be asked by nobody. To go on without a loss there would have to
//! be a second copy, and an agreement on which of two is the right one; both are beyond what this crate shows.
//!
//! # Modules, in reading order
//!
//! - [`grep`]: what is told to whom, and in which order it comes back;
//! - [`resize`]: large tasks, which travel as contents or as names;
//! - [`mandelbrot`]: small tasks, which travel together;
//! - [`wordcount`]: two phases, and what goes from worker to worker between them;
//! - [`sort`]: the same, with names that do not say where things are;
//! - [`kv`]: a server whose data is with the workers; its `node` is what they do;
//! - [`fetch`]: requests to hosts, each of which belongs to one worker;
//! - `brief`: what a worker is told of a job;
//! - `threads`: the threads that feed it, joined before the end of what they send is believed;
//! - [`cluster`]: the small runtime of this model. It knows no workload, and its queue knows no transport: a
//!   message broker could take the place of everything between queue and worker.

// What prints goes through `cc_workloads::stdio`, which does not panic and tells what could not be
// written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod brief;
pub mod cluster;
mod threads;

use cc_workloads::{Entry, Model, with_workloads};

macro_rules! workloads {
    ($($name:ident: $run:path,)*) => {
        $(pub mod $name;)*

        /// The model of this crate.
        pub const MODELS: &[Model] = &[Model {
            name: "distributed",
            mechanism: "gRPC (tonic), N processes on loopback",
            enter,
            $($name: Entry::Run($name::run),)*
        }];

        /// What a worker can be asked for.
        const SERVICES: &[cluster::worker::Service] = &[$($name::SERVICE,)*];
    };
}
with_workloads!(workloads);

fn enter() {
    cluster::command::enter(SERVICES, MODELS);
}
