//! `wordcount` in worker processes.
//!
//! - **Split.** A task is four mebibytes of text, by name and range; only what comes through a pipe travels. Then one of a
//!   few shares of the words a worker.
//! - **Share.** Nothing in memory, a directory of files instead: mappers leave their counts there, hash-partitioned, and each
//!   reducer reads its share of all of them. The files are in the page cache, which is memory that processes share
//!   anyway; sent through this process, everything would be copied twice more.
//! - **Bound.** A worker has two tasks in hand, and one more than there are workers is queued: with all of their text, if
//!   that came through a pipe. Of counts, a mapper has those of one task, and a reducer one share; here there are names and
//!   places.
//! - **Order.** None within a phase. Between them stands a barrier: no share is complete before the last task is counted.
//! - **Stop.** The workers are killed, in the middle of a file, too: the directory is this process's, and removed with
//!   all that is in it. Whoever waits finds the other end of a channel dropped.
//! - **Fail.** A panic is caught in the worker; a worker that dies is replaced, and what it had in
//!   hand done again: a file appears under its name when it is whole, and again in the same place,
//!   so a share has each task's counts once. A task that has killed three workers is reported, one
//!   of many files after each has been tried apart. A share that cannot be ranked ends the run, and
//!   so does a panic of `feed`, which each phase joins: a part of the truth is none.

use std::{env, ops::ControlFlow, path::PathBuf, thread};

use cc_workloads::{
    Cause, Ctx, Error, Result, Sink,
    shelf::Folder,
    wordcount::{Counter, Grain, Job, Output, PARTITIONS, Ranked, Settings, Share, Shelved, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::{caught::caught, feed, pool, worker};

type Pool = pool::Pool<Order, Done>;

/// Shares for each worker: with several, the one that is done last is not waited for long.
const SHARES: usize = 4;

// ANCHOR: wordcount-run
/// Runs the job in `ctx.workers` processes; the calling thread gathers what comes back.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let folder = Folder::new(&env::temp_dir(), "cc-wordcount-").map_err(Error::io("temporary directory"))?;
    let shares = PARTITIONS.min(SHARES * ctx.workers.get());
    let setup = Setup { settings: job.settings.clone(), folder: folder.path().to_owned(), shares };
    // Nobody waits for one output before the next, so a longer queue would only hold more text.
    let queue = Ctx { window: ctx.window.min(ctx.workers), ..ctx.clone() };
    let pool = Pool::start("wordcount", &setup, &queue, Order::failed)?;
    let mut shares = Share::none(shares);
    let tasks = job.tasks(Grain::default(), &ctx.stop);
    let failed = count(Order::count("", tasks), &mut shares, &pool, ctx, out)?;
    if !failed.is_empty() {
        count(Order::count("apart-", failed.into_iter()), &mut shares, &pool, ctx, out)?;
    }
    if !ctx.stop.requested() {
        rank(shares, &pool, ctx, out)?;
    }
    pool.finish()
}

/// Has tasks counted, and notes where each share's counts are. Returns what is to be done again, apart.
fn count(
    orders: impl Iterator<Item = Order> + Send,
    shares: &mut [Share],
    pool: &Pool,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<Vec<Task>> {
    let mut failed = Vec::new();
    phase(orders, pool, ctx, |done| {
        let Shelved { mut read, slices } = done.counted()?;
        shares.iter_mut().zip(slices).for_each(|(share, slice)| share.slices.push(slice));
        failed.append(&mut read.apart);
        Ok(ctx.emit(Output::Read(read), out))
    })?;
    Ok(failed)
}

/// Has the shares ranked.
fn rank(shares: Vec<Share>, pool: &Pool, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let orders = shares.into_iter().map(Order::Rank);
    phase(orders, pool, ctx, |done| Ok(ctx.emit(Output::Ranked(done.ranked()?), out)))
}

/// One phase: it ends when all of its orders are done, or one of them cannot be.
fn phase(
    orders: impl Iterator<Item = Order> + Send,
    pool: &Pool,
    ctx: &Ctx,
    each: impl FnMut(Done) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (done, outputs) = bounded(ctx.workers.get());
    thread::scope(|scope| {
        let feed = move || feed(orders, pool, &done);
        let fed = feed::start(scope, feed)?;
        // `feed` may be waiting for a pipe in which there will never be anything again.
        let gathered = gather(outputs, each).inspect_err(|_| ctx.stop.request(Cause::Break));
        feed::join(fed)?;
        gathered
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Submits the orders.
fn feed(mut orders: impl Iterator<Item = Order>, pool: &Pool, done: &Sender<Done>) {
    let _ = orders.try_for_each(|order| pool.submit_to(done, order));
}
// ANCHOR_END: wordcount-feed

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    worker::enter("wordcount", work);
}

// ANCHOR: wordcount-work
/// Prepares a worker process: what it returns does one order after the other there.
pub(crate) fn work(Setup { settings, folder, shares }: &Setup) -> impl FnMut(Order) -> Done + use<> {
    let (settings, folder, shares) = (settings.clone(), Folder::at(folder.clone()), *shares);
    let mut counter = Counter::new(&settings);
    let kernel = move |order: &Order| {
        let done = match order {
            Order::Count { name, task } => counter.shelve(task, name, shares, &folder).map(Done::Counted),
            Order::Rank(share) => share.rank(&settings, &folder).map(Done::Ranked).map_err(|(_, why)| why),
        };
        done.unwrap_or_else(|why| order.lost(why))
    };
    caught(kernel, Order::failed)
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Takes what is done as it comes. With the receiver, it drops what the owners may be waiting for.
fn gather(outputs: Receiver<Done>, mut each: impl FnMut(Done) -> Result<ControlFlow<()>>) -> Result<()> {
    for done in outputs {
        if each(done)?.is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: wordcount-gather

/// What a worker is told at first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setup {
    settings: Settings,
    folder: PathBuf,
    shares: usize,
}

/// What a worker is to do.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Count a task, and leave the counts under this name.
    Count { name: String, task: Task },
    /// Add up a share, and rank it.
    Rank(Share),
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Done {
    Counted(Shelved),
    Ranked(Ranked),
    /// Something without which there is no right answer.
    Lost {
        what: String,
        why: String,
    },
}

impl Order {
    /// Orders to count these tasks, whose names begin so.
    fn count(prefix: &str, tasks: impl Iterator<Item = Task> + Send) -> impl Iterator<Item = Self> + Send {
        (0u64..).zip(tasks).map(move |(n, task)| Self::Count { name: format!("{prefix}{n}"), task })
    }

    /// A task that fails is missed by nobody but itself.
    fn failed(&self, why: &str) -> Done {
        match self {
            Self::Count { task, .. } => Done::Counted(Shelved { read: task.failed(why), slices: Vec::new() }),
            Self::Rank(_) => self.lost(why.to_owned()),
        }
    }

    fn lost(&self, why: String) -> Done {
        let what = match self {
            Self::Count { .. } => "shuffle".to_owned(),
            Self::Rank(share) => format!("partition {}", share.number),
        };
        Done::Lost { what, why }
    }
}

impl Done {
    fn counted(self) -> Result<Shelved> {
        match self {
            Self::Counted(shelved) => Ok(shelved),
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
            _ => unreachable!("a phase has orders of one kind"),
        }
    }
}
