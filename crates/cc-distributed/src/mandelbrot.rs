//! `mandelbrot` on a cluster.
//!
//! - **Split.** A task is some tiles that follow each other, of 4096 pixels together, or one that is larger: a task's
//!   messages cost the same whatever is in it, so small tiles travel together.
//! - **Share.** By credit: a worker that has done a task is sent another, which waits there before the worker is free,
//!   so nobody waits for a message. Stealing would cost a journey just when somebody has nothing to do.
//! - **Bound.** `window` promises are waited for, each of a few numbers; the counts, when they come, are a task's.
//! - **Order.** None: promises are taken as they are kept, and an output says where it belongs.
//! - **Stop.** Closing the cluster's queue breaks the promises and ends the sessions. The run's own
//!   workers are killed; in a standing one, the kernel asks whether its session has ended, between
//!   rows and within long ones.
//! - **Fail.** A silent worker is taken for dead: it is cut off, and its tasks go elsewhere. So is
//!   one that answers with other tiles. What panicked, or lost its worker three times when it had
//!   that for itself, is done once more, every tile for itself: only the culprit is given up.

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
        queue::{Kept, Lane, Promise},
        worker::{Means, Service, Work},
    },
    threads::Threads,
};

/// Small tiles travel together.
const GRAIN: Grain = Grain { pixels: 4096 };

// ANCHOR: mandelbrot-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let cluster = Cluster::start("mandelbrot", encode(&job.view), &Options::new(&ctx.options), ctx)?;
    let (promises, line) = channel(1);
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn("feed", || feed(job, &cluster, promises, ctx))?;
        gather(line, job, &cluster, ctx, out);
        threads.join()
    })?;
    cluster.close()
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-feed
/// Submits the tasks.
fn feed(job: &Job, cluster: &Cluster, promises: Sender<Promise<Output>>, ctx: &Ctx) {
    for task in job.tasks(GRAIN) {
        let promise = submit(&task, Lane::Usual, job, cluster);
        if ctx.stop.requested() || promises.blocking_send(promise).is_err() {
            break;
        }
    }
}

/// Submits a task. Only counts of its own tiles are taken for an answer.
fn submit(task: &Task, lane: Lane, job: &Job, cluster: &Cluster) -> Promise<Output> {
    let scope = task.scope(&job.view);
    cluster.submit(encode(task), lane, decoded(move |_, output| scope.accepts(output)))
}
// ANCHOR_END: mandelbrot-feed

/// What a worker does for it.
pub(crate) const SERVICE: Service = Service::tasks("mandelbrot", work);

// ANCHOR: mandelbrot-work
/// Begins with a job in a worker: from here on, encoded tasks become encoded outputs, until the
/// session has ended.
pub(crate) fn work(view: &[u8], means: &Means) -> Result<Work> {
    let view = postcard::from_bytes(view).map_err(|error| Error::worker("view", error))?;
    let plane = Plane::new(&view, &means.stop);
    Ok(Box::new(move |task| {
        let task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        let output = plane.task(&task).ok_or("the session has ended")?;
        Ok(encode(&output))
    }))
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they come.
fn gather(
    line: Receiver<Promise<Output>>,
    job: &Job,
    cluster: &Cluster,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) {
    let outcomes = ReceiverStream::new(line).buffer_unordered(ctx.window.get());
    let _ = block_on_stream(outcomes).try_for_each(|outcome| settle(outcome, job, cluster, ctx, out));
}

/// Emits an output, or those of its tiles if the task failed as a whole.
fn settle(
    outcome: Kept<Output>,
    job: &Job,
    cluster: &Cluster,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let output = cluster.output(outcome, Task::failed)?;
    if output.counts.is_ok() || output.task.tiles == 1 {
        return ctx.emit(output, out);
    }
    let tiles = output.task.apart().map(|tile| submit(&tile, Lane::Urgent, job, cluster));
    let promises: Vec<_> = tiles.collect();
    promises.into_iter().try_for_each(|promise| settle(promise.blocking_recv(), job, cluster, ctx, out))
}
// ANCHOR_END: mandelbrot-gather
