//! `grep` on async/await, on one thread.
//!
//! - **Split.** A task is a slice: eight files or 128 KiB, followed by a yield. A future cannot be
//!   preempted, so the others wait as long as a slice takes.
//! - **Share.** One thread, so nothing needs `Arc`, a lock or `Send`. The three futures borrow the
//!   job, the search and the sink, since `block_on` returns after they have ended. Between two
//!   `await`s of one future, no other future runs.
//! - **Bound.** One task and one output, for any `window`: a second task would only wait, since
//!   there is no second thread to do it.
//! - **Order.** That of the tasks: the only worker does a task's remainder before the next task.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at
//!   the `await` where they wait: after one slice at most.
//! - **Fail.** A panic is caught around the slice, and becomes its output. A future that blocks
//!   blocks all of them. So `feed` looks for the next task, which may wait for standard input, only
//!   when all outputs of the task before have been printed.

use std::mem;

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Remainder, Search, Task},
};
use tokio::{
    join,
    sync::{
        mpsc::{self, Receiver, Sender},
        oneshot,
    },
};

use super::slice::{send_and_yield, slice};
use crate::runtime::Run;

/// Maximum size of a slice: small in comparison with a task of the other models, since the other
/// futures wait meanwhile.
const GRAIN: Grain = Grain { bytes: 128 << 10, files: 8 };

// ANCHOR: grep-run
/// Runs the job on the calling thread, as three futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let run = Run::on_this_thread(ctx)?;
    let (requests_tx, requests_rx) = mpsc::channel(1);
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    run.block_on(async {
        join!(
            feed(ctx, job, requests_tx),
            work(job, search, requests_rx, outputs_tx),
            gather(ctx, outputs_rx, out)
        )
    });
    Ok(())
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Sends one task at a time, and waits until it is done.
async fn feed(ctx: &Ctx, job: &Job, requests_tx: Sender<Request>) {
    for task in job.tasks(GRAIN, &ctx.stop) {
        let (done_tx, done_rx) = oneshot::channel();
        if requests_tx.send(Request { task, done_tx }).await.is_err() {
            break;
        }
        // Looking for the next task may block the thread, so first the others must have finished.
        // It is an error by design: `work` drops the sender when the task is done.
        let _ = done_rx.await;
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Does tasks and their remainders, slice by slice. Yields after each, so that the other futures
/// run.
async fn work(job: &Job, mut search: Search, mut requests_rx: Receiver<Request>, outputs_tx: Sender<Output>) {
    while let Some(Request { task, done_tx }) = requests_rx.recv().await {
        let mut remainder = Remainder::default();
        let mut next = Some(task);
        while let Some(task) = next {
            let mut output = slice(|| search.task(&task), |why| task.failed(why));
            // The remainder of this slice comes before the remainder of the task that it is from.
            let outer = mem::replace(&mut remainder, mem::take(&mut output.remainder));
            remainder.extend(outer);
            if send_and_yield(&outputs_tx, output).await.is_err() {
                return;
            }
            // `gather` has no `await` between receiving an output and emitting it. So room in the
            // channel means that the output was emitted, and only then does `job` know which tasks
            // of the remainder are still wanted.
            if outputs_tx.reserve().await.is_err() {
                return;
            }
            next = remainder.find(|task| job.wants(task));
        }
        drop(done_tx);
    }
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs as they arrive.
async fn gather(ctx: &Ctx, mut outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: grep-gather

/// A task, and the sender that is dropped when all of its outputs have been emitted.
struct Request {
    task: Task,
    done_tx: oneshot::Sender<()>,
}
