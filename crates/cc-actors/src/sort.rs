//! `sort` by actors.
//!
//! ```text
//!      ┌────────────────── how many there were ─────────────────────┐
//!      │     a task, to one who has room            outputs         v
//!   walker ───────────────────────────> workers ───────────────> collator ──> runs, or sink
//!    ^  ^             room              │     │                   │ ^
//!    │  └───────────────────────────────┘     │ death             │ │
//!    │                          supervisor <──┘                   │ │
//!    │                              └─────────────────────────────│─┘
//!    └────────────────────── credits ─────────────────────────────┘
//! ```
//!
//! - **Split.** A task is a chunk to be sorted, then a range of the result to be merged. Each phase is a [`system`] of its own:
//!   when all that its walker found has been collated, its actors end, and so the runs are the collator's alone again, to be
//!   lent to the next walker.
//! - **Share.** Nothing. The workers leave the runs on a shelf, to which a thing is handed over whole and never changes
//!   again: like a message, but one that many may read a part of.
//! - **Bound.** The walker hands out a task for a worker's room and a credit of the collator's; of these there are as many as
//!   the plan's window, since text that waits for its turn is memory as well.
//! - **Deadlock.** The walker's mailbox has room for all credits and a request of every worker, the supervisor's for its death,
//!   and a worker's for the task that it asked for. So all wait for room at the collator only, who waits for nobody but the
//!   sink.
//! - **Order.** A task has a number, and the collator keeps what comes early. The runs have to be in the order of the input,
//!   or equal lines would not be.
//! - **Stop.** It halts whoever waits for a message, and thereby whoever waits to send him one; a sink that waits returns, and
//!   the sorter in a worker's hands leaves off. The shelf is emptied behind them all.
//! - **Fail.** Let it crash: a worker that panics is dead, with its thread. The supervisor is sent what it left, reports the
//!   task as failed, and starts a successor. The report ends the run, since a part of the lines is not what was asked for.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    shelf::{Memory, Shelf},
    sort::{self, Job, Output, Task, external},
};

use crate::actor::{Address, Death, Halted, Mailbox, System, system};

// ANCHOR: sort-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor of each phase, the collator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: &dyn Shelf = if plan.in_memory { &Memory::default() } else { &job.folder()? };
    let team = Team {
        sorter: sort::Sorter::new(&job.query, &ctx.stop),
        shelf,
        window: ctx.window.min(plan.fits).get(),
        ctx,
    };
    external(job, &plan, shelf, ctx, out, |tasks, out| team.phase(tasks, out))
}

/// What the actors of each phase begin with.
struct Team<'a> {
    sorter: sort::Sorter,
    shelf: &'a dyn Shelf,
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
        let Self { sorter, shelf, window, ctx } = self;
        let count = ctx.workers.get();
        system(&ctx.stop, |system| {
            let (walker, requests) = system.mailbox(window + count);
            let (supervisor, deaths) = system.mailbox(count);
            let (collator, reports) = system.mailbox(count);
            let to = Addresses { walker, supervisor, collator };
            let mut workers = Vec::new();
            for id in 0..count {
                let (worker, orders) = system.mailbox(1);
                // Not by the worker: its successor would say it again. It cannot fail, as the mailbox is still here.
                let _ = to.walker.send(Request::Room(id));
                Worker { id, sorter: sorter.clone(), shelf: *shelf, orders, in_hand: None, to: to.clone() }
                    .start(&system)?;
                workers.push(worker);
            }
            let (credits, collator) = (*window, to.collator.clone());
            system.spawn("walker", move || feed(tasks, credits, &requests, &workers, &collator))?;
            let (office, collator) = (system.clone(), to.collator);
            system.spawn("supervisor", move || supervise(&office, &deaths, sorter, &collator))?;
            gather(&reports, &to.walker, ctx, out)
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
/// A worker owns its sorter. What it owned when it died says which task was in hand.
struct Worker<'a> {
    id: usize,
    sorter: sort::Sorter,
    shelf: &'a dyn Shelf,
    orders: Mailbox<Order>,
    in_hand: Option<Order>,
    to: Addresses<'a>,
}

impl<'a> Worker<'a> {
    fn start(self, system: &System<'a, '_>) -> Result<()> {
        let supervisor = self.to.supervisor.clone();
        system.watch(format!("worker-{}", self.id), self, Self::work, supervisor)
    }

    /// Takes a task, asks for another in its place, does it, and reports its output.
    fn work(&mut self) -> Result<(), Halted> {
        loop {
            let Order { number, task } = self.in_hand.insert(self.orders.receive()?);
            // Nobody takes it if the walk is over.
            let _ = self.to.walker.send(Request::Room(self.id));
            let report = Report::Done(*number, self.sorter.task(task, self.shelf));
            self.in_hand = None;
            self.to.collator.send(report)?;
        }
    }
}

/// The supervisor reports the task that a worker died of, and starts another in its place.
fn supervise<'a>(
    system: &System<'a, '_>,
    deaths: &Mailbox<Death<Worker<'a>>>,
    sorter: &sort::Sorter,
    collator: &Address<Report>,
) -> Result<(), Halted> {
    loop {
        let Death { mut remains, reason } = deaths.receive()?;
        if let Some(Order { number, task }) = remains.in_hand.take() {
            collator.send(Report::Done(number, task.failed(&reason)))?;
        }
        // What a panic has gone through is not trusted again.
        let fresh = Worker { sorter: sorter.clone(), ..remains };
        if let Err(error) = fresh.start(system) {
            collator.send(Report::Lost(error))?;
        }
    }
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// The collator, who owns the order and the sink, emits the outputs by their numbers, and gives a credit for each.
fn gather(
    reports: &Mailbox<Report>,
    walker: &Address<Request>,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let (mut next, mut end, mut early) = (0, None, BTreeMap::new());
    while end != Some(next) {
        match reports.receive() {
            Ok(Report::Done(number, output)) => drop(early.insert(number, output)),
            Ok(Report::Walked(tasks)) => end = Some(tasks),
            Ok(Report::Lost(error)) => return Err(error),
            Err(Halted) => return Ok(ControlFlow::Break(())),
        }
        while let Some(output) = early.remove(&next) {
            if ctx.emit(output, out).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            next += 1;
            // Nobody takes it if the walk is over.
            let _ = walker.send(Request::Credit);
        }
    }
    Ok(ctx.stop.flow()) // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

/// Whom a worker can write to.
#[derive(Clone)]
struct Addresses<'a> {
    walker: Address<Request>,
    supervisor: Address<Death<Worker<'a>>>,
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
    /// From the supervisor: a worker cannot be replaced.
    Lost(Error),
}
