//! `grep` by actors.
//!
//! ```text
//!      ┌─────────────────────── how many there were ───────────────────────┐
//!      │     tasks                     a task, for its room       outputs  v
//!   walker ────────> dispatcher ────────────────────> searchers ─────────> collator ──> sink
//!      ^              ^   ^            room               │ │                │  │
//!      │              │   └───────────────────────────────┘ │ death          │  │
//!      │              │                                     └──> supervisor ─┘  │
//!      │              └──────────────── tasks of a rest ────────────────────────┤
//!      └─────────────────────────────── credits ────────────────────────────────┘
//! ```
//!
//! - **Split.** A task is 32 files or a mebibyte. What a searcher finds too large it hands back,
//!   and the collator has the rest done in mebibytes.
//! - **Share.** Nothing but the spec's `SharedCutoff`, by which the printer ends a stream that it
//!   needs no more of. The walk, the table of searchers with room, each search and the outputs that
//!   came early have one owner each. A queue that all searchers take from would be shared state:
//!   the dispatcher decides which searcher gets which task.
//! - **Bound.** Work is done on demand only. The walker takes one step for a credit, of which there
//!   are `window`. A searcher asks for the task in hand and for one more, so that it need not wait
//!   while the dispatcher chooses. In a rest, two tasks for each searcher are ahead.
//! - **Deadlock.** Messages go in circles, but no actor waits for room in one. The walker's mailbox
//!   has room for all credits, a searcher's for the tasks it asked for, the supervisor's for the
//!   death of every searcher: sending to these never waits. So the dispatcher never waits for room,
//!   the collator waits for the dispatcher and the sink, and all others wait for these two, whose
//!   mailboxes have room for what is usually in flight.
//! - **Order.** A task carries its [`Position`]. The dispatcher hands out the foremost task, and
//!   the collator keeps outputs that come early.
//! - **Stop.** An actor that waits for a message is halted, and its mailbox goes with it, which
//!   ends the wait of every actor that sends to it; a sink that waits returns. A kernel that runs
//!   is not interrupted.
//! - **Fail.** Let it crash: a searcher that panics is dead, with its thread. Its
//!   [supervisor] reports the task in hand and starts a searcher with a fresh
//!   search on the same mailbox.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Rest, Search, Task, Tasks},
};

use crate::{
    actor::{Address, Halted, Mailbox, system},
    position::Position,
    supervisor::{self, ChildSpec, Supervisor},
};

// ANCHOR: grep-run
/// Runs the job on `ctx.workers` searchers; the calling thread is the last actor, the collator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let (workers, window) = (ctx.workers.get(), ctx.window.get());
    system(&ctx.stop, |system| {
        let (walker, credits) = system.mailbox(window);
        let (dispatcher, requests) = system.mailbox(window + 4 * workers);
        let (collator, reports) = system.mailbox(window + 2 * workers);
        let to = Addresses { walker, dispatcher, collator };
        let children = ChildSpec {
            name: "searcher",
            capacity: AHEAD,
            to: to.clone(),
            kernel: || Ok(search.clone()),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system, workers, children);
        let searchers = supervisor.start_all(workers)?;
        // It cannot fail, since the dispatcher's mailbox is still here.
        for id in 0..workers {
            for _ in 0..AHEAD {
                let _ = to.dispatcher.send(Request::Room(id));
            }
        }
        let (tasks, addresses) = (job.tasks(Grain::default(), &ctx.stop), to.clone());
        system.spawn("walker", move || walk(tasks, &credits, &addresses))?;
        system.spawn("dispatcher", move || dispatch(&requests, &searchers))?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        Collator { job, ctx, out, to, next: Position::of(0), early: BTreeMap::new(), rests: Vec::new() }
            .gather(&reports);
        Ok(())
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// The walker owns the walk, and takes one step for each credit.
fn walk(mut tasks: Tasks, credits: &Mailbox<Credit>, to: &Addresses) -> Result<(), Halted> {
    for number in 0.. {
        let Credit = credits.receive()?;
        let Some(task) = tasks.next() else { return to.collator.send(Report::Walked(number)) };
        to.dispatcher.send(Request::Do(Order { position: Position::of(number), task }))?;
    }
    Ok(())
}

/// The dispatcher owns the tables of free room and of waiting tasks, and matches them.
fn dispatch(requests: &Mailbox<Request>, searchers: &[Address<Order>]) -> Result<(), Halted> {
    let (mut room, mut waiting) = (VecDeque::new(), BTreeMap::new());
    loop {
        match requests.receive()? {
            Request::Room(id) => room.push_back(id),
            Request::Do(Order { position, task }) => drop(waiting.insert(position, task)),
        }
        // Not `while`: each request makes up at most one pair.
        if let Some(foremost) = waiting.first_entry()
            && let Some(id) = room.pop_front()
        {
            let (position, task) = foremost.remove_entry();
            searchers[id].send(Order { position, task })?;
        }
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// A searcher owns its compiled search; its supervisor starts another if it panics.
type Searcher = supervisor::Worker<Search, Order, Addresses>;

/// Takes a task, asks for another in its place, does it, and reports its output.
fn work(searcher: &mut Searcher) -> Result<(), Halted> {
    loop {
        let order = searcher.in_hand.insert(searcher.mailbox.receive()?);
        searcher.to.dispatcher.send(Request::Room(searcher.id))?;
        let output = searcher.kernel.task(&order.task);
        let position = order.position.clone();
        searcher.in_hand = None;
        searcher.to.collator.send(Report::Done(position, output))?;
    }
}

/// Reports the task that a searcher had in hand when it panicked.
fn report_failure(searcher: &Searcher, order: Order, reason: &str) -> Result<(), Halted> {
    let Order { position, task } = order;
    searcher.to.collator.send(Report::Done(position, task.failed(reason)))
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// The collator owns the order, and the sink, which cannot leave the calling thread.
struct Collator<'a> {
    job: &'a Job,
    ctx: &'a Ctx,
    out: &'a mut dyn Sink<Output>,
    to: Addresses,
    /// The position of the output that is emitted next.
    next: Position,
    /// Outputs of later positions.
    early: BTreeMap<Position, Output>,
    /// What is left of the tasks that `next` is inside of, the innermost last.
    rests: Vec<Level>,
}

impl Collator<'_> {
    /// Emits the outputs in the order of their positions.
    fn gather(mut self, reports: &Mailbox<Report>) {
        for _ in 0..self.ctx.window.get() {
            // The walker has gone if the walk is over, as a short one may be by now.
            let _ = self.to.walker.send(Credit);
        }
        let mut end = None;
        while end.as_ref() != Some(&self.next)
            && let Ok(report) = reports.receive()
        {
            match report {
                Report::Done(position, output) => drop(self.early.insert(position, output)),
                Report::Walked(tasks) => end = Some(Position::of(tasks)),
            }
            while let Some(output) = self.early.remove(&self.next) {
                if self.settle(output).is_err() {
                    return;
                }
            }
        }
    }

    /// Emits one output, has whatever is left of its task done in its place, and goes on behind
    /// that.
    fn settle(&mut self, mut output: Output) -> Result<(), Halted> {
        let rest = mem::take(&mut output.rest);
        if self.ctx.emit(output, self.out).is_break() {
            return Err(Halted);
        }
        self.rests.push(Level { rest, asked: 0 });
        self.next.enter();
        while let Some(level) = self.rests.last_mut() {
            // One task in each searcher's hands, and one that waits for it.
            let ahead = self.next.number() + 2 * self.ctx.workers.get();
            while level.asked < ahead
                && let Some(task) = level.rest.find(|task| self.job.wants(task))
            {
                let position = self.next.sibling(level.asked);
                self.to.dispatcher.send(Request::Do(Order { position, task }))?;
                level.asked += 1;
            }
            if self.next.number() < level.asked {
                return Ok(());
            }
            self.rests.pop();
            self.next.leave();
        }
        // The walker has gone if the walk is over.
        let _ = self.to.walker.send(Credit);
        Ok(())
    }
}
// ANCHOR_END: grep-gather

/// Tasks that a searcher has asked for beside the one in hand: one.
const AHEAD: usize = 1;

/// The actors that the others send messages to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Credit>,
    dispatcher: Address<Request>,
    collator: Address<Report>,
}

/// To the walker: room for one more task.
struct Credit;

/// To the dispatcher.
enum Request {
    /// From the walker, or the collator.
    Do(Order),
    /// From this searcher: room for one task.
    Room(usize),
}

/// To a searcher.
struct Order {
    position: Position,
    task: Task,
}

/// To the collator.
enum Report {
    /// From a searcher, or from its supervisor.
    Done(Position, Output),
    /// From the walker: there were so many tasks.
    Walked(usize),
}

/// A rest that is being done.
struct Level {
    rest: Rest,
    /// How many of its tasks were handed out.
    asked: usize,
}
