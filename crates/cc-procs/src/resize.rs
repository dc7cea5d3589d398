//! `resize` in worker processes.
//!
//! - **Split.** A task is the name of one image, which the worker reads for itself. Measured against reading here and
//!   sending the bytes as shared memory: names were not slower, and cost this process neither time nor room.
//! - **Share.** Nothing. A thumbnail comes back as a message. Measured against threads, where nothing is copied: all
//!   that processes add, messages and all, is about a hundredth of the work, with thumbnails of megabytes too. Shared
//!   memory could save no more than that.
//! - **Bound.** What takes room is the image that a worker has in hand, and the thumbnails: one with each owner, and
//!   one more a worker may wait for the sink. Of what is queued there are only names.
//! - **Order.** None: an output says whose thumbnail it is, so a large image holds nobody up.
//! - **Stop.** The workers are killed, in the middle of an image too; no file is theirs. Whoever waits finds the
//!   other end of a channel dropped: the owners that of `gather`, and `gather` that of the last owner.
//! - **Fail.** A panic is caught in the worker and becomes the task's output. A worker that dies is
//!   replaced and its image done again, unless it is the third that the image has killed. A worker
//!   that cannot be started ends the run, and so does a panic of `feed`, which is joined: it closes
//!   the channel as the end does.

use std::thread;

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Settings, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, feed, pool, worker};

type Pool = pool::Pool<Task, Output>;

// ANCHOR: resize-run
/// Runs the job in `ctx.workers` processes; the calling thread gathers what comes back.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let pool = Pool::start("resize", &job.settings, ctx, Task::failed)?;
    let (done, outputs) = bounded(ctx.workers.get());
    thread::scope(|scope| {
        let pool = &pool;
        let feed = move || feed(job, ctx, pool, &done);
        let fed = feed::start(scope, feed)?;
        gather(outputs, ctx, out);
        feed::join(fed)
    })?;
    pool.finish()
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Submits the tasks.
fn feed(job: &Job, ctx: &Ctx, pool: &Pool, done: &Sender<Output>) {
    let _ = job.tasks(&ctx.stop).try_for_each(|task| pool.submit_to(done, task));
}
// ANCHOR_END: resize-feed

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    worker::enter("resize", work);
}

// ANCHOR: resize-work
/// Prepares a worker process: what it returns does one task after the other there.
pub(crate) fn work(settings: &Settings) -> impl FnMut(Task) -> Output + use<> {
    let mut resizer = Resizer::new(settings);
    caught(move |task| resizer.task(task), Task::failed)
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they come. With the receiver, it drops what the owners may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let _ = outputs.into_iter().try_for_each(|output| ctx.emit(output, out));
}
// ANCHOR_END: resize-gather
