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
//! - **Fail.** What a lost worker had counted is counted again, and every share is given exactly
//!   one part of each task, so nothing counts twice. A share that is lost is fetched and added up
//!   again elsewhere; so is one whose worker does not reach another that is alive. Only if no
//!   worker reaches all others, that ends the run. A worker whose answer is not of its task gets no
//!   more of them. A task that fails is done once more, file by file; a share that fails ends the
//!   run, and so does a full disk: a part of the truth is none.

use std::{
    collections::{HashMap, HashSet},
    env, mem,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    thread,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    printable::printable,
    shelf::Slice,
    wordcount::{
        Counter, Grain, Job, Loader, Output, PARTITIONS, Ranked, Read, Scope, Settings, Share, Shelved, Task,
    },
};
use futures::{
    StreamExt,
    executor::{block_on, block_on_stream},
    stream,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    brief::Brief,
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        lineage::{Lineage, Origin},
        location::place,
        queue::{Attempts, Kept, Lane},
        reach::{Missing, Reach},
        worker::{Means, Service, Work},
    },
    threads::Threads,
};

/// A task.
const GRAIN: Grain = Grain { bytes: 1 << 20, files: 1024 };

/// So many shares there are for each worker.
const SHARES: usize = 4;

/// Rounds in which workers with counts may be lost, for each worker of the run: a partition that
/// loses its workers is known after a few, but each worker may have another such partition.
const ROUNDS: usize = 5;

// ANCHOR: wordcount-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.options);
    let brief = brief(&job.settings, &options, ctx)?;
    let cluster = Cluster::start("wordcount", encode(&brief), &options, ctx)?;
    let (lineage, reach) = (Lineage::at(&env::temp_dir()), Reach::new(&cluster));
    let desk = Desk { brief, cluster: &cluster, lineage, reach, ctx };
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
        let mut threads = Threads::new(scope, desk.ctx);
        let feed = move || _ = feed(tasks, desk, &counting);
        desk.cluster.or_fail(threads.spawn("feed", feed))?;
        let counted = gather(line, desk, out);
        desk.cluster.or_fail(threads.join())?;
        counted
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Submits the tasks, ready for the journey: what a worker cannot open itself is put in.
fn feed(tasks: impl Iterator<Item = Counts>, desk: &Desk, counting: &Sender<Counting>) -> ControlFlow<()> {
    let mut loader = (!desk.brief.shared_fs).then(|| Loader::new(&desk.brief.job.settings));
    for counts in tasks {
        let task = desk.task(&counts.origin)?;
        let task = match &mut loader {
            Some(loader) => loader.load(task),
            None => task,
        };
        let (name, shares, scope) = (counts.origin.name(), desk.brief.job.shares, task.scope());
        let order = Order::Count { name: name.clone(), task };
        let check = decoded(move |place, counted: &Counted| counted.check(&scope, place, &name, shares));
        let outcome = desk.cluster.submit(encode(&order), Lane::Usual, check);
        if counting.blocking_send(Box::pin(async { (counts, outcome.await) })).is_err() {
            break;
        }
    }
    Continue(())
}
// ANCHOR_END: wordcount-feed

/// What a worker does for it.
pub(crate) const SERVICE: Service = Service::tasks("wordcount", work);

// ANCHOR: wordcount-work
/// Begins with a job in a worker: from here on, encoded orders become encoded answers.
pub(crate) fn work(brief: &[u8], means: &Means) -> Result<Work> {
    let Brief { job: Setup { settings, shares }, shared_fs } = Brief::read(brief)?;
    let mut counter = Counter::new(&settings).within(means.files(shared_fs)?);
    let shelf = means.shelf.clone();
    Ok(Box::new(move |order| match postcard::from_bytes(order).map_err(|error| error.to_string())? {
        Order::Count { name, task } => {
            let shelved = counter.shelve(&task, &shelf.here(&name), shares, &*shelf);
            Ok(encode(&shelved.map_or_else(Counted::Full, Counted::Shelved)))
        }
        Order::Rank(share) => {
            let missing =
                |(slice, why)| Summed::Missing(Missing { at: shelf.place().to_owned(), slice, why });
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
            Counted::Failed(why) if counts.read.is_some() => {
                return desk.cluster.fail_with("counted again", &why);
            }
            Counted::Failed(why) => {
                Shelved { read: desk.task(&counts.origin)?.failed(&why), slices: Vec::new() }
            }
            Counted::Full(why) => return desk.cluster.fail(Error::Failed(printable(&why).to_string())),
        };
        apart.append(&mut read.apart);
        match counts.read {
            None => desk.ctx.emit(Output::Read(read.clone()), out)?,
            Some(first) if first == read => {}
            Some(_) => return desk.cluster.fail_with("counted again", "files have changed meanwhile"),
        }
        counted.push(Counts { read: Some(read), slices, ..counts });
    }
    Continue((counted, apart))
}

/// Has the shares added up, and emits them.
fn reduce(mut counts: Vec<Counts>, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let mut left: Vec<usize> = (0..desk.brief.job.shares).collect();
    let (mut gone, mut attempts, mut rounds) = (HashSet::new(), HashMap::new(), 0);
    while !left.is_empty() {
        restore(&mut counts, mem::take(&mut gone), desk, out)?;
        let mut missing = Vec::new();
        let sums = stream::iter(mem::take(&mut left)).map(|number| {
            let attempts: &Attempts = attempts.entry(number).or_default();
            desk.rank(number, &counts, attempts)
        });
        for (number, outcome) in block_on_stream(sums.buffer_unordered(desk.ahead())) {
            match desk.answer(outcome, Summed::Failed)? {
                Summed::Ranked(ranked) => desk.ctx.emit(Output::Ranked(ranked), out)?,
                Summed::Failed(why) => return desk.cluster.fail_with(format!("partition {number}"), &why),
                Summed::Missing(what) => missing.push((number, what)),
            }
        }
        left.extend(missing.iter().map(|(number, _)| *number));
        // The same ones come first each time, so that those that lose their workers are soon known.
        left.sort_unstable();
        for (number, what) in missing {
            let attempts = attempts.entry(number).or_default();
            if let Some(lost) = block_on(desk.reach.lost_place(&what, attempts))? {
                gone.insert(lost);
            }
        }
        rounds += usize::from(!gone.is_empty());
        if rounds == ROUNDS * desk.ctx.workers.get() {
            return desk.cluster.fail_with("counts", "their workers are lost again and again");
        }
    }
    Continue(())
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
    brief: Brief<Setup>,
    cluster: &'a Cluster,
    lineage: Lineage,
    reach: Reach<'a>,
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
    fn rank(
        &self,
        number: usize,
        counts: &[Counts],
        attempts: &Attempts,
    ) -> impl Future<Output = (usize, Kept<Summed>)> + use<> {
        let parts = counts.iter().filter_map(|counts| counts.slices.get(number).cloned());
        let slices = parts.filter(|part| !part.is_empty()).collect();
        let (share, settings) = (Share { number, slices }, self.brief.job.settings.clone());
        let order = encode(&Order::Rank(share.clone()));
        let check = decoded(move |place, summed: &Summed| summed.check(&share, place, &settings));
        let outcome = self.cluster.submit_again(order, Lane::Usual, check, attempts);
        async move { (number, outcome.await) }
    }

    /// What a worker answers to an order, or what its failure is.
    fn answer<A>(&self, outcome: Kept<A>, failed: fn(String) -> A) -> ControlFlow<(), A> {
        self.cluster.output(outcome, |_: &Order, why| failed(why.to_owned()))
    }

    /// How many orders are on their way at once: one in each worker's hands, and one waiting for it.
    fn ahead(&self) -> usize {
        2 * self.ctx.workers.get()
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
type Counting = Pin<Box<dyn Future<Output = (Counts, Kept<Counted>)> + Send>>;

/// What a worker is told: the settings, whose relative names begin where they begin here.
fn brief(settings: &Settings, options: &Options, ctx: &Ctx) -> Result<Brief<Setup>> {
    let base = options.base(&settings.base)?.into();
    let workers = options.workers.len().max(ctx.workers.get());
    let shares = PARTITIONS.min(SHARES * workers);
    let settings = Settings { base, ..settings.clone() };
    Ok(Brief { job: Setup { settings, shares }, shared_fs: options.shared_fs })
}

/// What all tasks have in common.
#[derive(Serialize, Deserialize)]
struct Setup {
    settings: Settings,
    shares: usize,
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

impl Counted {
    /// Checks that a worker may answer this to a task that covers `scope`: its counts are in its
    /// own session.
    fn check(&self, scope: &Scope, place: &str, name: &str, shares: usize) -> Result<(), String> {
        match self {
            Self::Shelved(shelved) => scope.accepts_shelved(shelved, &format!("{place}/{name}"), shares),
            Self::Full(_) => Ok(()),
            Self::Failed(_) => Err("it says of itself that its task has failed".to_owned()),
        }
    }
}

/// What came of a share.
#[derive(Serialize, Deserialize)]
enum Summed {
    Ranked(Ranked),
    Failed(String),
    /// Some counts cannot be had.
    Missing(Missing),
}

impl Summed {
    /// Checks that a worker may answer this to a share.
    fn check(&self, share: &Share, place: &str, settings: &Settings) -> Result<(), String> {
        match self {
            Self::Ranked(ranked) => share.accepts(settings, ranked),
            Self::Missing(Missing { at, slice, .. }) if at == place && share.slices.contains(slice) => Ok(()),
            Self::Missing(_) => Err("it misses what is not a part of its share".to_owned()),
            Self::Failed(_) => Err("it says of itself that its share has failed".to_owned()),
        }
    }
}
