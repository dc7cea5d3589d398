//! `resize` on rayon's work-stealing pool.
//!
//! - **Split.** A task is one image, a job in the pool.
//! - **Share.** `par_bridge` moves the iterator over the file names into the pool. A free worker
//!   takes the next name, under a lock that is held while the iterator advances by one file. There
//!   is nothing to steal in a stream: stealing would need the whole list first. Each worker of the
//!   pool has its own resizer, found by the worker's index (`Kernels`); `map_init` would make one
//!   for each batch.
//! - **Bound.** There is no queue of names: a worker takes a name when it is ready for it. Two
//!   thumbnails per worker may wait for the sink.
//! - **Order.** None, which is what `par_bridge` gives.
//! - **Stop.** The iterator ends once a stop is requested. A worker that waits for room in the
//!   channel gets an error, since `gather` drops the receiver.
//! - **Fail.** A panic is caught where the task runs. Rayon passes a panic of the iterator on to
//!   the caller of `feed`, where it becomes the run's error. A closed channel alone does not prove
//!   that the outputs are complete.

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
    let resizers = Kernels::new(ctx, &Resizer::new(&job.settings));
    let (outputs_tx, outputs_rx) = bounded(2 * ctx.workers.get());
    with_pool(ctx, |pool| {
        let mut fed = Ok(());
        pool.in_place_scope(|scope| {
            scope.spawn(|_| fed = catch_panic("feed", || feed(ctx, job, &resizers, outputs_tx)));
            gather(ctx, outputs_rx, out);
        });
        fed
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Lets the workers take the tasks from the iterator and do them. Takes the sender by value:
/// `gather` ends when it is dropped.
fn feed(ctx: &Ctx, job: &Job, resizers: &Kernels<Resizer>, outputs_tx: Sender<Output>) {
    let tasks = job.tasks(&ctx.stop).par_bridge();
    let _ = tasks.try_for_each(|task| outputs_tx.send(work(resizers, &task)));
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Does a task, on a thread of the pool.
fn work(resizers: &Kernels<Resizer>, task: &Task) -> Output {
    let mut resizer = resizers.mine();
    caught(|| resizer.task(task), |why| task.failed(why))
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
