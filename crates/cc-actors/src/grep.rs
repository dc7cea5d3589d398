//! `grep` by actors.
//!
//! ```text
//!      ┌─────────────────────── how many there were ───────────────────────┐
//!      │     tasks            a task, to one who has room         outputs  v
//!   walker ────────> dispatcher ────────────────────> searchers ─────────> collator ──> sink
//!      ^              ^   ^            room               │ │                │  │
//!      │              │   └───────────────────────────────┘ │ death          │  │
//!      │              │                                     └──> supervisor ─┘  │
//!      │              └──────────────── tasks of a rest ────────────────────────┤
//!      └─────────────────────────────── credits ────────────────────────────────┘
//! ```
//!
//! - **Split.** A task is 32 files or a mebibyte. What a searcher finds too large it hands back, and the collator
//!   has the rest done in mebibytes.
//! - **Share.** Nothing but the spec's `SharedCutoff`, by which the printer ends a stream that it has done with. The walk, the
//!   table of who has room, the searches and the outputs that came early have one
//!   owner each. A queue that all searchers take from would be shared state: the dispatcher decides who gets what.
//! - **Bound.** Work is done on demand only. The walker takes one step for a credit, of which there are `window`; a
//!   searcher gets a task for each time it says that it has room, which is for the one in hand and one more, so that it
//!   need not wait while the dispatcher chooses; two tasks a searcher are ahead in a rest.
//! - **Deadlock.** Messages go in circles, but nobody waits for room in one. The walker's mailbox has room for all
//!   credits, a searcher's for the tasks it asked for, the supervisor's for the death of every searcher: sending to
//!   these never waits. So the dispatcher waits for nobody, the collator for the dispatcher and the sink, and all
//!   others for these two, whose mailboxes have room for what is usually under way.
//! - **Order.** A task carries its [`Position`]. The dispatcher hands out what is foremost, and the collator keeps
//!   what comes early.
//! - **Stop.** It halts whoever waits for a message, and thereby whoever waits to send him one; a sink that waits
//!   returns. A kernel that runs is not interrupted.
//! - **Fail.** Let it crash: a searcher that panics is dead, with its thread. The supervisor is sent what it left,
//!   reports the task that it had in hand, and starts a fresh searcher, which takes over the mailbox.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    grep::{Grain, Job, Output, Rest, Search, Task, Tasks},
};

use crate::{
    actor::{Address, Death, Halted, Mailbox, System, system},
    position::Position,
};

// ANCHOR: grep-run
/// Runs the job on `ctx.workers` searchers; the calling thread is the last actor, the collator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let (workers, window) = (ctx.workers.get(), ctx.window.get());
    system(&ctx.stop, |system| {
        let (walker, credits) = system.mailbox(window);
        let (dispatcher, requests) = system.mailbox(window + 4 * workers);
        let (supervisor, deaths) = system.mailbox(workers);
        let (collator, reports) = system.mailbox(window + 2 * workers);
        let to = Addresses { walker, dispatcher, supervisor, collator };
        let mut searchers = Vec::new();
        for id in 0..workers {
            let (searcher, orders) = system.mailbox(AHEAD);
            // Not by the searcher: its successor would say it again. It cannot fail, as the mailbox is still here.
            for _ in 0..AHEAD {
                let _ = to.dispatcher.send(Request::Room(id));
            }
            Searcher { id, search: search.clone(), orders, in_hand: None, to: to.clone() }.start(&system)?;
            searchers.push(searcher);
        }
        let (tasks, addresses) = (job.tasks(Grain::default(), &ctx.stop), to.clone());
        system.spawn("walker", move || walk(tasks, &credits, &addresses))?;
        system.spawn("dispatcher", move || dispatch(&requests, &searchers))?;
        let (office, addresses) = (system.clone(), to.clone());
        system.spawn("supervisor", move || supervise(&office, &deaths, &search, &addresses))?;
        Collator { job, ctx, out, to, next: Position::of(0), early: BTreeMap::new(), rests: Vec::new() }
            .gather(&reports)
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

/// The dispatcher owns the table of who has room and what waits, and brings the two together.
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
/// A searcher owns its compiled search. What it owned when it died says which task was in hand.
struct Searcher {
    id: usize,
    search: Search,
    orders: Mailbox<Order>,
    in_hand: Option<Order>,
    to: Addresses,
}

impl Searcher {
    fn start(self, system: &System) -> Result<()> {
        let supervisor = self.to.supervisor.clone();
        system.watch(format!("searcher-{}", self.id), self, Self::work, supervisor)
    }

    /// Takes a task, asks for another in its place, does it, and reports its output.
    fn work(&mut self) -> Result<(), Halted> {
        loop {
            let order = self.in_hand.insert(self.orders.receive()?);
            self.to.dispatcher.send(Request::Room(self.id))?;
            let output = self.search.task(&order.task);
            let position = order.position.clone();
            self.in_hand = None;
            self.to.collator.send(Report::Done(position, output))?;
        }
    }
}

/// The supervisor reports the task that a searcher died of, and starts a fresh one in its place.
fn supervise(
    system: &System,
    deaths: &Mailbox<Death<Searcher>>,
    search: &Search,
    to: &Addresses,
) -> Result<(), Halted> {
    loop {
        let Death { mut remains, reason } = deaths.receive()?;
        if let Some(Order { position, task }) = remains.in_hand.take() {
            to.collator.send(Report::Done(position, task.failed(&reason)))?;
        }
        // What a panic has gone through is not trusted again.
        let fresh = Searcher { search: search.clone(), ..remains };
        if let Err(error) = fresh.start(system) {
            to.collator.send(Report::Lost(error))?;
        }
    }
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// The collator owns the order, and the sink, which cannot leave the calling thread.
struct Collator<'a> {
    job: &'a Job,
    ctx: &'a Ctx,
    out: &'a mut dyn Sink<Output>,
    to: Addresses,
    /// Whose turn it is.
    next: Position,
    /// Outputs whose turn has not come.
    early: BTreeMap<Position, Output>,
    /// What is left of the tasks that `next` is inside of, the innermost last.
    rests: Vec<Level>,
}

impl Collator<'_> {
    /// Emits the outputs in the order of their positions.
    fn gather(mut self, reports: &Mailbox<Report>) -> Result<()> {
        for _ in 0..self.ctx.window.get() {
            // Nobody takes it if the walk is over, as a short one may be by now.
            let _ = self.to.walker.send(Credit);
        }
        let mut end = None;
        while end.as_ref() != Some(&self.next)
            && let Ok(report) = reports.receive()
        {
            match report {
                Report::Done(position, output) => drop(self.early.insert(position, output)),
                Report::Walked(tasks) => end = Some(Position::of(tasks)),
                Report::Lost(error) => return Err(error),
            }
            while let Some(output) = self.early.remove(&self.next) {
                if self.settle(output).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Emits one output, has whatever is left of its task done in its place, and goes on behind that.
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
        // Nobody takes it if the walk is over.
        let _ = self.to.walker.send(Credit);
        Ok(())
    }
}
// ANCHOR_END: grep-gather

/// Tasks that a searcher has asked for beside the one in hand: one.
const AHEAD: usize = 1;

/// Whom everybody can write to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Credit>,
    dispatcher: Address<Request>,
    supervisor: Address<Death<Searcher>>,
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
    /// From the supervisor: a searcher cannot be replaced.
    Lost(Error),
}

/// A rest that is being done.
struct Level {
    rest: Rest,
    /// How many of its tasks were handed out.
    asked: usize,
}
