//! `resize` by actors.
//!
//! ```text
//!           a task, to one who has room        outputs
//!   walker ────────────────────────────> workers ─────────> curator ──> sink
//!      ^                room              │    │              ^ ^
//!      └──────────────────────────────────┘    │ death        │ │ how many
//!                                supervisor <──┘              │ │ there were
//!                                    └────────────────────────┘ │
//!   walker ─────────────────────────────────────────────────────┘
//! ```
//!
//! - **Split.** A task is one image: large enough that its messages cost nothing beside it.
//! - **Share.** Nothing. The walk, the resizers and the sink have one owner each. The workers ask the walker itself:
//!   where any task will do, there is nothing for a dispatcher to decide.
//! - **Bound.** Work is done on demand only: a worker asks for its next task when it begins one, and the walker takes
//!   one step for each that is asked for. What takes room is the image in a worker's hands; two thumbnails a worker may
//!   wait for the curator.
//! - **Deadlock.** The walker's mailbox has room for a request of every worker, the supervisor's for its death, and a
//!   worker's for the task that it asked for. So all wait for room at the curator only, who waits for nobody but the
//!   sink.
//! - **Order.** None: an output says whose thumbnail it is, so a large image holds nobody up. The curator is a collator
//!   that has nothing to collate.
//! - **Stop.** It halts whoever waits for a message, and thereby whoever waits to send him one; a sink that waits
//!   returns. An image in hand is finished.
//! - **Fail.** Let it crash: a worker that panics is dead, with its thread. The supervisor is sent what it left,
//!   reports the image that it had in hand, and starts one with a fresh resizer, which takes over the mailbox.

use cc_workloads::{
    Ctx, Error, Result, Sink,
    resize::{Job, Output, Resizer, Task, Tasks},
};

use crate::actor::{Address, Death, Halted, Mailbox, System, system};

// ANCHOR: resize-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the curator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizer = Resizer::new(&job.settings);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (walker, requests) = system.mailbox(count);
        let (supervisor, deaths) = system.mailbox(count);
        let (curator, reports) = system.mailbox(2 * count);
        let to = Addresses { walker, supervisor, curator };
        let mut workers = Vec::new();
        for id in 0..count {
            let (worker, tasks) = system.mailbox(1);
            // Not by the worker: its successor would say it again. It cannot fail, as the mailbox is still here.
            let _ = to.walker.send(Room(id));
            Worker { id, resizer: resizer.clone(), tasks, in_hand: None, to: to.clone() }.start(&system)?;
            workers.push(worker);
        }
        let (walk, curator) = (job.tasks(&ctx.stop), to.curator.clone());
        system.spawn("walker", move || feed(walk, &requests, &workers, &curator))?;
        let (office, curator) = (system.clone(), to.curator);
        system.spawn("supervisor", move || supervise(&office, &deaths, &resizer, &curator))?;
        gather(&reports, ctx, out)
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// The walker owns the walk, and takes one step for each worker that has room.
fn feed(
    mut walk: Tasks,
    requests: &Mailbox<Room>,
    workers: &[Address<Task>],
    curator: &Address<Report>,
) -> Result<(), Halted> {
    for number in 0.. {
        let Room(id) = requests.receive()?;
        let Some(task) = walk.next() else { return curator.send(Report::Walked(number)) };
        workers[id].send(task)?;
    }
    Ok(())
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// A worker owns its resizer. What it owned when it died says which task was in hand.
struct Worker {
    id: usize,
    resizer: Resizer,
    tasks: Mailbox<Task>,
    in_hand: Option<Task>,
    to: Addresses,
}

impl Worker {
    fn start(self, system: &System) -> Result<()> {
        let supervisor = self.to.supervisor.clone();
        system.watch(format!("worker-{}", self.id), self, Self::work, supervisor)
    }

    /// Takes a task, asks for another in its place, does it, and reports its output.
    fn work(&mut self) -> Result<(), Halted> {
        loop {
            let task = self.in_hand.insert(self.tasks.receive()?);
            // Nobody takes it if the walk is over.
            let _ = self.to.walker.send(Room(self.id));
            let output = self.resizer.task(task);
            self.in_hand = None;
            self.to.curator.send(Report::Done(output))?;
        }
    }
}

/// The supervisor reports the task that a worker died of, and starts another in its place.
fn supervise(
    system: &System,
    deaths: &Mailbox<Death<Worker>>,
    resizer: &Resizer,
    curator: &Address<Report>,
) -> Result<(), Halted> {
    loop {
        let Death { mut remains, reason } = deaths.receive()?;
        if let Some(task) = remains.in_hand.take() {
            curator.send(Report::Done(task.failed(&reason)))?;
        }
        // What a panic has gone through is not trusted again.
        let fresh = Worker { resizer: resizer.clone(), ..remains };
        if let Err(error) = fresh.start(system) {
            curator.send(Report::Lost(error))?;
        }
    }
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// The curator, who owns the sink, emits the outputs as they are reported, until there have been as many as tasks.
fn gather(reports: &Mailbox<Report>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (mut done, mut end) = (0, None);
    while end != Some(done)
        && let Ok(report) = reports.receive()
    {
        match report {
            Report::Done(output) => {
                done += 1;
                if ctx.emit(output, out).is_break() {
                    break;
                }
            }
            Report::Walked(tasks) => end = Some(tasks),
            Report::Lost(error) => return Err(error),
        }
    }
    Ok(())
}
// ANCHOR_END: resize-gather

/// Whom a worker can write to.
#[derive(Clone)]
struct Addresses {
    walker: Address<Room>,
    supervisor: Address<Death<Worker>>,
    curator: Address<Report>,
}

/// To the walker: this worker has room for a task.
struct Room(usize);

/// To the curator.
enum Report {
    /// From a worker, or from its supervisor.
    Done(Output),
    /// From the walker: there were so many tasks.
    Walked(usize),
    /// From the supervisor: a worker cannot be replaced.
    Lost(Error),
}
