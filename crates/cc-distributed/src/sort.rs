//! `sort` on a cluster.
//!
//! - **Split.** First by the input: a chunk is what one worker's share of the memory has room for, less what it takes on
//!   its way if it is sent as contents. Then by the result: a merge is two megabytes of it, whatever the runs are like.
//! - **Share.** Runs stay with whoever has sorted them, and only their indexes come back here. Whoever merges fetches its
//!   parts of all runs from the other workers, with one call to each; what it makes of them is sent here, since it is
//!   here that it is written.
//! - **Bound.** The plan's, where chunks are smaller when they are sent. At a worker, and here, there is one chunk on its
//!   way; of the merges two a worker are waited for. All runs are merged at once, however many they are: reading one keeps
//!   no file open, and a pass that made longer ones of them would send everything through this machine twice.
//! - **Order.** A line of promises, of runs and then of merges, collected in the order they were given. Names of runs do
//!   not say where they are; a table does, and it may change.
//! - **Stop.** Closing the cluster's queue breaks the promises and ends the sessions; with its session a worker leaves off
//!   sorting and fetching. The run's own workers are killed.
//! - **Fail.** What a lost worker has sorted is sorted again, from a file or from what was kept of a stream, and gives the
//!   same runs in another place. A merge that could not read them is submitted again, with its deaths. A task that fails
//!   ends the run, and so does a full disk: a part of the lines is not what was asked for.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    thread,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    shelf::Slice,
    sort::{Content, Job, Made, Output, Part, Piece, Plan, Query, Runs, Sorter, Task},
};
use futures::{StreamExt, executor::block_on_stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
    oneshot::error::RecvError,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    lineage::{Lineage, Origin},
    queue::{Deaths, Lane, Outcome, Promise},
    shelf::place,
    worker::{Means, Work},
};

/// So often a merge is tried while it cannot read from a worker that is at work all the same.
const ROUNDS: usize = 5;

// ANCHOR: sort-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options { temporary: Some(job.temporary.clone()), ..Options::new(&ctx.args) };
    let brief = Brief::new(&job.query, &options)?;
    let plan = job.plan(ctx)?;
    let plan = if brief.shared_fs { plan } else { on_the_way(plan, ctx) };
    let cluster = Cluster::start("sort", encode(&brief), &options, ctx)?;
    let desk = Desk { brief, cluster: &cluster, lineage: Lineage::at(&job.temporary), ctx };
    // If it breaks off, the cluster knows why.
    let _ = sort(job, &plan, &desk, out);
    cluster.close()
}

/// Has runs made, and then merged.
fn sort(job: &Job, plan: &Plan, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let mut runs = Runs::new(job, plan, desk.lineage.shelf());
    let (sorting, line) = channel(1);
    let table = thread::scope(|scope| {
        let tasks = job.chunks(plan, desk.lineage.shelf(), &desk.ctx.stop);
        let feed = move || feed(tasks, desk, &sorting);
        let thread = thread::Builder::new().name("feed".to_owned()).spawn_scoped(scope, feed);
        desk.cluster.or_fail(thread.map_err(|e| Error::worker("thread", e)))?;
        gather(line, desk, &mut runs.gather(out))
    })?;
    merge(&runs, &Mutex::new(table), desk, out)
}

/// The same memory, when chunks are on their way as well. Here one waits for each worker and two are being read and
/// submitted, and each worker has received one when it begins to read it.
fn on_the_way(plan: Plan, ctx: &Ctx) -> Plan {
    if plan.in_memory {
        return plan;
    }
    let workers = ctx.workers.get() as u64;
    let smaller = |size: u64| size * workers / (5 * workers + 3);
    Plan { chunk: smaller(plan.chunk), room: smaller(plan.chunk) / 5 * 8, ..plan }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Submits the chunks, ready for the journey.
fn feed(tasks: impl Iterator<Item = Task>, desk: &Desk, sorting: &Sender<Sorting>) -> ControlFlow<()> {
    for task in tasks {
        let origin = desk.cluster.or_fail(desk.lineage.keep(&task))?;
        let outcome = desk.sort(task, Lane::Usual);
        if sorting.blocking_send(Box::pin(async { (origin, outcome.await) })).is_err() {
            break;
        }
    }
    Continue(())
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Begins with a job in a worker: from here on, encoded tasks become encoded answers.
pub(crate) fn work(brief: &[u8], means: &Means) -> Result<Work> {
    let unreadable = |error| Error::worker("brief", error);
    let Brief { query, shared_fs } = postcard::from_bytes(brief).map_err(unreadable)?;
    let mut guard = means.files.guard(shared_fs, &query.base)?;
    let (mut sorter, shelf) = (Sorter::new(&query, &means.stop), means.shelf.clone());
    Ok(Box::new(move |bytes| {
        let mut task = postcard::from_bytes(&bytes).map_err(|error| error.to_string())?;
        // A chunk is large, and there now.
        drop(bytes);
        if let Task::Chunk(chunk) = &mut task {
            for piece in chunk.pieces.iter_mut().filter(|piece| piece.content == Content::File) {
                if let Err(why) = guard.admit(&piece.path) {
                    let name = String::from_utf8_lossy(&piece.path);
                    piece.content = Content::Missing(format!("cannot read: {name}: {why}"));
                }
            }
        }
        let done = match &task {
            Task::Chunk(_) => Ok(sorter.task(&task, &*shelf)),
            Task::Merge(merge) => sorter.merge(merge, &*shelf),
        };
        Ok(encode(&match done {
            Ok(Output::Runs(made)) => Done::Runs(shelf.place().to_owned(), made),
            Ok(output) => Done::Output(output),
            Err((slice, why)) => Done::Missing(slice, why),
        }))
    }))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Takes what comes of the chunks, in their order. Returns where everything is.
fn gather(line: Receiver<Sorting>, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<(), Table> {
    let mut table = Table::default();
    for (origin, outcome) in block_on_stream(ReceiverStream::new(line).buffered(desk.ahead())) {
        let output = match desk.answer(outcome)? {
            Done::Runs(place, made) => {
                table.put(origin, &place, &made);
                Output::Runs(made)
            }
            Done::Output(output) => output,
            Done::Missing(slice, why) => return desk.fail(slice.name, why),
        };
        desk.ctx.emit(output, out)?;
    }
    // The chunks end early, too, when a stop is requested.
    if desk.ctx.stop.requested() { Break(()) } else { Continue(table) }
}

/// Emits what comes of the merges, in their order.
fn merge(runs: &Runs, table: &Mutex<Table>, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let merges = stream::iter(runs.merges()).map(|task| desk.merge(task, table));
    let mut outputs = block_on_stream(merges.buffered(2 * desk.ctx.workers.get()));
    outputs.try_for_each(|output| desk.ctx.emit(output?, out))
}
// ANCHOR_END: sort-gather

/// The coordinator's side of the job.
struct Desk<'a> {
    brief: Brief,
    cluster: &'a Cluster,
    lineage: Lineage,
    ctx: &'a Ctx,
}

impl Desk<'_> {
    /// Has a chunk sorted. What a worker cannot open itself is put in: files that are not shared, and what was kept of a
    /// stream.
    fn sort(&self, task: Task, lane: Lane) -> Promise {
        let is_name = |piece: &Piece| self.brief.shared_fs && !matches!(piece.content, Content::Shelf(_));
        let task = match task {
            Task::Chunk(chunk) if !chunk.pieces.iter().all(is_name) => {
                Task::Chunk(chunk.load(&self.brief.query, self.lineage.shelf()))
            }
            other => other,
        };
        self.cluster.submit(encode(&task), lane)
    }

    /// Has a merge done, as often as it takes until all that it reads is there.
    async fn merge(&self, task: Task, table: &Mutex<Table>) -> ControlFlow<(), Output> {
        let (deaths, mut missing, mut rounds) = (Deaths::default(), None, 0);
        loop {
            let mut table = table.lock().await;
            self.restore(&mut table, missing).await?;
            let (changes, task_here) = (table.changes, table.located(&task));
            drop(table);
            let outcome = self.cluster.submit_again(encode(&task_here), Lane::Usual, &deaths).await;
            match self.answer(outcome)? {
                Done::Output(output) => return Continue(output),
                Done::Missing(_, why) if rounds == ROUNDS => return Continue(task.failed(&why)),
                Done::Missing(slice, _) => {
                    let place = place(&slice.name).to_owned();
                    rounds += usize::from(self.cluster.has(&place));
                    missing = Some((place, changes));
                }
                Done::Runs(..) => return self.fail("a merge", "has made runs"),
            }
        }
    }

    /// Has sorted again what was at this place, unless the table has changed since, and what was with workers that are
    /// known to be lost.
    async fn restore(&self, table: &mut Table, missing: Option<(String, usize)>) -> ControlFlow<()> {
        let mut gone = missing.filter(|(_, changes)| *changes == table.changes).map(|(place, _)| place);
        loop {
            let is_lost = |place: &String| gone.as_ref() == Some(place) || !self.cluster.has(place);
            let lost = table.sorted.iter_mut().filter(|sorted| is_lost(&sorted.place));
            let mut again =
                stream::iter(lost).map(|sorted| self.again(sorted)).buffer_unordered(self.ahead());
            let mut count = 0;
            while let Some(flow) = again.next().await {
                flow?;
                count += 1;
            }
            drop(again);
            if count == 0 {
                return Continue(());
            }
            table.changes += 1;
            gone = None;
        }
    }

    /// Has a chunk sorted once more, ahead of the merges that wait for it.
    async fn again(&self, sorted: &mut Sorted) -> ControlFlow<()> {
        let task = self.cluster.or_fail(self.lineage.task(&sorted.origin))?;
        match self.answer(self.sort(task, Lane::Urgent).await)? {
            Done::Runs(place, made) if digest(&made) == sorted.digest => {
                sorted.place = place;
                Continue(())
            }
            Done::Output(Output::Failed(why)) => self.cluster.fail(Error::Failed(why)),
            _ => self.fail("sorted again", "files have changed meanwhile"),
        }
    }

    /// What a worker answers, or what its failure is.
    fn answer(&self, outcome: Promised) -> ControlFlow<(), Done> {
        let done = self.cluster.output(outcome, |task: &Task, why| Done::Output(task.failed(why)));
        done.map_or(Break(()), Continue)
    }

    /// So many chunks are waited for at once.
    fn ahead(&self) -> usize {
        self.ctx.workers.get()
    }

    fn fail<T>(&self, who: impl Into<String>, why: impl ToString) -> ControlFlow<(), T> {
        self.cluster.fail(Error::worker(who, why))
    }
}

/// Where the runs are.
#[derive(Default)]
struct Table {
    sorted: Vec<Sorted>,
    /// Of which of these each run is.
    runs: HashMap<String, usize>,
    /// How often something has got another place.
    changes: usize,
}

/// A chunk whose runs are with a worker.
struct Sorted {
    origin: Origin,
    place: String,
    /// Of what was made of it. Whatever is made again is the same, or files have changed.
    digest: u64,
}

impl Table {
    fn put(&mut self, origin: Origin, place: &str, made: &Made) {
        self.runs.extend(made.runs.iter().map(|run| (run.name.clone(), self.sorted.len())));
        self.sorted.push(Sorted { origin, place: place.to_owned(), digest: digest(made) });
    }

    /// The same task, with full names of what it reads.
    fn located(&self, task: &Task) -> Task {
        let mut task = task.clone();
        if let Task::Merge(merge) = &mut task {
            for Part { slice, .. } in &mut merge.parts {
                let place = self.runs.get(&slice.name).map_or("", |nth| &*self.sorted[*nth].place);
                slice.name = format!("{place}/{}", slice.name);
            }
        }
        task
    }
}

fn digest(made: &Made) -> u64 {
    let mut hasher = DefaultHasher::new();
    encode(made).hash(&mut hasher);
    hasher.finish()
}

/// What came of a task, unless the job has ended before.
type Promised = Result<Outcome, RecvError>;

/// A chunk on its way.
type Sorting = Pin<Box<dyn Future<Output = (Origin, Promised)> + Send>>;

/// What a worker is told of a job.
#[derive(Serialize, Deserialize)]
struct Brief {
    query: Query,
    shared_fs: bool,
}

impl Brief {
    fn new(query: &Query, options: &Options) -> Result<Self> {
        let base = options.base(&query.base)?.into();
        Ok(Self { query: Query { base, ..query.clone() }, shared_fs: options.shared_fs })
    }
}

/// What came of a task.
#[derive(Serialize, Deserialize)]
enum Done {
    /// Runs, which are at this place.
    Runs(String, Made),
    /// Lines, or why there is nothing.
    Output(Output),
    /// This cannot be read, for this reason.
    Missing(Slice, String),
}
