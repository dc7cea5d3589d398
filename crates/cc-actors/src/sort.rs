//! `sort` by actors.
//!
//! ```text
//!      ┌────────────────── how many there were ─────────────────────┐
//!      │       a task, for its room                outputs          v
//!   walker ───────────────────────────> workers ───────────────> collator ──> runs, or sink
//!    ^  ^             room              │     │                   │ ^
//!    │  └───────────────────────────────┘     │ death             │ │
//!    │                          supervisor <──┘                   │ │
//!    │                              └─────────────────────────────│─┘
//!    └────────────────────── credits ─────────────────────────────┘
//! ```
//!
//! - **Split.** A task is a chunk to be sorted, then a range of the result to be merged. Each phase
//!   is a [`system`] of its own: when all outputs of its walker's tasks have been collated, its
//!   actors end, and so the runs are the collator's alone again, to be lent to the next walker.
//! - **Share.** Nothing. The workers leave the runs on a shelf, where a run never changes once it
//!   is complete: like a message, but one of which many actors may read a part.
//! - **Bound.** The walker hands out a task for a worker's room and a credit of the collator's.
//!   There are as many credits as the plan's window, since text that waits to be emitted is memory
//!   as well.
//! - **Deadlock.** The walker's mailbox has room for all credits and a request of every worker, the
//!   supervisor's for its death, and a worker's for the task that it asked for. So all actors wait
//!   for room at the collator only, which waits for nothing but the sink.
//! - **Order.** A task has a number, and the collator keeps outputs that come early. The runs have
//!   to be in the order of the input, or equal lines would not be.
//! - **Stop.** An actor that waits for a message is halted, and its mailbox goes with it, which
//!   ends the wait of every actor that sends to it; a sink that waits returns, and a sorter that
//!   runs leaves off. The shelf is emptied after all of them have ended.
//! - **Fail.** Let it crash: a worker that panics is dead, with its thread. Its
//!   [supervisor] reports the task in hand as failed and starts a successor. The
//!   report ends the run, since a part of the lines is not what was asked for.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
};

use cc_workloads::{
    Ctx, Result, Sink,
    shelf::{Memory, Shelf},
    sort::{self, Job, Output, Task, external},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

// ANCHOR: sort-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor of each phase, the
/// collator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: &dyn Shelf = if plan.in_memory { &Memory::default() } else { &job.folder()? };
    let kernel = Kernel { sorter: sort::Sorter::new(&job.query, &ctx.stop), shelf };
    let team = Team { kernel, window: ctx.window.min(plan.fits).get(), ctx };
    external(job, &plan, shelf, ctx, out, |tasks, out| team.phase(tasks, out))
}

/// What the actors of each phase begin with.
struct Team<'a> {
    kernel: Kernel<'a>,
    window: usize,
    ctx: &'a Ctx,
}

impl Team<'_> {
    /// Has these tasks done, and emits what comes of them.
    fn phase(
        &self,
        tasks: impl Iterator<Item = Task> + Send,
        out: &mut dyn Sink<Output>,
    ) -> Result<ControlFlow<()>> {
        let (window, ctx) = (self.window, self.ctx);
        let count = ctx.workers.get();
        system(&ctx.stop, |system| {
            let (walker, requests) = system.mailbox(window + count);
            let (collator, reports) = system.mailbox(count);
            let to = Addresses { walker, collator };
            let kernel = || Ok(self.kernel.clone());
            let children =
                ChildSpec { name: "worker", capacity: 1, to: to.clone(), kernel, work, report_failure };
            let supervisor = Supervisor::new(&system, count, children);
            let workers = supervisor.start_all(count)?;
            for id in 0..count {
                // It cannot fail, since the walker's mailbox is still here.
                let _ = to.walker.send(Request::Room(id));
            }
            system.spawn("walker", move || feed(tasks, window, &requests, &workers, &to.collator))?;
            system.spawn("supervisor", move || supervisor.supervise())?;
            Ok(gather(&reports, &to.walker, ctx, out))
        })
    }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// The walker owns the tasks, and hands out one for each room that there is a credit for.
fn feed(
    mut tasks: impl Iterator<Item = Task>,
    mut credits: usize,
    requests: &Mailbox<Request>,
    workers: &[Address<Order>],
    collator: &Address<Report>,
) -> Result<(), Halted> {
    let (mut room, mut number) = (VecDeque::new(), 0);
    loop {
        match requests.receive()? {
            Request::Room(id) => room.push_back(id),
            Request::Credit => credits += 1,
        }
        while credits > 0
            && let Some(id) = room.pop_front()
        {
            let Some(task) = tasks.next() else { return collator.send(Report::Walked(number)) };
            workers[id].send(Order { number, task })?;
            (credits, number) = (credits - 1, number + 1);
        }
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// A worker owns its sorter; its supervisor starts another if it panics.
type Worker<'a> = supervisor::Worker<Kernel<'a>, Order, Addresses>;

/// A sorter, and where it leaves and finds the runs.
#[derive(Clone)]
struct Kernel<'a> {
    sorter: sort::Sorter,
    shelf: &'a dyn Shelf,
}

/// Takes a task, asks for another in its place, does it, and reports its output.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let Order { number, task } = worker.in_hand.insert(worker.mailbox.receive()?);
        // The walker has gone if the walk is over.
        let _ = worker.to.walker.send(Request::Room(worker.id));
        let Kernel { sorter, shelf } = &mut worker.kernel;
        let report = Report::Done(*number, sorter.task(task, *shelf));
        worker.in_hand = None;
        worker.to.collator.send(report)?;
    }
}

/// Reports the task that a worker had in hand when it panicked.
fn report_failure(worker: &Worker, order: Order, reason: &str) -> Result<(), Halted> {
    let Order { number, task } = order;
    worker.to.collator.send(Report::Done(number, task.failed(reason)))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// The collator owns the order and the sink. It emits the outputs by their numbers, and gives a
/// credit for each.
fn gather(
    reports: &Mailbox<Report>,
    walker: &Address<Request>,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let (mut next, mut end, mut early) = (0, None, BTreeMap::new());
    while end != Some(next) {
        match reports.receive() {
            Ok(Report::Done(number, output)) => drop(early.insert(number, output)),
            Ok(Report::Walked(tasks)) => end = Some(tasks),
            Err(Halted) => return ControlFlow::Break(()),
        }
        while let Some(output) = early.remove(&next) {
            if ctx.emit(output, out).is_break() {
                return ControlFlow::Break(());
            }
            next += 1;
            // The walker has gone if the walk is over.
            let _ = walker.send(Request::Credit);
        }
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

/// The actors that a worker sends messages to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Request>,
    collator: Address<Report>,
}

/// To the walker.
enum Request {
    /// From this worker: room for one task.
    Room(usize),
    /// From the collator: room for one output more.
    Credit,
}

/// To a worker.
struct Order {
    number: usize,
    task: Task,
}

/// To the collator.
enum Report {
    /// From a worker, or from its supervisor.
    Done(usize, Output),
    /// From the walker: there were so many tasks.
    Walked(usize),
}
