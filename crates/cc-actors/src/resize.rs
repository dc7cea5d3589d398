//! `resize` by actors.
//!
//! ```text
//!              tasks               outputs
//!   source ───────────> workers ─────────────> collector ──> sink
//!    │  ^      ready     │   │                    ^  ^
//!    │  └────────────────┘   │ death              │  │
//!    │         supervisor <──┘                    │  │
//!    │             └──────────────────────────────┘  │
//!    └─────────────── number of tasks ───────────────┘
//! ```
//!
//! - **Split.** A task is one image, since a part of an image cannot be decoded alone.
//! - **Share.** Nothing. The iterator of the tasks, each resizer and the sink have one owner each.
//!   The workers ask the source for tasks. It does not matter which task is done first, so there
//!   is nothing for a dispatcher to decide.
//! - **Bound.** A worker asks for its next task when it begins one, and the source lists one image
//!   for each request. A task is only the image's name; the worker reads the image when it begins
//!   the task, so it holds one image at a time. Thumbnails wait in the collector's mailbox, which
//!   has room for two per worker. A worker that finds it full waits with its thumbnail.
//! - **Deadlock.** The source's mailbox has room for a request of every worker, the supervisor's
//!   for the death of every worker, and a worker's for the task that it asked for. So actors wait
//!   for room only at the collector. The collector never waits for room: it waits for events and
//!   for the sink.
//! - **Order.** None: an output names its thumbnail, so a large image delays no other.
//! - **Stop.** A stop makes every `receive` return [`Halted`]. The actor returns and drops its
//!   mailbox, which wakes the senders that wait for room in it. A `Sink::push` (in `ctx.emit`) that
//!   waits for its consumer returns, too. A worker finishes its image first.
//! - **Fail.** Let it crash: a panic ends the worker and its thread. Its [supervisor] reports the
//!   failure of the image that it was resizing, and starts a worker with a new resizer on the same
//!   mailbox.

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Task, Tasks},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

// ANCHOR: resize-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the collector.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizer = Resizer::new(&job.settings);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (source, requests) = system.mailbox(count);
        let (collector, events) = system.mailbox(2 * count);
        let to = Addresses { source, collector };
        let children = ChildSpec {
            name: "worker",
            capacity: 1,
            to: to.clone(),
            kernel: || Ok(resizer.clone()),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system, count, children);
        let workers = supervisor.start_all(count)?;
        for id in 0..count {
            // `send` cannot fail: the source's mailbox still exists.
            let _ = to.source.send(Ready(id));
        }
        let tasks = job.tasks(&ctx.stop);
        system.spawn("source", move || feed(tasks, &requests, &workers, &to.collector))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        gather(ctx, &events, out);
        Ok(())
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// The source: owns the tasks, and sends one to each worker that is ready.
fn feed(
    mut tasks: Tasks,
    requests: &Mailbox<Ready>,
    workers: &[Address<Task>],
    collector: &Address<Event>,
) -> Result<(), Halted> {
    for number in 0.. {
        let Ready(id) = requests.receive()?;
        let Some(task) = tasks.next() else { return collector.send(Event::End(number)) };
        workers[id].send(task)?;
    }
    Ok(())
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Receives a task, asks for the next one, runs the task, and sends its output.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let task = worker.current.insert(worker.mailbox.receive()?);
        // An error only means that the source has ended: after its last task, or because the run is
        // over. In both cases a later `receive` ends this worker: the source held the only address
        // of its mailbox.
        let _ = worker.to.source.send(Ready(worker.id));
        let output = worker.kernel.task(task);
        worker.current = None;
        worker.to.collector.send(Event::Output(output))?;
    }
}

/// Reports the image that a worker was resizing when it panicked.
fn report_failure(worker: &Worker, task: Task, reason: &str) -> Result<(), Halted> {
    worker.to.collector.send(Event::Output(task.failed(reason)))
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// The collector: owns the sink, and emits the outputs as they arrive, until there is one for each
/// task.
fn gather(ctx: &Ctx, events: &Mailbox<Event>, out: &mut dyn Sink<Output>) {
    let mut emitted = 0;
    let mut end = None;
    while end != Some(emitted)
        && let Ok(event) = events.receive()
    {
        match event {
            Event::Output(output) => {
                emitted += 1;
                if ctx.emit(output, out).is_break() {
                    break;
                }
            }
            Event::End(tasks) => end = Some(tasks),
        }
    }
}
// ANCHOR_END: resize-gather

/// A worker owns its resizer.
type Worker = supervisor::Worker<Resizer, Task, Addresses>;

/// The actors that a worker sends messages to.
#[derive(Clone)]
struct Addresses {
    source: Address<Ready>,
    collector: Address<Event>,
}

/// To the source: this worker has room for a task.
struct Ready(usize);

/// To the collector.
enum Event {
    /// From a worker, or from its supervisor.
    Output(Output),
    /// From the source: the number of tasks.
    End(usize),
}
