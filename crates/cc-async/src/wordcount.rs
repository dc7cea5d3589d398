//! `wordcount` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task is four mebibytes of text, and one `spawn_blocking`: reading blocks, and all the rest computes.
//! - **Share.** Each group of partitions belongs to a future, an adder, to whom the counts are sent; all adders are one
//!   tokio task. To add counts up computes too, so the adder moves its sums into the blocking pool and gets them back:
//!   what is owned by one at a time needs no lock, and an `await` may stand where a guard could not be held.
//! - **Bound.** `buffer_unordered` has two tasks a worker under way, one in hand and one to go on with; an adder's channel
//!   holds the counts of one task.
//! - **Order.** None: counts can be added in any order. An adder ranks its partitions when its channel is closed.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed`, the adders and `gather` where they wait. Dropped handles abort what
//!   has not begun; dropping the runtime waits for the kernels that run.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle;
//!   nothing of the task is added. A task of many files is then done once more, file by file. A
//!   partition that cannot be ranked ends the run, and so does a panic of `walk` or of what adds
//!   up, which are joined: a part of the truth is none.

use std::{iter, sync::Arc, thread};

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

use crate::{pool::Pool, promise::Promise, runtime::Run, spawned::Spawned, walk::walk};

// ANCHOR: wordcount-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads for what blocks; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let run = Run::start(ctx)?;
    let (done, outputs) = mpsc::channel(1);
    thread::scope(|scope| {
        let (walk, tasks) = walk(scope, job.tasks(Grain::default(), &ctx.stop))?;
        let count = run.spawn(count(tasks, job.settings.clone(), ctx.workers.get(), done));
        let gathered = run.block_on(gather(outputs, ctx, out));
        let counted = run.join("count", count);
        walk.join().and(counted)?;
        gathered.unwrap_or(Ok(()))
    })
}

/// Feeds the adders, and with them until all is ranked.
async fn count(tasks: Receiver<Task>, settings: Settings, workers: usize, done: Sender<Result<Output>>) {
    let settings = Arc::new(settings);
    let (mut adders, mut ends) = (Vec::new(), Vec::new());
    for sums in divided(partitions(settings.seed), workers) {
        let (adder, counts) = mpsc::channel(1);
        adders.push(adder);
        ends.push(add(sums, counts, settings.clone(), done.clone()));
    }
    // On this task they only pass things on; what takes long is in the pool.
    tokio::join!(feed(tasks, &settings, adders, 2 * workers, done), join_all(ends));
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Has the tasks counted, some at a time, and then those again that have failed as a whole. Closes the adders' channels.
async fn feed(
    mut tasks: Receiver<Task>,
    settings: &Settings,
    adders: Vec<Sender<Vec<Counts>>>,
    ahead: usize,
    done: Sender<Result<Output>>,
) {
    let counters = Arc::new(Pool::new(Counter::new(settings)));
    let tasks = stream::poll_fn(move |cx| tasks.poll_recv(cx));
    let failed =
        shuffle(tasks.map(|task| work(task, counters.clone())).buffer_unordered(ahead), &adders, &done);
    let apart = stream::iter(failed.await);
    shuffle(apart.map(|task| work(task, counters.clone())).buffer_unordered(ahead), &adders, &done).await;
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// Has a task counted in the blocking pool, whose threads take the tasks in turn.
async fn work(task: Task, counters: Arc<Pool<Counter>>) -> Partial {
    let failed = |task: &Task, why: &str| Partial { read: task.failed(why), counts: Vec::new() };
    Promise::of(task, failed, move |task| counters.lend().task(task)).kept().await
}

/// Sends what was counted to the adders, and what was read to the end. Returns what is to be done again, apart.
async fn shuffle(
    counted: impl Stream<Item = Partial>,
    adders: &[Sender<Vec<Counts>>],
    done: &Sender<Result<Output>>,
) -> Vec<Task> {
    let (mut counted, mut failed) = (std::pin::pin!(counted), Vec::new());
    while let Some(Partial { mut read, counts }) = counted.next().await {
        for (adder, counts) in iter::zip(adders, divided(counts, adders.len())) {
            // An adder ends before its channel only if its sums are not wanted.
            let _ = adder.send(counts).await;
        }
        failed.append(&mut read.apart);
        if done.send(Ok(Output::Read(read))).await.is_err() {
            break;
        }
    }
    failed
}

/// Adds up what it is sent, and ranks the sums when there is no more.
async fn add(
    mut sums: Vec<Partition>,
    mut counts: Receiver<Vec<Counts>>,
    settings: Arc<Settings>,
    done: Sender<Result<Output>>,
) {
    while let Some(counts) = counts.recv().await {
        let added = Spawned::new(spawn_blocking(move || {
            absorb(&mut sums, &counts);
            sums
        }));
        sums = added.await.expect("adding up does not panic");
    }
    for sum in sums {
        let settings = settings.clone();
        let ranked = Spawned::new(spawn_blocking(move || sum.try_rank(&settings)));
        let ranked = ranked.await.expect("it catches a panic");
        if done.send(ranked.map(Output::Ranked)).await.is_err() {
            break;
        }
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Emits the outputs as they come.
async fn gather(mut outputs: Receiver<Result<Output>>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output?, out).is_continue()
    {}
    Ok(())
}
// ANCHOR_END: wordcount-gather
