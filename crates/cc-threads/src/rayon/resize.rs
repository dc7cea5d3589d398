//! `resize` on rayon's work-stealing pool.
//!
//! - **Split.** A task is one image, a job in the pool.
//! - **Share.** The iterator over the names is bridged into the pool: a worker that is free takes the next one, under a
//!   lock that is held while the walk goes one file on. There is nothing to steal in a stream; the whole list
//!   would have to be there first. A worker has a resizer of its own, which it finds by its index
//!   in the pool (`Kernels`); `map_init` would make one for each batch.
//! - **Bound.** Nothing is queued: a worker takes a name when it is ready for it. As many thumbnails as two a
//!   worker may be done before the sink has written them.
//! - **Order.** None, which is what `par_bridge` gives.
//! - **Stop.** The tasks end once a stop is requested, and a worker that waits for room finds that `gather` has gone.
//! - **Fail.** A panic is caught where the task runs. Rayon passes one of the walk on to `feed`,
//!   where it becomes the run's error: the outputs end early then, too.

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::iter::{ParallelBridge, ParallelIterator};

use super::pool::{Kernels, catch_panic, with_pool};
use crate::caught::caught;

// ANCHOR: resize-run
/// Runs the job on a pool of `ctx.workers` threads, made for it; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizers = Kernels::new(&Resizer::new(&job.settings), ctx);
    let (done, outputs) = bounded(2 * ctx.workers.get());
    with_pool(ctx, |pool| {
        let mut fed = Ok(());
        pool.in_place_scope(|scope| {
            scope.spawn(|_| fed = catch_panic("feed", || feed(job, &resizers, done, ctx)));
            gather(outputs, ctx, out);
        });
        fed
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Has the tasks done as they are found: whoever is free takes the walk one step on.
fn feed(job: &Job, resizers: &Kernels<Resizer>, done: Sender<Output>, ctx: &Ctx) {
    let tasks = job.tasks(&ctx.stop).par_bridge();
    let _ = tasks.try_for_each(|task| done.send(work(&task, resizers)));
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Does a task, on a thread of the pool.
fn work(task: &Task, resizers: &Kernels<Resizer>) -> Output {
    let mut resizer = resizers.mine();
    caught(|| resizer.task(task), |why| task.failed(why))
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they come. With the receiver, it drops what the workers may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let _ = outputs.into_iter().try_for_each(|output| ctx.emit(output, out));
}
// ANCHOR_END: resize-gather
