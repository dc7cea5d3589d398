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
    let (done, outputs) = mpsc::channel(1);
    run.block_on(async { join!(work(job, &plane, done), gather(outputs, ctx, out)) });
    Ok(())
}
// ANCHOR_END: mandelbrot-run

// ANCHOR: mandelbrot-work
/// Does the tasks, slice by slice, until a stop is requested; in between, the others have their
/// turn.
async fn work(job: &Job, plane: &Plane, done: Sender<Output>) {
    let mut tasks = job.tasks(Grain::TILE);
    while let Some(task) = tasks.next()
        && let Some(output) = slice(|| plane.task(&task), |why| Some(task.failed(why)))
        && send_and_yield(&done, output).await.is_ok()
    {}
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
