//! `wordcount` on free threads.
//!
//! - **Split.** A task is four mebibytes of text: small files are combined, a large file is cut
//!   into ranges.
//! - **Share.** One queue of tasks, and the partitions of the result, each protected by a lock. A
//!   worker counts a task alone and then adds its counts, partition by partition: one lock for some
//!   thousand words. With a lock for each word, workers would contend, since a few words are a
//!   large part of every text. Each worker begins with another partition, so they seldom collide.
//! - **Bound.** Two tasks per worker wait in the queue. A worker holds the counts of one task, so
//!   memory holds the vocabulary once, and a few mebibytes per worker. With a table for each
//!   worker, merged at the end, it would hold the vocabulary once per worker.
//! - **Order.** None: counts can be added in any order. A partition is ranked when all counts are
//!   added.
//! - **Stop.** The workers check for a stop before each task, and so does the walk of `feed`. A
//!   thread that waits on a channel is woken when all ends on the other side are dropped. A lock is
//!   held for microseconds, and no thread waits for anything while it holds one.
//! - **Fail.** A panic is caught where the task runs, and nothing of the task is added. A task of
//!   many files is then split and done once more, file by file. A partition that cannot be ranked
//!   ends the run, since an incomplete count is a wrong result. So does a panic anywhere else,
//!   which the join reports.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{
        Counter, Counts, Grain, Job, Output, PARTITIONS, Partial, Partition, Ranked, Read, Task, partitions,
    },
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, threads::Threads};

// ANCHOR: wordcount-run
/// Runs the job on `ctx.workers` threads and one that feeds them; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let sums: Sums = partitions(job.settings.seed).into_iter().map(Mutex::new).collect();
    let failed = count(ctx, job, job.tasks(Grain::default(), &ctx.stop), &sums, out)?;
    if !failed.is_empty() {
        count(ctx, job, failed.into_iter(), &sums, out)?;
    }
    if ctx.stop.requested() { Ok(()) } else { rank(ctx, job, sums, out) }
}

/// Counts all of these tasks. Returns the parts of failed tasks, to be done once more.
fn count(
    ctx: &Ctx,
    job: &Job,
    tasks: impl Iterator<Item = Task> + Send,
    sums: &Sums,
    out: &mut dyn Sink<Output>,
) -> Result<Vec<Task>> {
    let capacity = 2 * ctx.workers.get();
    let (tasks_tx, tasks_rx) = bounded(capacity);
    let (reads_tx, reads_rx) = bounded(capacity);
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn_workers(move |n| {
            let counter = Counter::new(&job.settings);
            let first_sum = n * PARTITIONS / ctx.workers.get();
            let tasks_rx = tasks_rx.clone();
            let reads_tx = reads_tx.clone();
            move || work(ctx, counter, sums, first_sum, &tasks_rx, &reads_tx)
        })?;
        threads.spawn("feed", move || feed(tasks, &tasks_tx))?;
        let failed = gather(ctx, reads_rx, out);
        threads.join()?;
        Ok(failed)
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Queues the tasks.
fn feed(tasks: impl Iterator<Item = Task>, tasks_tx: &Sender<Task>) {
    for task in tasks {
        if tasks_tx.send(task).is_err() {
            break;
        }
    }
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// Counts tasks until there are no more, or a stop is requested.
fn work(
    ctx: &Ctx,
    mut counter: Counter,
    sums: &Sums,
    first_sum: usize,
    tasks_rx: &Receiver<Task>,
    reads_tx: &Sender<Read>,
) {
    for task in tasks_rx {
        if ctx.stop.requested() {
            break;
        }
        let failed = |why: &str| Partial { read: task.failed(why), counts: Vec::new() };
        let Partial { read, counts } = caught(|| counter.task(&task), failed);
        add(sums, first_sum, counts);
        if reads_tx.send(read).is_err() {
            break;
        }
    }
}

/// Adds the counts of a task to the sums, beginning with the partition `first_sum`. Holds one lock
/// at a time, so there is no order of locks to keep.
fn add(sums: &Sums, first_sum: usize, counts: Vec<Counts>) {
    for counts in counts.iter().cycle().skip(first_sum).take(PARTITIONS) {
        if !counts.is_empty() {
            let mut sum = sums[counts.partition()].lock().expect("`absorb` does not panic");
            sum.absorb(counts);
        }
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Emits what was read of each task, and returns the parts of failed tasks, to be done once more.
/// Takes the receiver by value: dropping it fails the `send` of every worker that waits for room.
fn gather(ctx: &Ctx, reads_rx: Receiver<Read>, out: &mut dyn Sink<Output>) -> Vec<Task> {
    let mut failed = Vec::new();
    for mut read in reads_rx {
        failed.append(&mut read.split);
        if ctx.emit(Output::Read(read), out).is_break() {
            break;
        }
    }
    failed
}

/// Ranks the partitions on all workers, and emits them. A free worker takes the next partition.
fn rank(ctx: &Ctx, job: &Job, sums: Sums, out: &mut dyn Sink<Output>) -> Result<()> {
    let sums = sums.into_iter().map(|sum| sum.into_inner().expect("`absorb` does not panic"));
    let remaining = &Mutex::new(sums);
    let (ranked_tx, ranked_rx) = bounded(ctx.workers.get());
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn_workers(move |_| {
            let ranked_tx = ranked_tx.clone();
            // A function, so that its guard is dropped before the partition is ranked.
            let next = move || remaining.lock().unwrap_or_else(PoisonError::into_inner).next();
            move || {
                while let Some(sum) = next() {
                    if ranked_tx.send(sum.try_rank(&job.settings)).is_err() {
                        break;
                    }
                }
            }
        })?;
        emit(ctx, ranked_rx, out)?;
        threads.join()
    })
}

/// Emits the partitions as they are ranked. Takes a receiver by value: dropping it fails the `send`
/// of every worker that waits for room.
pub(crate) fn emit(
    ctx: &Ctx,
    ranked: impl IntoIterator<Item = Result<Ranked>>,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    for partition in ranked {
        if ctx.emit(Output::Ranked(partition?), out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather

/// The partitions, shared by all workers.
type Sums = Vec<Mutex<Partition>>;
