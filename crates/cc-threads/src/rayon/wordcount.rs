//! `wordcount` on rayon's work-stealing pool.
//!
//! - **Split.** A task is four mebibytes of text. The run goes in steps: a batch of tasks is counted in parallel, then the
//!   partitions add up, in parallel, what was counted of them.
//! - **Share.** Within a step nothing is shared but to be read: each partition is lent, by `par_iter_mut`, to one job that
//!   reads its part of all counts. So there is no lock around a sum; what keeps counting and adding apart is that a
//!   parallel iterator returns when all of it is done. `fold` and `reduce` would merge whole tables, in a tree, and
//!   need one of them for each worker.
//! - **Bound.** A batch is two tasks a worker, and while it is counted, the next one is read.
//! - **Order.** None: counts can be added in any order. Rayon collects what it ranks in the order of the partitions, which
//!   nobody needs.
//! - **Stop.** A step once begun is ended, save for tasks whose turn comes later, which are skipped. Between steps the
//!   caller asks.
//! - **Fail.** A panic is caught where the task runs, and nothing of the task is added. A task of many files is then
//!   done once more, file by file. A partition that cannot be ranked ends the run: a part of the truth is none.

use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{Counter, Grain, Job, Output, Partial, Partition, Ranked, Task, partitions},
};
use rayon::{ThreadPool, prelude::*};

use super::pool::{Kernels, with_pool};
use crate::{caught::caught, wordcount::emit};

// ANCHOR: wordcount-run
/// Runs the job on a pool of `ctx.workers` threads, made for it; the calling thread reads ahead, and gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let counters = Kernels::new(&Counter::new(&job.settings), ctx);
    let sums = partitions(job.settings.seed);
    with_pool(ctx, |pool| {
        let mut run = Run { job, ctx, pool, counters, sums };
        let failed = run.steps(job.tasks(Grain::default(), &ctx.stop), out);
        run.steps(failed.into_iter(), out);
        if ctx.stop.requested() { Ok(()) } else { run.rank(out) }
    })
}

/// What all steps work on.
struct Run<'a> {
    job: &'a Job,
    ctx: &'a Ctx,
    pool: &'a ThreadPool,
    counters: Kernels<Counter>,
    sums: Vec<Partition>,
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
impl Run<'_> {
    /// Counts all of these tasks and adds up what was counted, a batch a step. Returns what is to be done again, apart.
    fn steps(&mut self, mut tasks: impl Iterator<Item = Task>, out: &mut dyn Sink<Output>) -> Vec<Task> {
        let (mut failed, size) = (Vec::new(), 2 * self.ctx.workers.get());
        let mut batch: Vec<Task> = tasks.by_ref().take(size).collect();
        while !batch.is_empty() && !self.ctx.stop.requested() {
            let mut counted = Vec::new();
            // In place: the walk waits for the disk, or for standard input, and a worker must not wait.
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
impl Run<'_> {
    /// Does a task, on a thread of the pool, unless a stop is requested by then.
    fn work(&self, task: &Task) -> Option<Partial> {
        if self.ctx.stop.requested() {
            return None;
        }
        let mut counter = self.counters.mine();
        let failed = |why: &str| Partial { read: task.failed(why), counts: Vec::new() };
        Some(caught(|| counter.task(task), failed))
    }

    /// Has every partition add up its part of what was counted.
    fn add(&mut self, counted: &[Partial]) {
        let sums = self.sums.par_iter_mut();
        let add = |sum: &mut Partition| {
            let number = sum.number();
            let counts = counted.iter().filter_map(|partial| partial.counts.get(number));
            counts.for_each(|counts| sum.absorb(counts));
        };
        self.pool.install(|| sums.for_each(add));
    }
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
impl Run<'_> {
    /// Emits what was read in a step, and returns what is to be done again.
    fn gather(&self, counted: Vec<Partial>, out: &mut dyn Sink<Output>) -> Vec<Task> {
        let mut failed = Vec::new();
        for Partial { mut read, .. } in counted {
            failed.append(&mut read.apart);
            if self.ctx.emit(Output::Read(read), out).is_break() {
                break;
            }
        }
        failed
    }

    /// Ranks the partitions, and emits them.
    fn rank(self, out: &mut dyn Sink<Output>) -> Result<()> {
        let Self { job, ctx, pool, sums, .. } = self;
        let ranked: Vec<Result<Ranked>> =
            pool.install(|| sums.into_par_iter().map(|sum| sum.try_rank(&job.settings)).collect());
        emit(ranked, ctx, out)
    }
}
// ANCHOR_END: wordcount-gather
