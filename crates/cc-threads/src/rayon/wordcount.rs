//! `wordcount` on rayon's work-stealing pool.
//!
//! - **Split.** A task is four mebibytes of text. The run proceeds in steps: a batch of tasks is
//!   counted in parallel, then the partitions absorb the counts of the batch, in parallel.
//! - **Share.** Within a step, shared data is only read. `par_iter_mut` lends each partition to one
//!   job, which reads its part of all counts; so no sum needs a lock. A parallel iterator returns
//!   only when all of its work is done, which separates counting from adding. `fold` and `reduce`
//!   would merge whole tables, in a tree, and need one table for each worker.
//! - **Bound.** A batch is two tasks per worker. While it is counted, the next batch is read.
//! - **Order.** None: counts can be added in any order. Rayon collects the ranked partitions in
//!   their order, which is not needed.
//! - **Stop.** A step that has begun is finished, but tasks that have not begun are skipped.
//!   Between steps, the calling thread checks for a stop.
//! - **Fail.** A panic is caught where the task runs, and nothing of the task is added. A task of
//!   many files is then split and done once more, file by file. A partition that cannot be ranked
//!   ends the run: an incomplete count is a wrong result.

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{Counter, Grain, Job, Output, Partial, Partition, Ranked, Task, partitions},
};
use rayon::{ThreadPool, prelude::*};

use super::pool::{Kernels, with_pool};
use crate::{caught::caught, threads::max_in_flight, wordcount::emit};

// ANCHOR: wordcount-run
/// Runs the job on a pool of `ctx.workers` threads, made for it; the calling thread reads ahead,
/// and gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let counters = Kernels::new(ctx, &Counter::new(&job.settings));
    let sums = partitions(job.settings.seed);
    with_pool(ctx, |pool| {
        let mut state = JobState { ctx, job, pool, counters, sums };
        let failed = state.count(job.tasks(Grain::default(), &ctx.stop), out);
        state.count(failed.into_iter(), out);
        if ctx.stop.requested() { Ok(()) } else { state.rank(out) }
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
impl JobState<'_> {
    /// Counts all of these tasks, one batch per step. Returns the parts of failed tasks, to be done
    /// once more.
    fn count(&mut self, mut tasks: impl Iterator<Item = Task>, out: &mut dyn Sink<Output>) -> Vec<Task> {
        let size = max_in_flight(self.ctx);
        let mut failed = Vec::new();
        let mut batch: Vec<Task> = tasks.by_ref().take(size).collect();
        while !batch.is_empty() && !self.ctx.stop.requested() {
            let mut counted = Vec::new();
            // The calling thread reads the next batch. It waits for the disk or for standard input,
            // which a worker of the pool must not do.
            let next = self.pool.in_place_scope(|scope| {
                scope.spawn(|_| counted = batch.par_iter().filter_map(|task| self.work(task)).collect());
                tasks.by_ref().take(size).collect()
            });
            self.add(&counted);
            failed.append(&mut self.gather(counted, out));
            batch = next;
        }
        failed
    }
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
impl JobState<'_> {
    /// Does a task, on a thread of the pool, unless a stop is requested by then.
    fn work(&self, task: &Task) -> Option<Partial> {
        if self.ctx.stop.requested() {
            return None;
        }
        let mut counter = self.counters.mine();
        let failed = |why: &str| Partial { read: task.failed(why), counts: Vec::new() };
        Some(caught(|| counter.task(task), failed))
    }

    /// Adds the counts of a batch to the sums, each partition in a job of its own.
    fn add(&mut self, counted: &[Partial]) {
        let sums = self.sums.par_iter_mut();
        let add = |sum: &mut Partition| {
            for partial in counted {
                if let Some(counts) = partial.counts.get(sum.number()) {
                    sum.absorb(counts);
                }
            }
        };
        self.pool.install(|| sums.for_each(add));
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
impl JobState<'_> {
    /// Emits what was read in a step, and returns the parts of failed tasks, to be done once more.
    fn gather(&self, counted: Vec<Partial>, out: &mut dyn Sink<Output>) -> Vec<Task> {
        let mut failed = Vec::new();
        for Partial { mut read, .. } in counted {
            failed.append(&mut read.split);
            if self.ctx.emit(Output::Read(read), out).is_break() {
                break;
            }
        }
        failed
    }

    /// Ranks the partitions, and emits them.
    fn rank(self, out: &mut dyn Sink<Output>) -> Result<()> {
        let Self { ctx, job, pool, sums, .. } = self;
        let ranked: Vec<Result<Ranked>> =
            pool.install(|| sums.into_par_iter().map(|sum| sum.try_rank(&job.settings)).collect());
        emit(ctx, ranked, out)
    }
}
// ANCHOR_END: wordcount-gather

/// What all steps of a run work on.
struct JobState<'a> {
    ctx: &'a Ctx,
    job: &'a Job,
    pool: &'a ThreadPool,
    counters: Kernels<Counter>,
    sums: Vec<Partition>,
}
