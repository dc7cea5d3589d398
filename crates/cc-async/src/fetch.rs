//! `fetch` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task for each request in flight. Until the response arrives, it takes no stack,
//!   only the memory that it keeps, most of it in the connection's buffers. So the runtime's
//!   workers, as many as `--workers` says, poll a thousand requests as well as ten. This workload
//!   only waits, which is what async is for.
//! - **Share.** The client with its idle connections, under a lock that is held to take or return
//!   one. `feed` alone owns the schedule and awaits the attempts, so the schedule needs no lock and
//!   no notification.
//! - **Bound.** As many attempts as are allowed, each with a connection: the limit of this model is
//!   the limit of descriptors. Results wait in a bounded queue. While it is full, `feed` starts no
//!   more attempts.
//! - **Order.** None: results are emitted as they are completed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` where it
//!   waits. Its drop drops the handles of the attempts, which aborts their tasks, which closes
//!   their connections. So no attempt has to check for a stop. A thread that looks up a name is not
//!   waited for either: it finds that the receiver of its result is gone.
//! - **Fail.** A panic ends the task of one attempt, comes back from its handle, and is that
//!   download's failure.

use std::{future::pending, sync::Arc, time::Instant};

use cc_fetch_client::Client;
use cc_workloads::{
    Ctx, Result, Sink,
    fetch::{Action, Attempted, Download, Job, Output, Schedule, descriptors},
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

/// Maximum descriptors of an attempt: a connection, and the file that its body goes into.
pub(crate) const DESCRIPTORS: usize = 2;

// ANCHOR: fetch-run
/// Runs the job on its own runtime, with `ctx.workers` threads; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(ctx.workers.get()).enable_all();
    let run = Run::on(ctx, build(&mut runtime)?);
    let client = Arc::new(Client::new(&job.settings, at_once));
    let (outputs_tx, outputs_rx) = mpsc::channel(at_once);
    let schedule = Schedule::new(job, Instant::now());
    let feed = run.spawn(feed(schedule, move |download| work(client.clone(), download), outputs_tx));
    run.block_on(gather(ctx, outputs_rx, out));
    run.join("feed", feed)
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
/// Starts the attempts that may start, and awaits all that are in flight. The variant on one thread
/// uses it, too: an attempt may be a task or a plain future.
pub(crate) async fn feed<F: Future<Output = Attempted>>(
    mut schedule: Schedule,
    work: impl Fn(Box<Download>) -> F,
    outputs_tx: Sender<Output>,
) {
    let mut attempts = FuturesUnordered::new();
    loop {
        let output = match schedule.poll(Instant::now()) {
            Action::Start(download) => {
                attempts.push(work(download));
                None
            }
            Action::Emit(output) => Some(output),
            // Both branches are cancel safe. `next` takes an attempt out only when it is completed,
            // and the schedule gives the time to wait for again.
            Action::Wait(until) => select! {
                Some(attempted) = attempts.next() => schedule.complete(attempted),
                () = sleep_or_forever(until) => None,
            },
            Action::Done => break,
        };
        if let Some(output) = output
            && outputs_tx.send(output).await.is_err()
        {
            break;
        }
    }
}

/// Waits until this time. Without a time, waits forever.
async fn sleep_or_forever(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => pending().await,
    }
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-work
/// Makes an attempt in a task of its own. Dropping this future aborts the task.
async fn work(client: Arc<Client>, download: Box<Download>) -> Attempted {
    let id = download.attempt_id();
    let attempted = Spawned::new(spawn(async move { client.attempt(download).await })).await;
    attempted.unwrap_or_else(|why| id.failed(&why, Instant::now()))
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
