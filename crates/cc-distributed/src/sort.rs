//! `sort` on a cluster.
//!
//! - **Split.** First by the input: a chunk is what one worker's share of the memory has room for, less what it takes on
//!   its way if it is sent as contents. Then by the result: a merge is two megabytes of it, whatever the runs are like.
//! - **Share.** Runs stay with whoever has sorted them, and only their indexes come back here. Whoever merges fetches its
//!   parts of all runs from the other workers, with one call to each; what it makes of them is sent here, since it is
//!   here that it is written.
//! - **Bound.** The plan's, less what processes take for themselves, and smaller chunks if they are sent. One chunk more
//!   than there are workers is on its way; of the merges two a worker are waited for. All runs are merged at once: reading
//!   one keeps no file open, and a pass would send everything through this machine twice. The less memory, the more runs
//!   there are, and the finer are their indexes: or a merge would read more in vain than it needs.
//! - **Order.** A line of promises, of runs and then of merges, collected in the order they were given. A merge that has to
//!   be submitted again keeps its place in it.
//! - **Stop.** Closing the cluster's queue breaks the promises and ends the sessions; with its session a worker leaves off
//!   sorting and fetching. The run's own workers are killed.
//! - **Fail.** What a lost worker has sorted is sorted again, from the file or from what was kept
//!   of a stream: the same runs, under the same names, which a table says the new place of. A merge
//!   that could not read them is submitted again, and so are its deaths; if their worker is alive,
//!   the merge is for another worker that reaches it, and if there is none, that ends the run. A
//!   worker whose answer is not of its task gets no more of them. A task that fails ends the run,
//!   as does a full disk: a part of the lines is not what was asked for.

use std::{
    convert::identity,
    ops::ControlFlow::{self, Continue},
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    sort::{Content, Job, Made, Output, Piece, Plan, Query, Runs, Scope, Sorter, Task},
};
use futures::{StreamExt, executor::block_on_stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    brief::Brief,
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        lineage::{Lineage, Origin, Placed, Places},
        location::place,
        queue::{Attempts, Kept, Lane, Promise},
        reach::{Missing, Reach},
        worker::{Means, Service, Work},
    },
};

/// What a process takes for itself.
const PROCESS: u64 = 3 << 20;

// ANCHOR: sort-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options { temporary: Some(job.temporary.clone()), ..Options::new(&ctx.options) };
    let brief = brief(&job.query, &options)?;
    let plan = job.plan(ctx)?;
    let cluster = Cluster::start("sort", encode(&brief), &options, ctx)?;
    let (lineage, reach) = (Lineage::at(&job.temporary), Reach::new(&cluster));
    let desk = Desk { brief, cluster: &cluster, lineage, reach, ctx };
    // If it breaks off, the cluster knows why.
    let _ = sort(job, &shared_out(plan, job, &desk), &desk, out);
    cluster.close()
}

/// Has runs made, and then merged.
fn sort(job: &Job, plan: &Plan, desk: &Desk, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let mut runs = Runs::new(job, plan, desk.lineage.shelf());
    let chunks = job.chunks(plan, desk.lineage.shelf(), &desk.ctx.stop);
    let places = gather(feed(chunks, desk), desk, &mut runs.gather(out))?;
    merge(&runs, plan, &Mutex::new(places), desk, out)
}

/// What is left of the plan's sizes when each process has had its own; and if chunks are sent, they are here, with
/// workers and waiting, and there as they have arrived and as they are read.
fn shared_out(plan: Plan, job: &Job, desk: &Desk) -> Plan {
    let workers = desk.workers() as u64;
    let memory = job.memory.max(workers << 20);
    let left = memory.saturating_sub((workers + 1) * PROCESS).max(memory / 2);
    let part_of = |size: u64| size / 1024 * (left / (memory / 1024));
    let room = match (plan.in_memory, desk.brief.shared_fs) {
        (true, _) => plan.room,
        (false, true) => part_of(plan.room),
        (false, false) => part_of(plan.room) * 2 * workers / (5 * workers + 5),
    };
    // There are more runs the less room there is, and no passes: so a merge must not read much of each in vain.
    let block = (room >> 10).clamp(1 << 10, plan.block);
    Plan { chunk: room / 8 * 5, room, merge: part_of(plan.merge), block, ..plan }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Submits chunks, one more than there are workers, and then one whenever the first of them has been sorted. The calling
/// thread reads what has to be sent: it would only wait, and the memory for that it can use for merges later.
fn feed(
    chunks: impl Iterator<Item = Task>,
    desk: &Desk,
) -> impl Iterator<Item = ControlFlow<(), (Origin, Kept<Done>)>> {
    let submit = |task| {
        let origin = desk.cluster.or_fail(desk.lineage.keep(&task))?;
        Continue((origin, desk.sort(task, Lane::Usual)))
    };
    let sorting = chunks.map(submit).map(|submitted| async {
        let (origin, promise) = submitted?;
        Continue((origin, promise.await))
    });
    block_on_stream(stream::iter(sorting).buffered(desk.workers() + 1))
}
// ANCHOR_END: sort-feed

/// What a worker does for it.
pub(crate) const SERVICE: Service = Service::tasks("sort", work);

// ANCHOR: sort-work
/// Begins with a job in a worker: from here on, encoded tasks become encoded answers.
pub(crate) fn work(brief: &[u8], means: &Means) -> Result<Work> {
    let Brief { job: query, shared_fs } = Brief::<Query>::read(brief)?;
    let mut sorter = Sorter::new(&query, &means.stop).within(means.files(shared_fs)?);
    let shelf = means.shelf.clone();
    Ok(Box::new(move |task| {
        let task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        let done = match &task {
            Task::Chunk(_) => Ok(sorter.task(&task, &*shelf)),
            Task::Merge(merge) => sorter.merge(merge, &*shelf),
        };
        Ok(encode(&match done {
            Ok(Output::Runs(made)) => Done::Runs(shelf.place().to_owned(), made),
            Ok(output) => Done::Output(output),
            Err((slice, why)) => Done::Missing(Missing { at: shelf.place().to_owned(), slice, why }),
        }))
    }))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Takes what comes of the chunks, in their order. Returns where everything is.
fn gather(
    line: impl Iterator<Item = ControlFlow<(), (Origin, Kept<Done>)>>,
    desk: &Desk,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<(), Places> {
    let mut places = Places::default();
    for sorted in line {
        let (origin, outcome) = sorted?;
        let output = match desk.answer(outcome)? {
            Done::Runs(place, made) => {
                places.put(origin, &place, made.runs.iter().map(|run| &*run.name), &made);
                Output::Runs(made)
            }
            Done::Output(output) => output,
            Done::Missing(what) => return desk.cluster.fail_with(what.slice.name, &what.why),
        };
        desk.ctx.emit(output, out)?;
    }
    // The chunks end early, too, when a stop is requested.
    desk.ctx.stop.flow()?;
    Continue(places)
}

/// Emits what comes of the merges, in their order.
fn merge(
    runs: &Runs,
    plan: &Plan,
    places: &Mutex<Places>,
    desk: &Desk,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let merges = stream::iter(runs.merges()).map(|task| desk.merge(task, places));
    let window = desk.ctx.window.min(plan.fits).get().min(2 * desk.workers());
    block_on_stream(merges.buffered(window)).try_for_each(|output| desk.ctx.emit(output?, out))
}
// ANCHOR_END: sort-gather

/// The coordinator's side of the job.
struct Desk<'a> {
    brief: Brief<Query>,
    cluster: &'a Cluster,
    lineage: Lineage,
    reach: Reach<'a>,
    ctx: &'a Ctx,
}

impl Desk<'_> {
    /// Has a chunk sorted. What a worker cannot open itself is put in: files that are not shared, and what was kept of a
    /// stream.
    fn sort(&self, task: Task, lane: Lane) -> Promise<Done> {
        let is_name = |piece: &Piece| self.brief.shared_fs && !matches!(piece.content, Content::Shelf(_));
        let task = match task {
            Task::Chunk(chunk) if !chunk.pieces.iter().all(is_name) => {
                Task::Chunk(chunk.load(&self.brief.job, self.lineage.shelf()))
            }
            other => other,
        };
        self.submit(&task, lane, &Attempts::default())
    }

    /// Has a merge done, as often as it takes until all that it reads is there.
    async fn merge(&self, task: Task, places: &Mutex<Places>) -> ControlFlow<(), Output> {
        let (mut attempts, mut gone) = (Attempts::default(), None);
        loop {
            // Held while what is lost is sorted again: nobody else who misses it should have that done, too.
            let mut places = places.lock().await;
            self.restore(&mut places, gone).await?;
            let located = located(&task, &places);
            drop(places);
            self.reach.avoid(read_from(&located), &mut attempts);
            match self.answer(self.submit(&located, Lane::Usual, &attempts).await)? {
                Done::Output(output) => return Continue(output),
                Done::Missing(what) => gone = self.reach.lost_place(&what, &mut attempts).await?,
                Done::Runs(..) => return self.cluster.fail_with("a merge", "has made runs"),
            }
        }
    }

    /// Submits a task. Only what can have come of it is taken for an answer.
    fn submit(&self, task: &Task, lane: Lane, attempts: &Attempts) -> Promise<Done> {
        let scope = task.scope(&self.brief.job);
        let check = decoded(move |place, done: &Done| done.check(&scope, place));
        self.cluster.submit_again(encode(task), lane, check, attempts)
    }

    /// Has sorted again what is at this place, and what was with workers that are known to be lost.
    async fn restore(&self, places: &mut Places, mut gone: Option<String>) -> ControlFlow<()> {
        loop {
            let gone = gone.take();
            let lost = places.lost(|place| gone.as_deref() == Some(place) || !self.cluster.has(place));
            if lost.is_empty() {
                return Continue(());
            }
            let again = stream::iter(lost).map(|sorted| self.again(sorted)).buffer_unordered(self.workers());
            let all: Vec<_> = again.collect().await;
            all.into_iter().try_for_each(identity)?;
        }
    }

    /// Has a chunk sorted once more, ahead of the merges that wait for it.
    async fn again(&self, sorted: &mut Placed) -> ControlFlow<()> {
        let task = self.cluster.or_fail(self.lineage.task(sorted.origin()))?;
        match self.answer(self.sort(task, Lane::Urgent).await)? {
            Done::Runs(place, made) if sorted.again(&place, &made) => Continue(()),
            Done::Output(Output::Failed(why)) => self.cluster.fail(Error::Failed(why)),
            _ => self.cluster.fail_with("sorted again", "files have changed meanwhile"),
        }
    }

    /// What a worker answers, or what its failure is.
    fn answer(&self, outcome: Kept<Done>) -> ControlFlow<(), Done> {
        self.cluster.output(outcome, |task: &Task, why| Done::Output(task.failed(why)))
    }

    fn workers(&self) -> usize {
        self.ctx.workers.get()
    }
}

/// The same task, with full names of what it reads.
fn located(task: &Task, places: &Places) -> Task {
    let mut task = task.clone();
    if let Task::Merge(merge) = &mut task {
        merge.parts.iter_mut().for_each(|part| part.slice.name = places.full(&part.slice.name));
    }
    task
}

/// The places that a merge reads from.
fn read_from(task: &Task) -> impl Iterator<Item = &str> {
    let parts = if let Task::Merge(merge) = task { &merge.parts[..] } else { &[] };
    parts.iter().map(|part| place(&part.slice.name))
}

/// What a worker is told: the query, whose relative names begin where they begin here.
fn brief(query: &Query, options: &Options) -> Result<Brief<Query>> {
    let base = options.base(&query.base)?.into();
    Ok(Brief { job: Query { base, ..query.clone() }, shared_fs: options.shared_fs })
}

/// What came of a task.
#[derive(Serialize, Deserialize)]
enum Done {
    /// Runs, which are at this place.
    Runs(String, Made),
    /// Lines, or why there is nothing.
    Output(Output),
    /// Some runs cannot be read.
    Missing(Missing),
}

impl Done {
    /// Checks that a worker may answer this to a task that covers `scope`: its runs are in its own
    /// session.
    fn check(&self, scope: &Scope, place: &str) -> Result<(), String> {
        match self {
            Self::Runs(at, _) | Self::Missing(Missing { at, .. }) if at != place => {
                Err("it speaks for another worker".to_owned())
            }
            Self::Runs(_, made) => scope.accepts_runs(made),
            Self::Output(Output::Runs(_)) => Err("it does not say where its runs are".to_owned()),
            Self::Output(output) => scope.accepts(output),
            Self::Missing(what) => scope.reads(&what.slice),
        }
    }
}
