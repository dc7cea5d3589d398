//! `grep` on free threads.
//!
//! - **Split.** A task is 32 files or a mebibyte. What a worker finds too large it hands back, and the rest is
//!   done in mebibytes by whoever is free: splitting beforehand would need a `stat` for each file.
//! - **Share.** Two queues, shared by all workers. Each has its own compiled search, since the caches behind
//!   one regex would be fought over. Work stealing would gain nothing: tasks are large and come from one walk.
//! - **Bound.** `window` promises in the line, and room for as many tasks in the queue: only the line makes
//!   `feed` wait. For a rest two more tasks a worker, in a queue of their own, so that what is next in order
//!   always gets in. A worker has one file open.
//! - **Order.** A line of promises, kept in whatever order and collected in the order they were given.
//! - **Stop.** `feed` and the workers ask before each task. `feed` ends, and the workers drop what
//!   is queued: `gather`, which waits for an output, finds its promise broken, and closes the
//!   queues.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. A panic of
//!   `feed` closes the line as its end does, so all threads are joined, and what the join says is
//!   the run's result. A thread cannot be killed alone: an abort ends the program, which is what
//!   the process models are for.

use std::{collections::VecDeque, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use crate::{caught::caught, promise, threads::Threads};

type Order = promise::Order<Task, Output>;
type Promise = promise::Promise<Output>;

// ANCHOR: grep-run
/// Runs the job on `ctx.workers` threads and one that feeds them; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let (promises, line) = bounded(ctx.window.get());
    let (fed, tasks) = bounded(ctx.window.get() + 1);
    let (urgent, rests) = bounded(ahead(ctx));
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn_workers(move |_| {
            let (search, tasks, rests) = (search.clone(), tasks.clone(), rests.clone());
            move || work(search, &tasks, &rests, ctx)
        })?;
        threads.spawn("feed", move || feed(job, ctx, &promises, &fed))?;
        gather(&line, &urgent, job, ctx, out);
        drop((line, urgent));
        threads.join()
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Queues the tasks, and in the same order the promises of their outputs.
fn feed(job: &Job, ctx: &Ctx, promises: &Sender<Promise>, fed: &Sender<Order>) {
    let _ = job.tasks(Grain::default(), &ctx.stop).try_for_each(|task| Order::place(task, promises, fed));
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Does tasks until there are no more; first those that the output waits for.
fn work(mut search: Search, fed: &Receiver<Order>, urgent: &Receiver<Order>, ctx: &Ctx) {
    let next = || {
        select_biased! {
            recv(urgent) -> order => order.ok(),
            recv(fed) -> order => order.or_else(|_| urgent.recv()).ok(),
        }
    };
    while let Some(order) = next() {
        // Not the end: a task that is left in a queue would keep its promise open, for which
        // `gather` waits with that queue's other end in hand.
        if ctx.stop.requested() {
            continue;
        }
        let output = caught(|| search.task(&order.task), |why| order.task.failed(why));
        order.keep(output);
    }
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of their promises.
fn gather(
    line: &Receiver<Promise>,
    urgent: &Sender<Order>,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) {
    let _ = line.into_iter().try_for_each(|promise| settle(promise, urgent, job, ctx, out));
}

/// Emits one output, and in its place whatever is left of its task.
fn settle(
    promise: Promise,
    urgent: &Sender<Order>,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let mut output = promise.kept()?;
    let rest = mem::take(&mut output.rest);
    ctx.emit(output, out)?;

    let mut line = VecDeque::new();
    for task in rest {
        if line.len() == ahead(ctx) {
            settle(line.pop_front().expect("it is full"), urgent, job, ctx, out)?;
        }
        if job.wants(&task) {
            let (order, promise) = Order::new(task);
            line.push_back(promise);
            if urgent.send(order).is_err() {
                return ControlFlow::Break(());
            }
        }
    }
    line.into_iter().try_for_each(|promise| settle(promise, urgent, job, ctx, out))
}
// ANCHOR_END: grep-gather

/// How many tasks of a rest are on their way at once: one in each worker's hands, and one waiting for it.
fn ahead(ctx: &Ctx) -> usize {
    2 * ctx.workers.get()
}
