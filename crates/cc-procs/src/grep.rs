//! `grep` in worker processes.
//!
//! - **Split.** A task is the names of at most 32 files, or a range of one. The workers read the
//!   files, which all processes see. Only the contents of an input that can be read only once, such
//!   as standard input, travel in a task.
//! - **Share.** Nothing. A worker gets a copy of the query and compiles it itself; the processes
//!   exchange only messages.
//! - **Bound.** The queue of pending results has room for `window`; while it is full, `feed` waits.
//!   A worker has one file open, and at most two tasks in flight. (With the second it need not wait
//!   while an output travels.) Of each remainder, at most twice as many tasks as there are workers
//!   are submitted and not yet emitted. (A remainder of a remainder has this bound for itself.)
//! - **Order.** A queue of pending results: the owners complete them in any order, `gather` takes
//!   them in the order of the tasks.
//! - **Stop.** The stop kills the workers, also one that is suspended: a worker holds nothing that
//!   anything else needs. It also closes the pool's queues, so the owners end. With them go the
//!   tasks that are queued or in flight, each with the sending end of its pending result. So
//!   `gather` finds its pending result closed, and returns.
//! - **Fail.** A panic is caught in the worker, and becomes the task's output. A worker that dies
//!   is replaced, and its tasks are done again; a task that was alone at three deaths fails. If a
//!   failed task has several files, each becomes a task of its own, in the remainder. So only the
//!   file that fails is lost. A worker that cannot be started ends the run. A panic of `feed` is
//!   the run's error. It closes the channel as a normal end does, so `run` joins the thread to
//!   learn which it was.

use std::{collections::VecDeque, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Query, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, feed, pool, worker};

// ANCHOR: grep-run
/// Runs the job in `ctx.workers` processes, fed by one thread; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    // Checked before the workers start, so that an error is reported once and not by each worker.
    job.query.check()?;
    let pool = Pool::start(ctx, "grep", &job.query, Task::failed)?;
    let (pending_tx, pending_rx) = bounded(ctx.window.get());
    thread::scope(|scope| {
        let pool = &pool;
        let feeder = feed::start(scope, move || feed(ctx, job, pool, &pending_tx))?;
        gather(ctx, job, pool, &pending_rx, out);
        // Before the join: `feed` may be waiting for room among the pending results, which nothing
        // takes any more.
        drop(pending_rx);
        feed::join(feeder)
    })?;
    pool.finish()
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Submits the tasks, and queues their pending results in the same order.
fn feed(ctx: &Ctx, job: &Job, pool: &Pool, pending_tx: &Sender<Pending>) {
    for task in job.tasks(Grain::default(), &ctx.stop) {
        let Some(pending) = pool.submit(task) else { break };
        if pending_tx.send(pending).is_err() {
            break;
        }
    }
}
// ANCHOR_END: grep-feed

/// In a worker process of this workload, does the tasks and does not return.
pub(crate) fn enter() {
    worker::enter("grep", work);
}

// ANCHOR: grep-work
/// Returns the function that does the tasks, one by one, in a worker process.
pub(crate) fn work(query: &Query) -> impl FnMut(Task) -> Output + use<> {
    let mut search = Search::new(query).expect("`run` has checked the query");
    caught(move |task| search.task(task), Task::failed)
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of the tasks.
fn gather(ctx: &Ctx, job: &Job, pool: &Pool, pending_rx: &Receiver<Pending>, out: &mut dyn Sink<Output>) {
    for pending in pending_rx {
        if emit_in_order(ctx, job, pool, pending, out).is_break() {
            break;
        }
    }
}

/// Emits the output of one task, and after it the outputs of the task's remainder.
fn emit_in_order(
    ctx: &Ctx,
    job: &Job,
    pool: &Pool,
    pending: Pending,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let Ok(mut output) = pending.recv() else { return ControlFlow::Break(()) };
    let remainder = mem::take(&mut output.remainder);
    ctx.emit(output, out)?;

    let mut queue = VecDeque::new();
    for task in remainder {
        if queue.len() == pool.max_in_flight() {
            let first = queue.pop_front().expect("the queue is full");
            emit_in_order(ctx, job, pool, first, out)?;
        }
        // After an output that was emitted in the meantime, the file may need no more search.
        if job.wants(&task) {
            let Some(pending) = pool.submit_urgent(task) else { return ControlFlow::Break(()) };
            queue.push_back(pending);
        }
    }
    for pending in queue {
        emit_in_order(ctx, job, pool, pending, out)?;
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

type Pool = pool::Pool<Task, Output>;
type Pending = pool::Pending<Output>;
