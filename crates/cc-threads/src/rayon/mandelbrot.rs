//! `mandelbrot` on rayon's work-stealing pool.
//!
//! - **Split.** The numbers of all tasks are one range, which rayon halves as long as some worker
//!   is idle. A task is one tile, unless `--grain` asks for more.
//! - **Share.** Work stealing: a worker keeps one half of a range and puts the other into its own
//!   queue. An idle worker steals the largest range there. Where all tiles cost the same, there are
//!   few steals, and so hardly any contention; the cursor of the threads is contended for every
//!   tile.
//! - **Bound.** Outputs wait in one channel with room for `window` of them. While it is full, the
//!   workers wait.
//! - **Order.** None: each output says which tiles it is of.
//! - **Stop.** The kernel checks for a stop between rows and within long ones, and then returns no
//!   output. A worker that waits for room in the channel gets an error, since `gather` drops the
//!   receiver. Either ends `try_for_each`, which then skips all tiles that have not begun.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. Rayon passes
//!   any other panic on to the caller of `work`, where it becomes the run's error. A closed channel
//!   alone does not prove that the outputs are complete.

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
    let plane = Plane::new(&job.view, &ctx.stop);
    let tasks = job.tasks(Grain::TILE);
    let (outputs_tx, outputs_rx) = bounded(ctx.window.get());
    with_pool(ctx, |pool| {
        let mut worked = Ok(());
        pool.in_place_scope(|scope| {
            scope.spawn(|_| worked = catch_panic("work", || work(&plane, &tasks, outputs_tx)));
            gather(ctx, outputs_rx, out);
        });
        worked
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does all tasks, on all threads of the pool, unless a stop is requested. Takes the sender by
/// value: `gather` ends when it is dropped.
fn work(plane: &Plane, tasks: &Tasks, outputs_tx: Sender<Output>) {
    let _ = (0..tasks.count_all()).into_par_iter().try_for_each(|number| {
        let task = tasks.get(number)?;
        let output = caught(|| plane.task(&task), |why| Some(task.failed(why)));
        outputs_tx.send(output?).ok()
    });
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
