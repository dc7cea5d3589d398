//! `mandelbrot` by actors.
//!
//! ```text
//!             a task, for a report
//!   painter ────────────────────────> workers        (the painter has the cursor, and the sink)
//!      ^ ^           reports          │     │
//!      │ └────────────────────────────┘     │ death
//!      └──────────── supervisor <───────────┘
//! ```
//!
//! - **Split.** A task is one tile, or so many that they have a thousand pixels: with less in it, a message would cost
//!   more than the work that it is about.
//! - **Share.** Nothing. The painter owns the cursor as well as the picture, since to go one number on is no work for
//!   an actor: a report buys a task, so a task costs two messages. Whoever is done sooner reports sooner, and
//!   gets more.
//! - **Bound.** Credits: each worker is given two tasks at first, one for its hands and one that waits for it, and
//!   then one for each report. So there are never more outputs than that.
//! - **Deadlock.** Nobody waits for room: every mailbox has it for all that its readers have asked for.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** It halts whoever waits for a message; a sink that waits returns. A kernel that runs is not interrupted.
//! - **Fail.** Let it crash: the supervisor is sent what a dead worker owned, starts a successor on its mailbox, and
//!   reports the task that it had in hand. Of several tiles, the painter has each done alone, so that
//!   only the one that kills is lost.

use cc_workloads::{
    Ctx, Error, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Task, Tasks},
};

use crate::actor::{Address, Death, Halted, Mailbox, System, system};

/// What a message is worth.
const GRAIN: Grain = Grain { pixels: 1024 };

/// Tasks that a worker is given before it has reported one.
const CREDITS: usize = 2;

// ANCHOR: mandelbrot-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the painter.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (supervisor, deaths) = system.mailbox(count);
        let (painter, reports) = system.mailbox(CREDITS * count);
        let mut workers = Vec::new();
        for id in 0..count {
            let (worker, tasks) = system.mailbox(CREDITS);
            let (supervisor, painter) = (supervisor.clone(), painter.clone());
            Worker { id, plane: plane.clone(), tasks, in_hand: None, supervisor, painter }.start(&system)?;
            workers.push(worker);
        }
        let office = system.clone();
        system.spawn("supervisor", move || supervise(&office, &deaths, &painter))?;
        let cursor = job.tasks(GRAIN);
        Painter { ctx, out, workers, cursor, again: Vec::new(), under_way: 0 }.gather(&reports)
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// A worker owns its plane. What it owned when it died says which task was in hand.
struct Worker {
    id: usize,
    plane: Plane,
    tasks: Mailbox<Task>,
    in_hand: Option<Task>,
    supervisor: Address<Death<Worker>>,
    painter: Address<Report>,
}

impl Worker {
    fn start(self, system: &System) -> Result<()> {
        let supervisor = self.supervisor.clone();
        system.watch(format!("worker-{}", self.id), self, Self::work, supervisor)
    }

    /// Does a task, and reports its output, which is to ask for another.
    fn work(&mut self) -> Result<(), Halted> {
        loop {
            let task = self.in_hand.insert(self.tasks.receive()?);
            let output = self.plane.task(task).ok_or(Halted)?;
            self.in_hand = None;
            self.painter.send(Report::Done(self.id, output))?;
        }
    }
}

/// The supervisor reports the task that a worker died of, and starts another worker with what is left.
fn supervise(
    system: &System,
    deaths: &Mailbox<Death<Worker>>,
    painter: &Address<Report>,
) -> Result<(), Halted> {
    loop {
        let Death { mut remains, reason } = deaths.receive()?;
        match remains.in_hand.take() {
            Some(task) if task.tiles > 1 => painter.send(Report::Again(remains.id, task))?,
            Some(task) => painter.send(Report::Done(remains.id, task.failed(&reason)))?,
            None => {}
        }
        // The plane is only read, so it is as good as a fresh one.
        if let Err(error) = remains.start(system) {
            painter.send(Report::Lost(error))?;
        }
    }
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// The painter owns the cursor, and the sink, which cannot leave the calling thread.
struct Painter<'a> {
    ctx: &'a Ctx,
    out: &'a mut dyn Sink<Output>,
    workers: Vec<Address<Task>>,
    cursor: Tasks,
    /// Tiles of which one has killed a worker.
    again: Vec<Task>,
    /// How many tasks the workers have.
    under_way: usize,
}

impl Painter<'_> {
    /// Emits the outputs as they are reported, and pays for each with a task.
    fn gather(mut self, reports: &Mailbox<Report>) -> Result<()> {
        for _ in 0..CREDITS {
            (0..self.workers.len()).for_each(|id| self.hand_out(id));
        }
        while self.under_way > 0
            && let Ok(report) = reports.receive()
        {
            self.under_way -= 1;
            match report {
                Report::Done(id, output) => {
                    self.hand_out(id);
                    if self.ctx.emit(output, self.out).is_break() {
                        break;
                    }
                }
                Report::Again(id, task) => {
                    self.again.extend(task.apart());
                    self.hand_out(id);
                }
                Report::Lost(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends this worker a task, if there is one left.
    fn hand_out(&mut self, id: usize) {
        if let Some(task) = self.again.pop().or_else(|| self.cursor.next()) {
            self.under_way += 1;
            // An error means that the run is stopped, which `receive` says too.
            let _ = self.workers[id].send(task);
        }
    }
}
// ANCHOR_END: mandelbrot-gather

/// To the painter. What names a worker is its request for a task, too.
enum Report {
    /// From a worker, or from its supervisor.
    Done(usize, Output),
    /// From the supervisor: the worker died of one of these tiles.
    Again(usize, Task),
    /// From the supervisor: a worker cannot be replaced.
    Lost(Error),
}
