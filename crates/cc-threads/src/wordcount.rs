//! `wordcount` on free threads.
//!
//! - **Split.** A task is four mebibytes of text: small files travel together, a large one is cut into ranges.
//! - **Share.** One queue of tasks, and the partitions themselves, each behind a lock. A worker counts a task by itself
//!   and then adds its counts, partition by partition: one lock for some thousand words. A lock for each word would be
//!   fought over, since a few words are half of every text. Each worker begins with another partition, so that they
//!   follow each other and do not queue.
//! - **Bound.** Two tasks a worker wait in the queue. A worker has the counts of one task, so memory is that of all
//!   words once, and a few mebibytes a worker; tables of their own, merged in the end, would be all words for each.
//! - **Order.** None: counts can be added in any order, and each partition is ranked when there are no more.
//! - **Stop.** `feed` and the workers ask before each task; whoever waits, as `gather` does, waits on a channel
//!   whose other end is dropped by somebody who stops. The locks are held for microseconds, and nobody waits within.
//! - **Fail.** A panic is caught where the task runs, and nothing of the task is added. A task of
//!   many files is then done once more, file by file. A partition that cannot be ranked ends the
//!   run, and so does a panic anywhere else, which is why all threads are joined: a part of the
//!   truth is none.

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
    let failed = count(job.tasks(Grain::default(), &ctx.stop), &sums, job, ctx, out)?;
    if !failed.is_empty() {
        count(failed.into_iter(), &sums, job, ctx, out)?;
    }
    if ctx.stop.requested() { Ok(()) } else { rank(sums, job, ctx, out) }
}

/// The partitions, shared by all workers.
type Sums = Vec<Mutex<Partition>>;

/// Counts all of these tasks. Returns what is to be done again, apart.
fn count(
    tasks: impl Iterator<Item = Task> + Send,
    sums: &Sums,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<Vec<Task>> {
    let ahead = 2 * ctx.workers.get();
    let (fed, queue) = bounded(ahead);
    let (done, reads) = bounded(ahead);
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn_workers(move |n| {
            let first = n * PARTITIONS / ctx.workers.get();
            let (counter, queue, done) = (Counter::new(&job.settings), queue.clone(), done.clone());
            move || work(counter, &queue, sums, first, &done, ctx)
        })?;
        threads.spawn("feed", move || feed(tasks, &fed))?;
        let failed = gather(reads, ctx, out);
        threads.join()?;
        Ok(failed)
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Queues the tasks.
fn feed(mut tasks: impl Iterator<Item = Task>, fed: &Sender<Task>) {
    let _ = tasks.try_for_each(|task| fed.send(task));
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// Counts tasks until there are no more.
fn work(
    mut counter: Counter,
    fed: &Receiver<Task>,
    sums: &Sums,
    first: usize,
    done: &Sender<Read>,
    ctx: &Ctx,
) {
    for task in fed {
        if ctx.stop.requested() {
            break;
        }
        let failed = |why: &str| Partial { read: task.failed(why), counts: Vec::new() };
        let Partial { read, counts } = caught(|| counter.task(&task), failed);
        add(counts, sums, first);
        if done.send(read).is_err() {
            break;
        }
    }
}

/// Adds the counts of a task to those of all, beginning with this partition.
fn add(counts: Vec<Counts>, sums: &Sums, first: usize) {
    let in_turn = counts.iter().cycle().skip(first).take(PARTITIONS);
    for counts in in_turn.filter(|counts| !counts.is_empty()) {
        let sum = sums[counts.partition()].lock();
        sum.expect("adding up does not panic").absorb(counts);
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Emits what was read of each task, and returns what is to be done again. With the receiver, it drops what the
/// workers may be waiting for.
fn gather(reads: Receiver<Read>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Vec<Task> {
    let mut failed = Vec::new();
    for mut read in reads {
        failed.append(&mut read.apart);
        if ctx.emit(Output::Read(read), out).is_break() {
            break;
        }
    }
    failed
}

/// Ranks the partitions, each worker taking the next that nobody has, and emits them.
fn rank(sums: Sums, job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let sums = sums.into_iter().map(|sum| sum.into_inner().expect("adding up does not panic"));
    let (left, (done, ranked)) = (&Mutex::new(sums), bounded(ctx.workers.get()));
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn_workers(move |_| {
            let done = done.clone();
            let next = move || left.lock().unwrap_or_else(PoisonError::into_inner).next();
            move || {
                while let Some(sum) = next()
                    && done.send(sum.try_rank(&job.settings)).is_ok()
                {}
            }
        })?;
        emit(ranked, ctx, out)?;
        threads.join()
    })
}

/// Emits the partitions as they are ranked. With the receiver, it drops what the workers may be
/// waiting for.
pub(crate) fn emit(
    ranked: impl IntoIterator<Item = Result<Ranked>>,
    ctx: &Ctx,
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
