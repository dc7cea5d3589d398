//! `sort` on rayon's work-stealing pool.
//!
//! - **Split.** Sorting a chunk, then merging a range of the result: each is a job in the pool. `par_sort` would need all lines
//!   in memory, and a record for each; a chunk is what there is room for, and is sorted by one worker.
//! - **Share.** The pool shares the jobs out. A worker has a sorter of its own, with the memory
//!   that one task leaves for the next, and finds it by its index in the pool (`Kernels`). What is
//!   on the shelf is written once, and read when all of it is there.
//! - **Bound.** The plan's: as many promises in the line as it allows. The pool takes any number of jobs, so whoever spawns
//!   has to count.
//! - **Order.** A line of promises. Jobs from outside the pool are begun in the order they were spawned, so the one that is
//!   waited for is at most a window away.
//! - **Stop.** A job in the pool cannot be called back: it asks when its turn comes, and breaks its promise; within one, the
//!   sorter asks. The scope ends when all have, and then the shelf is emptied.
//! - **Fail.** A panic is caught in the job, and becomes the task's output; that ends the run,
//!   since a part of the lines is not what was asked for. For the same reason each phase joins its
//!   `feed` before it believes that the line was all.

use std::{ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    shelf::{Memory, Shelf},
    sort::{Job, Output, Sorter, Task, external},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::Scope;

use super::pool::{Kernels, with_pool};
use crate::{caught::caught, promise, threads::Threads};

type Order = promise::Order<Task, Output>;
type Promise = promise::Promise<Output>;

// ANCHOR: sort-run
/// Runs the job on a pool of `ctx.workers` threads, made for it, and in each phase one thread that feeds them; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: &dyn Shelf = if plan.in_memory { &Memory::default() } else { &job.folder()? };
    let sorters = Kernels::new(&Sorter::new(&job.query, &ctx.stop), ctx);
    with_pool(ctx, |pool| {
        pool.in_place_scope(|scope| {
            let window = ctx.window.min(plan.fits).get();
            let pool = Pool { scope, sorters: &sorters, shelf, window, ctx };
            external(job, &plan, shelf, ctx, out, |tasks, out| pool.phase(tasks, out))
        })
    })
}

/// The pool during one run: where jobs are spawned, and what they borrow.
#[derive(Clone, Copy)]
struct Pool<'a, 'scope> {
    scope: &'a Scope<'scope>,
    sorters: &'scope Kernels<Sorter>,
    shelf: &'scope dyn Shelf,
    window: usize,
    ctx: &'scope Ctx,
}

impl Pool<'_, '_> {
    /// Has the workers do these tasks, and emits what comes of them.
    fn phase(
        &self,
        tasks: impl Iterator<Item = Task> + Send,
        out: &mut dyn Sink<Output>,
    ) -> Result<ControlFlow<()>> {
        let (promises, line) = bounded(self.window);
        thread::scope(|scope| {
            let mut threads = Threads::new(scope, self.ctx);
            threads.spawn("feed", move || self.feed(tasks, &promises))?;
            let flow = gather(line, self.ctx, out);
            threads.join()?;
            Ok(flow)
        })
    }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
impl Pool<'_, '_> {
    /// Spawns the tasks, and queues in the same order the promises of their outputs.
    ///
    /// On a thread of its own: standard input may be silent, and a worker must not wait.
    fn feed(&self, tasks: impl Iterator<Item = Task>, promises: &Sender<Promise>) {
        for task in tasks {
            let (order, promise) = Order::new(task);
            if promises.send(promise).is_err() {
                break;
            }
            self.spawn(order);
        }
    }

    /// Has a worker do the task and keep the promise.
    fn spawn(&self, order: Order) {
        let Self { sorters, shelf, ctx, .. } = *self;
        self.scope.spawn(move |_| work(order, sorters, shelf, ctx));
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Does a task, on a thread of the pool, unless a stop is requested by then.
fn work(order: Order, sorters: &Kernels<Sorter>, shelf: &dyn Shelf, ctx: &Ctx) {
    if ctx.stop.requested() {
        return;
    }
    let mut sorter = sorters.mine();
    let output = caught(|| sorter.task(&order.task, shelf), |why| order.task.failed(why));
    order.keep(output);
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of their promises. With the line, it drops what `feed` may be waiting for.
fn gather(line: Receiver<Promise>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    line.into_iter().try_for_each(|promise| ctx.emit(promise.kept()?, out))?;
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather
