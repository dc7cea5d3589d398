//! `grep` in worker processes.
//!
//! - **Split.** A task is the names of 32 files, or a range of one. Names travel and contents do not: every
//!   process sees the same files. Only what can be read just once, as standard input, is handed over.
//! - **Share.** Nothing. A worker gets a copy of the query and compiles it for itself; between the processes
//!   there are only messages.
//! - **Bound.** `window` promises in the line, and for each rest as many tasks as keep every worker busy. A
//!   worker has two tasks in hand, so that it does not idle while an output travels, and one file open.
//! - **Order.** A line of promises, kept in whatever order and collected in the order they were given.
//! - **Stop.** The workers are killed: what they were doing is nobody's, and a kill also reaches one that is
//!   suspended. Their owners see them end, break their promises, and the line runs empty.
//! - **Fail.** A panic is caught in the worker and becomes the task's output. A worker that dies is
//!   replaced and its task done again, unless it is the third that the task has killed. A worker
//!   that cannot be started ends the run, and so does a panic of `feed`, which is joined: it closes
//!   the line as the end does.

use std::{collections::VecDeque, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Query, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{caught::caught, feed, pool, worker};

type Pool = pool::Pool<Task, Output>;
type Promise = pool::Promise<Output>;

// ANCHOR: grep-run
/// Runs the job in `ctx.workers` processes; the calling thread gathers what comes back.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    job.query.check()?; // or each worker would find the mistake for itself
    let pool = Pool::start("grep", &job.query, ctx, Task::failed)?;
    let (promises, line) = bounded(ctx.window.get());
    thread::scope(|scope| {
        let pool = &pool;
        let feed = move || feed(job, ctx, pool, &promises);
        let fed = feed::start(scope, feed)?;
        gather(&line, pool, job, ctx, out);
        drop(line); // nobody gathers what is submitted from now on
        feed::join(fed)
    })?;
    pool.finish()
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Submits the tasks, and lines up the promises of their outputs.
fn feed(job: &Job, ctx: &Ctx, pool: &Pool, promises: &Sender<Promise>) {
    let mut tasks = job.tasks(Grain::default(), &ctx.stop);
    let _ = tasks.try_for_each(|task| promises.send(pool.submit(task)?).ok());
}
// ANCHOR_END: grep-feed

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    worker::enter("grep", work);
}

// ANCHOR: grep-work
/// Prepares a worker process: what it returns does one task after the other there.
pub(crate) fn work(query: &Query) -> impl FnMut(Task) -> Output + use<> {
    let mut search = Search::new(query).expect("checked before it was sent");
    caught(move |task| search.task(task), Task::failed)
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of their promises.
fn gather(line: &Receiver<Promise>, pool: &Pool, job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let _ = line.iter().try_for_each(|promise| settle(&promise, pool, job, ctx, out));
}

/// Emits one output, and in its place whatever is left of its task.
fn settle(
    promise: &Promise,
    pool: &Pool,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let Ok(mut output) = promise.recv() else { return ControlFlow::Break(()) };
    let rest = mem::take(&mut output.rest);
    ctx.emit(output, out)?;

    let mut ahead = VecDeque::with_capacity(pool.credits());
    for task in rest {
        if ahead.len() == pool.credits() {
            settle(&ahead.pop_front().expect("there are workers"), pool, job, ctx, out)?;
        }
        if job.wants(&task) {
            let Some(promise) = pool.submit_urgent(task) else { return ControlFlow::Break(()) };
            ahead.push_back(promise);
        }
    }
    ahead.iter().try_for_each(|promise| settle(promise, pool, job, ctx, out))
}
// ANCHOR_END: grep-gather
