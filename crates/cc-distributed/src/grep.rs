//! `grep` on a cluster.
//!
//! - **Split.** A task is up to 32 files, or about a mebibyte, as in every model. It is sent with
//!   its files' contents, because a worker on another machine has other files. With `--shared-fs`
//!   it is sent with their names.
//! - **Share.** Nothing: coordinator and workers exchange only messages. A worker is sent the query
//!   once, when its session begins, and compiles it there.
//! - **Bound.** The channel to `gather` has room for the replies to `window` tasks; when it is
//!   full, `feed` waits. Of each remainder, at most 2 x `--workers` tasks (`max_in_flight`) are
//!   submitted and not emitted. If one of these leaves a remainder itself, that has the same bound
//!   again.
//! - **Order.** For each task there is a channel on which `load` will send the pending result.
//!   `feed` queues the receivers of these channels, in the order of the tasks. `gather` waits for
//!   the results in that order. They are completed in any order.
//! - **Stop.** `gather` waits for the stop as well as for a reply. Closing the cluster's queue
//!   ends the sessions. The worker processes of the run are killed. A standing worker may finish
//!   its task; the answer is then dropped.
//! - **Fail.** The session of a silent worker ends, and its tasks are handed out again. A worker
//!   whose answer does not belong to its task (`Task::scope`) gets no more tasks. A task that was
//!   alone on its worker at three losses is given up. A panic of the kernel is sent back as a
//!   failure. A failed task of several files is retried file by file, as its remainder. A panic of
//!   `feed` or `load` is the run's error.

use std::{collections::VecDeque, convert::Infallible, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Loader, Output, Query, Remainder, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

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

// ANCHOR: grep-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes that it
/// starts.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.options);
    let setup = job_setup(&job.query, &options)?;
    let cluster = Cluster::start("grep", encode(&setup), &options, ctx)?;
    let (replies_tx, replies_rx) = bounded(ctx.window.get());
    let (tasks_tx, tasks_rx) = bounded(ctx.workers.get());
    let (urgent_tx, urgent_rx) = bounded(max_in_flight(ctx));
    let (stop_tx, stop_rx) = bounded(0);
    let _on_stop = ctx.stop.on_request(move || drop(stop_tx));
    // With names there is nothing to read; with contents, one thread per worker reads files.
    let loaders = if setup.shared_fs { 1 } else { ctx.workers.get() };
    thread::scope(|scope| {
        let mut threads = Threads::new(ctx, scope);
        for n in 0..loaders {
            let loader = (!setup.shared_fs).then(|| Loader::new(&job.query));
            let (cluster, tasks_rx, urgent_rx) = (&cluster, tasks_rx.clone(), urgent_rx.clone());
            let load = move || load(ctx, job, cluster, loader, &tasks_rx, &urgent_rx);
            threads.spawn(format!("load-{n}"), load)?;
        }
        // Only the loaders keep receivers. A receiver kept here would keep the channel open when
        // all loaders have ended, and `feed` or `gather` would wait forever for room in it.
        drop((tasks_rx, urgent_rx));
        threads.spawn("feed", move || feed(ctx, job, &replies_tx, &tasks_tx))?;
        // The `Gatherer` is dropped here, and with it `urgent_tx`: the loaders end.
        gather(&Gatherer { ctx, job, cluster: &cluster, stop_rx, urgent_tx }, &replies_rx, out);
        // `feed` may be waiting for room; without a receiver its `send` fails, and it can be
        // joined.
        drop(replies_rx);
        threads.join()
    })?;
    cluster.close()
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Queues each task for `load`, and the receiver of its reply for `gather`, in the order of the
/// tasks. `load` will reply with the task's pending result.
fn feed(ctx: &Ctx, job: &Job, replies_tx: &Sender<Receiver<Loaded>>, tasks_tx: &Sender<ToLoad>) {
    for task in job.tasks(Grain::default(), &ctx.stop) {
        let (to_load, loaded_rx) = ToLoad::new(task, Lane::Usual);
        if replies_tx.send(loaded_rx).is_err() || tasks_tx.send(to_load).is_err() {
            break;
        }
    }
}

/// Prepares tasks for sending: without `--shared-fs`, the files are read into them.
fn load(
    ctx: &Ctx,
    job: &Job,
    cluster: &Cluster,
    mut loader: Option<Loader>,
    tasks_rx: &Receiver<ToLoad>,
    urgent_rx: &Receiver<ToLoad>,
) {
    // Urgent tasks first, because the output waits for them. `feed` closes its channel at the end
    // of the input; urgent tasks may still come until `gather` ends, which closes the urgent
    // channel.
    let next = || {
        select_biased! {
            recv(urgent_rx) -> to_load => to_load.ok(),
            recv(tasks_rx) -> to_load => to_load.or_else(|_| urgent_rx.recv()).ok(),
        }
    };
    while let Some(ToLoad { task, lane, reply }) = next() {
        if ctx.stop.requested() {
            break;
        }
        let (task, remainder) = match &mut loader {
            Some(loader) => loader.load(task),
            None => (task, Remainder::default()),
        };
        // `Task::scope`: what a valid output of this task may contain.
        let scope = task.scope(&job.query);
        let check = decoded(move |_, output| scope.accepts(output));
        // The receiver is gone if the run was stopped; the result is then not needed.
        let _ = reply.send(Loaded { pending: cluster.submit(encode(&task), lane, check), remainder });
    }
}
// ANCHOR_END: grep-feed

/// What a worker does for this workload.
pub(crate) const SERVICE: Service = Service::tasks("grep", work);

// ANCHOR: grep-work
/// Prepares a job in a worker. The returned function turns encoded tasks into encoded outputs.
pub(crate) fn work(context: &JobContext, setup: &[u8]) -> Result<Work> {
    let JobSetup { job: query, shared_fs } = JobSetup::<Query>::decode(setup)?;
    let mut search = Search::new(&query)?.within(context.files(shared_fs)?);
    Ok(Box::new(move |task| {
        let task: Task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        Ok(encode(&search.task(&task)))
    }))
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of the tasks.
fn gather(gatherer: &Gatherer, replies_rx: &Receiver<Receiver<Loaded>>, out: &mut dyn Sink<Output>) {
    let _ = replies_rx.iter().try_for_each(|loaded_rx| gatherer.emit_in_order(&loaded_rx, out));
}

impl Gatherer<'_> {
    /// Emits one output, followed by the outputs of the remainder of its task.
    fn emit_in_order(&self, loaded_rx: &Receiver<Loaded>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        let loaded = select_biased! {
            recv(self.stop_rx) -> _ => None,
            recv(loaded_rx) -> loaded => loaded.ok(),
        };
        let Some(loaded) = loaded else { return ControlFlow::Break(()) };
        let mut output = self.output(loaded)?;
        let remainder = mem::take(&mut output.remainder);
        self.ctx.emit(output, out)?;

        let mut pending = VecDeque::new();
        for task in remainder {
            if pending.len() == max_in_flight(self.ctx) {
                let first = pending.pop_front().expect("max_in_flight is at least 2");
                self.emit_in_order(&first, out)?;
            }
            if self.job.wants(&task) {
                let (to_load, loaded_rx) = ToLoad::new(task, Lane::Urgent);
                pending.push_back(loaded_rx);
                if self.urgent_tx.send(to_load).is_err() {
                    return ControlFlow::Break(());
                }
            }
        }
        pending.iter().try_for_each(|loaded_rx| self.emit_in_order(loaded_rx, out))
    }

    /// Waits for the output of a task.
    fn output(&self, Loaded { pending, remainder }: Loaded) -> ControlFlow<(), Output> {
        let mut output = self.cluster.output(pending.blocking_recv(), Task::failed)?;
        output.remainder.extend(remainder);
        ControlFlow::Continue(output)
    }
}
// ANCHOR_END: grep-gather

/// What `gather` needs for each output.
struct Gatherer<'a> {
    ctx: &'a Ctx,
    job: &'a Job,
    cluster: &'a Cluster,
    /// Disconnected by a stop. Waiting for the reply alone is not enough: after a stop, the task
    /// may be in the urgent channel, where no loader is left to take it. That channel keeps the
    /// task and its `reply` as long as `urgent_tx` exists, and `urgent_tx` is held here.
    stop_rx: Receiver<Infallible>,
    urgent_tx: Sender<ToLoad>,
}

/// What a worker is told: the query, with the directory in which relative names begin.
fn job_setup(query: &Query, options: &Options) -> Result<JobSetup<Query>> {
    let base = options.base(&query.base)?.into();
    Ok(JobSetup { job: Query { base, ..query.clone() }, shared_fs: options.shared_fs })
}

/// Maximum tasks of one remainder that are submitted and not emitted: for each worker that
/// `--workers` counts, one that runs and one that waits there.
fn max_in_flight(ctx: &Ctx) -> usize {
    2 * ctx.workers.get()
}

/// A task to load, and where its pending result goes.
struct ToLoad {
    task: Task,
    lane: Lane,
    reply: Sender<Loaded>,
}

impl ToLoad {
    fn new(task: Task, lane: Lane) -> (Self, Receiver<Loaded>) {
        let (reply, loaded_rx) = bounded(1);
        (Self { task, lane, reply }, loaded_rx)
    }
}

/// The pending result of a task that was submitted, and the part of the task that was too large to
/// load with it.
struct Loaded {
    pending: Pending<Output>,
    remainder: Remainder,
}
