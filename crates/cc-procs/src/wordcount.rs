//! `wordcount` in worker processes.
//!
//! - **Split.** A task of the first phase, for a *mapper*, is four mebibytes of text. It travels as
//!   names and ranges, except for text that comes through a pipe. A task of the second phase, for a
//!   *reducer*, is a share of the words, of which there are a few per worker.
//! - **Share.** Nothing in memory. Mappers leave their counts, partitioned by hash, in files in a
//!   directory of the run, and a reducer reads its share of all of them. These files are in the
//!   page cache, from which every process reads them; sent through this process, all counts would
//!   be copied twice more.
//! - **Bound.** A worker has two tasks in flight, and the queue has room for one more than there
//!   are workers: with all of their text, if that came through a pipe. A mapper holds the counts of
//!   one task, and a reducer one share. This process holds only names and ranges.
//! - **Order.** None within a phase. A barrier is between them: no share is complete before the
//!   last task is counted.
//! - **Stop.** The workers are killed, also while they write a file: the directory belongs to this
//!   process, which removes it with all that is in it. A thread that waits on a channel is woken
//!   when the other end is dropped.
//! - **Fail.** A panic is caught in the worker, and becomes the task's output. A worker that dies
//!   is replaced, and its tasks are done again. A file gets its name when it is complete, and a
//!   repeated task replaces it, so a share has each task's counts once. A task that was alone at
//!   three deaths fails; a failed task of several files is split and done once more, file by file.
//!   A share that cannot be ranked ends the run. So does a panic of `feed`, for which each phase
//!   joins the thread: an incomplete count is a wrong result.

use std::{env, ops::ControlFlow, path::PathBuf, thread};

use cc_workloads::{
    Cause, Ctx, Error, Result, Sink,
    blobs::DirStore,
    temporary,
    wordcount::{Counter, Grain, Job, Output, PARTITIONS, Ranked, Settings, Share, Spilled, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::{caught::caught, feed, pool, worker};

/// Number of shares per worker. With several, the workers finish at about the same time.
const SHARES: usize = 4;

// ANCHOR: wordcount-run
/// Runs the job in `ctx.workers` processes, in each phase fed by one thread; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let blobs = DirStore::new(&temporary::usable_dir(&env::temp_dir()), "cc-wordcount-")
        .map_err(Error::io("temporary directory"))?;
    let shares = PARTITIONS.min(SHARES * ctx.workers.get());
    let setup = JobSetup { settings: job.settings.clone(), folder: blobs.path().to_owned(), shares };
    // Outputs have no order, so a short queue suffices. A longer one would only hold more text.
    let short_queue = Ctx { window: ctx.window.min(ctx.workers), ..ctx.clone() };
    // Declared after `blobs`, so that it is dropped before: the workers must have ended when their
    // directory is removed.
    let pool = Pool::start(&short_queue, "wordcount", &setup, Request::failed)?;
    let mut shares = Share::none(shares);
    let tasks = job.tasks(Grain::default(), &ctx.stop);
    let failed = count(ctx, Request::count("", tasks), &mut shares, &pool, out)?;
    if !failed.is_empty() {
        count(ctx, Request::count("split-", failed.into_iter()), &mut shares, &pool, out)?;
    }
    if !ctx.stop.requested() {
        rank(ctx, shares, &pool, out)?;
    }
    pool.finish()
}

/// Has tasks counted, and adds the ranges of their counts to the shares. Returns the parts of
/// failed tasks, to be done once more.
fn count(
    ctx: &Ctx,
    requests: impl Iterator<Item = Request> + Send,
    shares: &mut [Share],
    pool: &Pool,
    out: &mut dyn Sink<Output>,
) -> Result<Vec<Task>> {
    let mut failed = Vec::new();
    run_phase(ctx, requests, pool, |response| {
        let Spilled { mut read, slices } = response.counted()?;
        for (share, slice) in shares.iter_mut().zip(slices) {
            share.slices.push(slice);
        }
        failed.append(&mut read.split);
        Ok(ctx.emit(Output::Read(read), out))
    })?;
    Ok(failed)
}

/// Has the shares ranked, and emits them.
fn rank(ctx: &Ctx, shares: Vec<Share>, pool: &Pool, out: &mut dyn Sink<Output>) -> Result<()> {
    let requests = shares.into_iter().map(Request::Rank);
    run_phase(ctx, requests, pool, |response| Ok(ctx.emit(Output::Ranked(response.ranked()?), out)))
}

/// Has the workers do the tasks of one phase, and hands each response to `handle`.
fn run_phase(
    ctx: &Ctx,
    requests: impl Iterator<Item = Request> + Send,
    pool: &Pool,
    handle: impl FnMut(Response) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (responses_tx, responses_rx) = bounded(ctx.workers.get());
    thread::scope(|scope| {
        let feeder = feed::start(scope, move || feed(requests, pool, &responses_tx))?;
        let gathered = gather(responses_rx, handle);
        if gathered.is_err() {
            // Before the join: `feed` may be waiting for text from a pipe that is never closed.
            ctx.stop.request(Cause::Break);
        }
        feed::join(feeder)?;
        gathered
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Submits the tasks.
fn feed(requests: impl Iterator<Item = Request>, pool: &Pool, responses_tx: &Sender<Response>) {
    for request in requests {
        if pool.submit_to(responses_tx, request).is_none() {
            break;
        }
    }
}
// ANCHOR_END: wordcount-feed

/// In a worker process of this workload, does the tasks and does not return.
pub(crate) fn enter() {
    worker::enter("wordcount", work);
}

// ANCHOR: wordcount-work
/// Returns the function that does the tasks, one by one, in a worker process.
pub(crate) fn work(setup: &JobSetup) -> impl FnMut(Request) -> Response + use<> {
    let settings = setup.settings.clone();
    let shares = setup.shares;
    let blobs = DirStore::at(setup.folder.clone());
    let mut counter = Counter::new(&settings);
    let kernel = move |request: &Request| {
        let response = match request {
            Request::Count { name, task } => counter.spill(task, name, shares, &blobs).map(Response::Counted),
            Request::Rank(share) => {
                share.rank(&settings, &blobs).map(Response::Ranked).map_err(|(_, why)| why)
            }
        };
        response.unwrap_or_else(|why| request.lost(why))
    };
    caught(kernel, Request::failed)
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Handles the responses as they arrive. Takes the receiver by value: dropping it fails the `send`
/// of every owner that waits for room.
fn gather(
    responses_rx: Receiver<Response>,
    mut handle: impl FnMut(Response) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for response in responses_rx {
        if handle(response)?.is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather

type Pool = pool::Pool<Request, Response>;

/// What a worker is told once, before its first task.
#[derive(Serialize, Deserialize)]
pub(crate) struct JobSetup {
    settings: Settings,
    folder: PathBuf,
    shares: usize,
}

/// A task of either phase.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    /// Count a task, and store the counts under this name.
    Count { name: String, task: Task },
    /// Add up a share, and rank it.
    Rank(Share),
}

/// The output of a task.
#[derive(Serialize, Deserialize)]
pub(crate) enum Response {
    Counted(Spilled),
    Ranked(Ranked),
    /// Something is lost without which no result would be right.
    Lost {
        what: String,
        why: String,
    },
}

impl Request {
    /// Requests to count these tasks, under names with this prefix.
    fn count(prefix: &str, tasks: impl Iterator<Item = Task> + Send) -> impl Iterator<Item = Self> + Send {
        (0u64..).zip(tasks).map(move |(n, task)| Self::Count { name: format!("{prefix}{n}"), task })
    }

    /// The response to a request that has failed. The run can go on without the counts of a task,
    /// but not without a share.
    fn failed(&self, why: &str) -> Response {
        match self {
            Self::Count { task, .. } => {
                Response::Counted(Spilled { read: task.failed(why), slices: Vec::new() })
            }
            Self::Rank(_) => self.lost(why.to_owned()),
        }
    }

    fn lost(&self, why: String) -> Response {
        let what = match self {
            Self::Count { .. } => "shuffle".to_owned(),
            Self::Rank(share) => format!("partition {}", share.number),
        };
        Response::Lost { what, why }
    }
}

impl Response {
    fn counted(self) -> Result<Spilled> {
        match self {
            Self::Counted(spilled) => Ok(spilled),
            other => Err(other.error()),
        }
    }

    fn ranked(self) -> Result<Ranked> {
        match self {
            Self::Ranked(ranked) => Ok(ranked),
            other => Err(other.error()),
        }
    }

    fn error(self) -> Error {
        match self {
            Self::Lost { what, why } => Error::worker(what, why),
            _ => unreachable!("a phase has requests of one kind"),
        }
    }
}
