//! `sort` in worker processes.
//!
//! - **Split.** Sorting a chunk, then merging a range of the result. Both travel as names and ranges; only the merged text
//!   comes back. That is a sample sort turned round: the ranges of the result are cut when the runs are there, and exactly,
//!   from the indexes that came with them, instead of guessed before.
//! - **Share.** Nothing in memory, a directory of files instead, where workers leave their runs. The files are in the page
//!   cache, which is memory that processes share anyway; sent through this process, everything would be copied twice
//!   more.
//! - **Bound.** The plan's: as many promises in the line as it allows. Each worker has the memory of one task.
//! - **Order.** A line of promises, kept in whatever order and collected in the order they were given. The runs have to be
//!   in the order of the input, or equal lines would not be.
//! - **Stop.** The workers are killed, in the middle of a file, too: the directory is this process's, and removed with
//!   all that is in it. Their owners break their promises, and the line runs empty.
//! - **Fail.** A panic is caught in the worker, and ends the run, since a part of the lines is not
//!   what was asked for. A worker that dies is replaced, and what it had in hand done again: a run
//!   appears under its name when it is whole, and again in the same place. A task that has killed
//!   three workers ends the run, and so does a panic of `feed`, which each phase joins before it
//!   believes that the line was all.

use std::{ops::ControlFlow, path::PathBuf, thread};

use cc_workloads::{
    Ctx, Result, Sink, Stop,
    shelf::Folder,
    sort::{Job, Output, Query, Sorter, Task, external},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::{caught::caught, feed, pool, worker};

type Pool = pool::Pool<Task, Output>;
type Promise = pool::Promise<Output>;

// ANCHOR: sort-run
/// Runs the job in `ctx.workers` processes; the calling thread gathers what comes back.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let folder = job.folder()?;
    let setup = Setup { query: job.query.clone(), folder: folder.path().to_owned() };
    // Dropped before the folder: nobody must write to that when it is removed.
    let pool = Pool::start("sort", &setup, ctx, Task::failed)?;
    let window = ctx.window.min(plan.fits).get();
    external(job, &plan, &folder, ctx, out, |tasks, out| phase(tasks, window, &pool, ctx, out))?;
    pool.finish()
}

/// Has the workers do these tasks, and emits what comes of them.
fn phase(
    tasks: impl Iterator<Item = Task> + Send,
    window: usize,
    pool: &Pool,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<ControlFlow<()>> {
    let (promises, line) = bounded(window);
    thread::scope(|scope| {
        let feed = move || feed(tasks, &promises, pool);
        let fed = feed::start(scope, feed)?;
        let flow = gather(line, ctx, out);
        feed::join(fed)?;
        Ok(flow)
    })
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Submits the tasks, and lines up the promises of their outputs.
fn feed(mut tasks: impl Iterator<Item = Task>, promises: &Sender<Promise>, pool: &Pool) {
    let _ = tasks.try_for_each(|task| promises.send(pool.submit(task)?).ok());
}
// ANCHOR_END: sort-feed

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    worker::enter("sort", work);
}

// ANCHOR: sort-work
/// Prepares a worker process: what it returns does one task after the other there.
pub(crate) fn work(Setup { query, folder }: &Setup) -> impl FnMut(Task) -> Output + use<> {
    // Nobody requests this stop: a worker is killed.
    let (mut sorter, folder) = (Sorter::new(query, &Stop::new()), Folder::at(folder.clone()));
    caught(move |task| sorter.task(task, &folder), Task::failed)
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of their promises. With the line, it drops what `feed` may be waiting for.
fn gather(line: Receiver<Promise>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    for promise in line {
        let Ok(output) = promise.recv() else { return ControlFlow::Break(()) };
        ctx.emit(output, out)?;
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

/// What a worker is told at first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setup {
    query: Query,
    folder: PathBuf,
}
