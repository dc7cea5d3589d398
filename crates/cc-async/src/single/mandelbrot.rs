//! `mandelbrot` on async/await, on one thread.
//!
//! - **Split.** A slice is one tile, unless `--grain` asks for more, followed by a yield. So the
//!   size of a tile decides how long the other futures wait: if one tile is the whole picture, for
//!   the whole run.
//! - **Share.** One thread, so nothing is contended, and nothing needs `Arc`, a lock or `Send`. The
//!   cursor is a loop.
//! - **Bound.** One tile in progress and one output, for any `window`.
//! - **Order.** That of the tiles, since there is one worker; it is not needed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` where they wait. The kernel reaches one soon, since it checks for a stop between
//!   rows and within long ones.
//! - **Fail.** A panic is caught around the slice, and becomes its output.

use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane},
};
use tokio::{
    join,
    sync::mpsc::{self, Receiver, Sender},
};

use super::slice::{send_and_yield, slice};
use crate::runtime::Run;

// ANCHOR: mandelbrot-run
/// Runs the job on the calling thread, as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let run = Run::on_this_thread(ctx)?;
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    run.block_on(async { join!(work(job, &plane, outputs_tx), gather(ctx, outputs_rx, out)) });
    Ok(())
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does the tasks until a stop is requested. Yields after each, so that the other future runs.
async fn work(job: &Job, plane: &Plane, outputs_tx: Sender<Output>) {
    for task in job.tasks(Grain::TILE) {
        let output = slice(|| plane.task(&task), |why| Some(task.failed(why)));
        let Some(output) = output else { break };
        if send_and_yield(&outputs_tx, output).await.is_err() {
            break;
        }
    }
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
