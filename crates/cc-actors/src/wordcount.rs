//! `wordcount` by actors.
//!
//! ```text
//!            tasks            counts             ranked partitions
//!   source ─────────> mappers ──────> reducers ───────────────────> collector ──> sink
//!    │ ^ ^    ready    │ │ │             ^                           ^ ^ ^ │
//!    │ │ └─────────────┘ │ └─────────────│────── what was read ──────┘ │ │ │
//!    │ │ retry           │ death         └────── end of counts ────────│─│─┘
//!    │ └── supervisor <──┘                                             │ │
//!    │         └───────────────────── failed tasks ────────────────────┘ │
//!    └─────────────────────────────── number of tasks ───────────────────┘
//! ```
//!
//! - **Split.** A task is four mebibytes of text. Its counts travel in one message to each reducer.
//! - **Share.** Nothing. Each partition has one owner, a reducer with a few of them, which needs no
//!   lock: all counts of its words arrive in its mailbox. There are as many reducers as mappers,
//!   with little work for each.
//! - **Bound.** A mapper asks for its next task when it begins one, and the source lists one task
//!   for each request. A reducer's mailbox has room for the counts of one task from each mapper.
//! - **Deadlock.** Mappers wait for room at the reducers, mappers and the supervisor at the source,
//!   and all of these at the collector, which waits for nothing but the sink. When the collector
//!   writes to the reducers, no counts are left to arrive, so the reducers empty their mailboxes.
//!   The source never waits for a mapper: it sends only tasks that were asked for.
//! - **Order.** A mapper sends its counts before it reports the task. So when all tasks are
//!   reported, all counts are in the reducers' mailboxes, and the collector's message that ends
//!   them is received after them.
//! - **Stop.** A stop makes every `receive` return [`Halted`]. The actor returns and drops its
//!   mailbox, which wakes the senders that wait for room in it. A `Sink::push` (in `ctx.emit`) that
//!   waits for its consumer returns, too. A mapper finishes its task first.
//! - **Fail.** Let it crash: a panic ends the mapper and its thread, and none of its task's counts
//!   have been sent. Its [supervisor] reports the task, submits the files of a task of several
//!   files again, one by one, and starts a mapper with a new kernel on the same mailbox. A
//!   partition that cannot be ranked ends the run, since an incomplete result would be wrong.

use std::{collections::VecDeque, mem, ops::ControlFlow};

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{
        Counter, Counts, Grain, Job, Output, PARTITIONS, Partition, Ranked, Read, Settings, Task, Tasks,
        absorb, divided, partitions,
    },
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

// ANCHOR: wordcount-run
/// Runs the job on `ctx.workers` mappers and as many reducers; the calling thread is the last
/// actor, the collector.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let counter = Counter::new(&job.settings);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (source, commands) = system.mailbox(2 * count);
        let (collector, events) = system.mailbox(2 * count);
        let mut reducers = Vec::new();
        for (n, sums) in divided(partitions(job.settings.seed), count).into_iter().enumerate() {
            let (reducer, inputs) = system.mailbox(count);
            let (settings, collector) = (&job.settings, collector.clone());
            system.spawn(format!("reducer-{n}"), move || reduce(settings, sums, &inputs, &collector))?;
            reducers.push(reducer);
        }
        let to = Addresses { source, reducers, collector };
        let children = ChildSpec {
            name: "mapper",
            capacity: 1,
            to: to.clone(),
            kernel: || Ok(counter.clone()),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system, count, children);
        let mappers = supervisor.start_all(count)?;
        for id in 0..count {
            // `send` cannot fail: the source's mailbox still exists.
            let _ = to.source.send(Command::Ready(id));
        }
        let tasks = job.tasks(Grain::default(), &ctx.stop);
        system.spawn("source", move || feed(tasks, &commands, &mappers, &to.collector))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        gather(ctx, &events, &to.reducers, out)
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// The source: owns the tasks, and sends one to each mapper that is ready, retries first.
fn feed(
    tasks: Tasks,
    commands: &Mailbox<Command>,
    mappers: &[Address<Task>],
    collector: &Address<Event>,
) -> Result<(), Halted> {
    let mut tasks = Some(tasks);
    let mut listed = 0;
    let mut retry = VecDeque::new();
    let mut ready = Vec::new();
    loop {
        match commands.receive()? {
            Command::Ready(id) => ready.push(id),
            Command::Retry(tasks) => retry.extend(tasks),
        }
        while let Some(id) = ready.pop() {
            let next = || tasks.as_mut()?.next().inspect(|_| listed += 1);
            if let Some(task) = retry.pop_front().or_else(next) {
                mappers[id].send(task)?;
                continue;
            }
            ready.push(id);
            if tasks.take().is_some() {
                collector.send(Event::End(listed))?;
            }
            break;
        }
    }
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// Receives a task, asks for the next one, counts its words, sends each reducer its part of the
/// counts, and reports the task.
fn work(mapper: &mut Mapper) -> Result<(), Halted> {
    loop {
        let task = mapper.current.insert(mapper.mailbox.receive()?);
        mapper.to.source.send(Command::Ready(mapper.id))?;
        let partial = mapper.kernel.task(task);
        mapper.current = None;
        let Addresses { reducers, collector, .. } = &mapper.to;
        for (reducer, counts) in reducers.iter().zip(divided(partial.counts, reducers.len())) {
            reducer.send(ReducerInput::Counts(counts))?;
        }
        collector.send(Event::Read { read: partial.read, retries: 0 })?;
    }
}

/// Reports the task that a mapper was counting when it panicked. If the task has several files,
/// each of them becomes a task of its own.
fn report_failure(mapper: &Mapper, task: Task, reason: &str) -> Result<(), Halted> {
    let mut read = task.failed(reason);
    let split = mem::take(&mut read.split);
    mapper.to.collector.send(Event::Read { read, retries: split.len() as i64 })?;
    mapper.to.source.send(Command::Retry(split))
}

/// A reducer: owns some partitions, adds all counts of their words to them, and ranks them.
///
/// A reducer is not supervised, because a successor would not have the sums: a panic ends the run.
fn reduce(
    settings: &Settings,
    mut sums: Vec<Partition>,
    inputs: &Mailbox<ReducerInput>,
    collector: &Address<Event>,
) -> Result<(), Halted> {
    while let ReducerInput::Counts(counts) = inputs.receive()? {
        absorb(&mut sums, &counts);
    }
    sums.into_iter().try_for_each(|sum| collector.send(Event::Ranked(sum.try_rank(settings))))
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// The collector: owns the sink, and emits what arrives. When every task has been reported, it
/// tells the reducers that there are no more counts, and then receives the ranked partitions.
fn gather(
    ctx: &Ctx,
    events: &Mailbox<Event>,
    reducers: &[Address<ReducerInput>],
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    // Number of known tasks that have not been reported; negative until the source has ended.
    let mut unreported = 0;
    let mut has_ended = false;
    let mut ranked = 0;
    while ranked < PARTITIONS
        && let Ok(event) = events.receive()
    {
        let flow = match event {
            Event::End(tasks) => {
                unreported += tasks;
                has_ended = true;
                ControlFlow::Continue(())
            }
            Event::Read { read, retries } => {
                unreported += retries - 1;
                ctx.emit(Output::Read(read), out)
            }
            Event::Ranked(partition) => {
                ranked += 1;
                ctx.emit(Output::Ranked(partition?), out)
            }
        };
        if flow.is_break() {
            break;
        }
        // Once: `has_ended` is taken.
        if unreported == 0 && mem::take(&mut has_ended) {
            // An error means that the run is being halted, which the next `receive` reports, too.
            let _ = reducers.iter().try_for_each(|reducer| reducer.send(ReducerInput::End));
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather

/// A worker of the first phase; it owns its counter.
type Mapper = supervisor::Worker<Counter, Task, Addresses>;

/// The actors that a mapper sends messages to.
#[derive(Clone)]
struct Addresses {
    source: Address<Command>,
    reducers: Vec<Address<ReducerInput>>,
    collector: Address<Event>,
}

/// To the source.
enum Command {
    /// From this mapper: it has room for a task.
    Ready(usize),
    /// From the supervisor: have these tasks counted as well.
    Retry(Vec<Task>),
}

/// To a reducer.
enum ReducerInput {
    /// From a mapper: a task's counts of the reducer's partitions.
    Counts(Vec<Counts>),
    /// From the collector: there are no more counts.
    End,
}

/// To the collector.
enum Event {
    /// A task was counted, or has failed and is replaced by this number of tasks.
    Read { read: Read, retries: i64 },
    /// From the source: the number of its tasks.
    End(i64),
    /// From a reducer: a partition, or why it cannot be ranked.
    Ranked(Result<Ranked>),
}
