//! `fetch` by actors.
//!
//! ```text
//!          a download, for an idle worker
//!   ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌> workers <───> servers
//!   ╎                                    ╎   │ death
//!   ╎       results of attempts          ╎   v
//!  dispatcher <╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┴╌╌ supervisor
//!   │
//!   └──────────────> collector ──> sink
//!      outputs
//! ```
//!
//! - **Split.** One worker per request that may be in flight. It makes one attempt, in blocking
//!   system calls, and sends the result. A download that must be retried later returns to the
//!   dispatcher, and its worker is free for another.
//! - **Share.** Nothing but the spec's permits, which limit the concurrent lookups of names. The
//!   dispatcher owns the schedule: the limits, the hosts, and when each download may be retried. It
//!   waits for a response or for the next such time. A worker owns its client and keeps one
//!   connection open. The dispatcher remembers the origin of that connection, and sends the next
//!   download from that origin to the same worker.
//! - **Bound.** As many workers as requests are allowed: the limit of this model is the number of
//!   threads and descriptors that the system allows a process. All workers are started before the
//!   first is sent a download, so a number that is too high fails at once. When the sink is slow,
//!   the collector's mailbox fills and the dispatcher waits: requests in flight end, and no others
//!   begin.
//! - **Deadlock.** Dotted arrows never wait. Only an idle worker is sent a download, so its mailbox
//!   has room. The dispatcher's mailbox has room for a response of every worker, which sends the
//!   next only after another download. The dispatcher waits for room only at the collector, which
//!   waits for nothing but the sink.
//! - **Order.** None: outputs are passed on as they arrive.
//! - **Stop.** A stop makes every `receive` return [`Halted`]. The actor returns and drops its
//!   mailbox, which wakes the senders that wait for room in it. A request in flight waits in
//!   `poll`, which the stop wakes as well.
//! - **Fail.** Let it crash: a panic ends the worker, its thread and its connection. Its
//!   [supervisor] reports the download that it was attempting as failed, and starts a worker with a
//!   new client on the same mailbox.

use std::{collections::HashMap, time::Instant};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    fetch::{Action, AttemptId, Attempted, Download, Job, Output, Schedule, blocking::Client, descriptors},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

/// Stack of a worker, in bytes: enough for TLS and the decoder. The system provides only the pages
/// that a thread touches.
const STACK: usize = 256 << 10;

/// Descriptors per worker: its stop bell, a file, a connection, and the previous connection, which
/// it keeps until one to another host is open.
const DESCRIPTORS: usize = 4;

/// Maximum deaths in the supervisor's mailbox; the thread of another dead worker waits for room.
const DEATHS: usize = 16;

// ANCHOR: fetch-run
/// Runs the job on one worker per request that may be in flight; the calling thread is the last
/// actor, the collector.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let count = job.at_once();
    descriptors(count, DESCRIPTORS)?;
    let settings = job.settings.single_connection();
    system(&ctx.stop, |system| {
        let (dispatcher, responses) = system.mailbox(count);
        let (collector, outputs) = system.mailbox(count);
        let children = ChildSpec {
            name: "worker",
            capacity: 1,
            to: dispatcher,
            kernel: || Client::new(&settings, &ctx.stop),
            work,
            report_failure,
        };
        let supervisor = Supervisor::new(&system.small(STACK), DEATHS, children);
        let mut workers = Vec::with_capacity(count);
        for id in 0..count {
            let name = || format!("worker {} of {count}, see --concurrency", id + 1);
            let address = supervisor.start(id).map_err(|error| Error::worker(name(), error))?;
            workers.push(WorkerSlot { address, origin: String::new() });
        }
        system.spawn("supervisor", move || supervisor.supervise())?;
        let dispatcher = Dispatcher::new(Schedule::new(job, Instant::now()), workers, collector);
        system.spawn("dispatcher", move || dispatcher.feed(&responses))?;
        gather(ctx, job, &outputs, out);
        Ok(())
    })
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
impl Dispatcher {
    /// Starts the attempts that are due, and passes on the outputs.
    fn feed(mut self, responses: &Mailbox<Response>) -> Result<(), Halted> {
        loop {
            match self.schedule.poll(Instant::now()) {
                Action::Start(download) => self.assign(download)?,
                Action::Emit(output) => self.collector.send(output)?,
                Action::Wait(until) => {
                    if let Some(response) = responses.receive_until(until)? {
                        self.complete(response)?;
                    }
                }
                Action::Done => return Ok(()),
            }
        }
    }

    /// Sends a download to an idle worker.
    fn assign(&mut self, download: Box<Download>) -> Result<(), Halted> {
        let origin = download.origin();
        let id = self.idle.take(&origin).expect("there are as many workers as attempts");
        self.workers[id].origin = origin;
        self.workers[id].address.send(download)
    }

    /// Takes the result of an attempt, and with it the worker, which is idle again.
    fn complete(&mut self, Response { id, attempted }: Response) -> Result<(), Halted> {
        self.idle.put(self.workers[id].origin.clone(), id);
        match self.schedule.complete(attempted) {
            Some(output) => self.collector.send(output),
            None => Ok(()),
        }
    }
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-work
/// Makes the attempts that it is sent.
fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        let download = worker.mailbox.receive()?;
        worker.current = Some(download.attempt_id());
        let attempted = worker.kernel.attempt(download);
        worker.current = None;
        worker.to.send(Response { id: worker.id, attempted })?;
    }
}

/// Reports the download that a worker was attempting when it panicked.
fn report_failure(worker: &Worker, attempt: AttemptId, reason: &str) -> Result<(), Halted> {
    worker.to.send(Response { id: worker.id, attempted: attempt.failed(reason, Instant::now()) })
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// The collector: owns the sink, and emits what arrives, until there is one output for each
/// download that the job wants.
fn gather(ctx: &Ctx, job: &Job, outputs: &Mailbox<Output>, out: &mut dyn Sink<Output>) {
    for _ in &job.wanted {
        let Ok(output) = outputs.receive() else { break };
        // After a stop, an attempt that it has interrupted is no result.
        if ctx.stop.requested() || ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: fetch-gather

/// A worker owns its client, and thereby a connection.
type Worker = supervisor::Worker<Client, Box<Download>, Address<Response>, AttemptId>;

/// The actor that owns the schedule, and knows which workers are idle and which connections they
/// have.
struct Dispatcher {
    schedule: Schedule,
    /// By the worker's number.
    workers: Vec<WorkerSlot>,
    idle: IdleWorkers,
    collector: Address<Output>,
}

impl Dispatcher {
    fn new(schedule: Schedule, workers: Vec<WorkerSlot>, collector: Address<Output>) -> Self {
        let idle = IdleWorkers(HashMap::from([(String::new(), (0..workers.len()).collect())]));
        Self { schedule, workers, idle, collector }
    }
}

/// What the dispatcher knows of a worker.
struct WorkerSlot {
    address: Address<Box<Download>>,
    /// The origin of its last download; empty before the first.
    origin: String,
}

/// The numbers of the idle workers, by the origin of their last download.
struct IdleWorkers(HashMap<String, Vec<usize>>);

impl IdleWorkers {
    fn put(&mut self, origin: String, id: usize) {
        self.0.entry(origin).or_default().push(id);
    }

    /// A worker that may still have a connection to this origin; otherwise one that has had no
    /// download; otherwise any other.
    fn take(&mut self, origin: &str) -> Option<usize> {
        let key = if self.0.contains_key(origin) {
            origin.to_owned()
        } else if self.0.contains_key("") {
            String::new()
        } else {
            self.0.keys().next()?.clone()
        };
        let workers = self.0.get_mut(&key)?;
        let id = workers.pop();
        if workers.is_empty() {
            self.0.remove(&key);
        }
        id
    }
}

/// To the dispatcher: the result of an attempt of this worker, which is idle again.
struct Response {
    id: usize,
    attempted: Attempted,
}
