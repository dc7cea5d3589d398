//! `sort` on free threads.
//!
//! - **Split.** First by the input: a chunk is what one worker's share of the memory has room for. Then by the result: a
//!   merge is two megabytes of it, whatever the runs are like. One thread that merged everything would take longer than
//!   all the rest.
//! - **Share.** One queue, shared by all workers, in every phase. Each worker has its own sorter, with the memory that
//!   one task leaves for the next. What they leave for each other is on a shelf, in memory or in files: it is written
//!   once, and read when all of it is there, so nobody needs a lock on it.
//! - **Bound.** The plan's: a chunk for each worker, and then so many merges between `feed` and `gather`, since text that
//!   waits for its turn is memory as well.
//! - **Order.** A line of promises, kept in whatever order and collected in the order they were given. The runs have to be
//!   in the order of the input, or equal lines would not be.
//! - **Stop.** `feed` and the workers ask before each task, and the sorter within one; whoever waits, as `gather` does,
//!   waits on a channel whose other end is dropped by somebody who stops. The shelf is emptied behind them all.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output; that ends the
//!   run, since a part of the lines is not what was asked for. For the same reason each phase joins
//!   its `feed` before it believes that the line was all.

use std::{ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    shelf::{Memory, Shelf},
    sort::{Job, Output, Sorter, Task, external},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, promise, threads::Threads};

type Order = promise::Order<Task, Output>;
type Promise = promise::Promise<Output>;

// ANCHOR: sort-run
/// Runs the job on `ctx.workers` threads, and in each phase one that feeds them; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: &dyn Shelf = if plan.in_memory { &Memory::default() } else { &job.folder()? };
    let window = ctx.window.min(plan.fits).get();
    let (fed, orders) = bounded(window + 1);
    thread::scope(|scope| {
        let mut workers = Threads::new(scope, ctx);
        workers.spawn_workers(move |_| {
            let orders = orders.clone();
            move || work(Sorter::new(&job.query, &ctx.stop), shelf, &orders, ctx)
        })?;
        external(job, &plan, shelf, ctx, out, |tasks, out| phase(tasks, window, &fed, ctx, out))?;
        drop(fed);
        workers.join()
    })
}

/// Has the workers do these tasks, and emits what comes of them.
fn phase(
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    fed: &Sender<Order>,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let (promises, line) = bounded(window);
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn("feed", move || feed(tasks, &promises, fed))?;
        let flow = gather(line, ctx, out);
        threads.join()?;
        Ok(flow)
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Queues the tasks, and in the same order the promises of their outputs.
fn feed(mut tasks: impl Iterator<Item = Task>, promises: &Sender<Promise>, fed: &Sender<Order>) {
    let _ = tasks.try_for_each(|task| Order::place(task, promises, fed));
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Does tasks until there are no more.
fn work(mut sorter: Sorter, shelf: &dyn Shelf, orders: &Receiver<Order>, ctx: &Ctx) {
    for order in orders {
        if ctx.stop.requested() {
            break;
        }
        let output = caught(|| sorter.task(&order.task, shelf), |why| order.task.failed(why));
        order.keep(output);
    }
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of their promises. With the line, it drops what `feed` may be waiting for.
fn gather(line: Receiver<Promise>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    line.into_iter().try_for_each(|promise| ctx.emit(promise.kept()?, out))?;
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather
