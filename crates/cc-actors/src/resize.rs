//! `resize` by actors.
//!
//! ```text
//!              a task, for its room              outputs
//!   walker ────────────────────────────> workers ─────────> curator ──> sink
//!      ^                room              │    │              ^ ^
//!      └──────────────────────────────────┘    │ death        │ │ how many
//!                                supervisor <──┘              │ │ there were
//!                                    └────────────────────────┘ │
//!   walker ─────────────────────────────────────────────────────┘
//! ```
//!
//! - **Split.** A task is one image: large enough that its messages cost nothing compared with it.
//! - **Share.** Nothing. The walk, each resizer and the sink have one owner each. The workers ask
//!   the walker itself: where any task will do, there is nothing for a dispatcher to decide.
//! - **Bound.** Work is done on demand only: a worker asks for its next task when it begins one,
//!   and the walker takes one step for each request. What takes memory is the image in a worker's
//!   hands; two thumbnails for each worker may wait for the curator.
//! - **Deadlock.** The walker's mailbox has room for a request of every worker, the supervisor's
//!   for its death, and a worker's for the task that it asked for. So all actors wait for room at
//!   the curator only, which waits for nothing but the sink.
//! - **Order.** None: an output names its thumbnail, so a large image holds up no other. The
//!   curator is a collator that has nothing to collate.
//! - **Stop.** An actor that waits for a message is halted, and its mailbox goes with it, which
//!   ends the wait of every actor that sends to it; a sink that waits returns. An image in hand is
//!   finished.
//! - **Fail.** Let it crash: a worker that panics is dead, with its thread. Its
//!   [supervisor] reports the image in hand and starts a worker with a fresh
//!   resizer on the same mailbox.

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Task, Tasks},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

// ANCHOR: resize-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the curator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizer = Resizer::new(&job.settings);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (walker, requests) = system.mailbox(count);
        let (curator, reports) = system.mailbox(2 * count);
        let to = Addresses { walker, curator };
        let kernel = || Ok(resizer.clone());
        let children =
            ChildSpec { name: "worker", capacity: 1, to: to.clone(), kernel, work, report_failure };
        let supervisor = Supervisor::new(&system, count, children);
        let workers = supervisor.start_all(count)?;
        for id in 0..count {
            // It cannot fail, since the walker's mailbox is still here.
            let _ = to.walker.send(Room(id));
        }
        let walk = job.tasks(&ctx.stop);
        system.spawn("walker", move || feed(walk, &requests, &workers, &to.curator))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        gather(&reports, ctx, out);
        Ok(())
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// The walker owns the walk, and takes one step for each worker that has room.
fn feed(
    mut walk: Tasks,
    requests: &Mailbox<Room>,
    workers: &[Address<Task>],
    curator: &Address<Report>,
) -> Result<(), Halted> {
    for number in 0.. {
        let Room(id) = requests.receive()?;
        let Some(task) = walk.next() else { return curator.send(Report::Walked(number)) };
        workers[id].send(task)?;
    }
    Ok(())
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// A worker owns its resizer; its supervisor starts another if it panics.
type Worker = supervisor::Worker<Resizer, Task, Addresses>;

/// Takes a task, asks for another in its place, does it, and reports its output.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let task = worker.in_hand.insert(worker.mailbox.receive()?);
        // The walker has gone if the walk is over.
        let _ = worker.to.walker.send(Room(worker.id));
        let output = worker.kernel.task(task);
        worker.in_hand = None;
        worker.to.curator.send(Report::Done(output))?;
    }
}

/// Reports the image that a worker had in hand when it panicked.
fn report_failure(worker: &Worker, task: Task, reason: &str) -> Result<(), Halted> {
    worker.to.curator.send(Report::Done(task.failed(reason)))
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// The curator owns the sink. It emits the outputs as they are reported, until there have been as
/// many as tasks.
fn gather(reports: &Mailbox<Report>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let (mut done, mut end) = (0, None);
    while end != Some(done)
        && let Ok(report) = reports.receive()
    {
        match report {
            Report::Done(output) => {
                done += 1;
                if ctx.emit(output, out).is_break() {
                    break;
                }
            }
            Report::Walked(tasks) => end = Some(tasks),
        }
    }
}
// ANCHOR_END: resize-gather

/// The actors that a worker sends messages to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Room>,
    curator: Address<Report>,
}

/// To the walker: this worker has room for a task.
struct Room(usize);

/// To the curator.
enum Report {
    /// From a worker, or from its supervisor.
    Done(Output),
    /// From the walker: there were so many tasks.
    Walked(usize),
}
