//! `resize` on free threads.
//!
//! - **Split.** A task is one image: large enough that handing it over costs nothing beside it.
//! - **Share.** One queue of names, shared by all workers; whoever is free takes the next. Each worker has its own
//!   resizer, with the buffers that one image leaves for the next.
//! - **Bound.** What takes room is the image that a worker has in hand. Two names a worker wait in the queue, and as
//!   many thumbnails may be done before the sink has written them.
//! - **Order.** None: an output says whose thumbnail it is, so a large image holds nobody up.
//! - **Stop.** `feed` and the workers ask before each task; whoever waits, as `gather` does, waits on a channel
//!   whose other end is dropped by somebody who stops. An image in hand is finished.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. A panic of
//!   `feed` closes the queue as its end does, so all threads are joined, and what the join says is
//!   the run's result.

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
    let ahead = 2 * ctx.workers.get();
    let (fed, tasks) = bounded(ahead);
    let (done, outputs) = bounded(ahead);
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn_workers(move |_| {
            let (resizer, tasks, done) = (resizer.clone(), tasks.clone(), done.clone());
            move || work(resizer, &tasks, &done, ctx)
        })?;
        threads.spawn("feed", move || feed(job, ctx, &fed))?;
        gather(outputs, ctx, out);
        threads.join()
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Queues the tasks.
fn feed(job: &Job, ctx: &Ctx, fed: &Sender<Task>) {
    let _ = job.tasks(&ctx.stop).try_for_each(|task| fed.send(task));
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Does tasks until there are no more.
fn work(mut resizer: Resizer, fed: &Receiver<Task>, done: &Sender<Output>, ctx: &Ctx) {
    for task in fed {
        if ctx.stop.requested() {
            break;
        }
        let output = caught(|| resizer.task(&task), |why| task.failed(why));
        if done.send(output).is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they come. With the receiver, it drops what the workers may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let _ = outputs.into_iter().try_for_each(|output| ctx.emit(output, out));
}
// ANCHOR_END: resize-gather
