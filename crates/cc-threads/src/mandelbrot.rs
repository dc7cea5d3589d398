//! `mandelbrot` on free threads.
//!
//! - **Split.** A task is one tile, however small, unless `--grain` asks for more. Here, to take a
//!   task costs one atomic increment.
//! - **Share.** All workers increment one cursor in memory, and a worker does the task whose number
//!   it got. So no thread hands tasks out, and a worker runs out of tasks only when the others do
//!   their last ones. Static partitioning would unbalance the load: some parts of the picture cost
//!   far more than others.
//! - **Bound.** Outputs wait in one channel with room for `window` of them. While it is full, the
//!   workers wait.
//! - **Order.** None: each output says which tiles it is of.
//! - **Stop.** The kernel checks for a stop between rows and within long ones, and then returns no
//!   output. A worker that waits for room in the channel gets an error, since `gather` drops the
//!   receiver.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. A panic
//!   anywhere else ends the run. The join reports it; the closed channel alone does not prove that
//!   the outputs are complete.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Tasks},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, threads::Threads};

// ANCHOR: mandelbrot-run
/// Runs the job on `ctx.workers` threads; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let shared = &Shared { plane, tasks: job.tasks(Grain::TILE), cursor: AtomicU64::new(0) };
    let (outputs_tx, outputs_rx) = bounded(ctx.window.get());
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn_workers(move |_| {
            let outputs_tx = outputs_tx.clone();
            move || work(shared, &outputs_tx)
        })?;
        gather(ctx, outputs_rx, out);
        threads.join()
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does tasks until there are no more, or a stop is requested.
fn work(shared: &Shared, outputs_tx: &Sender<Output>) {
    while let Some(task) = shared.tasks.get(shared.cursor.fetch_add(1, Relaxed)) {
        let output = caught(|| shared.plane.task(&task), |why| Some(task.failed(why)));
        let Some(output) = output else { break };
        if outputs_tx.send(output).is_err() {
            break;
        }
    }
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they arrive. Takes the receiver by value: dropping it fails the `send` of
/// every worker that waits for room.
fn gather(ctx: &Ctx, outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    for output in outputs_rx {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: mandelbrot-gather

/// What all workers share.
struct Shared {
    plane: Plane,
    tasks: Tasks,
    /// The number of the next task. `Relaxed` suffices: `fetch_add` is atomic with any ordering, so
    /// each number is taken once, and no other data is published through the cursor. The workers
    /// see `plane` and `tasks` because spawning a thread synchronizes with its start.
    cursor: AtomicU64,
}
