//! `mandelbrot` on async/await, on one thread.
//!
//! - **Split.** A slice is one tile, and a yield behind it. So whoever cuts the picture decides how long the others
//!   wait: a row of it takes a millisecond, the whole of it in one tile seconds.
//! - **Share.** One thread, so there is nobody to share with, and nothing needs `Arc`, a lock or `Send`. The
//!   cursor is a loop.
//! - **Bound.** One tile in hand, and one output, however wide the window is.
//! - **Order.** That of the tiles, as there is one worker; nobody asks for it.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` they have come to; the kernel comes to it soon, since it asks between rows and
//!   within long ones.
//! - **Fail.** A panic is caught around the slice and becomes its output.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    error::panic_reason,
    mandelbrot::{Grain, Job, Output, Plane, Task},
};
use tokio::{
    join,
    runtime::Builder,
    sync::mpsc::{self, Receiver, Sender},
    task::yield_now,
};

use crate::runtime::token;

// ANCHOR: mandelbrot-run
/// Runs the job on the calling thread, as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let runtime = Builder::new_current_thread().build().map_err(Error::io("runtime"))?;
    let (stop, _on_stop) = token(&ctx.stop);
    let (done, outputs) = mpsc::channel(1);
    let all = async { join!(work(job, &plane, done), gather(outputs, ctx, out)) };
    runtime.block_on(stop.run_until_cancelled(all));
    Ok(())
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does the tasks, slice by slice; in between, the others have their turn.
async fn work(job: &Job, plane: &Plane, done: Sender<Output>) {
    for task in job.tasks(Grain::TILE) {
        let Some(output) = slice(plane, &task) else { break };
        if done.send(output).await.is_err() {
            break;
        }
        yield_now().await;
    }
}

/// One slice. A panic is its failure, not the run's. None once a stop is requested.
fn slice(plane: &Plane, task: &Task) -> Option<Output> {
    catch_unwind(AssertUnwindSafe(|| plane.task(task)))
        .unwrap_or_else(|panic| Some(task.failed(&panic_reason(&*panic))))
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
