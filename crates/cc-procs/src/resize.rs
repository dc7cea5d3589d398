//! `resize` in worker processes.
//!
//! - **Split.** A task is two names, of an image and of its thumbnail. The worker reads the image
//!   itself: all processes see the same files, and names are a small message.
//! - **Share.** Nothing. A thumbnail travels back as a message, and is copied on the way. It is
//!   small compared with its image, so shared memory would save little.
//! - **Bound.** Most memory is taken by the images that workers process, one per worker. The
//!   channel of outputs has room for one thumbnail per worker. While it is full, an owner that has
//!   a thumbnail waits for room, and sends its worker no tasks. An owner and its worker have at
//!   most two tasks. The pool's request queue has room for `window` tasks and one more, and holds
//!   only names.
//! - **Order.** None: each output names its thumbnail, so a large image does not delay the others.
//! - **Stop.** The stop kills the workers, also within an image, since they write no files. It also
//!   closes the pool's queues. A thread that waits on a channel is woken when the other end of the
//!   channel is dropped.
//! - **Fail.** A panic is caught in the worker, and becomes the task's output. A worker that dies
//!   is replaced, and its images are done again; an image that was alone at three deaths fails. A
//!   worker that cannot be started ends the run. A panic of `feed` is the run's error. It closes
//!   the channel as a normal end does, so `run` joins the thread to learn which it was.

use std::thread;

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Settings, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, feed, pool, worker};

// ANCHOR: resize-run
/// Runs the job in `ctx.workers` processes, fed by one thread; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let pool = Pool::start(ctx, "resize", &job.settings, Task::failed)?;
    let (outputs_tx, outputs_rx) = bounded(ctx.workers.get());
    thread::scope(|scope| {
        let pool = &pool;
        let feeder = feed::start(scope, move || feed(ctx, job, pool, &outputs_tx))?;
        gather(ctx, outputs_rx, out);
        feed::join(feeder)
    })?;
    pool.finish()
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Submits the tasks.
fn feed(ctx: &Ctx, job: &Job, pool: &Pool, outputs_tx: &Sender<Output>) {
    for task in job.tasks(&ctx.stop) {
        if pool.submit_to(outputs_tx, task).is_none() {
            break;
        }
    }
}
// ANCHOR_END: resize-feed

/// In a worker process of this workload, does the tasks and does not return.
pub(crate) fn enter() {
    worker::enter("resize", work);
}

// ANCHOR: resize-work
/// Returns the function that does the tasks, one by one, in a worker process.
pub(crate) fn work(settings: &Settings) -> impl FnMut(Task) -> Output + use<> {
    let mut resizer = Resizer::new(settings);
    caught(move |task| resizer.task(task), Task::failed)
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they arrive. Takes the receiver by value: dropping it fails the `send` of
/// every owner that waits for room.
fn gather(ctx: &Ctx, outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    for output in outputs_rx {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: resize-gather

type Pool = pool::Pool<Task, Output>;
