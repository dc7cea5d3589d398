//! `mandelbrot` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is one tile, or so many that they have two thousand pixels, and one `spawn_blocking`: the way
//!   to the pool and back takes some microseconds, and so should pay.
//! - **Share.** The runtime's workers are for what waits: a kernel on one of them would keep everybody else's
//!   futures from being polled. It has no `await` to give the thread back at, so it goes to the blocking pool, whose
//!   one queue shares the tasks out: whoever is free takes the next. Workers that live as long as the
//!   run and count up a cursor would be cheaper, and would be threads.
//! - **Bound.** `buffer_unordered` has two tasks a worker under way, one in hand and one to go on with; the
//!   channel holds the outputs that `gather` is behind, `window` at most.
//! - **Order.** None: an output says where it belongs.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather` where they wait. Dropped handles abort what has not begun; dropping the runtime waits
//!   for the kernels that run, which ask between rows and within long ones.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle. Of
//!   several tiles, each is then done alone, so that only the one that panics is lost. A panic of
//!   `feed` closes the channel as its end does, so it is joined, and what the join says is the
//!   run's result.

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

use crate::{runtime::Run, spawned::Spawned};

/// What a `spawn_blocking` is worth.
const GRAIN: Grain = Grain { pixels: 2048 };

// ANCHOR: mandelbrot-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads for what computes; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Arc::new(Plane::new(&job.view, &ctx.stop));
    let ahead = 2 * ctx.workers.get();
    let run = Run::start(ctx)?;
    let (done, outputs) = mpsc::channel(ctx.window.get());
    let feed = run.spawn(feed(job.tasks(GRAIN), plane, ahead, done));
    run.block_on(gather(outputs, ctx, out));
    run.join("feed", feed)
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-feed
/// Has the tasks done, some at a time, and passes on what is done first.
async fn feed(tasks: Tasks, plane: Arc<Plane>, ahead: usize, done: Sender<Output>) {
    let outputs = stream::iter(tasks).map(|task| work(task, &plane)).buffer_unordered(ahead);
    let mut outputs = outputs.flat_map(stream::iter);
    while let Some(output) = outputs.next().await
        && done.send(output).await.is_ok()
    {}
}
// ANCHOR_END: mandelbrot-feed

// ANCHOR: mandelbrot-work
/// Does a task; if it panics, each of its tiles. Once a stop is requested, there is no output.
async fn work(task: Task, plane: &Arc<Plane>) -> Vec<Output> {
    match compute(task, plane).await {
        Err(_) if task.tiles > 1 => {
            let alone = |tile: Task| async move {
                compute(tile, plane).await.unwrap_or_else(|why| Some(tile.failed(&why)))
            };
            stream::iter(task.apart()).filter_map(alone).collect().await
        }
        done => Vec::from_iter(done.unwrap_or_else(|why| Some(task.failed(&why)))),
    }
}

/// Has a task computed in the blocking pool; if it panics, says what of.
async fn compute(task: Task, plane: &Arc<Plane>) -> Result<Option<Output>, String> {
    let plane = plane.clone();
    Spawned::new(spawn_blocking(move || plane.task(&task))).await
}
// ANCHOR_END: mandelbrot-work

// ANCHOR: mandelbrot-gather
/// Emits the outputs as they come.
async fn gather(mut outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output, out).is_continue()
    {}
}
// ANCHOR_END: mandelbrot-gather
