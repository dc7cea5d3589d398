//! A pool of worker processes: it distributes tasks, returns outputs, and replaces processes that
//! die.
//!
//! Each [worker](crate::worker) has an *owner* here, a thread that starts the worker, sends it
//! tasks, receives its outputs, and waits for its end:
//!
//! ```text
//! submit ──> queue ──> owner ── tasks ───> worker
//!                        │  <── outputs ──  │
//! output <───────────────┘                  │
//!                        └─── lifeline ─────┘
//! ```
//!
//! A worker does its tasks in the order in which it received them, so an output is that of the
//! first task in flight. The owner keeps a task until its output has arrived, and sends it to the
//! replacement if the worker dies. A task that was alone in flight at three deaths is given up
//! (`in_flight`).
//!
//! An owner and its worker never wait for each other in a circle. A message to the worker always
//! fits into its channel: at most two tasks are in flight, and a large one travels as shared
//! memory. An owner receives an output as soon as the previous one has been taken, which depends
//! only on the consumer of the outputs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use cc_workloads::{Cause, Ctx, Error, Result, Stop, error::panic_reason, stop::OnRequest};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    in_flight::{IN_FLIGHT, InFlight, KILLED},
    worker::{Died, Worker, WorkerSpec},
};

/// Maximum attempts to start one worker; after that, the run fails.
const STARTS: u32 = 3;

/// The output of a submitted task, once it is received. Receiving fails if the run is stopped
/// before.
pub type Pending<O> = Receiver<O>;

/// Worker processes that turn tasks `T` into outputs `O`.
///
/// Dropping it ends the workers: after all submitted tasks, or at once if a stop is requested.
pub struct Pool<T, O> {
    // Dropped in this order: the queues close when this clone of them and that in the hook are
    // gone, which ends the owners; then the owners are joined.
    queues: Arc<Mutex<Option<Queues<T, O>>>>,
    on_stop: OnRequest,
    owners: Owners,
}

/// The sending ends of the queues, from which all owners receive.
struct Queues<T, O> {
    requests_tx: RequestSender<T, O>,
    urgent_tx: RequestSender<T, O>,
}

type RequestSender<T, O> = Sender<Request<T, O>>;

impl<T, O> Pool<T, O>
where
    T: Serialize + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// A pool of `ctx.workers` processes for the work with this name, see
    /// [`enter`](crate::worker::enter). A worker is started when there is a task for it, and is
    /// sent the `setup` first.
    ///
    /// `failed` makes the output of a task that is given up: one that was alone in flight at three
    /// deaths of its worker.
    pub fn start<S: Serialize>(
        ctx: &Ctx,
        name: &'static str,
        setup: &S,
        failed: Failed<T, O>,
    ) -> Result<Self> {
        let spec = Arc::new(WorkerSpec::new(name, setup)?);
        let (requests_tx, requests_rx) = bounded(ctx.window.get() + 1);
        let (urgent_tx, urgent_rx) = bounded(ctx.workers.get() * IN_FLIGHT);
        let queues = Arc::new(Mutex::new(Some(Queues { requests_tx, urgent_tx })));
        // A channel drops the messages that are left in it only when all senders and all receivers
        // are gone. So a stop drops the senders, and the owners drop the receivers when they end;
        // otherwise the pending results of queued requests would never be abandoned.
        let queues_on_stop = queues.clone();
        let on_stop = ctx.stop.on_request(move || {
            let closed = queues_on_stop.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(closed);
        });
        let mut pool = Self { queues, on_stop, owners: Owners(Vec::new()) };
        for n in 0..ctx.workers.get() {
            let owner = Owner {
                spec: spec.clone(),
                requests_rx: requests_rx.clone(),
                urgent_rx: urgent_rx.clone(),
                stop: ctx.stop.clone(),
                failed,
            };
            let thread = thread::Builder::new().name(format!("owner-{n}")).spawn(move || owner.run());
            pool.owners.0.push(thread.map_err(|e| Error::worker("thread", e))?);
        }
        Ok(pool)
    }

    /// Maximum number of tasks in flight at a time: two per worker, which keeps every worker busy.
    pub fn max_in_flight(&self) -> usize {
        self.owners.0.len() * IN_FLIGHT
    }

    /// Queues a task whose output is sent to `outputs_tx`, in the order of completion. Waits while
    /// the queue is full. Returns `None` if the run is being stopped.
    pub fn submit_to(&self, outputs_tx: &Sender<O>, task: T) -> Option<()> {
        Request::submit_to(&self.sender(|queues| &queues.requests_tx)?, task, outputs_tx.clone())
    }

    /// Queues a task, and returns its pending result. Waits while the queue is full. Returns `None`
    /// if the run is being stopped.
    pub fn submit(&self, task: T) -> Option<Pending<O>> {
        Request::submit(&self.sender(|queues| &queues.requests_tx)?, task)
    }

    /// As [`Pool::submit`], but in a queue of its own, from which owners take first.
    pub fn submit_urgent(&self, task: T) -> Option<Pending<O>> {
        Request::submit(&self.sender(|queues| &queues.urgent_tx)?, task)
    }

    /// A clone of one of the senders, unless a stop has closed the queues. The lock is not held
    /// while `send` waits for room, since the stop needs it.
    fn sender(&self, which: fn(&Queues<T, O>) -> &RequestSender<T, O>) -> Option<RequestSender<T, O>> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.as_ref().map(|queues| which(queues).clone())
    }

    /// Ends the workers. Returns the error of a worker that could not be started, if any.
    pub fn finish(self) -> Result<()> {
        let Self { queues, on_stop, mut owners } = self;
        // The hook has a clone of the queues, which close only when both are dropped.
        drop((queues, on_stop));
        owners.join()
    }
}

/// Makes the output of a task that is given up, for this reason.
pub type Failed<T, O> = fn(&T, &str) -> O;

/// The threads that own a worker each.
struct Owners(Vec<JoinHandle<Result<()>>>);

impl Owners {
    /// Joins all threads, and returns the first of their errors.
    fn join(&mut self) -> Result<()> {
        let mut results = Vec::new();
        for owner in self.0.drain(..) {
            results.push(owner.join().expect("`Owner::run` catches panics"));
        }
        results.into_iter().collect()
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// A task, and the channel for its output. Dropping it abandons the pending result, so a thread
/// that waits for that does not wait for ever.
struct Request<T, O> {
    task: T,
    reply: Sender<O>,
}

impl<T, O> Request<T, O> {
    fn submit_to(requests_tx: &Sender<Self>, task: T, reply: Sender<O>) -> Option<()> {
        requests_tx.send(Self { task, reply }).ok()
    }

    fn submit(requests_tx: &Sender<Self>, task: T) -> Option<Pending<O>> {
        let (reply, pending) = bounded(1);
        Self::submit_to(requests_tx, task, reply)?;
        Some(pending)
    }

    /// Sends the output. The receiver is gone if the run was stopped; the output is then not
    /// needed.
    fn complete(self, output: O) {
        let _ = self.reply.send(output);
    }
}

/// The thread that owns one worker.
struct Owner<T, O> {
    spec: Arc<WorkerSpec>,
    requests_rx: Receiver<Request<T, O>>,
    urgent_rx: Receiver<Request<T, O>>,
    stop: Stop,
    failed: Failed<T, O>,
}

impl<T: Serialize, O: Serialize + DeserializeOwned> Owner<T, O> {
    fn run(self) -> Result<()> {
        // Unwind safe: the requests in flight are dropped by the panic, and nothing else changes.
        let result = catch_unwind(AssertUnwindSafe(|| self.own()))
            .unwrap_or_else(|panic| Err(Error::worker("owner", panic_reason(&*panic))));
        if self.stop.requested() {
            return Ok(()); // the stop has killed the worker, which is no error
        }
        if result.is_err() {
            self.stop.request(Cause::Break);
        }
        result
    }

    /// Has a worker while there are tasks for it.
    fn own(&self) -> Result<()> {
        let mut in_flight = InFlight::new();
        loop {
            if in_flight.is_empty() {
                let Some(request) = self.next() else { return Ok(()) };
                in_flight.push(request);
            }
            let worker = self.start()?;
            let driven = self.drive(&worker, &mut in_flight);
            if driven.is_ok() || self.stop.requested() {
                return Ok(());
            }
            drop(worker);
            if let Some(request) = in_flight.on_worker_death() {
                let output = (self.failed)(&request.task, KILLED);
                request.complete(output);
            }
        }
    }

    fn start(&self) -> Result<Worker<O>> {
        let mut starts = 0;
        loop {
            starts += 1;
            match Worker::start(&self.spec, &self.stop) {
                Err(_) if starts < STARTS && !self.stop.requested() => {}
                started => return started,
            }
        }
    }

    /// Keeps the worker busy until there are no more tasks, or it dies.
    fn drive(&self, worker: &Worker<O>, in_flight: &mut InFlight<Request<T, O>>) -> Result<(), Died> {
        loop {
            while in_flight.has_room()
                && let Some(request) = if in_flight.is_empty() { self.next() } else { self.next_if_any() }
            {
                in_flight.push(request);
            }
            while let Some(request) = in_flight.next() {
                // Counted after the send: a task that did not reach the worker cannot have killed
                // it.
                worker.send(&request.task)?;
                in_flight.mark_sent();
            }
            if in_flight.is_empty() {
                return Ok(());
            }
            let output = worker.output()?;
            in_flight.complete().complete(output);
        }
    }

    /// Waits for the next request, urgent ones first. Returns `None` once both queues are closed
    /// and empty, or a stop is requested.
    fn next(&self) -> Option<Request<T, O>> {
        let request = select_biased! {
            recv(self.urgent_rx) -> request => request.or_else(|_| self.requests_rx.recv()),
            recv(self.requests_rx) -> request => request.or_else(|_| self.urgent_rx.recv()),
        };
        request.ok().filter(|_| !self.stop.requested())
    }

    /// The next request, if one is queued, for a worker that has a task already.
    ///
    /// This may take a request while an owner with an idle worker is about to wake for it. The task
    /// then waits until this worker has done its first one: for the length of one task, since two
    /// are in flight. That is accepted. It happens only while fewer tasks are queued than workers
    /// are idle, and to prevent it, all owners would have to share a count of idle workers.
    fn next_if_any(&self) -> Option<Request<T, O>> {
        self.urgent_rx.try_recv().or_else(|_| self.requests_rx.try_recv()).ok()
    }
}
