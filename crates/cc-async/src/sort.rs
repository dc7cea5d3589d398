//! `sort` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** Sorting a chunk, then merging a range of the result: each is one `spawn_blocking`, since it computes, and reads
//!   and writes files.
//! - **Share.** The shelf, which all tasks own a part of: what is put there is written once, and read when all of it is there.
//!   Sorters go round in a [`Pool`], with the memory that one task leaves for the next.
//! - **Bound.** The plan's: as many promises in the line as it allows, since text that waits for its turn is memory as well;
//!   and of a phase that is over, nothing.
//! - **Order.** A line of promises, awaited in the order they were made. The runs have to be in the order of the input, or
//!   equal lines would not be. The promises are spawned tasks, so they are kept also while `gather` does not poll.
//! - **Stop.** A [`CancellationToken`](tokio_util::sync::CancellationToken) drops `feed` and
//!   `gather` where they wait; dropped promises abort what has not begun. A kernel sees the stop
//!   for itself, and dropping the runtime waits for it: before the shelf is emptied.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle; that
//!   ends the run, since a part of the lines is not what was asked for. For the same reason each
//!   phase joins `feed` and `walk` before it believes that the line was all.

use std::{ops::ControlFlow, sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    shelf::{Memory, Shelf},
    sort::{Job, Output, Sorter, Task, external},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{pool::Pool, promise, runtime::Run, walk::walk};

// ANCHOR: sort-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads for what blocks; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: Arc<dyn Shelf> =
        if plan.in_memory { Arc::new(Memory::default()) } else { Arc::new(job.folder()?) };
    let run = Run::start(ctx)?;
    let sorters = Arc::new(Pool::new(Sorter::new(&job.query, &ctx.stop)));
    let phases = Phases { run, sorters, shelf: shelf.clone(), window: ctx.window.min(plan.fits).get(), ctx };
    external(job, &plan, &*shelf, ctx, out, |tasks, out| phases.phase(tasks, out))
}

/// What all phases run on.
struct Phases<'a> {
    /// Dropped before the shelf is, and waits for what its threads are doing.
    run: Run<'a>,
    sorters: Arc<Pool<Sorter>>,
    shelf: Arc<dyn Shelf>,
    window: usize,
    ctx: &'a Ctx,
}

impl Phases<'_> {
    /// Has these tasks done, and emits what comes of them.
    fn phase(
        &self,
        tasks: impl Iterator<Item = Task> + Send,
        out: &mut dyn Sink<Output>,
    ) -> Result<ControlFlow<()>> {
        let (promises, line) = mpsc::channel(self.window);
        thread::scope(|scope| {
            let (walk, tasks) = walk(scope, tasks)?;
            let feed = self.run.spawn(feed(tasks, promises, self.sorters.clone(), self.shelf.clone()));
            let flow = self.run.block_on(gather(line, self.ctx, out));
            let fed = self.run.join("feed", feed);
            walk.join().and(fed)?;
            Ok(flow.unwrap_or(ControlFlow::Break(())))
        })
    }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Starts the tasks, each when there is a place in the line for the promise of its output.
async fn feed(
    mut tasks: Receiver<Task>,
    promises: Sender<Promise>,
    sorters: Arc<Pool<Sorter>>,
    shelf: Arc<dyn Shelf>,
) {
    while let Ok(place) = promises.reserve().await {
        let Some(task) = tasks.recv().await else { break };
        place.send(work(task, &sorters, &shelf));
    }
}
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
/// Has a task done in the blocking pool, whose threads take the tasks in turn.
fn work(task: Task, sorters: &Arc<Pool<Sorter>>, shelf: &Arc<dyn Shelf>) -> Promise {
    let (sorters, shelf) = (sorters.clone(), shelf.clone());
    Promise::of(task, Task::failed, move |task| sorters.lend().task(task, &*shelf))
}
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
/// Emits the outputs in the order of their promises.
async fn gather(mut line: Receiver<Promise>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    while let Some(promise) = line.recv().await {
        ctx.emit(promise.kept().await, out)?;
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

/// The output of a task that has been started.
type Promise = promise::Promise<Task, Output>;
