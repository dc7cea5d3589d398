//! `resize` on free threads.
//!
//! - **Split.** A task is one image: large enough that the cost of handing it over is negligible.
//! - **Share.** One queue of file names, shared by all workers: a free worker takes the next name.
//!   Each worker has its own resizer, which reuses its buffers from image to image.
//! - **Bound.** Most memory is taken by the images that workers process, one per worker. The queue
//!   of names and the channel of outputs have room for two per worker each.
//! - **Order.** None: each output names its thumbnail, so a large image does not delay the others.
//! - **Stop.** The iterator of `feed` and the workers check for a stop before each task. A thread
//!   that waits on a channel is woken when all ends on the other side are dropped. An image that
//!   has begun is finished.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. A panic of
//!   `feed` closes the queue just as its normal end does. So all threads are joined, and the join
//!   gives the run's result.

use std::thread;

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, threads::Threads};

// ANCHOR: resize-run
/// Runs the job on `ctx.workers` threads and one that feeds them; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizer = Resizer::new(&job.settings);
    let capacity = 2 * ctx.workers.get();
    let (tasks_tx, tasks_rx) = bounded(capacity);
    let (outputs_tx, outputs_rx) = bounded(capacity);
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn_workers(move |_| {
            let resizer = resizer.clone();
            let tasks_rx = tasks_rx.clone();
            let outputs_tx = outputs_tx.clone();
            move || work(ctx, resizer, &tasks_rx, &outputs_tx)
        })?;
        threads.spawn("feed", move || feed(ctx, job, &tasks_tx))?;
        gather(ctx, outputs_rx, out);
        threads.join()
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Queues the tasks.
fn feed(ctx: &Ctx, job: &Job, tasks_tx: &Sender<Task>) {
    for task in job.tasks(&ctx.stop) {
        if tasks_tx.send(task).is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Does tasks until there are no more, or a stop is requested.
fn work(ctx: &Ctx, mut resizer: Resizer, tasks_rx: &Receiver<Task>, outputs_tx: &Sender<Output>) {
    for task in tasks_rx {
        if ctx.stop.requested() {
            break;
        }
        let output = caught(|| resizer.task(&task), |why| task.failed(why));
        if outputs_tx.send(output).is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they arrive. Takes the receiver by value: dropping it fails the `send` of
/// every worker that waits for room.
fn gather(ctx: &Ctx, outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    for output in outputs_rx {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: resize-gather
