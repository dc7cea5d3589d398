//! `grep` by actors.
//!
//! ```text
//!      ┌───────────────────── number of tasks ─────────────────────┐
//!      │     tasks                     tasks            outputs    v
//!   source ────────> dispatcher ─────────────> workers ────────> collector ──> sink
//!      ^              ^   ^        ready        │ │                │  │
//!      │              │   └─────────────────────┘ │ death          │  │
//!      │              │                           └──> supervisor ─┘  │
//!      │              └─────────── tasks of a remainder ──────────────┤
//!      └───────────────────────────── credits ────────────────────────┘
//! ```
//!
//! - **Split.** A task is at most 32 files, or about a mebibyte of a stream (standard input or a
//!   pipe, which the source reads itself). It ends after about a mebibyte of input, or a quarter of
//!   a mebibyte of output. The worker hands back what is left as a *remainder*: further tasks,
//!   which the collector submits.
//! - **Share.** Nothing but `SharedCutoff` (in `workloads/grep`), in which the printer (this job's
//!   sink) records that it needs no more of a file. Then the source stops reading the file if it is
//!   a stream, and the collector submits no more tasks that continue it ([`Job::wants`]). A queue
//!   from which all workers take would be shared state: here the dispatcher decides which worker
//!   gets which task.
//! - **Bound.** The source lists one task for each credit, of which there are `window`. A worker
//!   has at most two tasks: one that it runs, and the next one, so that it need not wait for the
//!   dispatcher. Of each remainder, at most two tasks per worker are submitted and not yet emitted.
//! - **Deadlock.** Messages go in circles, but no circle of actors waits for room. The source's
//!   mailbox has room for all credits, a worker's for the tasks that it asked for, and the
//!   supervisor's for the death of every worker: sending to these never waits. So the dispatcher
//!   never waits for room. The collector waits only for room at the dispatcher, and for the sink.
//!   All others wait only for room at the dispatcher or at the collector.
//! - **Order.** A task carries its [`Position`]. The dispatcher sends the foremost task first, and
//!   the collector keeps outputs that arrive early.
//! - **Stop.** A stop makes every `receive` return [`Halted`]. The actor returns and drops its
//!   mailbox, which wakes the senders that wait for room in it. A `Sink::push` (in `ctx.emit`) that
//!   waits for its consumer returns, too. A worker finishes its task first.
//! - **Fail.** Let it crash: a panic ends the worker and its thread. Its [supervisor] sends the
//!   collector an output for the task that was running, and starts a worker with a new search on
//!   the same mailbox. The output says that the file has failed. If the task has several files, it
//!   is instead a remainder with a task per file, so that only the file that panics is lost.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Remainder, Search, Task, Tasks},
};

use crate::{
    actor::{Address, Halted, Mailbox, system},
    position::Position,
    supervisor::{self, ChildSpec, Supervisor},
};

/// Maximum tasks in flight per worker: one that it runs, and one that is in its mailbox when it
/// finishes. It asks for the next task when it begins one, so its mailbox never holds more than
/// `IN_FLIGHT - 1`.
const IN_FLIGHT: usize = 2;

/// Maximum tasks of one remainder, per worker, that are submitted and not yet emitted. So one
/// remainder alone can keep all workers busy.
const REMAINDER_IN_FLIGHT: usize = IN_FLIGHT;

// ANCHOR: grep-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the collector.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let (count, window) = (ctx.workers.get(), ctx.window.get());
    system(&ctx.stop, |system| {
        let (source, credits) = system.mailbox(window);
        // Once the actors run, these two sizes decide only how often a sender waits. Both have room
        // for a window and for the tasks of a remainder; the dispatcher's also for the `Ready`
        // messages of the workers. The first `Ready` of every worker must fit, since the dispatcher
        // has not been started when `run` sends it.
        let (dispatcher, commands) = system.mailbox(window + (REMAINDER_IN_FLIGHT + IN_FLIGHT) * count);
        let (collector, events) = system.mailbox(window + REMAINDER_IN_FLIGHT * count);
        let to = Addresses { source, dispatcher, collector };
        let children = ChildSpec {
            name: "worker",
            capacity: IN_FLIGHT - 1,
            to: to.clone(),
            kernel: || Ok(search.clone()),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system, count, children);
        let workers = supervisor.start_all(count)?;
        for id in 0..count {
            for _ in 0..IN_FLIGHT - 1 {
                // `send` does not wait: there is room. It cannot fail: the mailbox still exists.
                let _ = to.dispatcher.send(Command::Ready(id));
            }
        }
        let (tasks, addresses) = (job.tasks(Grain::default(), &ctx.stop), to.clone());
        system.spawn("source", move || feed(tasks, &credits, &addresses))?;
        system.spawn("dispatcher", move || dispatch(&commands, &workers))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        Collector::new(ctx, job, to, out).gather(&events);
        Ok(())
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// The source: owns the tasks, and submits one for each credit.
fn feed(mut tasks: Tasks, credits: &Mailbox<Credit>, to: &Addresses) -> Result<(), Halted> {
    for number in 0.. {
        let Credit = credits.receive()?;
        let Some(task) = tasks.next() else { return to.collector.send(Event::End(number)) };
        to.dispatcher.send(Command::Run(Request { position: Position::of(number), task }))?;
    }
    Ok(())
}

/// The dispatcher: owns the tables of ready workers and of waiting tasks, and matches them.
fn dispatch(commands: &Mailbox<Command>, workers: &[Address<Request>]) -> Result<(), Halted> {
    let mut ready = VecDeque::new();
    let mut waiting = BTreeMap::new();
    loop {
        match commands.receive()? {
            Command::Ready(id) => ready.push_back(id),
            Command::Run(Request { position, task }) => {
                waiting.insert(position, task);
            }
        }
        // One of the two tables was empty before, so a command completes at most one pair.
        if let Some(foremost) = waiting.first_entry()
            && let Some(id) = ready.pop_front()
        {
            let (position, task) = foremost.remove_entry();
            workers[id].send(Request { position, task })?;
        }
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Receives a task, asks for the next one, runs the task, and sends its output.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let request = worker.current.insert(worker.mailbox.receive()?);
        worker.to.dispatcher.send(Command::Ready(worker.id))?;
        let output = worker.kernel.task(&request.task);
        let position = request.position.clone();
        worker.current = None;
        worker.to.collector.send(Event::Output(position, output))?;
    }
}

/// Reports the task that a worker was running when it panicked.
fn report_failure(worker: &Worker, request: Request, reason: &str) -> Result<(), Halted> {
    let Request { position, task } = request;
    worker.to.collector.send(Event::Output(position, task.failed(reason)))
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
impl Collector<'_> {
    /// Emits the outputs in the order of their positions.
    fn gather(mut self, events: &Mailbox<Event>) {
        for _ in 0..self.ctx.window.get() {
            self.send_credit();
        }
        let mut end = None;
        while end.as_ref() != Some(&self.next)
            && let Ok(event) = events.receive()
        {
            match event {
                Event::Output(position, output) => {
                    self.early.insert(position, output);
                }
                Event::End(tasks) => end = Some(Position::of(tasks)),
            }
            while let Some(output) = self.early.remove(&self.next) {
                if self.emit_in_order(output).is_err() {
                    return;
                }
            }
        }
    }

    /// Emits the output at `next`, and enters its remainder, which may be empty. Submits the next
    /// tasks of the innermost remainder. When all tasks of a remainder have been emitted, goes on
    /// with the remainder around it. When there is none, sends a credit.
    fn emit_in_order(&mut self, mut output: Output) -> Result<(), Halted> {
        let remainder = mem::take(&mut output.remainder);
        if self.ctx.emit(output, self.out).is_break() {
            return Err(Halted);
        }
        self.levels.push(Level { remainder, submitted: 0 });
        self.next.enter();
        while let Some(level) = self.levels.last_mut() {
            let limit = self.next.number() + REMAINDER_IN_FLIGHT * self.ctx.workers.get();
            while level.submitted < limit
                && let Some(task) = level.remainder.find(|task| self.job.wants(task))
            {
                let position = self.next.sibling(level.submitted);
                self.to.dispatcher.send(Command::Run(Request { position, task }))?;
                level.submitted += 1;
            }
            if self.next.number() < level.submitted {
                return Ok(());
            }
            self.levels.pop();
            self.next.leave();
        }
        self.send_credit();
        Ok(())
    }

    /// Allows the source to submit one more task.
    fn send_credit(&self) {
        // An error only means that the source has ended: after its last task, or because the run is
        // over. The next `receive` reports the latter.
        let _ = self.to.source.send(Credit);
    }
}
// ANCHOR_END: grep-gather

/// A worker owns its compiled search.
type Worker = supervisor::Worker<Search, Request, Addresses>;

/// The actor that owns the order of the outputs, and the sink, which cannot leave the calling
/// thread.
struct Collector<'a> {
    ctx: &'a Ctx,
    job: &'a Job,
    to: Addresses,
    /// The position of the output that is emitted next.
    next: Position,
    /// Outputs that have arrived and are not next.
    early: BTreeMap<Position, Output>,
    /// The remainders that contain `next`, the innermost last.
    levels: Vec<Level>,
    out: &'a mut dyn Sink<Output>,
}

impl<'a> Collector<'a> {
    fn new(ctx: &'a Ctx, job: &'a Job, to: Addresses, out: &'a mut dyn Sink<Output>) -> Self {
        let next = Position::of(0);
        Self { ctx, job, to, next, early: BTreeMap::new(), levels: Vec::new(), out }
    }
}

/// A remainder that contains `next`. Every output that is emitted gets a level, even if its
/// remainder is empty.
struct Level {
    /// The tasks that are not yet submitted.
    remainder: Remainder,
    /// Number of tasks that were submitted.
    submitted: usize,
}

/// The actors that the others send messages to.
#[derive(Clone)]
struct Addresses {
    source: Address<Credit>,
    dispatcher: Address<Command>,
    collector: Address<Event>,
}

/// To the source: permission to submit one more task.
struct Credit;

/// To the dispatcher.
enum Command {
    /// From the source, or from the collector: have a worker run this.
    Run(Request),
    /// From this worker: it has room for one more task.
    Ready(usize),
}

/// To a worker: a task, and where its output belongs.
struct Request {
    position: Position,
    task: Task,
}

/// To the collector.
enum Event {
    /// From a worker, or from its supervisor.
    Output(Position, Output),
    /// From the source: the number of tasks.
    End(usize),
}
