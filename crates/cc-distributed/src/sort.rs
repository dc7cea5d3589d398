//! `sort` on a cluster.
//!
//! - **Split.** First by the input: a chunk is what fits into one worker's share of the memory; if
//!   chunks are sent as contents, less, because the messages need memory too. Then by the result: a
//!   merge makes two megabytes of output, for any number and length of runs.
//! - **Share.** Runs stay with the worker that sorted them, and only their indexes are returned. A
//!   worker that merges fetches its ranges of all runs from the other workers, with one call to
//!   each. Its output is sent to the coordinator, which writes it.
//! - **Bound.** The plan's, less the memory of the processes themselves. At most `--workers` + 1
//!   chunks are in flight, and then at most 2 x `--workers` merges. All runs are merged in one
//!   pass: an open run needs no file descriptor, and another pass would send all data through the
//!   coordinator twice. With less memory there are more runs, and their indexes are finer;
//!   otherwise a merge would read more bytes than it needs.
//! - **Order.** Pending results, of chunks and then of merges, are awaited in the order of
//!   submission. A merge that is retried keeps its position.
//! - **Stop.** Closing the cluster's queue abandons the pending results and ends the sessions. A
//!   worker stops sorting and fetching when its session ends. The worker processes of the run are
//!   killed.
//! - **Fail.** The chunks of a lost worker are sorted again, from the file or from the kept
//!   contents of a stream. The runs are the same and have the same names; a table maps the names to
//!   their new location. A merge that could not read its runs is resubmitted, and keeps its loss
//!   counts. If the worker that has the runs is alive, the merge goes to another worker that can
//!   reach it; if there is none, the run ends. A worker whose answer does not belong to its task
//!   gets no more tasks. A task that fails ends the run, and so does a full disk: some of the lines
//!   would be missing.

use std::ops::ControlFlow::{self, Continue};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    sort::{Content, Job, Made, Output, Piece, Plan, Query, Runs, Scope, Sorter, Task},
};
use futures::{StreamExt, executor::block_on_stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        lineage::{Lineage, LocatedTask, LocationMap, Origin},
        location::location_of,
        queue::{Attempts, Completion, Lane, Pending},
        reach::{Missing, Reach},
        worker::{JobContext, Service, Work},
    },
    job_setup::JobSetup,
};

/// Bytes of memory that a process needs in addition to its chunks.
const PROCESS: u64 = 3 << 20;

// ANCHOR: sort-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes that it
/// starts.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let temporary = job.temporary_dir();
    let options = Options { temporary: Some(temporary.clone()), ..Options::new(&ctx.options) };
    let setup = job_setup(&job.query, &options)?;
    let plan = job.plan(ctx)?;
    let cluster = Cluster::start("sort", encode(&setup), &options, ctx)?;
    let lineage = Lineage::at(&temporary);
    let reach = Reach::new(&cluster);
    let coordinator = Coordinator { ctx, setup, cluster: &cluster, lineage, reach };
    let plan = cluster_plan(&coordinator, job, plan);
    // If it ends early, `close` returns the reason.
    let _ = sort(&coordinator, job, &plan, out);
    cluster.close()
}

/// Has the runs sorted, and then merged.
fn sort(coordinator: &Coordinator, job: &Job, plan: &Plan, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let blobs = coordinator.lineage.blobs();
    let mut runs = Runs::new(job, plan, blobs);
    let chunks = job.chunks(plan, blobs, &coordinator.ctx.stop);
    let locations = gather(coordinator, feed(coordinator, chunks), &mut runs.gather(out))?;
    merge(coordinator, plan, &runs, &Mutex::new(locations), out)
}

/// The plan with the sizes that are left when the memory of the processes is subtracted. Chunks
/// that are sent are in memory several times: at the coordinator those in flight, and at a worker
/// as received and as read.
fn cluster_plan(coordinator: &Coordinator, job: &Job, plan: Plan) -> Plan {
    let workers = coordinator.workers() as u64;
    let memory = job.memory.max(workers << 20);
    let left = memory.saturating_sub((workers + 1) * PROCESS).max(memory / 2);
    let part_of = |size: u64| size / 1024 * (left / (memory / 1024));
    let room = match (plan.in_memory, coordinator.setup.shared_fs) {
        (true, _) => plan.room,
        (false, true) => part_of(plan.room),
        (false, false) => part_of(plan.room) * 2 * workers / (5 * workers + 5),
    };
    // With less room there are more runs, and all are merged in one pass. A merge reads whole
    // blocks of each run, so blocks must be smaller then.
    let block = (room >> 10).clamp(1 << 10, plan.block);
    Plan { chunk: room / 8 * 5, room, merge: part_of(plan.merge), block, ..plan }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Submits chunks: one more than there are workers, then one more each time that the first of them
/// is sorted. The calling thread itself reads the contents that are sent. It would otherwise only
/// wait, and it can use the memory for merges later.
fn feed(
    coordinator: &Coordinator,
    chunks: impl Iterator<Item = Task>,
) -> impl Iterator<Item = ControlFlow<(), (Origin, Completion<Answer>)>> {
    let submit = |task| {
        let origin = coordinator.cluster.or_fail(coordinator.lineage.keep(&task))?;
        Continue((origin, coordinator.submit_chunk(task, Lane::Usual)))
    };
    let pending = chunks.map(submit).map(|submitted| async {
        let (origin, pending) = submitted?;
        Continue((origin, pending.await))
    });
    block_on_stream(stream::iter(pending).buffered(coordinator.workers() + 1))
}
// ANCHOR_END: sort-feed

/// What a worker does for this workload.
pub(crate) const SERVICE: Service = Service::tasks("sort", work);

// ANCHOR: sort-work
/// Prepares a job in a worker. The returned function turns encoded tasks into encoded answers.
pub(crate) fn work(context: &JobContext, setup: &[u8]) -> Result<Work> {
    let JobSetup { job: query, shared_fs } = JobSetup::<Query>::decode(setup)?;
    let mut sorter = Sorter::new(&query, &context.stop).within(context.files(shared_fs)?);
    let blobs = context.blobs.clone();
    Ok(Box::new(move |task| {
        let task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        let output = match &task {
            Task::Chunk(_) => Ok(sorter.task(&task, &*blobs)),
            Task::Merge(merge) => sorter.merge(merge, &*blobs),
        };
        let location = blobs.location().to_owned();
        Ok(encode(&match output {
            Ok(Output::Runs(made)) => Answer::Runs(location, made),
            Ok(output) => Answer::Output(output),
            Err((range, why)) => Answer::Missing(Missing { location, range, why }),
        }))
    }))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Receives the results of the chunks, in their order. Returns where all runs are.
fn gather(
    coordinator: &Coordinator,
    completions: impl Iterator<Item = ControlFlow<(), (Origin, Completion<Answer>)>>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<(), LocationMap> {
    let mut locations = LocationMap::default();
    for completed in completions {
        let (origin, completion) = completed?;
        let output = match coordinator.answer(completion)? {
            Answer::Runs(location, made) => {
                locations.put(origin, &location, made.runs.iter().map(|run| &*run.name), &made);
                Output::Runs(made)
            }
            Answer::Output(output) => output,
            Answer::Missing(what) => return coordinator.cluster.fail_with(what.range.name, &what.why),
        };
        coordinator.ctx.emit(output, out)?;
    }
    // The chunks also end when a stop is requested; then not all runs are there.
    coordinator.ctx.stop.flow()?;
    Continue(locations)
}

/// Emits the outputs of the merges, in their order.
fn merge(
    coordinator: &Coordinator,
    plan: &Plan,
    runs: &Runs,
    locations: &Mutex<LocationMap>,
    out: &mut dyn Sink<Output>,
) -> ControlFlow<()> {
    let merges = stream::iter(runs.merges()).map(|task| coordinator.merge(task, locations));
    let window = coordinator.ctx.window.min(plan.fits).get();
    let outputs = merges.buffered(window.min(2 * coordinator.workers()));
    block_on_stream(outputs).try_for_each(|output| coordinator.ctx.emit(output?, out))
}
// ANCHOR_END: sort-gather

/// The coordinator's side of the job.
struct Coordinator<'a> {
    ctx: &'a Ctx,
    setup: JobSetup<Query>,
    cluster: &'a Cluster,
    lineage: Lineage,
    reach: Reach<'a>,
}

impl Coordinator<'_> {
    /// Submits a chunk. What a worker cannot open is read into its task: files that are not shared,
    /// and the kept contents of a stream.
    fn submit_chunk(&self, task: Task, lane: Lane) -> Pending<Answer> {
        let can_be_opened =
            |piece: &Piece| self.setup.shared_fs && !matches!(piece.content, Content::Blob(_));
        let task = match task {
            Task::Chunk(chunk) if !chunk.pieces.iter().all(can_be_opened) => {
                Task::Chunk(chunk.load(&self.setup.job, self.lineage.blobs()))
            }
            other => other,
        };
        self.submit(&task, lane, &Attempts::default())
    }

    /// Has a merge done. Repeats until all runs that it reads can be fetched.
    async fn merge(&self, task: Task, locations: &Mutex<LocationMap>) -> ControlFlow<(), Output> {
        let mut attempts = Attempts::default();
        let mut lost = None;
        loop {
            // The lock is held while lost runs are sorted again, so that other merges that miss the
            // same runs wait for them, and do not have them sorted a second time.
            let mut locked = locations.lock().await;
            self.restore(&mut locked, lost).await?;
            let located = located(&task, &locked);
            drop(locked);
            self.reach.avoid(locations_read_by(&located), &mut attempts);
            match self.answer(self.submit(&located, Lane::Usual, &attempts).await)? {
                Answer::Output(output) => return Continue(output),
                Answer::Missing(what) => lost = self.reach.lost_location(&what, &mut attempts).await?,
                Answer::Runs(..) => {
                    return self.cluster.fail_with("merge", "a worker returned runs instead of lines");
                }
            }
        }
    }

    /// Submits a task. An answer is accepted only if this task can have it.
    fn submit(&self, task: &Task, lane: Lane, attempts: &Attempts) -> Pending<Answer> {
        let scope = task.scope(&self.setup.job);
        let check = decoded(move |location, answer: &Answer| answer.check(&scope, location));
        self.cluster.resubmit(encode(task), lane, check, attempts)
    }

    /// Has the chunks sorted again whose runs were at the lost location, or in sessions that are
    /// known to have ended. Repeats until no runs are lost.
    async fn restore(&self, locations: &mut LocationMap, mut lost: Option<String>) -> ControlFlow<()> {
        loop {
            let lost = lost.take();
            let is_lost = |location: &str| lost.as_deref() == Some(location) || !self.cluster.has(location);
            let chunks = locations.lost(is_lost);
            if chunks.is_empty() {
                return Continue(());
            }
            let retries = stream::iter(chunks).map(|chunk| self.retry(chunk));
            let results: Vec<_> = retries.buffer_unordered(self.workers()).collect().await;
            for result in results {
                result?;
            }
        }
    }

    /// Has a chunk sorted again, before the merges that wait for it.
    async fn retry(&self, chunk: &mut LocatedTask) -> ControlFlow<()> {
        let task = self.cluster.or_fail(self.lineage.task(chunk.origin()))?;
        match self.answer(self.submit_chunk(task, Lane::Urgent).await)? {
            Answer::Runs(location, made) if chunk.relocate(&location, &made) => Continue(()),
            Answer::Output(Output::Failed(why)) => self.cluster.fail(Error::Failed(why)),
            _ => {
                let why = "a file has changed since it was sorted";
                self.cluster.fail_with("second sort after a lost worker", why)
            }
        }
    }

    /// A worker's answer. A failure becomes an output.
    fn answer(&self, completion: Completion<Answer>) -> ControlFlow<(), Answer> {
        self.cluster.output(completion, |task: &Task, why| Answer::Output(task.failed(why)))
    }

    fn workers(&self) -> usize {
        self.ctx.workers.get()
    }
}

/// The same task, with the full names of the runs that it reads.
fn located(task: &Task, locations: &LocationMap) -> Task {
    let mut task = task.clone();
    if let Task::Merge(merge) = &mut task {
        for part in &mut merge.parts {
            part.slice.name = locations.full_name(&part.slice.name);
        }
    }
    task
}

/// The locations that a merge reads from.
fn locations_read_by(task: &Task) -> impl Iterator<Item = &str> {
    let parts = if let Task::Merge(merge) = task { &merge.parts[..] } else { &[] };
    parts.iter().map(|part| location_of(&part.slice.name))
}

/// What a worker is told: the query, with the directory in which relative names begin.
fn job_setup(query: &Query, options: &Options) -> Result<JobSetup<Query>> {
    let base = options.base(&query.base)?.into();
    Ok(JobSetup { job: Query { base, ..query.clone() }, shared_fs: options.shared_fs })
}

/// A worker's answer to a task.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// Runs, which are at this location.
    Runs(String, Made),
    /// Lines, or the reason of a failure.
    Output(Output),
    /// Some runs cannot be read.
    Missing(Missing),
}

impl Answer {
    /// Checks the answer of the session at `session` to a task that covers `scope`: its runs must
    /// be in that session.
    fn check(&self, scope: &Scope, session: &str) -> Result<(), String> {
        match self {
            Self::Runs(location, _) | Self::Missing(Missing { location, .. }) if location != session => {
                Err("it speaks for another worker's session".to_owned())
            }
            Self::Runs(_, made) => scope.accepts_runs(made),
            Self::Output(Output::Runs(_)) => Err("it does not say where its runs are".to_owned()),
            Self::Output(output) => scope.accepts(output),
            Self::Missing(missing) => scope.reads(&missing.range),
        }
    }
}
