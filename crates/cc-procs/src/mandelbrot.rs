//! `mandelbrot` in worker processes.
//!
//! - **Split.** A task is as many tiles as fit into `GRAIN` pixels, but at least one. (`--grain N`
//!   makes it N tiles instead.) With the default picture, one tile has 8192 pixels and is one task.
//!   A message costs the same however small its task is, so small tiles travel together. With
//!   larger tasks, workers would idle longer at the end of the run, while one of them still works
//!   on the last task.
//! - **Share.** Nothing. A worker has up to two tasks in flight, so that it need not wait for the
//!   next. A worker whose tasks are expensive is sent fewer. A counter in shared memory, from which
//!   each worker takes the number of its next task, would cost less. But then the program could not
//!   tell which tasks a dead worker had taken.
//! - **Bound.** The channel of outputs has room for `window`. While it is full, an owner that has
//!   an output waits for room, and sends its worker no tasks. An owner and its worker have at most
//!   two tasks. The pool's request queue has room for `window` and one more; while it is full,
//!   `feed` waits.
//! - **Order.** None: each output has its task, which says where its tiles belong.
//! - **Stop.** The stop kills the workers and closes the pool's queues. A thread that waits on a
//!   channel is woken when the other end of the channel is dropped.
//! - **Fail.** A panic is caught in the worker, and becomes the task's output. A worker that dies
//!   is replaced, and its tasks are done again; a task that was alone at three deaths fails. A
//!   failed task of several tiles is split and done once more, tile by tile, so only the tile that
//!   fails is lost. A worker that cannot be started ends the run. A panic of `feed` is the run's
//!   error. It closes the channel as a normal end does, so `run_phase` joins the thread to learn
//!   which it was.

use std::thread;

use cc_workloads::{
    Ctx, Result, Sink, Stop,
    mandelbrot::{Grain, Job, Output, Plane, Task, View},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, feed, pool, worker};

/// Maximum pixels of a task of several tiles, unless `--grain` sets their number. The work of such
/// a task costs more than its messages.
const GRAIN: Grain = Grain { pixels: 8192 };

// ANCHOR: mandelbrot-run
/// Runs the job in `ctx.workers` processes; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let pool = Pool::start(ctx, "mandelbrot", &job.view, Task::failed)?;
    let failed = run_phase(ctx, job.tasks(GRAIN), &pool, out)?;
    if !failed.is_empty() {
        run_phase(ctx, failed.into_iter().flat_map(Task::split), &pool, out)?;
    }
    pool.finish()
}

/// Has the workers do the tasks. Returns the failed ones that have several tiles.
fn run_phase(
    ctx: &Ctx,
    tasks: impl Iterator<Item = Task> + Send,
    pool: &Pool,
    out: &mut dyn Sink<Output>,
) -> Result<Vec<Task>> {
    let (outputs_tx, outputs_rx) = bounded(ctx.window.get());
    thread::scope(|scope| {
        let feeder = feed::start(scope, move || feed(tasks, pool, &outputs_tx))?;
        let failed = gather(ctx, outputs_rx, out);
        feed::join(feeder)?;
        Ok(failed)
    })
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-feed
/// Submits the tasks.
fn feed(tasks: impl Iterator<Item = Task>, pool: &Pool, outputs_tx: &Sender<Output>) {
    for task in tasks {
        if pool.submit_to(outputs_tx, task).is_none() {
            break;
        }
    }
}
// ANCHOR_END: mandelbrot-feed

/// In a worker process of this workload, does the tasks and does not return.
pub(crate) fn enter() {
    worker::enter("mandelbrot", work);
}

// ANCHOR: mandelbrot-work
/// Returns the function that does the tasks, one by one, in a worker process. `use<>` says that it
/// borrows nothing from `view`, so it may be used after `view` is dropped.
pub(crate) fn work(view: &View) -> impl FnMut(Task) -> Output + use<> {
    // A stop that is never requested: a worker is killed instead.
    let plane = Plane::new(view, &Stop::new());
    caught(move |task| plane.task(task).expect("no stop is requested here"), Task::failed)
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they arrive, and returns the failed tasks of several tiles. Takes the
/// receiver by value: dropping it fails the `send` of every owner that waits for room.
fn gather(ctx: &Ctx, outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) -> Vec<Task> {
    let mut failed = Vec::new();
    for output in outputs_rx {
        if output.counts.is_err() && output.task.tiles > 1 {
            failed.push(output.task);
        } else if ctx.emit(output, out).is_break() {
            return Vec::new();
        }
    }
    failed
}
// ANCHOR_END: mandelbrot-gather

type Pool = pool::Pool<Task, Output>;
