//! `mandelbrot` on a cluster.
//!
//! - **Split.** A task is some consecutive tiles: as many as fit into 4096 pixels, or one larger
//!   tile. Each message has a fixed cost, and the tiles of a task share it.
//! - **Share.** Nothing. Tasks are handed out by credit: a worker is sent several tasks, so that
//!   the next one has arrived before the worker is free. Work stealing would cost a round trip at
//!   the moment when a worker is idle.
//! - **Bound.** `gather` waits for at most `window` results at once, and `feed` is at most two
//!   tasks ahead of it. The tiles of a failed task are submitted in addition, all at once. A task
//!   is two numbers; its output is the iteration counts of its pixels.
//! - **Order.** None: each output says which tiles it has.
//! - **Stop.** Closing the cluster's queue abandons the pending results and ends the sessions. The
//!   worker processes of the run are killed. In a standing worker the kernel checks for the end of
//!   its session.
//! - **Fail.** The session of a silent worker ends, and its tasks are handed out again. A worker
//!   whose answer does not belong to its task (`Task::scope`) gets no more tasks. A task of several
//!   tiles that has failed is retried tile by tile, so that only the tile that causes it fails.

use std::{ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Task},
};
use futures::{StreamExt, executor::block_on_stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        queue::{Completion, Lane, Pending},
        worker::{JobContext, Service, Work},
    },
    threads::Threads,
};

/// Maximum pixels of a task of several tiles: enough that computing them takes longer than sending
/// the task's messages.
const GRAIN: Grain = Grain { pixels: 4096 };

// ANCHOR: mandelbrot-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes that it
/// starts.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let cluster = Cluster::start("mandelbrot", encode(&job.view), &Options::new(&ctx.options), ctx)?;
    let (pending_tx, pending_rx) = channel(1);
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn("feed", || feed(ctx, job, &cluster, pending_tx))?;
        gather(ctx, job, &cluster, pending_rx, out);
        threads.join()
    })?;
    cluster.close()
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-feed
/// Submits the tasks.
fn feed(ctx: &Ctx, job: &Job, cluster: &Cluster, pending_tx: Sender<Pending<Output>>) {
    for task in job.tasks(GRAIN) {
        let pending = submit(job, cluster, &task, Lane::Usual);
        if ctx.stop.requested() || pending_tx.blocking_send(pending).is_err() {
            break;
        }
    }
}

/// Submits a task. An answer is accepted only if it has the iteration counts of this task's
/// tiles.
fn submit(job: &Job, cluster: &Cluster, task: &Task, lane: Lane) -> Pending<Output> {
    // `Task::scope`: what a valid output of this task may contain.
    let scope = task.scope(&job.view);
    cluster.submit(encode(task), lane, decoded(move |_, output| scope.accepts(output)))
}
// ANCHOR_END: mandelbrot-feed

/// What a worker does for this workload.
pub(crate) const SERVICE: Service = Service::tasks("mandelbrot", work);

// ANCHOR: mandelbrot-work
/// Prepares a job in a worker. The returned function turns encoded tasks into encoded outputs,
/// until the session has ended.
pub(crate) fn work(context: &JobContext, view: &[u8]) -> Result<Work> {
    let view = postcard::from_bytes(view).map_err(|error| Error::worker("view", error))?;
    let plane = Plane::new(&view, &context.stop);
    Ok(Box::new(move |task| {
        let task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        let output = plane.task(&task).ok_or("the session has ended")?;
        Ok(encode(&output))
    }))
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs in the order of completion. `emit` retries failed tasks.
fn gather(
    ctx: &Ctx,
    job: &Job,
    cluster: &Cluster,
    pending_rx: Receiver<Pending<Output>>,
    out: &mut dyn Sink<Output>,
) {
    let completions = ReceiverStream::new(pending_rx).buffer_unordered(ctx.window.get());
    for completion in block_on_stream(completions) {
        if emit(ctx, job, cluster, completion, out).is_break() {
            break;
        }
    }
}

/// Emits the output of a task. A failed task of several tiles is retried tile by tile instead.
fn emit(
    ctx: &Ctx,
    job: &Job,
    cluster: &Cluster,
    completion: Completion<Output>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let output = cluster.output(completion, Task::failed)?;
    if output.counts.is_ok() || output.task.tiles == 1 {
        return ctx.emit(output, out);
    }
    let tiles = output.task.split();
    // All are submitted before the first is awaited, so that they run in parallel.
    let pending: Vec<_> = tiles.map(|tile| submit(job, cluster, &tile, Lane::Urgent)).collect();
    for tile in pending {
        emit(ctx, job, cluster, tile.blocking_recv(), out)?;
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: mandelbrot-gather
