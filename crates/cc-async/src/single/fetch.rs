//! `fetch` on async/await, on one thread.
//!
//! - **Split.** A future for each request in flight, none of them a task: one thread polls those
//!   that can make progress. Waiting for many requests at the same time takes concurrency, not
//!   parallelism.
//! - **Share.** All futures borrow the client and its idle connections.
//! - **Bound.** As on several threads. A sink that blocks delays everything: there is one thread.
//! - **Order.** None: results are emitted as they are completed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather`. `feed` owns the attempts, and these own their connections.
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
/// Runs the job on the calling thread. The only other threads are those that look up names, if any.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let run = Run::on(ctx, current_thread()?);
    let client = &Client::new(&job.settings, at_once);
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    let schedule = Schedule::new(job, Instant::now());
    let feed = feed(schedule, |download| work(client, download), outputs_tx);
    run.block_on(async { join!(feed, gather(ctx, outputs_rx, out)) });
    Ok(())
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-work
/// Makes one attempt. A panic is its failure, not the run's.
async fn work(client: &Client, download: Box<Download>) -> Attempted {
    let id = download.attempt_id();
    // `AssertUnwindSafe` is sound: what a panic leaves half-changed is dropped with the attempt,
    // and the client's lock is not held while an attempt runs.
    let attempt = AssertUnwindSafe(client.attempt(download)).catch_unwind();
    attempt.await.unwrap_or_else(|panic| id.failed(&panic_reason(&*panic), Instant::now()))
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// Emits the outputs as they arrive.
async fn gather(ctx: &Ctx, mut outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: fetch-gather
