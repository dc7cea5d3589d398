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
//! - **Split.** A task is one tile, or so many that they have a thousand pixels: with less in it, a
//!   message would cost more than its work.
//! - **Share.** Nothing. The painter owns the cursor as well as the picture, since going one number
//!   on is no work for an actor: a report buys a task, so a task costs two messages. A worker that
//!   is done sooner reports sooner, and gets more.
//! - **Bound.** Credits: each worker is given two tasks at first, one for its hands and one that
//!   waits for it, and then one for each report. So there are never more outputs than that.
//! - **Deadlock.** No actor waits for room: every mailbox has it for all that its reader has asked
//!   for.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** An actor that waits for a message is halted; a sink that waits returns. A kernel
//!   that runs is not interrupted.
//! - **Fail.** Let it crash: the [supervisor] of a worker that panics reports
//!   the task in hand and starts a successor on the same mailbox. If the task has several tiles,
//!   the painter has each done alone, so that only the one that kills is lost.

use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Task, Tasks},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

/// Minimum work in a task, so that it is worth its messages.
const GRAIN: Grain = Grain { pixels: 1024 };

/// Tasks that a worker is given before it has reported one.
const CREDITS: usize = 2;

// ANCHOR: mandelbrot-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the painter.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (painter, reports) = system.mailbox(CREDITS * count);
        let kernel = || Ok(plane.clone());
        let children =
            ChildSpec { name: "worker", capacity: CREDITS, to: painter, kernel, work, report_failure };
        let supervisor = Supervisor::new(&system, count, children);
        let workers = supervisor.start_all(count)?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        let cursor = job.tasks(GRAIN);
        Painter { ctx, out, workers, cursor, again: Vec::new(), under_way: 0 }.gather(&reports);
        Ok(())
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// A worker owns its plane; its supervisor starts another if it panics.
type Worker = supervisor::Worker<Plane, Task, Address<Report>>;

/// Does a task, and reports its output, which is to ask for another.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let task = worker.in_hand.insert(worker.mailbox.receive()?);
        let output = worker.kernel.task(task).ok_or(Halted)?;
        worker.in_hand = None;
        worker.to.send(Report::Done(worker.id, output))?;
    }
}

/// Reports the task that a worker had in hand when it panicked. The painter is told of several
/// tiles that the worker died of one of them.
fn report_failure(worker: &Worker, task: Task, reason: &str) -> Result<(), Halted> {
    worker.to.send(if task.tiles > 1 {
        Report::Again(worker.id, task)
    } else {
        Report::Done(worker.id, task.failed(reason))
    })
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
    fn gather(mut self, reports: &Mailbox<Report>) {
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
            }
        }
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
}
