//! `resize` on async/await, on one thread.
//!
//! - **Split.** A slice is one image, and a yield behind it. There is no `await` inside of a decoder, so a large image
//!   keeps everybody else waiting for as long as it takes: what must answer soon has no place on this thread.
//! - **Share.** One thread, so nothing needs `Arc`, a lock or `Send`. Both futures borrow what they like, since
//!   `block_on` ends after them.
//! - **Bound.** One image in hand, and one thumbnail, however wide the window is.
//! - **Order.** That of the tasks, as there is one worker; nobody asks for it.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at the `await` they have come to: after an image at most.
//! - **Fail.** A panic is caught around the slice and becomes its output.

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Output, Resizer},
};
use tokio::{
    join,
    sync::mpsc::{self, Receiver, Sender},
};

use super::slice::{send_and_yield, slice};
use crate::runtime::Run;

// ANCHOR: resize-run
/// Runs the job on the calling thread, as two futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let resizer = Resizer::new(&job.settings);
    let run = Run::on_this_thread(ctx)?;
    let (done, outputs) = mpsc::channel(1);
    run.block_on(async { join!(work(job, ctx, resizer, done), gather(outputs, ctx, out)) });
    Ok(())
}
// ANCHOR_END: resize-run

// ANCHOR: resize-work
/// Does the tasks, slice by slice; in between, the others have their turn. To look for the next name blocks the
/// thread too, but for less than an image does.
async fn work(job: &Job, ctx: &Ctx, mut resizer: Resizer, done: Sender<Output>) {
    for task in job.tasks(&ctx.stop) {
        let output = slice(|| resizer.task(&task), |why| task.failed(why));
        if send_and_yield(&done, output).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they come.
async fn gather(mut outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output, out).is_continue()
    {}
}
// ANCHOR_END: resize-gather
