//! `grep` on async/await, on one thread.
//!
//! - **Split.** A task is a slice: eight files or 128 KiB, and a yield behind it. Nobody takes the thread
//!   away from a future, so the length of a slice is how long the others wait.
//! - **Share.** One thread, so nothing needs `Arc`, a lock or `Send`. The three futures borrow the job, the
//!   search and the sink, since `block_on` ends after them; between two `await`s, nobody else runs.
//! - **Bound.** One task and one output, however wide the window is: with nobody to do a second task
//!   meanwhile, it would only wait.
//! - **Order.** There is one worker, which goes through a task's rest before it takes the next task.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops the futures at the `await` they have come to: after a slice at
//!   most.
//! - **Fail.** A panic is caught around the slice and becomes its output. A future that blocks blocks them
//!   all, which is why `feed` looks for the next task only when everything before it has been printed: it may
//!   have to wait for standard input.

use std::mem;

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Rest, Search, Task},
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

/// How much is done before the others have their turn: a small part of a task of the other models.
const SLICE: Grain = Grain { bytes: 128 << 10, files: 8 };

// ANCHOR: grep-run
/// Runs the job on the calling thread, as three futures that take turns.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let run = Run::on_this_thread(ctx)?;
    let (fed, tasks) = mpsc::channel(1);
    let (outputs, line) = mpsc::channel(1);
    let all = async { join!(feed(job, ctx, fed), work(search, tasks, outputs, job), gather(line, ctx, out)) };
    run.block_on(all);
    Ok(())
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Hands over one task after the other.
async fn feed(job: &Job, ctx: &Ctx, fed: Sender<Order>) {
    for task in job.tasks(SLICE, &ctx.stop) {
        let (done, promise) = oneshot::channel();
        if fed.send(Order { task, done }).await.is_err() {
            break;
        }
        // Looking for the next task may block the thread, so everybody else must be done first.
        let _ = promise.await;
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Does tasks, and what is left of them, slice by slice; in between, the others have their turn.
async fn work(mut search: Search, mut fed: Receiver<Order>, line: Sender<Output>, job: &Job) {
    while let Some(Order { task, done }) = fed.recv().await {
        let (mut next, mut left) = (Some(task), Rest::default());
        while let Some(task) = next {
            let mut output = slice(|| search.task(&task), |why| task.failed(why));
            // What is left of this slice comes before what was left of those around it.
            let around = mem::replace(&mut left, mem::take(&mut output.rest));
            left.extend(around);
            if send_and_yield(&line, output).await.is_err() {
                return;
            }
            // `gather` awaits nothing between taking an output and emitting it: room in the line says that it is
            // out, and only then is it known which of the rest is still wanted.
            if line.reserve().await.is_err() {
                return;
            }
            next = left.find(|task| job.wants(task));
        }
        drop(done);
    }
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs as they come.
async fn gather(mut line: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    while let Some(output) = line.recv().await {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: grep-gather

/// A task and who waits until it is settled.
struct Order {
    task: Task,
    done: oneshot::Sender<()>,
}
