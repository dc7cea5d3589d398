//! `mandelbrot` on rayon's work-stealing pool.
//!
//! - **Split.** The numbers of all tiles are one range, which rayon halves for as long as somebody has nothing to
//!   do; a task is one tile.
//! - **Share.** Work stealing: a worker keeps one half and leaves the other in its own queue, where who is idle
//!   takes the largest piece there is. Where all tiles cost the same, hardly anything is stolen, and so hardly
//!   anything is shared; the cursor of the threads is touched for each.
//! - **Bound.** Outputs wait in one bounded channel; when it is full, the workers do.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** The kernel asks, between rows and within long ones, and has no output then. A worker
//!   that waits for room finds that `gather` has gone. `try_for_each` then calls off what others
//!   have not begun.
//! - **Fail.** A panic is caught where the task runs. Rayon passes any other on to `work`, where it
//!   becomes the run's error: the outputs end early then, too.

use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Tasks},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::pool::{catch_panic, with_pool};
use crate::caught::caught;

// ANCHOR: mandelbrot-run
/// Runs the job on a pool of `ctx.workers` threads, made for it; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (plane, tasks) = (Plane::new(&job.view, &ctx.stop), job.tasks(Grain::TILE));
    let (done, outputs) = bounded(ctx.window.get());
    with_pool(ctx, |pool| {
        let mut worked = Ok(());
        pool.in_place_scope(|scope| {
            scope.spawn(|_| worked = catch_panic("work", || work(&tasks, &plane, done)));
            gather(outputs, ctx, out);
        });
        worked
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does all tasks, on all threads of the pool, unless a stop is requested.
fn work(tasks: &Tasks, plane: &Plane, done: Sender<Output>) {
    let _ = (0..tasks.count_all()).into_par_iter().try_for_each(|number| {
        let task = tasks.get(number)?;
        let output = caught(|| plane.task(&task), |why| Some(task.failed(why)));
        done.send(output?).ok()
    });
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they come. With the receiver, it drops what the workers may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let _ = outputs.into_iter().try_for_each(|output| ctx.emit(output, out));
}
// ANCHOR_END: mandelbrot-gather
