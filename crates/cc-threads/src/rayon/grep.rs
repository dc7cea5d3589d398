//! `grep` on rayon's work-stealing pool.
//!
//! - **Split.** A task is 32 files or a mebibyte, a job in the pool. What a worker finds too large it hands back,
//!   and the rest is spawned in mebibytes. `par_iter` would need the whole list of files first, and `par_bridge`
//!   forgets their order.
//! - **Share.** The pool shares the jobs out; there is no queue to be seen. As all jobs come from outside,
//!   they wait in the pool's common one, and there is nothing to steal. A worker has a search of
//!   its own, which it finds by its index in the pool (`Kernels`).
//! - **Bound.** `window` promises in the line, and for a rest two more tasks a worker: the pool takes any number of
//!   jobs, so whoever spawns has to count. A worker has one file open.
//! - **Order.** A line of promises. Jobs from outside the pool are begun in the order they were spawned, so the one
//!   that is waited for is at most a window away.
//! - **Stop.** A job in the pool cannot be called back: it asks when its turn comes, and breaks its promise.
//! - **Fail.** A panic is caught in the job, and becomes the task's output. Left alone, it would
//!   end the run: the scope passes it on to its caller. A panic of `feed` closes the line as its
//!   end does, so `feed` is joined, and what the join says is the run's result.

use std::{collections::VecDeque, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::Scope;

use super::pool::{Kernels, with_pool};
use crate::{caught::caught, promise, threads::Threads};

type Order = promise::Order<Task, Output>;
type Promise = promise::Promise<Output>;

// ANCHOR: grep-run
/// Runs the job on a pool of `ctx.workers` threads, made for it, and one thread that feeds them; the calling
/// thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let searches = Kernels::new(&Search::new(&job.query)?, ctx);
    let (promises, line) = bounded(ctx.window.get());
    with_pool(ctx, |pool| {
        pool.in_place_scope(|scope| {
            let pool = Pool { scope, searches: &searches, ctx };
            thread::scope(|scope| {
                let mut threads = Threads::new(scope, ctx);
                threads.spawn("feed", move || feed(job, &pool, &promises))?;
                gather(&line, &pool, job, out);
                // Ends a `feed` that waits for room in the line: nothing is taken out of it any
                // more.
                drop(line);
                threads.join()
            })
        })
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Spawns the tasks, and queues in the same order the promises of their outputs.
///
/// On a thread of its own: walking waits for the disk, or for standard input, and a worker must not wait.
fn feed(job: &Job, pool: &Pool, promises: &Sender<Promise>) {
    for task in job.tasks(Grain::default(), &pool.ctx.stop) {
        let (order, promise) = Order::new(task);
        if promises.send(promise).is_err() {
            break;
        }
        pool.spawn(order);
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// The pool during one run: where jobs are spawned, and what they borrow.
#[derive(Clone, Copy)]
struct Pool<'a, 'scope> {
    scope: &'a Scope<'scope>,
    searches: &'scope Kernels<Search>,
    ctx: &'scope Ctx,
}

impl Pool<'_, '_> {
    /// Has a worker do the task and keep the promise.
    fn spawn(&self, order: Order) {
        let Self { searches, ctx, .. } = *self;
        self.scope.spawn(move |_| work(order, searches, ctx));
    }
}

/// Does a task, on a thread of the pool, unless a stop is requested by then.
fn work(order: Order, searches: &Kernels<Search>, ctx: &Ctx) {
    if ctx.stop.requested() {
        return;
    }
    let mut search = searches.mine();
    let output = caught(|| search.task(&order.task), |why| order.task.failed(why));
    order.keep(output);
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of their promises.
fn gather(line: &Receiver<Promise>, pool: &Pool, job: &Job, out: &mut dyn Sink<Output>) {
    let _ = line.into_iter().try_for_each(|promise| settle(promise, pool, job, out));
}

/// Emits one output, and in its place whatever is left of its task.
fn settle(promise: Promise, pool: &Pool, job: &Job, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let mut output = promise.kept()?;
    let rest = mem::take(&mut output.rest);
    pool.ctx.emit(output, out)?;

    // One task in each worker's hands, and one that waits for it.
    let ahead = 2 * pool.ctx.workers.get();
    let mut line = VecDeque::new();
    for task in rest {
        if line.len() == ahead {
            settle(line.pop_front().expect("it is full"), pool, job, out)?;
        }
        if job.wants(&task) {
            let (order, promise) = Order::new(task);
            pool.spawn(order);
            line.push_back(promise);
        }
    }
    line.into_iter().try_for_each(|promise| settle(promise, pool, job, out))
}
// ANCHOR_END: grep-gather
