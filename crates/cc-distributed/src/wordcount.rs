//! `wordcount` on a cluster.
//!
//! - **Split.** A count task is one mebibyte of text, sent as contents or as names (`--shared-fs`).
//!   It is small because it is in memory several times, at the coordinator and at its worker. Then
//!   the words are divided by their hash into four shares per worker, so that the load is balanced,
//!   and a lost worker loses few of them.
//! - **Share.** Counts travel from worker to worker. The counts of a task stay in its worker's blob
//!   store, and only their names are returned. The worker of a share fetches its range of every
//!   task's counts. Through the coordinator, all counts would travel twice, and through one
//!   machine.
//! - **Bound.** At most 2 x `--workers` tasks are in flight, and two more are in the channel or
//!   being read. A worker has in memory the counts of one task, or the words of one share. The
//!   counts that it keeps for other workers are in a file. The coordinator keeps all tasks in a
//!   file too, with their contents if they came from a stream, because a stream cannot be read
//!   twice.
//! - **Order.** None: counts can be added in any order. But a share is complete only when all tasks
//!   are counted.
//! - **Stop.** Closing the cluster's queue abandons the pending results and ends the sessions. A
//!   worker stops fetching when its session ends. The worker processes of the run are killed.
//! - **Fail.** The tasks of a lost worker are counted again. A share is given at most one range per
//!   task, so nothing counts twice. A lost share is fetched and added up again by another worker;
//!   so is a share whose worker cannot reach a live worker that has some of the counts. The run
//!   ends with an error if no worker can reach all of them. A worker whose answer does not belong
//!   to its task gets no more tasks. A task that fails is retried file by file. A share that fails
//!   ends the run, and so does a full disk: totals that miss some of the text would be wrong.

use std::{
    collections::{HashMap, HashSet},
    env, mem,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    thread,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    blobs::BlobRange,
    printable::printable,
    temporary,
    wordcount::{
        Counter, Grain, Job, Loader, Output, PARTITIONS, Ranked, Read, Scope, Settings, Share, Spilled, Task,
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
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        lineage::{Lineage, Origin},
        location::location_of,
        queue::{Attempts, Completion, Lane},
        reach::{Missing, Reach},
        worker::{JobContext, Service, Work},
    },
    job_setup::JobSetup,
    threads::Threads,
};

/// Text per count task. A file limit keeps tasks of many small files short.
const GRAIN: Grain = Grain { bytes: 1 << 20, files: 1024 };

/// Shares per worker: several, so that a worker that finishes early finds another share.
const SHARES: usize = 4;

/// Maximum rounds in which counts are lost, per worker of the run. A share that kills its workers
/// is given up after a few rounds, but each worker may have another such share.
const ROUNDS: usize = 5;

// ANCHOR: wordcount-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes that it
/// starts.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.options);
    let setup = job_setup(ctx, &job.settings, &options)?;
    let cluster = Cluster::start("wordcount", encode(&setup), &options, ctx)?;
    let lineage = Lineage::at(&temporary::usable_dir(&env::temp_dir()));
    let reach = Reach::new(&cluster);
    let coordinator = Coordinator { ctx, setup, cluster: &cluster, lineage, reach };
    // If it ends early, `close` returns the reason.
    let _ = map_reduce(&coordinator, job, out);
    cluster.close()
}

/// Has all text counted, and then the counts added up.
fn map_reduce(coordinator: &Coordinator, job: &Job, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let tasks = job.tasks(GRAIN, &coordinator.ctx.stop);
    let tasks = tasks.map_while(|task| coordinator.record(&task));
    let (mut counts, split) = count(coordinator, tasks, out)?;
    if !split.is_empty() {
        let tasks = split.iter().map_while(|task| coordinator.record(task));
        let (retried, _) = count(coordinator, tasks, out)?;
        counts.extend(retried);
    }
    reduce(coordinator, counts, out)
}

/// Has these tasks counted. Returns where the counts are, and the failed tasks, split into files,
/// to be retried.
fn count(
    coordinator: &Coordinator,
    tasks: impl Iterator<Item = Counts> + Send,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<(), (Vec<Counts>, Vec<Task>)> {
    let (pending_tx, pending_rx) = channel(1);
    thread::scope(|scope| {
        let mut threads = Threads::new(coordinator.ctx, scope);
        let feed = move || _ = feed(coordinator, tasks, &pending_tx);
        coordinator.cluster.or_fail(threads.spawn("feed", feed))?;
        let counted = gather(coordinator, pending_rx, out);
        coordinator.cluster.or_fail(threads.join())?;
        counted
    })
}
// ANCHOR_END: wordcount-run

// ANCHOR: wordcount-feed
/// Submits the tasks, ready to be sent. Without `--shared-fs`, the text is read into the task.
fn feed(
    coordinator: &Coordinator,
    tasks: impl Iterator<Item = Counts>,
    pending_tx: &Sender<PendingCounts>,
) -> ControlFlow<()> {
    let JobSetup { job: CountSetup { settings, shares }, shared_fs } = &coordinator.setup;
    let shares = *shares;
    let mut loader = (!shared_fs).then(|| Loader::new(settings));
    for counts in tasks {
        let task = coordinator.task(&counts.origin)?;
        let task = match &mut loader {
            Some(loader) => loader.load(task),
            None => task,
        };
        let name = counts.origin.name();
        // `Task::scope`: what a valid output of this task may contain.
        let scope = task.scope();
        let request = encode(&Request::Count { name: name.clone(), task });
        let check =
            decoded(move |location, counted: &Counted| counted.check(&scope, location, &name, shares));
        let pending = coordinator.cluster.submit(request, Lane::Usual, check);
        if pending_tx.blocking_send(Box::pin(async { (counts, pending.await) })).is_err() {
            break;
        }
    }
    Continue(())
}
// ANCHOR_END: wordcount-feed

/// What a worker does for this workload.
pub(crate) const SERVICE: Service = Service::tasks("wordcount", work);

// ANCHOR: wordcount-work
/// Prepares a job in a worker. The returned function turns encoded requests into encoded answers.
pub(crate) fn work(context: &JobContext, setup: &[u8]) -> Result<Work> {
    let JobSetup { job: CountSetup { settings, shares }, shared_fs } = JobSetup::decode(setup)?;
    let mut counter = Counter::new(&settings).within(context.files(shared_fs)?);
    let blobs = context.blobs.clone();
    Ok(Box::new(move |request| match postcard::from_bytes(request).map_err(|error| error.to_string())? {
        Request::Count { name, task } => {
            let spilled = counter.spill(&task, &blobs.full_name(&name), shares, &*blobs);
            Ok(encode(&spilled.map_or_else(Counted::Full, Counted::Spilled)))
        }
        Request::Rank(share) => Ok(encode(&match share.rank(&settings, &*blobs) {
            Ok(ranked) => Summed::Ranked(ranked),
            Err((range, why)) => {
                Summed::Missing(Missing { location: blobs.location().to_owned(), range, why })
            }
        })),
    }))
}
// ANCHOR_END: wordcount-work

// ANCHOR: wordcount-gather
/// Receives the results of the count tasks, in the order of completion. Emits what was read of a
/// task when it is counted for the first time.
fn gather(
    coordinator: &Coordinator,
    pending_rx: Receiver<PendingCounts>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<(), (Vec<Counts>, Vec<Task>)> {
    let cluster = coordinator.cluster;
    let mut counted = Vec::new();
    let mut split = Vec::new();
    let pending = ReceiverStream::new(pending_rx).buffer_unordered(coordinator.max_in_flight());
    for (counts, completion) in block_on_stream(pending) {
        let Spilled { mut read, slices } = match coordinator.answer(completion, Counted::Failed)? {
            Counted::Spilled(spilled) => spilled,
            Counted::Failed(why) if counts.read.is_some() => return cluster.fail_with(RECOUNT, &why),
            Counted::Failed(why) => {
                Spilled { read: coordinator.task(&counts.origin)?.failed(&why), slices: Vec::new() }
            }
            Counted::Full(why) => return cluster.fail(Error::Failed(printable(&why).to_string())),
        };
        split.append(&mut read.split);
        match counts.read {
            None => coordinator.ctx.emit(Output::Read(read.clone()), out)?,
            Some(first) if first == read => {}
            Some(_) => return cluster.fail_with(RECOUNT, "a file has changed since it was counted"),
        }
        counted.push(Counts { read: Some(read), ranges: slices, ..counts });
    }
    Continue((counted, split))
}

/// Has the shares added up, and emits them. Repeats, with lost counts restored, until none is left.
fn reduce(coordinator: &Coordinator, mut counts: Vec<Counts>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let cluster = coordinator.cluster;
    let mut left: Vec<usize> = (0..coordinator.setup.job.shares).collect();
    let mut lost_locations = HashSet::new();
    let mut attempts: HashMap<usize, Attempts> = HashMap::new();
    let mut rounds = 0;
    while !left.is_empty() {
        restore(coordinator, &mut counts, mem::take(&mut lost_locations), out)?;
        let mut missing = Vec::new();
        let sums = stream::iter(mem::take(&mut left))
            .map(|number| coordinator.rank(number, &counts, attempts.entry(number).or_default()));
        for (number, completion) in block_on_stream(sums.buffer_unordered(coordinator.max_in_flight())) {
            match coordinator.answer(completion, Summed::Failed)? {
                Summed::Ranked(ranked) => coordinator.ctx.emit(Output::Ranked(ranked), out)?,
                Summed::Failed(why) => return cluster.fail_with(format!("partition {number}"), &why),
                Summed::Missing(what) => missing.push((number, what)),
            }
        }
        left.extend(missing.iter().map(|(number, _)| *number));
        // Each round starts with the same shares, so that one that kills its workers is found soon.
        left.sort_unstable();
        for (number, what) in missing {
            let attempts = attempts.entry(number).or_default();
            if let Some(lost) = block_on(coordinator.reach.lost_location(&what, attempts))? {
                lost_locations.insert(lost);
            }
        }
        rounds += usize::from(!lost_locations.is_empty());
        if rounds == ROUNDS * coordinator.ctx.workers.get() {
            let why = format!("workers that held counts were lost {rounds} times; the run gives up");
            return cluster.fail_with("counts", &why);
        }
    }
    Continue(())
}

/// Repeats the tasks with counts at these locations, or in sessions that are known to have ended,
/// until no counts are lost.
fn restore(
    coordinator: &Coordinator,
    counts: &mut Vec<Counts>,
    mut lost_locations: HashSet<String>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    loop {
        let is_lost = |counts: &mut Counts| {
            counts.ranges.first().is_some_and(|range| {
                let location = location_of(&range.name);
                lost_locations.contains(location) || !coordinator.cluster.has(location)
            })
        };
        let lost: Vec<Counts> = counts.extract_if(.., is_lost).collect();
        if lost.is_empty() {
            return Continue(());
        }
        lost_locations.clear();
        let retry = |counts: Counts| Counts { origin: counts.origin.next_attempt(), ..counts };
        let (recounted, _) = count(coordinator, lost.into_iter().map(retry), out)?;
        counts.extend(recounted);
    }
}
// ANCHOR_END: wordcount-gather

/// What an error is about that ends a second count of a task.
const RECOUNT: &str = "recount after a lost worker";

/// The coordinator's side of the job.
struct Coordinator<'a> {
    ctx: &'a Ctx,
    setup: JobSetup<CountSetup>,
    cluster: &'a Cluster,
    lineage: Lineage,
    reach: Reach<'a>,
}

impl Coordinator<'_> {
    /// Records a task that is to be counted, so that it can be repeated. None if that fails, which
    /// ends the job.
    fn record(&self, task: &Task) -> Option<Counts> {
        match self.cluster.or_fail(self.lineage.keep(task)) {
            Continue(origin) => Some(Counts { origin, read: None, ranges: Vec::new() }),
            Break(()) => None,
        }
    }

    fn task(&self, origin: &Origin) -> ControlFlow<(), Task> {
        self.cluster.or_fail(self.lineage.task(origin))
    }

    /// Submits a share: its range of the counts of every task.
    fn rank(
        &self,
        number: usize,
        counts: &[Counts],
        attempts: &Attempts,
    ) -> impl Future<Output = (usize, Completion<Summed>)> + use<> {
        let ranges = counts.iter().filter_map(|counts| counts.ranges.get(number).cloned());
        let slices = ranges.filter(|range| !range.is_empty()).collect();
        let share = Share { number, slices };
        let settings = self.setup.job.settings.clone();
        let request = encode(&Request::Rank(share.clone()));
        let check = decoded(move |location, summed: &Summed| summed.check(&share, location, &settings));
        let pending = self.cluster.resubmit(request, Lane::Usual, check, attempts);
        async move { (number, pending.await) }
    }

    /// A worker's answer to a request. A failure becomes the answer that `failed` makes of its
    /// reason.
    fn answer<A>(&self, completion: Completion<A>, failed: fn(String) -> A) -> ControlFlow<(), A> {
        self.cluster.output(completion, |_: &Request, why| failed(why.to_owned()))
    }

    /// Maximum requests in flight: for each worker one that runs and one that waits there.
    fn max_in_flight(&self) -> usize {
        2 * self.ctx.workers.get()
    }
}

/// A count task, and where its counts are.
struct Counts {
    origin: Origin,
    /// What was read when it was counted for the first time.
    read: Option<Read>,
    /// One range per share. Empty if the task has failed.
    ranges: Vec<BlobRange>,
}

/// A count task in flight.
type PendingCounts = Pin<Box<dyn Future<Output = (Counts, Completion<Counted>)> + Send>>;

/// What a worker is told: the settings, with the directory in which relative names begin, and the
/// number of shares.
fn job_setup(ctx: &Ctx, settings: &Settings, options: &Options) -> Result<JobSetup<CountSetup>> {
    let base = options.base(&settings.base)?.into();
    let workers = options.workers.len().max(ctx.workers.get());
    let shares = PARTITIONS.min(SHARES * workers);
    let settings = Settings { base, ..settings.clone() };
    Ok(JobSetup { job: CountSetup { settings, shares }, shared_fs: options.shared_fs })
}

/// What all tasks have in common.
#[derive(Serialize, Deserialize)]
struct CountSetup {
    settings: Settings,
    shares: usize,
}

/// A task of either phase.
#[derive(Serialize, Deserialize)]
enum Request {
    /// Counts the words of a task, into blobs with this name.
    Count { name: String, task: Task },
    /// Adds up the counts of a share.
    Rank(Share),
}

/// The answer to [`Request::Count`].
#[derive(Serialize, Deserialize)]
enum Counted {
    Spilled(Spilled),
    /// Made by the coordinator, of a failure; no worker may answer it.
    Failed(String),
    /// The worker cannot store the counts, for this reason.
    Full(String),
}

impl Counted {
    /// Checks the answer of the session at `location` to a task that covers `scope`: the counts
    /// must be in that session, under the name of the task.
    fn check(&self, scope: &Scope, location: &str, name: &str, shares: usize) -> Result<(), String> {
        match self {
            Self::Spilled(spilled) => scope.accepts_spilled(spilled, &format!("{location}/{name}"), shares),
            Self::Full(_) => Ok(()),
            Self::Failed(_) => Err("it reports a failed task as an answer".to_owned()),
        }
    }
}

/// The answer to [`Request::Rank`].
#[derive(Serialize, Deserialize)]
enum Summed {
    Ranked(Ranked),
    /// Made by the coordinator, of a failure; no worker may answer it.
    Failed(String),
    /// Some counts cannot be fetched.
    Missing(Missing),
}

impl Summed {
    /// Checks the answer of the session at `location` to a share.
    fn check(&self, share: &Share, location: &str, settings: &Settings) -> Result<(), String> {
        match self {
            Self::Ranked(ranked) => share.accepts(settings, ranked),
            Self::Missing(missing)
                if missing.location == location && share.slices.contains(&missing.range) =>
            {
                Ok(())
            }
            Self::Missing(_) => Err("it reports counts as missing that are not of its share".to_owned()),
            Self::Failed(_) => Err("it reports a failed share as an answer".to_owned()),
        }
    }
}
