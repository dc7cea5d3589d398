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
//! - **Share.** Nothing. Each partition has one owner, an adder with a few of them, who needs no lock: whatever is
//!   counted, by whomever, comes to its mailbox. There are as many adders as counters, with little work for each.
//! - **Bound.** A counter asks for its next task when it begins one, and the walker takes one step for each that is asked
//!   for. An adder's mailbox has room for the counts of one task from each counter.
//! - **Deadlock.** Counters wait for room at the adders, and all wait for room at the curator, who waits for nobody but the
//!   sink. When it writes to the adders, they have nothing else to come. All other mailboxes have room for whatever was
//!   asked for.
//! - **Order.** A counter sends its counts before it reports. So when all tasks are reported, all counts are in the adders'
//!   mailboxes, and the curator's word that there are no more comes behind them.
//! - **Stop.** It halts whoever waits for a message; a sink that waits returns. A task in hand is finished.
//! - **Fail.** Let it crash: a counter that panics is dead, and nothing of its task has been sent. The supervisor reports
//!   the task, has the walker hand it out again file by file if it was of many, and starts a fresh counter on the same
//!   mailbox. A partition that cannot be ranked ends the run: a part of the truth is none.

use std::{collections::VecDeque, mem, ops::ControlFlow};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    wordcount::{
        self, Counts, Grain, Job, Output, PARTITIONS, Partition, Ranked, Read, Settings, Task, Tasks, absorb,
        divided, partitions,
    },
};

use crate::actor::{Address, Death, Halted, Mailbox, System, system};

// ANCHOR: wordcount-run
/// Runs the job on `ctx.workers` counters and as many adders; the calling thread is the last actor, the curator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let kernel = wordcount::Counter::new(&job.settings);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (walker, requests) = system.mailbox(2 * count);
        let (supervisor, deaths) = system.mailbox(count);
        let (curator, reports) = system.mailbox(2 * count);
        let mut adders = Vec::new();
        for (n, sums) in divided(partitions(job.settings.seed), count).into_iter().enumerate() {
            let (adder, counts) = system.mailbox(count);
            let (settings, curator) = (&job.settings, curator.clone());
            system.spawn(format!("adder-{n}"), move || add(sums, &counts, settings, &curator))?;
            adders.push(adder);
        }
        let to = Addresses { walker, supervisor, adders, curator };
        let mut counters = Vec::new();
        for id in 0..count {
            let (counter, tasks) = system.mailbox(1);
            // Here and not by the counter, whose successor has no more room than its predecessor asked for.
            let _ = to.walker.send(Request::Room(id));
            Counter { id, kernel: kernel.clone(), tasks, in_hand: None, to: to.clone() }.start(&system)?;
            counters.push(counter);
        }
        let (walk, curator) = (job.tasks(Grain::default(), &ctx.stop), to.curator.clone());
        system.spawn("walker", move || feed(walk, &requests, &counters, &curator))?;
        let (office, addresses) = (system.clone(), to.clone());
        system.spawn("supervisor", move || supervise(&office, &deaths, &kernel, &addresses))?;
        gather(&reports, &to.adders, ctx, out)
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// The walker owns the walk, and hands out a task for each that is asked for; first those that are to be done again.
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
/// A counter owns its kernel. What it owned when it died says which task was in hand.
struct Counter {
    id: usize,
    kernel: wordcount::Counter,
    tasks: Mailbox<Task>,
    in_hand: Option<Task>,
    to: Addresses,
}

impl Counter {
    fn start(self, system: &System) -> Result<()> {
        let supervisor = self.to.supervisor.clone();
        system.watch(format!("counter-{}", self.id), self, Self::work, supervisor)
    }

    /// Takes a task, asks for another in its place, counts it, sends each adder its part, and reports.
    fn work(&mut self) -> Result<(), Halted> {
        loop {
            let task = self.in_hand.insert(self.tasks.receive()?);
            self.to.walker.send(Request::Room(self.id))?;
            let partial = self.kernel.task(task);
            self.in_hand = None;
            for (adder, counts) in self.to.adders.iter().zip(divided(partial.counts, self.to.adders.len())) {
                adder.send(Counted::Some(counts))?;
            }
            self.to.curator.send(Report::Read { read: partial.read, again: 0 })?;
        }
    }
}

/// The supervisor reports the task that a counter died of, or has it done apart, and starts another counter in the
/// dead one's place.
fn supervise(
    system: &System,
    deaths: &Mailbox<Death<Counter>>,
    kernel: &wordcount::Counter,
    to: &Addresses,
) -> Result<(), Halted> {
    loop {
        let Death { mut remains, reason } = deaths.receive()?;
        if let Some(task) = remains.in_hand.take() {
            let mut read = task.failed(&reason);
            let apart = mem::take(&mut read.apart);
            to.curator.send(Report::Read { read, again: apart.len() as i64 })?;
            to.walker.send(Request::Again(apart))?;
        }
        let fresh = Counter { kernel: kernel.clone(), ..remains };
        if let Err(error) = fresh.start(system) {
            to.curator.send(Report::Lost(error))?;
        }
    }
}

/// An adder owns some partitions. It adds up what it is sent, and ranks them when there is no more.
fn add(
    mut sums: Vec<Partition>,
    counts: &Mailbox<Counted>,
    settings: &Settings,
    curator: &Address<Report>,
) -> Result<(), Halted> {
    while let Counted::Some(counts) = counts.receive()? {
        absorb(&mut sums, &counts);
    }
    sums.into_iter().try_for_each(|sum| curator.send(ranked(sum, settings)))
}

/// Nobody could go on in the place of an adder, whose sums would be gone: so it defends itself.
fn ranked(sum: Partition, settings: &Settings) -> Report {
    sum.try_rank(settings).map_or_else(Report::Lost, Report::Ranked)
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// The curator, who owns the sink, emits what is reported. When every task has been, it tells the adders that there are
/// no more counts, and then waits for the partitions.
fn gather(
    reports: &Mailbox<Report>,
    adders: &[Address<Counted>],
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    // Of the tasks that there are, and will be as far as is known, those that have not been reported.
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
                ctx.emit(Output::Ranked(partition), out)
            }
            Report::Lost(error) => return Err(error),
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

/// Whom a counter can write to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Request>,
    supervisor: Address<Death<Counter>>,
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
    /// From an adder.
    Ranked(Ranked),
    /// A counter cannot be replaced, or a partition not ranked.
    Lost(Error),
}
