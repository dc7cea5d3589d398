//! `mandelbrot` on free threads.
//!
//! - **Split.** A task is one tile, however small: here a task costs no more than to count it.
//! - **Share.** A cursor, one number in memory that all workers count up. Whoever gets a number does that task, so
//!   sharing is as even as the last tile allows, and no thread is needed to hand tasks out. Giving each worker
//!   its part beforehand would leave it to chance whose part is dear.
//! - **Bound.** Outputs wait in one bounded channel; when it is full, the workers do.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** The kernel asks, between rows and within long ones, and has no output then. A worker
//!   that waits for room finds that `gather` has gone.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. A panic
//!   anywhere else ends the run: the threads are joined, and the outputs are all there are only if
//!   all threads came to their end.

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
    let (done, outputs) = bounded(ctx.window.get());
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn_workers(move |_| {
            let done = done.clone();
            move || work(shared, &done)
        })?;
        gather(outputs, ctx, out);
        threads.join()
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// What all workers see.
struct Shared {
    plane: Plane,
    tasks: Tasks,
    /// The number of the next task. Relaxed is enough: nothing else is handed over with it.
    cursor: AtomicU64,
}

/// Does tasks until there are no more, or a stop is requested.
fn work(shared: &Shared, done: &Sender<Output>) {
    while let Some(task) = shared.tasks.get(shared.cursor.fetch_add(1, Relaxed))
        && let Some(output) = caught(|| shared.plane.task(&task), |why| Some(task.failed(why)))
        && done.send(output).is_ok()
    {}
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they come. With the receiver, it drops what the workers may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let _ = outputs.into_iter().try_for_each(|output| ctx.emit(output, out));
}
// ANCHOR_END: mandelbrot-gather
