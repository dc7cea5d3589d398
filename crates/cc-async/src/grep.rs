//! `grep` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is 32 files or a mebibyte, and one `spawn_blocking`: coarse enough to pay for the way
//!   to the pool, fine enough that the pool is shared evenly and a stop waits for nothing longer.
//! - **Share.** The runtime's workers are for what waits, its blocking pool for what computes or reads: a
//!   kernel on a runtime's worker would keep everybody else's futures from being polled. Compiled searches go
//!   round in a [`Pool`], since what is spawned must own what it uses, and cloning a buffer for each task
//!   costs more than filling it.
//! - **Bound.** `window` promises in the line, and for a rest two more a worker. The blocking pool's own
//!   queue has no bound and needs none, as nothing is put into it without a place among these.
//! - **Order.** A line of promises, awaited in the order they were made; `buffered` is the same for a rest.
//!   The promises are spawned tasks, so they are kept also while `gather` does not poll: while it prints.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and `gather` where they wait. Dropped promises abort what
//!   has not begun, the walk finds its channel closed, and dropping the runtime waits for the kernels that
//!   run.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. One of
//!   `feed` or `walk` closes a channel as their end does, so both are joined, and what the joins
//!   say is the run's result. Nothing watches over the process itself: an abort ends all, as with
//!   threads.

use std::{mem, ops::ControlFlow, sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task},
};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{pool::Pool, promise, runtime::Run, walk::walk};

// ANCHOR: grep-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads for what blocks; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let searches = Arc::new(Pool::new(Search::new(&job.query)?));
    let run = Run::start(ctx)?;
    let (promises, line) = mpsc::channel(ctx.window.get());
    thread::scope(|scope| {
        let (walk, tasks) = walk(scope, job.tasks(Grain::default(), &ctx.stop))?;
        let feed = run.spawn(feed(tasks, promises, searches.clone()));
        run.block_on(gather(line, &searches, job, ctx, out));
        let fed = run.join("feed", feed);
        walk.join().and(fed)
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Starts the tasks, each when there is a place in the line for the promise of its output.
async fn feed(mut tasks: Receiver<Task>, promises: Sender<Promise>, searches: Arc<Pool<Search>>) {
    while let Ok(place) = promises.reserve().await {
        let Some(task) = tasks.recv().await else { break };
        place.send(work(task, &searches));
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Has a task done in the blocking pool, whose threads take the tasks in turn.
fn work(task: Task, searches: &Arc<Pool<Search>>) -> Promise {
    let searches = searches.clone();
    Promise::of(task, Task::failed, move |task| searches.lend().task(task))
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of their promises.
async fn gather(
    mut line: Receiver<Promise>,
    searches: &Arc<Pool<Search>>,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) {
    while let Some(promise) = line.recv().await {
        if settle(promise.kept().await, searches, job, ctx, out).await.is_break() {
            break;
        }
    }
}

/// Emits one output, and in its place whatever is left of its task.
async fn settle(
    mut output: Output,
    searches: &Arc<Pool<Search>>,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let rest = mem::take(&mut output.rest);
    ctx.emit(output, out)?;

    let wanted = rest.filter(|task| job.wants(task));
    let promises = stream::iter(wanted).map(|task| work(task, searches).kept());
    let mut outputs = promises.buffered(2 * ctx.workers.get()); // one in hand, one to go on with
    while let Some(output) = outputs.next().await {
        // Boxed, since a future that contains itself has no size.
        Box::pin(settle(output, searches, job, ctx, out)).await?;
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

/// The output of a task that has been started.
type Promise = promise::Promise<Task, Output>;
