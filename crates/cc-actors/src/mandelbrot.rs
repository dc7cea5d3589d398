//! `mandelbrot` by actors.
//!
//! ```text
//!                   tasks
//!   collector ───────────────────> workers      (the collector owns the tasks and the sink)
//!      ^ ^         outputs          │   │
//!      │ └──────────────────────────┘   │ death
//!      └──────────  supervisor <────────┘
//! ```
//!
//! - **Split.** A task is as many whole tiles (rectangles of the picture) as fit in 1024 pixels,
//!   but at least one; `--grain` sets another number of tiles. With much less work, a task's
//!   messages would cost more than its work.
//! - **Share.** Nothing. The collector owns the cursor (the iterator of the tasks) as well as the
//!   sink, since advancing the cursor is too little work for an actor of its own. The collector
//!   answers each output with the next task, so a task costs two messages. A worker that finishes
//!   sooner is sent more tasks.
//! - **Bound.** Each worker is sent two tasks at first: one to run, and one that waits in its
//!   mailbox. It is sent one more for each event from it: an output, or the report of its panic. So
//!   at most two tasks per worker are in flight: sent, and not yet answered by an event.
//! - **Deadlock.** No send waits: each mailbox has room for every message that can be in flight to
//!   it.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** A stop makes every `receive` return [`Halted`]. A `Sink::push` (in `ctx.emit`) that
//!   waits for its consumer returns, too. The kernel checks for a stop within each tile; if there
//!   is one, it returns no output.
//! - **Fail.** Let it crash: a panic ends the worker and its thread. Its [supervisor] reports the
//!   task that it was running, and starts a successor on the same mailbox. If the task has several
//!   tiles, the collector sends each of them as a task of its own, so that only the tile that
//!   panics is lost.

use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Task, Tasks},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

/// Maximum pixels of a task of several tiles. With far fewer, its messages would cost more than its
/// work.
const GRAIN: Grain = Grain { pixels: 1024 };

/// Maximum tasks in flight per worker: one that it runs, and one that is in its mailbox when it
/// finishes. The mailbox has room for both, because they may be sent before the worker receives
/// any.
const IN_FLIGHT: usize = 2;

// ANCHOR: mandelbrot-run
/// Runs the job on `ctx.workers` workers; the calling thread is the last actor, the collector.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let count = ctx.workers.get();
    system(&ctx.stop, |system| {
        let (collector, events) = system.mailbox(IN_FLIGHT * count);
        let children = ChildSpec {
            name: "worker",
            capacity: IN_FLIGHT,
            to: collector,
            kernel: || Ok(plane.clone()),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system, count, children);
        let workers = supervisor.start_all(count)?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        let tasks = job.tasks(GRAIN);
        Collector { ctx, workers, tasks, retry: Vec::new(), in_flight: 0, out }.gather(&events);
        Ok(())
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Runs tasks and sends their outputs, each of which asks for the next task.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let task = worker.current.insert(worker.mailbox.receive()?);
        let output = worker.kernel.task(task).ok_or(Halted)?;
        worker.current = None;
        worker.to.send(Event::Output(worker.id, output))?;
    }
}

/// Reports the task that a worker was running when it panicked.
fn report_failure(worker: &Worker, task: Task, reason: &str) -> Result<(), Halted> {
    worker.to.send(if task.tiles > 1 {
        Event::Retry(worker.id, task)
    } else {
        Event::Output(worker.id, task.failed(reason))
    })
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
impl Collector<'_> {
    /// Emits the outputs as they arrive, and sends a task for each.
    fn gather(mut self, events: &Mailbox<Event>) {
        for _ in 0..IN_FLIGHT {
            for id in 0..self.workers.len() {
                self.send_task(id);
            }
        }
        while self.in_flight > 0
            && let Ok(event) = events.receive()
        {
            self.in_flight -= 1;
            match event {
                Event::Output(id, output) => {
                    self.send_task(id);
                    if self.ctx.emit(output, self.out).is_break() {
                        break;
                    }
                }
                Event::Retry(id, task) => {
                    self.retry.extend(task.split());
                    self.send_task(id);
                }
            }
        }
    }

    /// Sends a worker a task, if one is left.
    fn send_task(&mut self, id: usize) {
        if let Some(task) = self.retry.pop().or_else(|| self.tasks.next()) {
            self.in_flight += 1;
            // An error means that the run is stopped, which `receive` reports as well.
            let _ = self.workers[id].send(task);
        }
    }
}
// ANCHOR_END: mandelbrot-gather

/// A worker owns its `Plane`, the kernel that computes tiles.
type Worker = supervisor::Worker<Plane, Task, Address<Event>>;

/// The actor that owns the cursor, and the sink, which cannot leave the calling thread.
struct Collector<'a> {
    ctx: &'a Ctx,
    workers: Vec<Address<Task>>,
    /// The cursor: the iterator of the tasks that no worker has been sent.
    tasks: Tasks,
    /// Tiles of failed tasks, each to be sent again on its own.
    retry: Vec<Task>,
    /// Number of tasks that workers were sent and that no event has answered.
    in_flight: usize,
    out: &'a mut dyn Sink<Output>,
}

/// To the collector, from the worker with this number or from its supervisor. It also asks for the
/// worker's next task.
enum Event {
    Output(usize, Output),
    /// The worker has panicked in one of these tiles.
    Retry(usize, Task),
}
