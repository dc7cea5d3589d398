//! `sort` by actors.
//!
//! ```text
//!      ┌──────────────── number of tasks ─────────────────┐
//!      │      tasks                      outputs          v
//!   source ───────────────> workers ─────────────────> collector ──> runs, or sink
//!    ^  ^     ready          │   │                      │ ^
//!    │  └────────────────────┘   │ death                │ │
//!    │             supervisor <──┘                      │ │
//!    │                 └────────────────────────────────│─┘
//!    └──────────────────── credits ─────────────────────┘
//! ```
//!
//! - **Split.** A task is a chunk to sort, then a range of the result to merge; if there are too
//!   many runs for one merge, passes in between merge some of them to longer runs. Each phase is a
//!   [`system`] of its own: its actors end when all outputs of its tasks have been emitted. Then
//!   only the calling thread has the runs, and can lend them to the next phase.
//! - **Share.** A blob store, in which the workers leave the runs. A run never changes once it is
//!   complete, so it is like a message of which many actors may read a part.
//! - **Bound.** The source sends a task for a worker's request and a credit of the collector. There
//!   are as many credits as the plan's window, since text that waits to be emitted takes memory as
//!   well.
//! - **Deadlock.** The source's mailbox has room for all credits and a request of every worker, the
//!   supervisor's for the death of each, and a worker's for the task that it asked for. So actors
//!   wait for room only at the collector, which waits for nothing but the sink.
//! - **Order.** A task has a number, and the collector keeps outputs that arrive early. The runs
//!   must be in the order of the input: otherwise equal lines would not stay in that order.
//! - **Stop.** A stop makes every `receive` return [`Halted`]. The actor returns and drops its
//!   mailbox, which wakes the senders that wait for room in it. A `Sink::push` (in `ctx.emit`) that
//!   waits for its consumer returns, too, and the sorter checks for a stop. The blob store is
//!   emptied after all actors have ended.
//! - **Fail.** Let it crash: a panic ends the worker and its thread. Its [supervisor] reports the
//!   task that it was running as failed, and starts a successor. The failed output ends the run,
//!   since a part of the lines is not the result.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
};

use cc_workloads::{
    Ctx, Result, Sink,
    blobs::{BlobStore, MemStore},
    sort::{Job, Output, Sorter, Task, external},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

// ANCHOR: sort-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor of each phase, the
/// collector.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs: &dyn BlobStore = if plan.in_memory { &MemStore::default() } else { &job.folder()? };
    let kernel = Kernel { sorter: Sorter::new(&job.query, &ctx.stop), blobs };
    let window = ctx.window.min(plan.fits).get();
    external(job, &plan, blobs, ctx, out, |tasks, out| run_phase(ctx, tasks, window, &kernel, out))
}

/// Runs these tasks in a system of their own, and emits their outputs in order.
fn run_phase(
    ctx: &Ctx,
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    kernel: &Kernel,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (source, commands) = system.mailbox(window + count);
        let (collector, events) = system.mailbox(count);
        let to = Addresses { source, collector };
        let children = ChildSpec {
            name: "worker",
            capacity: 1,
            to: to.clone(),
            kernel: || Ok(kernel.clone()),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system, count, children);
        let workers = supervisor.start_all(count)?;
        for id in 0..count {
            // `send` cannot fail: the source's mailbox still exists.
            let _ = to.source.send(Command::Ready(id));
        }
        system.spawn("source", move || feed(tasks, window, &commands, &workers, &to.collector))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        Ok(gather(ctx, &events, &to.source, out))
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// The source: owns the tasks, and sends one to each worker that is ready while it has credits.
fn feed(
    mut tasks: impl Iterator<Item = Task>,
    mut credits: usize,
    commands: &Mailbox<Command>,
    workers: &[Address<Request>],
    collector: &Address<Event>,
) -> Result<(), Halted> {
    let mut ready = VecDeque::new();
    let mut number = 0;
    loop {
        match commands.receive()? {
            Command::Ready(id) => ready.push_back(id),
            Command::Credit => credits += 1,
        }
        while credits > 0
            && let Some(id) = ready.pop_front()
        {
            let Some(task) = tasks.next() else { return collector.send(Event::End(number)) };
            workers[id].send(Request { number, task })?;
            credits -= 1;
            number += 1;
        }
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Receives a task, asks for the next one, runs the task, and sends its output.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let Request { number, task } = worker.current.insert(worker.mailbox.receive()?);
        // An error only means that the source has ended: after its last task, or because the run is
        // over. The next `receive` reports the latter.
        let _ = worker.to.source.send(Command::Ready(worker.id));
        let Kernel { sorter, blobs } = &mut worker.kernel;
        let event = Event::Output(*number, sorter.task(task, *blobs));
        worker.current = None;
        worker.to.collector.send(event)?;
    }
}

/// Reports the task that a worker was running when it panicked.
fn report_failure(worker: &Worker, request: Request, reason: &str) -> Result<(), Halted> {
    let Request { number, task } = request;
    worker.to.collector.send(Event::Output(number, task.failed(reason)))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// The collector: owns the order and the sink. It emits the outputs by their numbers, and sends the
/// source a credit for each.
fn gather(
    ctx: &Ctx,
    events: &Mailbox<Event>,
    source: &Address<Command>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    let mut end = None;
    while end != Some(next) {
        match events.receive() {
            Ok(Event::Output(number, output)) => {
                early.insert(number, output);
            }
            Ok(Event::End(tasks)) => end = Some(tasks),
            Err(Halted) => return ControlFlow::Break(()),
        }
        while let Some(output) = early.remove(&next) {
            ctx.emit(output, out)?;
            next += 1;
            // An error only means that the source has ended: after its last task, or because the
            // run is over. The next `receive` reports the latter.
            let _ = source.send(Command::Credit);
        }
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

/// A worker owns its sorter.
type Worker<'a> = supervisor::Worker<Kernel<'a>, Request, Addresses>;

/// A sorter, and the store in which it leaves and finds the runs.
#[derive(Clone)]
struct Kernel<'a> {
    sorter: Sorter,
    blobs: &'a dyn BlobStore,
}

/// The actors that a worker sends messages to.
#[derive(Clone)]
struct Addresses {
    source: Address<Command>,
    collector: Address<Event>,
}

/// To the source.
enum Command {
    /// From this worker: it has room for one task.
    Ready(usize),
    /// From the collector: one output was emitted, so one more task may be in flight.
    Credit,
}

/// To a worker: a task, and where its output belongs.
struct Request {
    number: usize,
    task: Task,
}

/// To the collector.
enum Event {
    /// From a worker, or from its supervisor.
    Output(usize, Output),
    /// From the source: the number of tasks.
    End(usize),
}
