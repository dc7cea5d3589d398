//! `grep` on free threads.
//!
//! - **Split.** A task is up to 32 files, or about a mebibyte of a stream. After a mebibyte of
//!   input, or a quarter as much output, a worker returns the remainder of its task, which becomes
//!   further tasks. To split beforehand would need a `stat` call for each file.
//! - **Share.** Two queues, shared by all workers. Each worker has its own clone of the compiled
//!   search, since workers would contend for the caches inside of a shared regex. Work stealing
//!   would gain nothing: tasks are large and come from one iterator.
//! - **Bound.** The queue of pending results has room for `window`. The queue of requests has room
//!   for one more, so `feed` waits only for room among the pending results. Of each remainder, at
//!   most two tasks per worker are submitted and not emitted. They have a queue of their own, from
//!   which workers take first, so these tasks overtake the queued ones of `feed`. A remainder of a
//!   remainder has the same bound again. A worker has one file open.
//! - **Order.** A queue of pending results: workers complete them in any order, `gather` takes them
//!   in the order of the tasks.
//! - **Stop.** The iterator of `feed` and the workers check for a stop before each task. `feed`
//!   ends, and the workers drop the requests that are queued. This abandons their pending results,
//!   so `gather` waits for none of them and returns. Then `run` closes the queues.
//! - **Fail.** A panic is caught where the task runs, and becomes the task's output. A panic of
//!   `feed` closes its queues just as its normal end does. So all threads are joined, and the join
//!   gives the run's result. An abort ends the whole program; in the models with worker processes
//!   it ends one worker.

use std::{collections::VecDeque, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use crate::{
    caught::caught,
    pending,
    threads::{Threads, max_in_flight},
};

// ANCHOR: grep-run
/// Runs the job on `ctx.workers` threads and one that feeds them; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let search = Search::new(&job.query)?;
    let (pending_tx, pending_rx) = bounded(ctx.window.get());
    let (requests_tx, requests_rx) = bounded(ctx.window.get() + 1);
    let (urgent_tx, urgent_rx) = bounded(max_in_flight(ctx));
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn_workers(move |_| {
            let search = search.clone();
            let requests_rx = requests_rx.clone();
            let urgent_rx = urgent_rx.clone();
            move || work(ctx, search, &requests_rx, &urgent_rx)
        })?;
        threads.spawn("feed", move || feed(ctx, job, &pending_tx, &requests_tx))?;
        gather(ctx, job, &pending_rx, &urgent_tx, out);
        // Before the join: `feed` may be waiting for room among the pending results, which nothing
        // takes any more. The workers wait for urgent requests until that queue closes.
        drop(pending_rx);
        drop(urgent_tx);
        threads.join()
    })
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Queues the tasks and, in the same order, their pending results.
fn feed(ctx: &Ctx, job: &Job, pending_tx: &Sender<Pending>, requests_tx: &Sender<Request>) {
    for task in job.tasks(Grain::default(), &ctx.stop) {
        if Request::submit(task, pending_tx, requests_tx).is_break() {
            break;
        }
    }
}
// ANCHOR_END: grep-feed

// ANCHOR: grep-work
/// Does tasks until there are no more. Urgent ones first, since `gather` waits for them.
fn work(ctx: &Ctx, mut search: Search, requests_rx: &Receiver<Request>, urgent_rx: &Receiver<Request>) {
    let next = || {
        select_biased! {
            // An error means that `gather` has returned and `run` has closed this queue.
            recv(urgent_rx) -> request => request.ok(),
            // An error means that `feed` has ended and its queue is empty. Tasks that are still in
            // flight may have remainders, so wait for these until `gather` returns.
            recv(requests_rx) -> request => request.or_else(|_| urgent_rx.recv()).ok(),
        }
    };
    while let Some(request) = next() {
        // `continue` empties the queues; `break` could deadlock. A request that stays in the urgent
        // queue is not dropped while `gather` holds the sending end of that queue. But `gather` may
        // be waiting for the result of that very request.
        if ctx.stop.requested() {
            continue;
        }
        let output = caught(|| search.task(&request.task), |why| request.task.failed(why));
        request.complete(output);
    }
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of the tasks.
fn gather(
    ctx: &Ctx,
    job: &Job,
    pending_rx: &Receiver<Pending>,
    urgent_tx: &Sender<Request>,
    out: &mut dyn Sink<Output>,
) {
    for pending in pending_rx {
        if emit_in_order(ctx, job, pending, urgent_tx, out).is_break() {
            break;
        }
    }
}

/// Emits the output of one task, and after it the outputs of the task's remainder.
fn emit_in_order(
    ctx: &Ctx,
    job: &Job,
    pending: Pending,
    urgent_tx: &Sender<Request>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let mut output = pending.wait()?;
    let remainder = mem::take(&mut output.remainder);
    ctx.emit(output, out)?;

    let mut queue = VecDeque::new();
    for task in remainder {
        if queue.len() == max_in_flight(ctx) {
            let first = queue.pop_front().expect("the queue is full");
            emit_in_order(ctx, job, first, urgent_tx, out)?;
        }
        // An output that was emitted since may have finished the file, for example at `-m`.
        if job.wants(&task) {
            let (request, pending) = Request::new(task);
            if urgent_tx.send(request).is_err() {
                return ControlFlow::Break(());
            }
            queue.push_back(pending);
        }
    }
    for pending in queue {
        emit_in_order(ctx, job, pending, urgent_tx, out)?;
    }
    ControlFlow::Continue(())
}
// ANCHOR_END: grep-gather

type Request = pending::Request<Task, Output>;
type Pending = pending::Pending<Output>;
