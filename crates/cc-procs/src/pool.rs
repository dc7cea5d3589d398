//! A pool of worker processes: tasks go out, outputs come back, and a process that dies is replaced.
//!
//! Each [worker](crate::worker) has an *owner* here, a thread that starts it, gives it tasks, takes
//! its outputs, and waits for its end:
//!
//! ```text
//! submit ──> queue ──> owner ── tasks ───> worker
//!                        │  <── replies ──  │
//! output <───────────────┘                  │
//!                        └─── lifeline ─────┘
//! ```
//!
//! A worker does its tasks in the order it got them, so a reply belongs to the first of the tasks
//! in flight. The owner keeps a task until its output is there, so a lost task is simply given to
//! the replacement; and one that kills each worker that is given it alone is given up
//! (`in_flight`).
//!
//! Neither side can wait for the other in a circle. What goes to a worker never fills its channel: it has
//! two tasks in hand at most, and a large one travels as shared memory. What comes back is taken as soon as
//! there is room for the output before it, which only the consumer of the outputs has to make.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use cc_workloads::{Cause, Ctx, Error, Result, Stop, error::panic_reason, stop::OnRequest};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    in_flight::{CREDITS, InFlight, KILLED},
    worker::{Died, Launch, Worker},
};

/// How often a worker may fail to start before the run is given up.
const STARTS: u32 = 3;

/// Where the output of one submitted task arrives. It is broken if the run is stopped before.
pub type Promise<O> = Receiver<O>;

/// Worker processes that make outputs `O` of tasks `T`.
///
/// Dropping it ends the workers, after what was submitted is done or, if a stop is requested, at once.
pub struct Pool<T, O> {
    // Fields are dropped in this order: the queues close, then the owners are waited for.
    queues: Arc<Mutex<Option<Queues<T, O>>>>,
    on_stop: OnRequest,
    owners: Owners,
}

/// The ways to the owners.
struct Queues<T, O> {
    fed: Queue<T, O>,
    urgent: Queue<T, O>,
}

type Queue<T, O> = Sender<Order<T, O>>;

impl<T, O> Pool<T, O>
where
    T: Serialize + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// A pool of `ctx.workers` processes for the work that was given this name in
    /// [`enter`](crate::worker::enter). A worker is started when there is a task for it, and is
    /// told the `setup` first.
    ///
    /// `failed` makes the output of a task that has killed its worker too often: three times,
    /// while it was the only one that the worker had.
    pub fn start<S: Serialize>(
        name: &'static str,
        setup: &S,
        ctx: &Ctx,
        failed: Failed<T, O>,
    ) -> Result<Self> {
        let launch = Arc::new(Launch::new(name, setup)?);
        let (fed, tasks) = bounded(ctx.window.get() + 1);
        let (urgent, rests) = bounded(ctx.workers.get() * CREDITS);
        let queues = Arc::new(Mutex::new(Some(Queues { fed, urgent })));
        let doomed = queues.clone();
        // What is queued is dropped only when nobody holds either end of the queue; until then, its output is waited
        // for.
        let on_stop = ctx.stop.on_request(move || {
            let closed = doomed.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(closed);
        });
        let mut pool = Self { queues, on_stop, owners: Owners(Vec::new()) };
        for n in 0..ctx.workers.get() {
            let (launch, fed, urgent) = (launch.clone(), tasks.clone(), rests.clone());
            let owner = Owner { launch, fed, urgent, stop: ctx.stop.clone(), failed };
            let thread = thread::Builder::new().name(format!("owner-{n}")).spawn(move || owner.run());
            pool.owners.0.push(thread.map_err(|e| Error::worker("thread", e))?);
        }
        Ok(pool)
    }

    /// How many tasks keep every worker busy.
    pub fn credits(&self) -> usize {
        self.owners.0.len() * CREDITS
    }

    /// Queues a task whose output goes to `done`, with those of other tasks, as they are completed. Waits while
    /// the queue is full. None if the run is being stopped.
    pub fn submit_to(&self, done: &Sender<O>, task: T) -> Option<()> {
        Order::queue(&self.queue(|queues| &queues.fed)?, task, done.clone())
    }

    /// Queues a task whose output is waited for by itself.
    pub fn submit(&self, task: T) -> Option<Promise<O>> {
        Order::promise(&self.queue(|queues| &queues.fed)?, task)
    }

    /// The same, before all tasks that were merely submitted.
    pub fn submit_urgent(&self, task: T) -> Option<Promise<O>> {
        Order::promise(&self.queue(|queues| &queues.urgent)?, task)
    }

    /// One of the queues, while they are open.
    fn queue(&self, which: fn(&Queues<T, O>) -> &Queue<T, O>) -> Option<Queue<T, O>> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.as_ref().map(|queues| which(queues).clone())
    }

    /// Ends the workers, and says if they could not be had.
    pub fn finish(self) -> Result<()> {
        let Self { queues, on_stop, mut owners } = self;
        drop((queues, on_stop));
        owners.join()
    }
}

/// Makes the output of a task that cannot be done, with the reason.
pub type Failed<T, O> = fn(&T, &str) -> O;

/// The threads that own a worker each.
struct Owners(Vec<JoinHandle<Result<()>>>);

impl Owners {
    fn join(&mut self) -> Result<()> {
        let ends: Vec<_> =
            self.0.drain(..).map(|owner| owner.join().expect("its panics are caught")).collect();
        ends.into_iter().collect()
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// A task, and where its output goes.
struct Order<T, O> {
    task: T,
    done: Sender<O>,
}

impl<T, O> Order<T, O> {
    fn queue(queue: &Sender<Self>, task: T, done: Sender<O>) -> Option<()> {
        queue.send(Self { task, done }).ok()
    }

    fn promise(queue: &Sender<Self>, task: T) -> Option<Promise<O>> {
        let (done, promise) = bounded(1);
        Self::queue(queue, task, done)?;
        Some(promise)
    }

    fn keep(self, output: O) {
        // Nobody waits for it any more if the run was stopped meanwhile.
        let _ = self.done.send(output);
    }
}

/// One worker's part of the pool.
struct Owner<T, O> {
    launch: Arc<Launch>,
    fed: Receiver<Order<T, O>>,
    urgent: Receiver<Order<T, O>>,
    stop: Stop,
    failed: Failed<T, O>,
}

impl<T: Serialize, O: Serialize + DeserializeOwned> Owner<T, O> {
    fn run(self) -> Result<()> {
        let owned = catch_unwind(AssertUnwindSafe(|| self.own()))
            .unwrap_or_else(|panic| Err(Error::worker("owner", panic_reason(&*panic))));
        if self.stop.requested() {
            return Ok(()); // of a stopped run, nobody asks why a worker is gone
        }
        if owned.is_err() {
            self.stop.request(Cause::Break);
        }
        owned
    }

    /// Has a worker as long as there are tasks for it.
    fn own(&self) -> Result<()> {
        let mut in_flight = InFlight::new();
        loop {
            if in_flight.is_empty() {
                let Some(order) = self.next() else { return Ok(()) };
                in_flight.push(order);
            }
            let worker = self.start()?;
            let driven = self.drive(&worker, &mut in_flight);
            if driven.is_ok() || self.stop.requested() {
                return Ok(());
            }
            drop(worker);
            if let Some(order) = in_flight.worker_died() {
                let output = (self.failed)(&order.task, KILLED);
                order.keep(output);
            }
        }
    }

    fn start(&self) -> Result<Worker<O>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Worker::start(&self.launch, &self.stop) {
                Err(_) if tries < STARTS && !self.stop.requested() => {}
                started => return started,
            }
        }
    }

    /// Keeps the worker busy until there are no more tasks, or it dies.
    fn drive(&self, worker: &Worker<O>, in_flight: &mut InFlight<Order<T, O>>) -> Result<(), Died> {
        loop {
            while in_flight.has_room()
                && let Some(order) = if in_flight.is_empty() { self.next() } else { self.next_if_any() }
            {
                in_flight.push(order);
            }
            while let Some(order) = in_flight.next() {
                // A task that did not reach the worker has not killed it, and is not counted as
                // given.
                worker.give(&order.task)?;
                in_flight.give();
            }
            if in_flight.is_empty() {
                return Ok(());
            }
            let output = worker.output()?;
            in_flight.complete().keep(output);
        }
    }

    /// The next order; waits for it. None once the queues are closed and empty, or a stop is requested.
    fn next(&self) -> Option<Order<T, O>> {
        let order = select_biased! {
            recv(self.urgent) -> order => order.or_else(|_| self.fed.recv()),
            recv(self.fed) -> order => order.or_else(|_| self.urgent.recv()),
        };
        order.ok().filter(|_| !self.stop.requested())
    }

    fn next_if_any(&self) -> Option<Order<T, O>> {
        self.urgent.try_recv().or_else(|_| self.fed.try_recv()).ok()
    }
}
