//! `wordcount` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is four mebibytes of text, and one call of `spawn_blocking`: reading blocks,
//!   and the rest computes.
//! - **Share.** Each group of partitions is owned by a future, the reducer, which receives their
//!   counts. All reducers are polled in one task of the runtime. Adding counts computes, too, so a
//!   reducer moves its sums into the blocking pool and gets them back. A value with one owner needs
//!   no lock, and may be kept across an `await`, where the guard of a lock may not.
//! - **Bound.** `buffer_unordered` holds at most two tasks per worker (`max_in_flight`) that are
//!   queued, running or completed. The channel of a reducer has room for the counts of one task.
//! - **Order.** None: counts can be added in any order. A reducer ranks its partitions when its
//!   channel is closed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed`, the
//!   reducers and `gather` where they wait. Dropped handles abort tasks that have not begun.
//!   Dropping the runtime waits for kernels that run.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle;
//!   nothing of the task is added. A task of many files is then split and done once more, file by
//!   file. A partition that cannot be ranked ends the run, since an incomplete count is a wrong
//!   result. So does a panic of the source or of a reducer, which the joins report.

use std::{iter, pin::pin, sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{
        Counter, Counts, Grain, Job, Output, Partial, Partition, Settings, Task, absorb, divided, partitions,
    },
};
use futures::{
    future::join_all,
    stream::{self, Stream, StreamExt},
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::spawn_blocking,
};

use crate::{
    pending::Pending,
    pool::Pool,
    runtime::{Run, max_in_flight},
    source::Source,
    spawned::Spawned,
};

// ANCHOR: wordcount-run
/// Runs the job on its own runtime, with `ctx.workers` threads for blocking tasks; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let settings = Arc::new(job.settings.clone());
    let run = Run::start(ctx)?;
    let (outputs_tx, outputs_rx) = mpsc::channel(1);
    thread::scope(|scope| {
        let (source, tasks_rx) = Source::start(scope, job.tasks(Grain::default(), &ctx.stop))?;
        let count = run.spawn(count(settings, ctx.workers.get(), tasks_rx, max_in_flight(ctx), outputs_tx));
        let gathered = run.block_on(gather(ctx, outputs_rx, out));
        let counted = run.join("count", count);
        source.join().and(counted)?;
        gathered.unwrap_or(Ok(()))
    })
}

/// Feeds the reducers, and polls them until all partitions are ranked.
async fn count(
    settings: Arc<Settings>,
    workers: usize,
    tasks_rx: Receiver<Task>,
    max_in_flight: usize,
    outputs_tx: Sender<Result<Output>>,
) {
    let mut counts_txs = Vec::new();
    let mut reducers = Vec::new();
    for sums in divided(partitions(settings.seed), workers) {
        let (counts_tx, counts_rx) = mpsc::channel(1);
        counts_txs.push(counts_tx);
        reducers.push(reduce(settings.clone(), sums, counts_rx, outputs_tx.clone()));
    }
    // One task suffices for all of them: these futures only pass messages on, and what computes
    // runs in the blocking pool.
    tokio::join!(feed(&settings, tasks_rx, max_in_flight, counts_txs, outputs_tx), join_all(reducers));
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Keeps up to `max_in_flight` tasks in flight, then does the parts of those that have failed.
/// Takes the senders by value: a reducer ranks its partitions when they are dropped.
async fn feed(
    settings: &Settings,
    mut tasks_rx: Receiver<Task>,
    max_in_flight: usize,
    counts_txs: Vec<Sender<Vec<Counts>>>,
    outputs_tx: Sender<Result<Output>>,
) {
    let counters = Arc::new(Pool::new(Counter::new(settings)));
    let tasks = stream::poll_fn(move |cx| tasks_rx.poll_recv(cx));
    let counted = tasks.map(|task| work(&counters, task)).buffer_unordered(max_in_flight);
    let failed = shuffle(counted, &counts_txs, &outputs_tx).await;
    let counted = stream::iter(failed).map(|task| work(&counters, task)).buffer_unordered(max_in_flight);
    shuffle(counted, &counts_txs, &outputs_tx).await;
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// Counts a task in the blocking pool.
async fn work(counters: &Arc<Pool<Counter>>, task: Task) -> Partial {
    let counters = counters.clone();
    let failed = |task: &Task, why: &str| Partial { read: task.failed(why), counts: Vec::new() };
    Pending::spawn(task, failed, move |task| counters.lend().task(task)).output().await
}

/// Sends the counts of tasks to the reducers, and what was read to `gather`. Returns the parts of
/// failed tasks, to be done once more.
async fn shuffle(
    counted: impl Stream<Item = Partial>,
    counts_txs: &[Sender<Vec<Counts>>],
    outputs_tx: &Sender<Result<Output>>,
) -> Vec<Task> {
    let mut counted = pin!(counted);
    let mut failed = Vec::new();
    while let Some(Partial { mut read, counts }) = counted.next().await {
        for (counts_tx, counts) in iter::zip(counts_txs, divided(counts, counts_txs.len())) {
            // Fails only if the reducer has ended, because its sums are not needed.
            let _ = counts_tx.send(counts).await;
        }
        failed.append(&mut read.split);
        if outputs_tx.send(Ok(Output::Read(read))).await.is_err() {
            break;
        }
    }
    failed
}

/// Adds the counts that it receives to its sums, and ranks these when the channel is closed.
async fn reduce(
    settings: Arc<Settings>,
    mut sums: Vec<Partition>,
    mut counts_rx: Receiver<Vec<Counts>>,
    outputs_tx: Sender<Result<Output>>,
) {
    while let Some(counts) = counts_rx.recv().await {
        let added = Spawned::new(spawn_blocking(move || {
            absorb(&mut sums, &counts);
            sums
        }));
        sums = added.await.expect("`absorb` does not panic");
    }
    for sum in sums {
        let settings = settings.clone();
        let ranked = Spawned::new(spawn_blocking(move || sum.try_rank(&settings)));
        let ranked = ranked.await.expect("`try_rank` catches panics");
        if outputs_tx.send(ranked.map(Output::Ranked)).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Emits the outputs as they arrive.
async fn gather(
    ctx: &Ctx,
    mut outputs_rx: Receiver<Result<Output>>,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    while let Some(output) = outputs_rx.recv().await {
        if ctx.emit(output?, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather
