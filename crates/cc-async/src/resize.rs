//! `resize` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is one image, and one call of `spawn_blocking`: reading a file blocks, and
//!   the rest computes.
//! - **Share.** The runtime's worker is for futures that wait, its blocking pool for functions that
//!   compute or read. Tasks borrow resizers from an object [`Pool`]; a resizer reuses its buffers
//!   from image to image.
//! - **Bound.** `buffer_unordered` holds at most two tasks per worker (`max_in_flight`) that are
//!   queued, running or completed. The channel of tasks and that of outputs have room for one each.
//! - **Order.** None, which is the difference between `buffer_unordered` and `buffered`: each
//!   output names its thumbnail, so a large image does not delay the others.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather` where they wait. With `feed`, the handles of its tasks are dropped, which aborts
//!   those that have not begun. The source finds its channel closed. An image that has begun is
//!   finished.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. A
//!   panic of `feed` or of the source closes a channel just as their normal end does. So both are
//!   joined, and the joins give the run's result.

use std::{sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer, Task},
};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{
    pending::Pending,
    pool::Pool,
    runtime::{Run, max_in_flight},
    source::Source,
};

// ANCHOR: resize-run
/// Runs the job on its own runtime, with `ctx.workers` threads for blocking tasks; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizers = Arc::new(Pool::new(Resizer::new(&job.settings)));
    let run = Run::start(ctx)?;
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    thread::scope(|scope| {
        let (source, tasks_rx) = Source::start(scope, job.tasks(&ctx.stop))?;
        let feed = run.spawn(feed(resizers, tasks_rx, max_in_flight(ctx), outputs_tx));
        run.block_on(gather(ctx, outputs_rx, out));
        let fed = run.join("feed", feed);
        source.join().and(fed)
    })
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Keeps up to `max_in_flight` tasks in flight, and passes their outputs on as they are completed.
async fn feed(
    resizers: Arc<Pool<Resizer>>,
    mut tasks_rx: Receiver<Task>,
    max_in_flight: usize,
    outputs_tx: Sender<Output>,
) {
    let tasks = stream::poll_fn(|cx| tasks_rx.poll_recv(cx));
    let mut outputs = tasks.map(|task| work(&resizers, task)).buffer_unordered(max_in_flight);
    while let Some(output) = outputs.next().await {
        if outputs_tx.send(output).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-feed

// ANCHOR: resize-work
/// Does a task in the blocking pool.
async fn work(resizers: &Arc<Pool<Resizer>>, task: Task) -> Output {
    let resizers = resizers.clone();
    Pending::spawn(task, Task::failed, move |task| resizers.lend().task(task)).output().await
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they arrive.
async fn gather(ctx: &Ctx, mut outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: resize-gather
