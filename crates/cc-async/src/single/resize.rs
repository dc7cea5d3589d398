//! `resize` on async/await, on one thread.
//!
//! - **Split.** A slice is one image, followed by a yield. There is no `await` inside of a decoder,
//!   so the other futures wait as long as a large image takes. What must respond soon should not
//!   run on this thread.
//! - **Share.** One thread, so nothing needs `Arc`, a lock or `Send`. Both futures may borrow from
//!   `run`, since `block_on` returns after they have ended.
//! - **Bound.** One image in progress and one thumbnail, for any `window`.
//! - **Order.** That of the tasks, since there is one worker; it is not needed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` where they wait: after one image at most.
//! - **Fail.** A panic is caught around the slice, and becomes its output.

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
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    run.block_on(async { join!(work(ctx, job, resizer, outputs_tx), gather(ctx, outputs_rx, out)) });
    Ok(())
}
// ANCHOR_END: resize-run

// ANCHOR: resize-work
/// Does the tasks. Yields after each, so that the other future runs. Looking for the next file
/// blocks the thread, too, but for less time than an image takes.
async fn work(ctx: &Ctx, job: &Job, mut resizer: Resizer, outputs_tx: Sender<Output>) {
    for task in job.tasks(&ctx.stop) {
        let output = slice(|| resizer.task(&task), |why| task.failed(why));
        if send_and_yield(&outputs_tx, output).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they arrive.
async fn gather(ctx: &Ctx, mut outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: resize-gather
