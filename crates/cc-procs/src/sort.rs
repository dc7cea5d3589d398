//! `sort` in worker processes.
//!
//! - **Split.** First by the input: a chunk is what fits into one worker's share of the memory.
//!   Then by the result: a merge makes a range of it. Both travel as names and ranges; only the
//!   merged text comes back. A sample sort guesses its ranges before it sorts. Here the ranges are
//!   exact: they are computed from the indexes of the sorted runs.
//! - **Share.** Nothing in memory. The workers pass runs to each other through files in a directory
//!   of the run. These files are in the page cache, from which every process reads them; sent
//!   through this process, all text would be copied twice more.
//! - **Bound.** The plan's: it limits the pending results. Each worker has the memory of one task.
//! - **Order.** A queue of pending results: the owners complete them in any order, `gather` takes
//!   them in the order of the tasks. Runs must stay in the order of the input, or equal lines would
//!   not.
//! - **Stop.** The workers are killed, also while they write a file: the directory belongs to this
//!   process, which removes it with all that is in it. Their owners end and drop their requests. So
//!   `gather` finds its pending result abandoned, and returns.
//! - **Fail.** A panic is caught in the worker, and ends the run, since an incomplete result is
//!   wrong. A worker that dies is replaced, and its tasks are done again. A run gets its name when
//!   it is complete, and a repeated task replaces it. A task that was alone at three deaths ends
//!   the run. So does a panic of `feed`: a closed channel does not tell it from a normal end, so
//!   each phase joins the thread before it trusts that the tasks were complete.

use std::{ops::ControlFlow, path::PathBuf, thread};

use cc_workloads::{
    Ctx, Result, Sink, Stop,
    blobs::DirStore,
    sort::{Job, Output, Query, Sorter, Task, external},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::{caught::caught, feed, pool, worker};

// ANCHOR: sort-run
/// Runs the job in `ctx.workers` processes, in each phase fed by one thread; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs = job.folder()?;
    let setup = JobSetup { query: job.query.clone(), folder: blobs.path().to_owned() };
    // Declared after `blobs`, so that it is dropped before: the workers must have ended when their
    // directory is removed.
    let pool = Pool::start(ctx, "sort", &setup, Task::failed)?;
    let window = ctx.window.min(plan.fits).get();
    external(job, &plan, &blobs, ctx, out, |tasks, out| run_phase(ctx, tasks, window, &pool, out))?;
    pool.finish()
}

/// Has the workers do the tasks of one phase, and emits their outputs in order.
fn run_phase(
    ctx: &Ctx,
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    pool: &Pool,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let (pending_tx, pending_rx) = bounded(window);
    thread::scope(|scope| {
        let feeder = feed::start(scope, move || feed(tasks, pool, &pending_tx))?;
        let flow = gather(ctx, pending_rx, out);
        feed::join(feeder)?;
        Ok(flow)
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Submits the tasks, and queues their pending results in the same order.
fn feed(tasks: impl Iterator<Item = Task>, pool: &Pool, pending_tx: &Sender<Pending>) {
    for task in tasks {
        let Some(pending) = pool.submit(task) else { break };
        if pending_tx.send(pending).is_err() {
            break;
        }
    }
}
// ANCHOR_END: sort-feed

/// In a worker process of this workload, does the tasks and does not return.
pub(crate) fn enter() {
    worker::enter("sort", work);
}

// ANCHOR: sort-work
/// Returns the function that does the tasks, one by one, in a worker process.
pub(crate) fn work(setup: &JobSetup) -> impl FnMut(Task) -> Output + use<> {
    // A stop that is never requested: a worker is killed instead.
    let mut sorter = Sorter::new(&setup.query, &Stop::new());
    let blobs = DirStore::at(setup.folder.clone());
    caught(move |task| sorter.task(task, &blobs), Task::failed)
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of the tasks. Takes the receiver by value: dropping it fails the
/// `send` of `feed` if that waits for room.
fn gather(ctx: &Ctx, pending_rx: Receiver<Pending>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    for pending in pending_rx {
        let Ok(output) = pending.recv() else { return ControlFlow::Break(()) };
        ctx.emit(output, out)?;
    }
    ctx.stop.flow() // a stop also ends the tasks early, and no output may tell
}
// ANCHOR_END: sort-gather

type Pool = pool::Pool<Task, Output>;
type Pending = pool::Pending<Output>;

/// What a worker is told once, before its first task.
#[derive(Serialize, Deserialize)]
pub(crate) struct JobSetup {
    query: Query,
    folder: PathBuf,
}
