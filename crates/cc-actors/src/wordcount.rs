//! `wordcount` by actors.
//!
//! ```text
//!            a task            counts           ranked partitions
//!   walker ──────────> counters ──────> adders ───────────────────> curator ──> sink
//!    ^  ^      room    │  │  │            ^                         ^ ^ ^ │
//!    │  └──────────────┘  │  └────────────│──── what was read ──────┘ │ │ │
//!    │ again              │ death         └─────── no more counts ────│─│─┘
//!    └───── supervisor <──┘                                           │ │
//!                └────────────────── what has failed ─────────────────┘ │
//!   walker ─────────────────────── how many tasks there were ───────────┘
//! ```
//!
//! - **Split.** A task is four mebibytes of text. Its counts travel in one message to each adder.
//! - **Share.** Nothing. Each partition has one owner, an adder with a few of them, which needs no
//!   lock: all counts of its words come to its mailbox. There are as many adders as counters, with
//!   little work for each.
//! - **Bound.** A counter asks for its next task when it begins one, and the walker takes one step
//!   for each request. An adder's mailbox has room for the counts of one task from each counter.
//! - **Deadlock.** Counters wait for room at the adders, and all actors wait for room at the
//!   curator, which waits for nothing but the sink. When it writes to the adders, no counts are
//!   left to come. All other mailboxes have room for all that was asked for.
//! - **Order.** A counter sends its counts before it reports. So when all tasks are reported, all
//!   counts are in the adders' mailboxes, and the curator's message that there are no more comes
//!   after them.
//! - **Stop.** An actor that waits for a message is halted; a sink that waits returns. A task in
//!   hand is finished.
//! - **Fail.** Let it crash: a counter that panics is dead, and nothing of its task has been sent.
//!   Its [supervisor] reports the task, has the walker hand it out again file by
//!   file if it was of many, and starts a counter with a fresh kernel on the same mailbox. A
//!   partition that cannot be ranked ends the run: a part of the truth is none.

use std::{collections::VecDeque, mem, ops::ControlFlow};

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{
        self, Counts, Grain, Job, Output, PARTITIONS, Partition, Ranked, Read, Settings, Task, Tasks, absorb,
        divided, partitions,
    },
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

// ANCHOR: wordcount-run
/// Runs the job on `ctx.workers` counters and as many adders; the calling thread is the last actor,
/// the curator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let counter = wordcount::Counter::new(&job.settings);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (walker, requests) = system.mailbox(2 * count);
        let (curator, reports) = system.mailbox(2 * count);
        let mut adders = Vec::new();
        for (n, sums) in divided(partitions(job.settings.seed), count).into_iter().enumerate() {
            let (adder, counts) = system.mailbox(count);
            let (settings, curator) = (&job.settings, curator.clone());
            system.spawn(format!("adder-{n}"), move || add(sums, &counts, settings, &curator))?;
            adders.push(adder);
        }
        let to = Addresses { walker, adders, curator };
        let kernel = || Ok(counter.clone());
        let children =
            ChildSpec { name: "counter", capacity: 1, to: to.clone(), kernel, work, report_failure };
        let supervisor = Supervisor::new(&system, count, children);
        let counters = supervisor.start_all(count)?;
        for id in 0..count {
            // It cannot fail, since the walker's mailbox is still here.
            let _ = to.walker.send(Request::Room(id));
        }
        let walk = job.tasks(Grain::default(), &ctx.stop);
        system.spawn("walker", move || feed(walk, &requests, &counters, &to.curator))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        gather(&reports, &to.adders, ctx, out)
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// The walker owns the walk, and hands out a task for each that is asked for; first those that are
/// to be done again.
fn feed(
    walk: Tasks,
    requests: &Mailbox<Request>,
    counters: &[Address<Task>],
    curator: &Address<Report>,
) -> Result<(), Halted> {
    let (mut walk, mut walked) = (Some(walk), 0);
    let (mut again, mut idle) = (VecDeque::new(), Vec::new());
    loop {
        match requests.receive()? {
            Request::Room(id) => idle.push(id),
            Request::Again(tasks) => again.extend(tasks),
        }
        while let Some(id) = idle.pop() {
            let next = || walk.as_mut()?.next().inspect(|_| walked += 1);
            if let Some(task) = again.pop_front().or_else(next) {
                counters[id].send(task)?;
                continue;
            }
            idle.push(id);
            if walk.take().is_some() {
                curator.send(Report::Walked(walked))?;
            }
            break;
        }
    }
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// A counter owns its kernel; its supervisor starts another if it panics.
type Counter = supervisor::Worker<wordcount::Counter, Task, Addresses>;

/// Takes a task, asks for another in its place, counts it, sends each adder its part, and reports.
fn work(counter: &mut Counter) -> Result<(), Halted> {
    loop {
        let task = counter.in_hand.insert(counter.mailbox.receive()?);
        counter.to.walker.send(Request::Room(counter.id))?;
        let partial = counter.kernel.task(task);
        counter.in_hand = None;
        let Addresses { adders, curator, .. } = &counter.to;
        for (adder, counts) in adders.iter().zip(divided(partial.counts, adders.len())) {
            adder.send(Counted::Some(counts))?;
        }
        curator.send(Report::Read { read: partial.read, again: 0 })?;
    }
}

/// Reports the task that a counter had in hand when it panicked, and has its files done one by one
/// if there are several.
fn report_failure(counter: &Counter, task: Task, reason: &str) -> Result<(), Halted> {
    let mut read = task.failed(reason);
    let apart = mem::take(&mut read.apart);
    counter.to.curator.send(Report::Read { read, again: apart.len() as i64 })?;
    counter.to.walker.send(Request::Again(apart))
}

/// An adder owns some partitions. It adds up what it is sent, and ranks them when there is no more.
///
/// An adder has no successor, which would lack the sums: a panic while it ranks is an error
/// instead.
fn add(
    mut sums: Vec<Partition>,
    counts: &Mailbox<Counted>,
    settings: &Settings,
    curator: &Address<Report>,
) -> Result<(), Halted> {
    while let Counted::Some(counts) = counts.receive()? {
        absorb(&mut sums, &counts);
    }
    sums.into_iter().try_for_each(|sum| curator.send(Report::Ranked(sum.try_rank(settings))))
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// The curator owns the sink, and emits what is reported. When every task has been, it tells the
/// adders that there are no more counts, and then waits for the partitions.
fn gather(
    reports: &Mailbox<Report>,
    adders: &[Address<Counted>],
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    // Tasks that are known of and have not been reported.
    let (mut left, mut is_walked, mut ranked) = (0, false, 0);
    while ranked < PARTITIONS
        && let Ok(report) = reports.receive()
    {
        let flow = match report {
            Report::Walked(tasks) => {
                (left, is_walked) = (left + tasks, true);
                ControlFlow::Continue(())
            }
            Report::Read { read, again } => {
                left += again - 1;
                ctx.emit(Output::Read(read), out)
            }
            Report::Ranked(partition) => {
                ranked += 1;
                ctx.emit(Output::Ranked(partition?), out)
            }
        };
        if flow.is_break() {
            break;
        }
        if left == 0 && mem::take(&mut is_walked) {
            // An error means that the run is being halted, which the next wait finds, too.
            let _ = adders.iter().try_for_each(|adder| adder.send(Counted::All));
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather

/// The actors that a counter sends messages to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Request>,
    adders: Vec<Address<Counted>>,
    curator: Address<Report>,
}

/// To the walker.
enum Request {
    /// This counter has room for a task.
    Room(usize),
    /// From the supervisor: do these, too.
    Again(Vec<Task>),
}

/// To an adder.
enum Counted {
    /// Its partitions of a task's counts.
    Some(Vec<Counts>),
    /// There are no more.
    All,
}

/// To the curator.
enum Report {
    /// A task is done, or has failed, and there are so many more in its place.
    Read { read: Read, again: i64 },
    /// From the walker: there were so many tasks.
    Walked(i64),
    /// From an adder: a partition, or why it cannot be ranked.
    Ranked(Result<Ranked>),
}
