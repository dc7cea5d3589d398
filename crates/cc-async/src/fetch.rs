//! `fetch` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task for each request that is under way. It costs what it keeps until the answer comes, twenty kilobytes, most
//!   of them the connection's buffers, and no stack; so the runtime's workers, one for each core, poll a thousand as well as
//!   ten. Waiting is all that this workload does, and what async is for.
//! - **Share.** The client with its idle connections, under a lock that is held to take one or put one back. The schedule
//!   belongs to `feed` alone, which awaits the attempts and so is told of each: no lock, and nobody to notify.
//! - **Bound.** As many attempts as are allowed, each with a connection: the limit of this model is that of descriptors. Results wait
//!   in a bounded queue; while it is full, `feed` begins nothing more.
//! - **Order.** None: results come as they are completed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed`, wherever
//!   it waits, and with it the handles of the attempts, whose drop aborts their tasks, whose drop
//!   closes their connections. Nobody in flight looks out for a stop. A name is looked up by a
//!   thread, which is not waited for either: its answer finds its receiver gone.
//! - **Fail.** A panic ends the task of one attempt, comes back from its handle, and is that download's failure.

use std::{future::pending, sync::Arc, time::Instant};

use cc_fetch_client::Client;
use cc_workloads::{
    Ctx, Result, Sink,
    fetch::{Attempted, Download, Job, Output, Schedule, Turn, descriptors},
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    runtime::Builder,
    select, spawn,
    sync::mpsc::{self, Receiver, Sender},
    time::sleep_until,
};

use crate::{
    runtime::{Run, build},
    spawned::Spawned,
};

/// A connection for each, and the file that it goes into.
pub(crate) const DESCRIPTORS: usize = 2;

// ANCHOR: fetch-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(ctx.workers.get()).enable_all();
    let run = Run::on(build(&mut runtime)?, ctx);
    let client = Arc::new(Client::new(&job.settings, at_once));
    let (done, outputs) = mpsc::channel(at_once);
    let feed = feed(Schedule::new(job, Instant::now()), move |download| work(client.clone(), download), done);
    let feed = run.spawn(feed);
    run.block_on(gather(outputs, ctx, out));
    run.join("feed", feed)
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
/// Begins what may begin, and awaits everything that is under way at once. Whether `work` is a task or only a future is not seen
/// from here.
pub(crate) async fn feed<F: Future<Output = Attempted>>(
    mut schedule: Schedule,
    work: impl Fn(Box<Download>) -> F,
    done: Sender<Output>,
) {
    let mut attempts = FuturesUnordered::new();
    loop {
        let output = match schedule.turn(Instant::now()) {
            Turn::Start(download) => {
                attempts.push(work(download));
                None
            }
            Turn::Settled(output) => Some(output),
            Turn::Wait(until) => select! {
                Some(attempted) = attempts.next() => schedule.ended(attempted),
                () = clock(until) => None,
            },
            Turn::Over => break,
        };
        if let Some(output) = output
            && done.send(output).await.is_err()
        {
            break;
        }
    }
}

/// Waits for this time, or for ever.
async fn clock(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => pending().await,
    }
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-work
/// Has an attempt made by a task, for as long as somebody waits for it.
async fn work(client: Arc<Client>, download: Box<Download>) -> Attempted {
    let ticket = download.ticket();
    let attempted = Spawned::new(spawn(async move { client.attempt(download).await })).await;
    attempted.unwrap_or_else(|why| ticket.failed(&why, Instant::now()))
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
