//! `mandelbrot` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is as many tiles as fit into 2,048 pixels, or one larger tile, unless
//!   `--grain` says how many. It is one call of `spawn_blocking`. The round trip to the blocking
//!   pool takes some microseconds, and a task should take longer than that.
//! - **Share.** The runtime's worker is for futures that wait. A kernel has no `await` at which it
//!   yields the thread, so on the worker it would keep all other futures from being polled. It runs
//!   in the blocking pool, whose free threads take tasks from one queue. Threads that increment a
//!   shared cursor would be cheaper, as in `cc-threads`.
//! - **Bound.** `buffer_unordered` holds at most two tasks per worker (`max_in_flight`) that are
//!   queued, running or completed. The channel of outputs has room for `window`.
//! - **Order.** None: each output says which tiles it is of.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather` where they wait. With `feed`, the handles of its tasks are dropped, which aborts
//!   those that have not begun. Dropping the runtime waits for kernels that run; these check for a
//!   stop between rows and within long ones.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. If the
//!   task had several tiles, each is then done alone, so only the tile that panics is lost. A panic
//!   of `feed` closes the channel just as its normal end does. So `feed` is joined, and the join
//!   gives the run's result.

use std::sync::Arc;

use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane, Task, Tasks},
};
use futures::stream::{self, StreamExt};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::spawn_blocking,
};

use crate::{
    runtime::{Run, max_in_flight},
    spawned::Spawned,
};

/// Maximum pixels in a task of several tiles: enough that the work outweighs the cost of one
/// `spawn_blocking`.
const GRAIN: Grain = Grain { pixels: 2048 };

// ANCHOR: mandelbrot-run
/// Runs the job on its own runtime, with `ctx.workers` threads for blocking tasks; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Arc::new(Plane::new(&job.view, &ctx.stop));
    let run = Run::start(ctx)?;
    let (outputs_tx, outputs_rx) = mpsc::channel(ctx.window.get());
    let feed = run.spawn(feed(plane, job.tasks(GRAIN), max_in_flight(ctx), outputs_tx));
    run.block_on(gather(ctx, outputs_rx, out));
    run.join("feed", feed)
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-feed
/// Keeps up to `max_in_flight` tasks in flight, and passes their outputs on as they are completed.
async fn feed(plane: Arc<Plane>, tasks: Tasks, max_in_flight: usize, outputs_tx: Sender<Output>) {
    let outputs = stream::iter(tasks).map(|task| work(&plane, task)).buffer_unordered(max_in_flight);
    let mut outputs = outputs.flat_map(stream::iter);
    while let Some(output) = outputs.next().await {
        if outputs_tx.send(output).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: mandelbrot-feed

// ANCHOR: mandelbrot-work
/// Does a task; if it panics, each of its tiles alone. After a stop there is no output.
async fn work(plane: &Arc<Plane>, task: Task) -> Vec<Output> {
    match compute(plane, task).await {
        Err(_) if task.tiles > 1 => {
            let alone = |tile: Task| async move {
                compute(plane, tile).await.unwrap_or_else(|why| Some(tile.failed(&why)))
            };
            stream::iter(task.split()).filter_map(alone).collect().await
        }
        computed => Vec::from_iter(computed.unwrap_or_else(|why| Some(task.failed(&why)))),
    }
}

/// Computes a task in the blocking pool. The error is the message of its panic.
async fn compute(plane: &Arc<Plane>, task: Task) -> Result<Option<Output>, String> {
    let plane = plane.clone();
    Spawned::new(spawn_blocking(move || plane.task(&task))).await
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they arrive.
async fn gather(ctx: &Ctx, mut outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: mandelbrot-gather
