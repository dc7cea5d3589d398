//! `mandelbrot` in worker processes.
//!
//! - **Split.** A task is as many tiles as have 8192 pixels together, or one that is larger: a message costs the same
//!   however little is in it, so small tiles travel together. Measured with tiles of one pixel up to four rows: tasks
//!   of an eighth of that cost more, and larger ones gain nothing but an uneven end.
//! - **Share.** By credits: a worker has two tasks in hand, so the next is there before it is free, and whoever gets
//!   dear ones is given fewer. A cursor in shared memory would cost less, but nobody would know what a dead worker had
//!   taken.
//! - **Bound.** `window` numbers of tasks in the queue, and as many outputs may wait for the sink; when they do, the
//!   owners take no more from the workers.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** The workers are killed. Whoever waits finds the other end of a channel dropped: the owners that of
//!   `gather`, and `feed` and `gather` that of the last owner.
//! - **Fail.** A panic is caught in the worker; a worker that dies is replaced, and its task done
//!   again, unless it is the third that the task has killed. What failed is done once more in a
//!   second round, every tile for itself: only the culprit is given up. A worker that cannot be
//!   started ends the run, and so does a panic of `feed`, which is joined: it closes the channel as
//!   the end does.

use std::thread;

use cc_workloads::{
    Ctx, Result, Sink, Stop,
    mandelbrot::{Grain, Job, Output, Plane, Task, View},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, feed, pool, worker};

type Pool = pool::Pool<Task, Output>;

/// Small tiles travel together.
const GRAIN: Grain = Grain { pixels: 8192 };

// ANCHOR: mandelbrot-run
/// Runs the job in `ctx.workers` processes; the calling thread gathers what comes back.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let pool = Pool::start("mandelbrot", &job.view, ctx, Task::failed)?;
    let failed = round(job.tasks(GRAIN), &pool, ctx, out)?;
    if !failed.is_empty() {
        round(failed.into_iter().flat_map(Task::apart), &pool, ctx, out)?;
    }
    pool.finish()
}

/// Has these tasks done. Returns those of several tiles that failed.
fn round(
    tasks: impl Iterator<Item = Task> + Send,
    pool: &Pool,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<Vec<Task>> {
    let (done, outputs) = bounded(ctx.window.get());
    thread::scope(|scope| {
        let feed = move || feed(tasks, pool, &done);
        let fed = feed::start(scope, feed)?;
        let failed = gather(outputs, ctx, out);
        feed::join(fed)?;
        Ok(failed)
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-feed
/// Submits the tasks.
fn feed(mut tasks: impl Iterator<Item = Task>, pool: &Pool, done: &Sender<Output>) {
    let _ = tasks.try_for_each(|task| pool.submit_to(done, task));
}
// ANCHOR_END: mandelbrot-feed

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    worker::enter("mandelbrot", work);
}

// ANCHOR: mandelbrot-work
/// Prepares a worker process: what it returns does one task after the other there.
pub(crate) fn work(view: &View) -> impl FnMut(Task) -> Output + use<> {
    // A stop kills the process, so there is none that the kernel could ask about.
    let plane = Plane::new(view, &Stop::new());
    caught(move |task| plane.task(task).expect("no stop is requested here"), Task::failed)
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they come, and returns the tasks of several tiles that failed. With the receiver, it drops
/// what the owners may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Vec<Task> {
    let mut failed = Vec::new();
    for output in outputs {
        if output.counts.is_err() && output.task.tiles > 1 {
            failed.push(output.task);
        } else if ctx.emit(output, out).is_break() {
            return Vec::new();
        }
    }
    failed
}
// ANCHOR_END: mandelbrot-gather
