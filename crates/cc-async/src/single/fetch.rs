//! `fetch` on async/await, on one thread.
//!
//! - **Split.** A future for each request that is under way, none of them a task: one thread polls those that have been heard of.
//!   For a workload that only waits that is nearly as good as several threads, which is the lesson: what is saved by waiting at once
//!   takes no parallelism.
//! - **Share.** All borrow the client and its idle connections.
//! - **Bound.** As on several threads. A sink that blocks keeps everybody waiting: one thread has one thing to do.
//! - **Order.** None: results come as they are completed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and `gather`, and `feed` owns the
//!   attempts, which own their connections.
//! - **Fail.** A panic is caught where the attempt is polled, and is that download's failure.

use std::{panic::AssertUnwindSafe, time::Instant};

use cc_fetch_client::Client;
use cc_workloads::{
    Ctx, Result, Sink,
    error::panic_reason,
    fetch::{Attempted, Download, Job, Output, Schedule, descriptors},
};
use futures::FutureExt;
use tokio::{
    join,
    sync::mpsc::{self, Receiver},
};

use crate::{
    fetch::{DESCRIPTORS, feed},
    runtime::{Run, current_thread},
};

// ANCHOR: fetch-run
/// Runs the job on the calling thread. Beside it there are only those that look up names, if there are any.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let run = Run::on(current_thread()?, ctx);
    let client = &Client::new(&job.settings, at_once);
    let (done, outputs) = mpsc::channel(1);
    let schedule = Schedule::new(job, Instant::now());
    let all =
        async { join!(feed(schedule, |download| work(client, download), done), gather(outputs, ctx, out)) };
    run.block_on(all);
    Ok(())
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-work
/// One attempt. A panic is its failure, not the run's.
async fn work(client: &Client, download: Box<Download>) -> Attempted {
    let ticket = download.ticket();
    // What a panic leaves behind is dropped with the attempt; the lock is not held while anything of it runs.
    let attempt = AssertUnwindSafe(client.attempt(download)).catch_unwind();
    attempt.await.unwrap_or_else(|panic| ticket.failed(&panic_reason(&*panic), Instant::now()))
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// Emits what comes.
async fn gather(mut outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output, out).is_continue()
    {}
}
// ANCHOR_END: fetch-gather
