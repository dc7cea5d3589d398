//! `resize` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is one image, and one `spawn_blocking`: reading a file blocks, and all the rest computes.
//! - **Share.** The runtime's workers are for what waits, its blocking pool for what computes or reads. Resizers go
//!   round in a [`Pool`], each with the buffers that one image leaves for the next.
//! - **Bound.** `buffer_unordered` has two tasks a worker under way, one in hand and one to go on with; the channels
//!   hold one more task and one more output.
//! - **Order.** None, which is what sets `buffer_unordered` apart from `buffered`: an output says whose
//!   thumbnail it is, so a large image holds nobody up.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and `gather` where they wait. Dropped handles abort what has not
//!   begun, the walk finds its channel closed, and an image in hand is finished.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. One of
//!   `feed` or `walk` closes a channel as their end does, so both are joined, and what the joins
//!   say is the run's result.

use std::{sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Task},
};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{pool::Pool, promise::Promise, runtime::Run, walk::walk};

// ANCHOR: resize-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads for what blocks; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizers = Arc::new(Pool::new(Resizer::new(&job.settings)));
    let ahead = 2 * ctx.workers.get();
    let run = Run::start(ctx)?;
    let (done, outputs) = mpsc::channel(1);
    thread::scope(|scope| {
        let (walk, tasks) = walk(scope, job.tasks(&ctx.stop))?;
        let feed = run.spawn(feed(tasks, resizers, ahead, done));
        run.block_on(gather(outputs, ctx, out));
        let fed = run.join("feed", feed);
        walk.join().and(fed)
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Has the tasks done, some at a time, and passes on what is done first.
async fn feed(mut tasks: Receiver<Task>, resizers: Arc<Pool<Resizer>>, ahead: usize, done: Sender<Output>) {
    let tasks = stream::poll_fn(|cx| tasks.poll_recv(cx));
    let mut outputs = tasks.map(|task| work(task, resizers.clone())).buffer_unordered(ahead);
    while let Some(output) = outputs.next().await
        && done.send(output).await.is_ok()
    {}
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Has a task done in the blocking pool, whose threads take the tasks in turn.
async fn work(task: Task, resizers: Arc<Pool<Resizer>>) -> Output {
    Promise::of(task, Task::failed, move |task| resizers.lend().task(task)).kept().await
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they come.
async fn gather(mut outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output, out).is_continue()
    {}
}
// ANCHOR_END: resize-gather
