//! `grep` on a cluster.
//!
//! - **Split.** A task is 32 files or a mebibyte, as everywhere; on the wire it carries its files' contents, since
//!   a worker elsewhere has other files. With `--shared-fs` it carries their names.
//! - **Share.** Nothing: coordinator and workers have only messages in common. A worker is sent the query once, when
//!   its session begins, and compiles it there.
//! - **Bound.** `window` promises in the line, for each rest twice as many tasks as there are workers, and at each
//!   worker what its credit allows, in tasks and in bytes.
//! - **Order.** A line of promises, kept by whichever worker and collected in the order they were given.
//! - **Stop.** `gather` waits for the stop as well as for a promise. Closing the cluster's queue
//!   ends the sessions. The run's own workers are killed; a standing one may finish its task in
//!   vain: its answer finds no reader.
//! - **Fail.** A silent worker is taken for dead: it is cut off, and its tasks go elsewhere, so it
//!   does not matter whether it was. So is a worker that answers with what is not of its task. A
//!   panic comes back as a failure; one of `feed` or `load` is the run's error. A task that had its
//!   worker for itself when that was lost, three times, is given up.

use std::{collections::VecDeque, convert::Infallible, mem, ops::ControlFlow, thread};

use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Loader, Output, Query, Rest, Search, Task},
};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

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

// ANCHOR: grep-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let options = Options::new(&ctx.options);
    let brief = brief(&job.query, &options)?;
    let cluster = Cluster::start("grep", encode(&brief), &options, ctx)?;
    let (promises, line) = bounded(ctx.window.get());
    let (fed, tasks) = bounded(ctx.workers.get());
    let (urgent, rests) = bounded(ahead(ctx));
    let (running, stopped) = bounded(0);
    let _on_stop = ctx.stop.on_request(move || drop(running));
    thread::scope(|scope| {
        let mut threads = Threads::new(scope, ctx);
        // Names take no loading; contents keep as many threads reading as there are workers to read for.
        for n in 0..if brief.shared_fs { 1 } else { ctx.workers.get() } {
            let loader = (!brief.shared_fs).then(|| Loader::new(&job.query));
            let (cluster, tasks, rests) = (&cluster, tasks.clone(), rests.clone());
            let load = move || load(loader, cluster, &tasks, &rests, job, ctx);
            threads.spawn(format!("load-{n}"), load)?;
        }
        drop((tasks, rests));
        threads.spawn("feed", move || feed(job, ctx, &promises, &fed))?;
        gather(&line, &Way { urgent, stopped, cluster: &cluster, job, ctx }, out);
        drop(line);
        threads.join()
    })?;
    cluster.close()
}
// ANCHOR_END: grep-run

// ANCHOR: grep-feed
/// Queues the tasks, and in the same order the promises of their outputs.
fn feed(job: &Job, ctx: &Ctx, promises: &Sender<Receiver<Loaded>>, fed: &Sender<Order>) {
    for task in job.tasks(Grain::default(), &ctx.stop) {
        let (order, promise) = Order::new(task, Lane::Usual);
        if promises.send(promise).is_err() || fed.send(order).is_err() {
            break;
        }
    }
}

/// Makes tasks ready for the journey: what a worker cannot open itself is put in.
fn load(
    mut loader: Option<Loader>,
    cluster: &Cluster,
    fed: &Receiver<Order>,
    urgent: &Receiver<Order>,
    job: &Job,
    ctx: &Ctx,
) {
    let next = || {
        select_biased! {
            recv(urgent) -> order => order.ok(),
            recv(fed) -> order => order.or_else(|_| urgent.recv()).ok(),
        }
    };
    while let Some(Order { task, lane, done }) = next() {
        if ctx.stop.requested() {
            break;
        }
        let (task, rest) = match &mut loader {
            Some(loader) => loader.load(task),
            None => (task, Rest::default()),
        };
        let scope = task.scope(&job.query);
        let check = decoded(move |_, output| scope.accepts(output));
        // Nobody waits for it any more if the run was stopped meanwhile.
        let _ = done.send(Loaded { outcome: cluster.submit(encode(&task), lane, check), rest });
    }
}
// ANCHOR_END: grep-feed

/// What a worker does for it.
pub(crate) const SERVICE: Service = Service::tasks("grep", work);

// ANCHOR: grep-work
/// Begins with a job in a worker: from here on, encoded tasks become encoded outputs.
pub(crate) fn work(brief: &[u8], means: &Means) -> Result<Work> {
    let Brief { job: query, shared_fs } = Brief::<Query>::read(brief)?;
    let mut search = Search::new(&query)?.within(means.files(shared_fs)?);
    Ok(Box::new(move |task| {
        let task: Task = postcard::from_bytes(task).map_err(|error| error.to_string())?;
        Ok(encode(&search.task(&task)))
    }))
}
// ANCHOR_END: grep-work

// ANCHOR: grep-gather
/// Emits the outputs in the order of their promises.
fn gather(line: &Receiver<Receiver<Loaded>>, way: &Way, out: &mut dyn Sink<Output>) {
    let _ = line.iter().try_for_each(|promise| way.settle(&promise, out));
}

/// What an output needs on its way out.
struct Way<'a> {
    urgent: Sender<Order>,
    /// Closed by a stop. A promise is not enough to wait for: its task may lie in a queue that no
    /// thread reads any more, and which stays as long as `urgent` does.
    stopped: Receiver<Infallible>,
    cluster: &'a Cluster,
    job: &'a Job,
    ctx: &'a Ctx,
}

impl Way<'_> {
    /// Emits one output, and in its place whatever is left of its task.
    fn settle(&self, promise: &Receiver<Loaded>, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        let loaded = select_biased! {
            recv(self.stopped) -> _ => None,
            recv(promise) -> loaded => loaded.ok(),
        };
        let Some(loaded) = loaded else { return ControlFlow::Break(()) };
        let mut output = self.output(loaded)?;
        let rest = mem::take(&mut output.rest);
        self.ctx.emit(output, out)?;

        let mut line = VecDeque::new();
        for task in rest {
            if line.len() == ahead(self.ctx) {
                self.settle(&line.pop_front().expect("it is full"), out)?;
            }
            if self.job.wants(&task) {
                let (order, promise) = Order::new(task, Lane::Urgent);
                line.push_back(promise);
                if self.urgent.send(order).is_err() {
                    return ControlFlow::Break(());
                }
            }
        }
        line.iter().try_for_each(|promise| self.settle(promise, out))
    }

    /// Waits for what a worker makes of a task.
    fn output(&self, Loaded { outcome, rest }: Loaded) -> ControlFlow<(), Output> {
        let mut output = self.cluster.output(outcome.blocking_recv(), Task::failed)?;
        output.rest.extend(rest);
        ControlFlow::Continue(output)
    }
}
// ANCHOR_END: grep-gather

/// What a worker is told: the query, whose relative names begin where they begin here.
fn brief(query: &Query, options: &Options) -> Result<Brief<Query>> {
    let base = options.base(&query.base)?.into();
    Ok(Brief { job: Query { base, ..query.clone() }, shared_fs: options.shared_fs })
}

/// How many tasks of a rest are on their way at once: one in each worker's hands, and one waiting for it.
fn ahead(ctx: &Ctx) -> usize {
    2 * ctx.workers.get()
}

/// A task and where its outcome is waited for.
struct Order {
    task: Task,
    lane: Lane,
    done: Sender<Loaded>,
}

impl Order {
    fn new(task: Task, lane: Lane) -> (Self, Receiver<Loaded>) {
        let (done, promise) = bounded(1);
        (Self { task, lane, done }, promise)
    }
}

/// The promise of what comes of a task that is on its way, and what was too large to be loaded with it.
struct Loaded {
    outcome: Promise<Output>,
    rest: Rest,
}
