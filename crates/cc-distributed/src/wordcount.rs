//! `wordcount` on a cluster.
//!
//! - **Split.** A task is a mebibyte of text to be counted, sent as contents or as names (`--shared-fs`): it is in memory
//!   several times, here and there, and four times as much took three times the memory and was no faster. Then the
//!   words, by their hash, make four shares for each worker, so that whoever is free finds one, and a worker that is
//!   lost takes few of them along.
//! - **Share.** Counts go from worker to worker. Those of a task stay with whoever counted it, and only their names
//!   come back here; whoever has a share fetches its part of all tasks' counts. By way of the coordinator, everything
//!   would travel twice, and through one machine.
//! - **Bound.** Two tasks a worker are waited for, and two more are in the line or being read. A worker has the counts
//!   of one task in memory, or the words of one share; what it keeps for the others is in a file, and so are the
//!   tasks, here: with what came from a stream, since that cannot be read again.
//! - **Order.** None: counts can be added in any order. But all tasks must be counted before a share is complete.
//! - **Stop.** Closing the cluster's queue breaks the promises and ends the sessions, and with its session a worker
//!   gives up fetching. The run's own workers are killed.
//! - **Fail.** What a lost worker had counted is counted again, and every share is given exactly one part of each task,
//!   so nothing counts twice. A share that is lost is fetched and added up again elsewhere. A task that fails is done
//!   once more, file by file; a share that fails ends the run, and so does a full disk: a part of the truth is none.

use std::{
    collections::HashSet,
    env, mem,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    thread,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    shelf::Slice,
    wordcount::{
        Counter, Grain, Job, Loader, Output, PARTITIONS, Ranked, Read, Settings, Share, Shelved, Task,
    },
};
use futures::{StreamExt, executor::block_on_stream, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    lineage::{Lineage, Origin},
    queue::{Kept, Lane},
    shelf::place,
    worker::{Means, Work},
};

/// A task.
const GRAIN: Grain = Grain { bytes: 1 << 20, files: 1024 };

/// So many shares there are for each worker.
const SHARES: usize = 4;

/// So many rounds of ranking there are at most. Before each, what could not be fetched in the last one, or was with a
/// worker that is known to be lost, is counted again.
const ROUNDS: usize = 5;

// ANCHOR: wordcount-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.args);
    let brief = Brief::new(&job.settings, &options, ctx)?;
    let cluster = Cluster::start("wordcount", encode(&brief), &options, ctx)?;
    let desk = Desk { brief, cluster: &cluster, lineage: Lineage::at(&env::temp_dir()), ctx };
    // If it breaks off, the cluster knows why.
    let _ = map_reduce(job, &desk, out);
    cluster.close()
}

/// Has all text counted, and then the counts added up.
fn map_reduce(job: &Job, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let tasks = job.tasks(GRAIN, &desk.ctx.stop);
    let (mut counts, apart) = count(tasks.map_while(|task| desk.begin(&task)), desk, out)?;
    if !apart.is_empty() {
        counts.extend(count(apart.iter().map_while(|task| desk.begin(task)), desk, out)?.0);
    }
    reduce(counts, desk, out)
}

/// Has these tasks counted. Returns where the counts are, and what is to be done again, apart.
fn count(
    tasks: impl Iterator<Item = Counts> + Send,
    desk: &Desk,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<(), (Vec<Counts>, Vec<Task>)> {
    let (counting, line) = channel(1);
    thread::scope(|scope| {
        let feed = move || feed(tasks, desk, &counting);
        let thread = thread::Builder::new().name("feed".to_owned());
        let thread = thread.spawn_scoped(scope, feed);
        desk.cluster.or_fail(thread.map_err(|e| Error::worker("thread", e)))?;
        gather(line, desk, out)
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Submits the tasks, ready for the journey: what a worker cannot open itself is put in.
fn feed(tasks: impl Iterator<Item = Counts>, desk: &Desk, counting: &Sender<Counting>) -> ControlFlow<()> {
    let mut loader = (!desk.brief.shared_fs).then(|| Loader::new(&desk.brief.settings));
    for counts in tasks {
        let task = desk.task(&counts.origin)?;
        let task = match &mut loader {
            Some(loader) => loader.load(task),
            None => task,
        };
        let order = Order::Count { name: counts.origin.name(), task };
        let outcome = desk.cluster.submit(encode(&order), Lane::Usual);
        if counting.blocking_send(Box::pin(async { (counts, outcome.await) })).is_err() {
            break;
        }
    }
    Continue(())
}
// ANCHOR_END: wordcount-feed

// ANCHOR: wordcount-work
/// Begins with a job in a worker: from here on, encoded orders become encoded answers.
pub(crate) fn work(brief: &[u8], means: &Means) -> Result<Work> {
    let unreadable = |error| Error::worker("brief", error);
    let Brief { settings, shares, shared_fs } = postcard::from_bytes(brief).map_err(unreadable)?;
    let mut counter = Counter::new(&settings).within(means.files(shared_fs)?);
    let shelf = means.shelf.clone();
    Ok(Box::new(move |order| match postcard::from_bytes(order).map_err(|error| error.to_string())? {
        Order::Count { name, task } => {
            let shelved = counter.shelve(&task, &shelf.here(&name), shares, &*shelf);
            Ok(encode(&shelved.map_or_else(Counted::Full, Counted::Shelved)))
        }
        Order::Rank(share) => {
            let missing = |(slice, why)| Summed::Missing(slice, why);
            Ok(encode(&share.rank(&settings, &*shelf).map_or_else(missing, Summed::Ranked)))
        }
    }))
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Takes what comes of the tasks, as they are counted. What was read of them is emitted the first time.
fn gather(
    line: Receiver<Counting>,
    desk: &Desk,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<(), (Vec<Counts>, Vec<Task>)> {
    let (mut counted, mut apart) = (Vec::new(), Vec::new());
    for (counts, outcome) in block_on_stream(ReceiverStream::new(line).buffer_unordered(desk.ahead())) {
        let Shelved { mut read, slices } = match desk.answer(outcome, Counted::Failed)? {
            Counted::Shelved(shelved) => shelved,
            Counted::Failed(why) if counts.read.is_some() => return desk.fail("counted again", why),
            Counted::Failed(why) => {
                Shelved { read: desk.task(&counts.origin)?.failed(&why), slices: Vec::new() }
            }
            Counted::Full(why) => return desk.cluster.fail(Error::Failed(why)),
        };
        apart.append(&mut read.apart);
        match counts.read {
            None => desk.ctx.emit(Output::Read(read.clone()), out)?,
            Some(first) if first == read => {}
            Some(_) => return desk.fail("counted again", "files have changed meanwhile"),
        }
        counted.push(Counts { read: Some(read), slices, ..counts });
    }
    Continue((counted, apart))
}

/// Has the shares added up, and emits them.
fn reduce(mut counts: Vec<Counts>, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let mut left: Vec<usize> = (0..desk.brief.shares).collect();
    let (mut gone, mut last) = (HashSet::new(), String::new());
    for _ in 0..ROUNDS {
        restore(&mut counts, gone, desk, out)?;
        gone = HashSet::new();
        let sums = stream::iter(mem::take(&mut left)).map(|number| desk.rank(number, &counts));
        for (number, outcome) in block_on_stream(sums.buffer_unordered(desk.ahead())) {
            match desk.answer(outcome, Summed::Failed)? {
                Summed::Ranked(ranked) => desk.ctx.emit(Output::Ranked(ranked), out)?,
                Summed::Failed(why) => return desk.fail(format!("partition {number}"), why),
                Summed::Missing(slice, why) => {
                    gone.insert(place(&slice.name).to_owned());
                    left.push(number);
                    last = why;
                }
            }
        }
        if left.is_empty() {
            return Continue(());
        }
    }
    desk.fail(format!("partition {}", left[0]), last)
}

/// Has counted again what was at these places, or with workers that are known to be lost.
fn restore(
    counts: &mut Vec<Counts>,
    mut gone: HashSet<String>,
    desk: &Desk,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    loop {
        let is_gone = |place: &str| gone.contains(place) || !desk.cluster.has(place);
        let is_lost =
            |counts: &mut Counts| counts.slices.first().is_some_and(|part| is_gone(place(&part.name)));
        let lost: Vec<Counts> = counts.extract_if(.., is_lost).collect();
        if lost.is_empty() {
            return Continue(());
        }
        gone.clear();
        let again = lost.into_iter().map(|counts| Counts { origin: counts.origin.lost(), ..counts });
        counts.extend(count(again, desk, out)?.0);
    }
}
// ANCHOR_END: wordcount-gather

/// The coordinator's side of the job.
struct Desk<'a> {
    brief: Brief,
    cluster: &'a Cluster,
    lineage: Lineage,
    ctx: &'a Ctx,
}

impl Desk<'_> {
    /// A task that is to be counted. None if that is the end of the job.
    fn begin(&self, task: &Task) -> Option<Counts> {
        match self.cluster.or_fail(self.lineage.keep(task)) {
            Continue(origin) => Some(Counts { origin, read: None, slices: Vec::new() }),
            Break(()) => None,
        }
    }

    fn task(&self, origin: &Origin) -> ControlFlow<(), Task> {
        self.cluster.or_fail(self.lineage.task(origin))
    }

    /// Has a share added up: its part of all counts.
    fn rank(&self, number: usize, counts: &[Counts]) -> impl Future<Output = (usize, Kept)> + use<> {
        let parts = counts.iter().filter_map(|counts| counts.slices.get(number).cloned());
        let slices = parts.filter(|part| !part.is_empty()).collect();
        let outcome = self.cluster.submit(encode(&Order::Rank(Share { number, slices })), Lane::Usual);
        async move { (number, outcome.await) }
    }

    /// What a worker answers to an order, or what its failure is.
    fn answer<A: DeserializeOwned>(&self, outcome: Kept, failed: fn(String) -> A) -> ControlFlow<(), A> {
        self.cluster.output(outcome, |_: &Order, why| failed(why.to_owned()))
    }

    /// How many orders are on their way at once: one in each worker's hands, and one waiting for it.
    fn ahead(&self) -> usize {
        2 * self.ctx.workers.get()
    }

    fn fail<T>(&self, who: impl Into<String>, why: impl ToString) -> ControlFlow<(), T> {
        self.cluster.fail(Error::worker(who, why))
    }
}

/// A task, and where its counts are.
struct Counts {
    origin: Origin,
    /// What was read of it the first time.
    read: Option<Read>,
    /// For each share. None at all if the task has failed.
    slices: Vec<Slice>,
}

/// A task on its way.
type Counting = Pin<Box<dyn Future<Output = (Counts, Kept)> + Send>>;

/// What a worker is told of a job.
#[derive(Serialize, Deserialize)]
struct Brief {
    settings: Settings,
    shares: usize,
    shared_fs: bool,
}

impl Brief {
    fn new(settings: &Settings, options: &Options, ctx: &Ctx) -> Result<Self> {
        let base = options.base(&settings.base)?.into();
        let workers = options.workers.len().max(ctx.workers.get());
        let shares = PARTITIONS.min(SHARES * workers);
        Ok(Self { settings: Settings { base, ..settings.clone() }, shares, shared_fs: options.shared_fs })
    }
}

/// What a worker is to do.
#[derive(Serialize, Deserialize)]
enum Order {
    Count { name: String, task: Task },
    Rank(Share),
}

/// What came of a task.
#[derive(Serialize, Deserialize)]
enum Counted {
    Shelved(Shelved),
    Failed(String),
    /// The worker cannot keep the counts, for this reason.
    Full(String),
}

/// What came of a share.
#[derive(Serialize, Deserialize)]
enum Summed {
    Ranked(Ranked),
    Failed(String),
    /// These counts cannot be had, for this reason.
    Missing(Slice, String),
}
