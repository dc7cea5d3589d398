//! `grep` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is up to 32 files, or about a mebibyte of a stream, and one call of
//!   `spawn_blocking`. After a mebibyte of input, or a quarter as much output, it ends and returns
//!   its remainder. That is large enough to repay the round trip to the blocking pool, and small
//!   enough to balance the load and to end soon after a stop.
//! - **Share.** The runtime's worker is for futures that wait, its blocking pool for functions that
//!   compute or read. On the worker, a kernel would keep all other futures from being polled. A
//!   spawned function must own what it uses. The object [`Pool`] saves a clone of the compiled
//!   search for each task: the function owns the `Pool` through an `Arc`, and borrows a search from
//!   it.
//! - **Bound.** The queue of pending results has room for `window`. Of each remainder, at most two
//!   tasks per worker are submitted and not emitted. A remainder of a remainder has the same bound
//!   again. The queue of the blocking pool is unbounded, but only tasks within these bounds get
//!   into it.
//! - **Order.** A queue of pending results, awaited in the order of the tasks; `buffered` does the
//!   same for a remainder. The tasks are spawned, so they are done also while `gather` prints and
//!   awaits nothing.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather` where they wait. Dropping pending results cancels the tasks that have not begun. The
//!   source finds its channel closed. Dropping the runtime waits for kernels that run.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. A
//!   panic of `feed` or of the source closes a channel just as their normal end does. So both are
//!   joined, and the joins give the run's result. An abort ends the whole program, as with threads.

use std::{mem, ops::ControlFlow, sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task},
};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{
    pending,
    pool::Pool,
    runtime::{Run, max_in_flight},
    source::Source,
};

// ANCHOR: grep-run
/// Runs the job on its own runtime, with `ctx.workers` threads for blocking tasks; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let searches = Arc::new(Pool::new(Search::new(&job.query)?));
    let run = Run::start(ctx)?;
    let (pending_tx, pending_rx) = mpsc::channel(ctx.window.get());
    thread::scope(|scope| {
        let (source, tasks_rx) = Source::start(scope, job.tasks(Grain::default(), &ctx.stop))?;
        let feed = run.spawn(feed(searches.clone(), tasks_rx, pending_tx));
        run.block_on(gather(ctx, job, &searches, pending_rx, out));
        let fed = run.join("feed", feed);
        source.join().and(fed)
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Starts the tasks, each only when there is room for its pending result.
async fn feed(searches: Arc<Pool<Search>>, mut tasks_rx: Receiver<Task>, pending_tx: Sender<Pending>) {
    // The permit comes first: to spawn a task and then wait for room would exceed the bound by one.
    while let Ok(permit) = pending_tx.reserve().await {
        let Some(task) = tasks_rx.recv().await else { break };
        permit.send(work(&searches, task));
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Starts a task in the blocking pool.
fn work(searches: &Arc<Pool<Search>>, task: Task) -> Pending {
    let searches = searches.clone();
    Pending::spawn(task, Task::failed, move |task| searches.lend().task(task))
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of the tasks.
async fn gather(
    ctx: &Ctx,
    job: &Job,
    searches: &Arc<Pool<Search>>,
    mut pending_rx: Receiver<Pending>,
    out: &mut dyn Sink<Output>,
) {
    while let Some(pending) = pending_rx.recv().await {
        if emit_in_order(ctx, job, searches, pending.output().await, out).await.is_break() {
            break;
        }
    }
}

/// Emits the output of one task, and after it the outputs of the task's remainder.
async fn emit_in_order(
    ctx: &Ctx,
    job: &Job,
    searches: &Arc<Pool<Search>>,
    mut output: Output,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let remainder = mem::take(&mut output.remainder);
    ctx.emit(output, out)?;

    let wanted = remainder.filter(|task| job.wants(task));
    let outputs = stream::iter(wanted).map(|task| work(searches, task).output());
    let mut outputs = outputs.buffered(max_in_flight(ctx));
    while let Some(output) = outputs.next().await {
        // Boxed, since a future that contains itself would have no finite size.
        Box::pin(emit_in_order(ctx, job, searches, output, out)).await?;
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

type Pending = pending::Pending<Task, Output>;
