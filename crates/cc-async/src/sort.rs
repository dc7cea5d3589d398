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
//! - **Stop.** A [`CancellationToken`] drops `feed` and `gather` where they wait; dropped promises abort what has not begun.
//!   A kernel sees the stop for itself, and dropping the runtime waits for it: before the shelf is emptied.
//! - **Fail.** A panic ends its task alone, and comes back as the `JoinError` of its handle; that
//!   ends the run, since a part of the lines is not what was asked for. For the same reason each
//!   phase joins `feed` and `walk` before it believes that the line was all.

use std::{ops::ControlFlow, sync::Arc, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    shelf::{Memory, Shelf},
    sort::{Job, Output, Sorter, Task, external},
};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, Receiver, Sender},
};
use tokio_util::sync::CancellationToken;

use crate::{
    pool::Pool,
    promise,
    runtime::{join, join_thread, runtime, start_thread, token},
};

// ANCHOR: sort-run
/// Runs the job on a runtime of its own, with `ctx.workers` threads for what blocks; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let shelf: Arc<dyn Shelf> =
        if plan.in_memory { Arc::new(Memory::default()) } else { Arc::new(job.folder()?) };
    let runtime = runtime(ctx.workers)?;
    let (stop, _on_stop) = token(&ctx.stop);
    let sorters = Arc::new(Pool::new(Sorter::new(&job.query, &ctx.stop)));
    let phases =
        Phases { runtime, stop, sorters, shelf: shelf.clone(), window: ctx.window.min(plan.fits).get(), ctx };
    external(job, &plan, &*shelf, ctx, out, |tasks, out| phases.phase(tasks, out))
}

/// What all phases run on.
struct Phases<'a> {
    /// Dropped before the shelf is, and waits for what its threads are doing.
    runtime: Runtime,
    stop: CancellationToken,
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
        let (found, tasks_found) = mpsc::channel(1);
        let (promises, line) = mpsc::channel(self.window);
        thread::scope(|scope| {
            let walk = start_thread(scope, "walk", move || walk(tasks, &found))?;
            let feed = feed(tasks_found, promises, self.sorters.clone(), self.shelf.clone());
            let fed = self.runtime.spawn(self.stop.clone().run_until_cancelled_owned(feed));
            let flow = self.runtime.block_on(async {
                let flow = self.stop.run_until_cancelled(gather(line, self.ctx, out)).await;
                join(self.ctx, "feed", fed).await?;
                Ok(flow.unwrap_or(ControlFlow::Break(())))
            });
            join_thread(walk)?;
            flow
        })
    }
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
/// Finds the tasks, reading standard input and the indexes of runs: what waits in system calls or computes is no future.
fn walk(tasks: impl Iterator<Item = Task>, found: &Sender<Task>) {
    for task in tasks {
        if found.blocking_send(task).is_err() {
            break;
        }
    }
}

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
/// Emits the outputs in the order of their promises. The sink may block: this is the thread that called
/// `run`, which polls nothing but this future, and the runtime goes on without it.
async fn gather(mut line: Receiver<Promise>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    while let Some(promise) = line.recv().await {
        ctx.emit(promise.kept().await, out)?;
    }
    ctx.stop.flow() // a stop ends the tasks early
}
// ANCHOR_END: sort-gather

/// The output of a task that has been started.
type Promise = promise::Promise<Task, Output>;
