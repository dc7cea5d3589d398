//! `resize` on a cluster.
//!
//! - **Split.** A task is one image, read here and sent as a whole: what a worker elsewhere does with it takes far
//!   longer than the journey. With `--shared-fs` a task is a name.
//! - **Share.** Nothing: coordinator and workers have only messages in common. Whichever worker has credit is sent
//!   the next image. A worker is told once how thumbnails are to be.
//! - **Bound.** Two promises a worker are waited for, and two more images are in the line or being read; at a worker,
//!   the credit in bytes counts more than that in tasks. Reading is one thread's.
//! - **Order.** None: promises are taken as they are kept, so a large image holds nobody up. No more of them are
//!   looked at than are waited for, which is the bound.
//! - **Stop.** Closing the cluster's queue breaks the promises and ends the sessions. The run's own workers
//!   are killed; a standing one may finish its image for nobody.
//! - **Fail.** A silent worker is taken for dead: it is cut off, and its images go elsewhere. So is
//!   one whose thumbnail has another name than its task. An image that had its worker for itself
//!   when that was lost, three times, is given up, as is one that is too large to be sent. A panic
//!   comes back as a failure.

use std::{ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Loader, Output, Resizer, Settings, Task},
};
use futures::{StreamExt, executor::block_on_stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    brief::Brief,
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        queue::{Lane, Promise},
        worker::{Means, Service, Work},
    },
    threads::Threads,
};

// ANCHOR: resize-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.options);
    let brief = brief(&job.settings, &options)?;
    let cluster = Cluster::start("resize", encode(&brief), &options, ctx)?;
    let loader = (!brief.shared_fs).then(|| Loader::new(&job.settings));
    let (promises, line) = channel(1);
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        threads.spawn("feed", || feed(job, loader, &cluster, promises, ctx))?;
        gather(line, &cluster, ctx, out);
        threads.join()
    })?;
    cluster.close()
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Submits the tasks, ready for the journey: an image that a worker cannot open itself is put in.
fn feed(
    job: &Job,
    mut loader: Option<Loader>,
    cluster: &Cluster,
    promises: Sender<Promise<Output>>,
    ctx: &Ctx,
) {
    for task in job.tasks(&ctx.stop) {
        let task = match &mut loader {
            Some(loader) => loader.load(task),
            None => task,
        };
        let scope = task.scope(&job.settings);
        let check = decoded(move |_, output| scope.accepts(output));
        if promises.blocking_send(cluster.submit(encode(&task), Lane::Usual, check)).is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-feed

/// What a worker does for it.
pub(crate) const SERVICE: Service = Service::tasks("resize", work);

// ANCHOR: resize-work
/// Begins with a job in a worker: from here on, encoded tasks become encoded outputs.
pub(crate) fn work(brief: &[u8], means: &Means) -> Result<Work> {
    let Brief { job: settings, shared_fs } = Brief::<Settings>::read(brief)?;
    let mut resizer = Resizer::new(&settings).within(means.files(shared_fs)?);
    Ok(Box::new(move |task| {
        let task: Task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        Ok(encode(&resizer.task(&task)))
    }))
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs as they come.
fn gather(line: Receiver<Promise<Output>>, cluster: &Cluster, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let outcomes = ReceiverStream::new(line).buffer_unordered(2 * ctx.workers.get());
    // If it breaks off, the job has ended.
    let _: ControlFlow<()> = block_on_stream(outcomes)
        .try_for_each(|outcome| ctx.emit(cluster.output(outcome, Task::failed)?, out));
}
// ANCHOR_END: resize-gather

/// What a worker is told: the settings, whose relative names begin where they begin here.
fn brief(settings: &Settings, options: &Options) -> Result<Brief<Settings>> {
    let base = options.base(&settings.base)?.into();
    Ok(Brief { job: Settings { base, ..settings.clone() }, shared_fs: options.shared_fs })
}
