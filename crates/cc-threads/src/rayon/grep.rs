//! `grep` on rayon's work-stealing pool.
//!
//! - **Split.** A task is up to 32 files, or about a mebibyte of a stream, and a job in the pool.
//!   After a mebibyte of input, or a quarter as much output, a worker returns the remainder of its
//!   task, which is spawned as further jobs. `par_iter` would need the whole list of files first,
//!   and `par_bridge` loses their order.
//! - **Share.** The pool distributes the jobs; its queues are not visible here. All jobs come from
//!   outside of the pool and wait in its common queue, so there is nothing to steal. Each worker of
//!   the pool has its own search, found by the worker's index (`Kernels`).
//! - **Bound.** The queue of pending results has room for `window`. Of each remainder, at most two
//!   tasks per worker are submitted and not emitted. A remainder of a remainder has the same bound
//!   again. The pool accepts any number of jobs, so the code that spawns them must count. A worker
//!   has one file open.
//! - **Order.** A queue of pending results. Jobs from outside of the pool begin in the order in
//!   which they were spawned. So at most a window of jobs is ahead of the one that `gather` waits
//!   for.
//! - **Stop.** A job in the pool cannot be cancelled. When it begins, it checks for a stop, and if
//!   there is one, it drops its request and so abandons the pending result.
//! - **Fail.** A panic is caught in the job, and becomes the task's output. Otherwise it would end
//!   the run: the scope passes it on to its caller. A panic of `feed` closes the queue of pending
//!   results just as its normal end does. So `feed` is joined, and the join gives the run's result.

use std::{collections::VecDeque, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::Scope;

use super::pool::{Kernels, with_pool};
use crate::{
    caught::caught,
    pending,
    threads::{Threads, max_in_flight},
};

// ANCHOR: grep-run
/// Runs the job on a pool of `ctx.workers` threads, made for it, and one thread that feeds them;
/// the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let searches = Kernels::new(ctx, &Search::new(&job.query)?);
    let (pending_tx, pending_rx) = bounded(ctx.window.get());
    with_pool(ctx, |pool| {
        pool.in_place_scope(|scope| {
            let spawner = JobSpawner { ctx, scope, searches: &searches };
            thread::scope(|scope| {
                let mut threads = Threads::new(ctx, scope);
                threads.spawn("feed", move || feed(&spawner, job, &pending_tx))?;
                gather(&spawner, job, &pending_rx, out);
                // Before the join: `feed` may be waiting for room among the pending results, which
                // nothing takes any more.
                drop(pending_rx);
                threads.join()
            })
        })
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Spawns the tasks and, in the same order, queues their pending results.
///
/// It runs on a thread of its own: it waits for the disk or for standard input, and a worker of the
/// pool must not wait.
fn feed(spawner: &JobSpawner, job: &Job, pending_tx: &Sender<Pending>) {
    for task in job.tasks(Grain::default(), &spawner.ctx.stop) {
        let (request, pending) = Request::new(task);
        if pending_tx.send(pending).is_err() {
            break;
        }
        spawner.spawn(request);
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
impl JobSpawner<'_, '_> {
    /// Spawns a job that does the task and completes its pending result.
    fn spawn(&self, request: Request) {
        let Self { ctx, searches, .. } = *self;
        self.scope.spawn(move |_| work(ctx, searches, request));
    }
}

/// Does a task, on a thread of the pool, unless a stop is requested by then.
fn work(ctx: &Ctx, searches: &Kernels<Search>, request: Request) {
    if ctx.stop.requested() {
        return;
    }
    let mut search = searches.mine();
    let output = caught(|| search.task(&request.task), |why| request.task.failed(why));
    request.complete(output);
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of the tasks.
fn gather(spawner: &JobSpawner, job: &Job, pending_rx: &Receiver<Pending>, out: &mut dyn Sink<Output>) {
    for pending in pending_rx {
        if emit_in_order(spawner, job, pending, out).is_break() {
            break;
        }
    }
}

/// Emits the output of one task, and after it the outputs of the task's remainder.
fn emit_in_order(
    spawner: &JobSpawner,
    job: &Job,
    pending: Pending,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let mut output = pending.wait()?;
    let remainder = mem::take(&mut output.remainder);
    spawner.ctx.emit(output, out)?;

    let mut queue = VecDeque::new();
    for task in remainder {
        if queue.len() == max_in_flight(spawner.ctx) {
            let first = queue.pop_front().expect("the queue is full");
            emit_in_order(spawner, job, first, out)?;
        }
        // An output that was emitted since may have finished the file, for example at `-m`.
        if job.wants(&task) {
            let (request, pending) = Request::new(task);
            spawner.spawn(request);
            queue.push_back(pending);
        }
    }
    for pending in queue {
        emit_in_order(spawner, job, pending, out)?;
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

/// Spawns jobs in the pool during one run, with what they borrow.
#[derive(Clone, Copy)]
struct JobSpawner<'a, 'scope> {
    ctx: &'scope Ctx,
    scope: &'a Scope<'scope>,
    searches: &'scope Kernels<Search>,
}

type Request = pending::Request<Task, Output>;
type Pending = pending::Pending<Output>;
