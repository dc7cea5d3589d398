//! `resize` on a cluster.
//!
//! - **Split.** A task is one image, read here and sent as a whole: a worker needs far longer to
//!   resize it than the message takes. With `--shared-fs` a task is a file name.
//! - **Share.** Nothing: coordinator and workers exchange only messages. The next image is sent to
//!   any worker that has credit left. A worker is told the settings once per session.
//! - **Bound.** `gather` waits for at most 2 x `--workers` results at once, the limit of
//!   `buffer_unordered`. `feed` is at most two images ahead of it: one is in the channel, and one
//!   is being read or waits for room there.
//! - **Order.** None: outputs are emitted in the order of completion.
//! - **Stop.** Closing the cluster's queue abandons the pending results and ends the sessions. The
//!   worker processes of the run are killed. A standing worker may finish its image; the output is
//!   then dropped.
//! - **Fail.** The session of a silent worker ends, and its images are handed out again. A worker
//!   whose answer does not belong to its task (`Task::scope`) gets no more tasks. An image that was
//!   alone on its worker at three losses is given up. A panic is sent back as a failure.

use std::thread;

use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Loader, Output, Resizer, Settings, Task},
};
use futures::{StreamExt, executor::block_on_stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    cluster::{
        Cluster,
        command::Options,
        decoded, encode,
        queue::{Lane, Pending},
        worker::{JobContext, Service, Work},
    },
    job_setup::JobSetup,
    threads::Threads,
};

// ANCHOR: resize-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes that it
/// starts.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.options);
    let setup = job_setup(&job.settings, &options)?;
    let cluster = Cluster::start("resize", encode(&setup), &options, ctx)?;
    let loader = (!setup.shared_fs).then(|| Loader::new(&job.settings));
    let (pending_tx, pending_rx) = channel(1);
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        threads.spawn("feed", || feed(ctx, job, &cluster, loader, pending_tx))?;
        gather(ctx, &cluster, pending_rx, out);
        threads.join()
    })?;
    cluster.close()
}
// ANCHOR_END: resize-run

// ANCHOR: resize-feed
/// Submits the tasks, ready to be sent. Without `--shared-fs`, the image is read into the task.
fn feed(
    ctx: &Ctx,
    job: &Job,
    cluster: &Cluster,
    mut loader: Option<Loader>,
    pending_tx: Sender<Pending<Output>>,
) {
    for task in job.tasks(&ctx.stop) {
        let task = match &mut loader {
            Some(loader) => loader.load(task),
            None => task,
        };
        // `Task::scope`: what a valid output of this task may contain.
        let scope = task.scope(&job.settings);
        let check = decoded(move |_, output| scope.accepts(output));
        let pending = cluster.submit(encode(&task), Lane::Usual, check);
        if pending_tx.blocking_send(pending).is_err() {
            break;
        }
    }
}
// ANCHOR_END: resize-feed

/// What a worker does for this workload.
pub(crate) const SERVICE: Service = Service::tasks("resize", work);

// ANCHOR: resize-work
/// Prepares a job in a worker. The returned function turns encoded tasks into encoded outputs.
pub(crate) fn work(context: &JobContext, setup: &[u8]) -> Result<Work> {
    let JobSetup { job: settings, shared_fs } = JobSetup::<Settings>::decode(setup)?;
    let mut resizer = Resizer::new(&settings).within(context.files(shared_fs)?);
    Ok(Box::new(move |task| {
        let task: Task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        Ok(encode(&resizer.task(&task)))
    }))
}
// ANCHOR_END: resize-work

// ANCHOR: resize-gather
/// Emits the outputs in the order of completion, until all are emitted or the job has ended.
fn gather(ctx: &Ctx, cluster: &Cluster, pending_rx: Receiver<Pending<Output>>, out: &mut dyn Sink<Output>) {
    let completions = ReceiverStream::new(pending_rx).buffer_unordered(2 * ctx.workers.get());
    let _ = block_on_stream(completions)
        .try_for_each(|completion| ctx.emit(cluster.output(completion, Task::failed)?, out));
}
// ANCHOR_END: resize-gather

/// What a worker is told: the settings, with the directory in which relative names begin.
fn job_setup(settings: &Settings, options: &Options) -> Result<JobSetup<Settings>> {
    let base = options.base(&settings.base)?.into();
    Ok(JobSetup { job: Settings { base, ..settings.clone() }, shared_fs: options.shared_fs })
}
