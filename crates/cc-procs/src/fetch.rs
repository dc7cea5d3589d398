//! `fetch` in worker processes.
//!
//! - **Split.** A worker process per request that may be in flight. It makes one attempt, in
//!   blocking system calls, and returns the result. A download that must be retried later returns
//!   to the coordinator, and its worker is free for another.
//! - **Share.** Nothing. The coordinator owns the schedule and sends no requests itself. A worker
//!   owns its client, with one connection, and the partial bodies of downloads that broke off. A
//!   partial body stays in its worker. The coordinator remembers which worker that is, and sends it
//!   the download again, even if the download has to wait for the worker.
//! - **Bound.** As many workers as requests are allowed, each started when it is first needed: the
//!   limit of this model is the number of processes that the system allows a user, and the memory
//!   that each has to itself. While the sink is slow, no attempt begins.
//! - **Order.** None: results are emitted as they are completed.
//! - **Stop.** The workers are killed: a worker holds nothing that anything else needs, and a kill
//!   also ends one that is suspended.
//! - **Fail.** A panic is caught in the worker, and is that download's failure. If a worker dies,
//!   another repeats the attempt; after three deaths the download fails. The partial bodies of
//!   other downloads are lost, and fetched again. A worker that has not answered some time after
//!   its attempt must be over is killed. Workers write into a directory of the run, and only the
//!   coordinator gives files their final names: what a dead worker leaves there is removed with the
//!   directory.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_workloads::{
    Ctx, Error, Result, Sink, Stop,
    error::panic_reason,
    fetch::{
        Action, Download, Handover, Job, Output, PARKED, Returned, Schedule, Settings, blocking::Client,
        descriptors,
    },
    temporary::TemporaryDir,
};

use crate::fleet::{self, Event, Fleet};

/// Descriptors of the coordinator per worker: its lifeline, and one for another that is being
/// started.
const DESCRIPTORS: usize = 2;

/// Maximum deaths of workers while they attempt the same download; at this number it fails.
const MAX_DEATHS: u32 = 3;

/// Time after which a worker is killed, from the end of the time that its attempt may take.
const GRACE: Duration = Duration::from_secs(5);

// ANCHOR: fetch-run
/// Runs the job in a process per request that may be in flight; the calling thread coordinates
/// them, and gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    descriptors(job.at_once(), DESCRIPTORS)?;
    let mut coordinator = Coordinator::new(ctx, job)?;
    while !ctx.stop.requested() {
        let output = match coordinator.schedule.poll(Instant::now()) {
            Action::Start(download) => {
                coordinator.feed(download)?;
                None
            }
            Action::Emit(output) => Some(output),
            Action::Wait(until) => coordinator.gather(until)?,
            Action::Done => break,
        };
        if let Some(output) = output
            && ctx.emit(output, out).is_break()
        {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
impl Coordinator {
    /// Sends a download to the worker that has a part of it; otherwise to one that is idle;
    /// otherwise to one that it starts.
    fn feed(&mut self, download: Box<Download>) -> Result<()> {
        let index = download.attempt_id().index();
        let origin = download.origin();
        let worker = match self.partial.get(&index).copied() {
            Some(worker) if self.slots[worker].current.is_some() => {
                self.slots[worker].queue.push_back(download);
                return Ok(());
            }
            Some(worker) => {
                self.idle.retain(|idle| *idle != worker);
                worker
            }
            None => self.idle_worker(&origin)?,
        };
        self.slots[worker].origin = origin;
        self.send(worker, download);
        Ok(())
    }

    /// An idle worker, if possible with a connection to this origin; otherwise another that it
    /// starts.
    fn idle_worker(&mut self, origin: &str) -> Result<usize> {
        let connected = self.idle.iter().rposition(|idle| self.slots[*idle].origin == origin);
        if let Some(at) = connected.or(self.idle.len().checked_sub(1)) {
            return Ok(self.idle.remove(at));
        }
        let number = self.free.pop().expect("there are as many slots as attempts");
        self.fleet.start(number).map_err(|error| Error::worker(self.fleet.name(number), error))?;
        Ok(number)
    }

    fn send(&mut self, worker: usize, download: Box<Download>) {
        let now = Instant::now();
        let handover = download.hand_over(now);
        let handover = match &self.folder {
            Some(folder) => handover.into_folder(folder.path()),
            None => handover,
        };
        self.fleet.send(worker, &handover);
        let slot = &mut self.slots[worker];
        slot.deadline = now.checked_add(download.time_left(now).saturating_add(GRACE));
        slot.current = Some(download);
    }
}
// ANCHOR_END: fetch-feed

/// In a worker process of this workload, makes attempts and does not return.
pub(crate) fn enter() {
    fleet::enter("fetch", work);
}

// ANCHOR: fetch-work
/// Returns the function that makes an attempt of each download, in a worker process.
pub(crate) fn work(settings: Settings) -> Result<impl FnMut(Handover) -> Returned> {
    let settings = Arc::new(settings);
    let client = Client::new(&settings, &Stop::default())?;
    let mut partial: HashMap<usize, Box<Download>> = HashMap::new();
    Ok(move |handover: Handover| {
        let index = handover.index;
        let begun = partial.remove(&index);
        let download = begun.unwrap_or_else(|| handover.take_over(&settings, Instant::now()));
        let attempt_id = download.attempt_id();
        // Unwind safe: the panic drops the download and the connection that it used.
        let attempted = catch_unwind(AssertUnwindSafe(|| client.attempt(download)))
            .unwrap_or_else(|panic| attempt_id.failed(&panic_reason(&*panic), Instant::now()));
        let (returned, broken_off) = attempted.give_back(Instant::now());
        if let Some(download) = broken_off {
            keep(&mut partial, index, download);
        }
        returned
    })
}

/// Keeps a partial body for the next attempt. Each may have an open file, so there is a limit:
/// above it, another body is dropped. That download starts over here, which the coordinator need
/// not know.
fn keep(partial: &mut HashMap<usize, Box<Download>>, index: usize, download: Box<Download>) {
    if partial.len() >= PARKED
        && let Some(other) = partial.keys().next().copied()
    {
        partial.remove(&other);
    }
    partial.insert(index, download);
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
impl Coordinator {
    /// Waits for the result of an attempt, until this time.
    fn gather(&mut self, until: Option<Instant>) -> Result<Option<Output>> {
        let next_deadline = self.kill_overdue();
        match self.fleet.next_event([until, next_deadline].into_iter().flatten().min())? {
            Some(Event::Answer(worker, returned)) => self.on_answer(worker, returned),
            Some(Event::Death(worker)) => self.on_worker_death(worker),
            None => Ok(None),
        }
    }

    fn on_answer(&mut self, worker: usize, returned: Returned) -> Result<Option<Output>> {
        let slot = &mut self.slots[worker];
        slot.deadline = None;
        let download = slot.current.take().expect("an answer follows a request");
        let index = download.attempt_id().index();
        if returned.is_begun() {
            self.partial.insert(index, worker);
        } else {
            self.partial.remove(&index);
        }
        match self.slots[worker].queue.pop_front() {
            Some(next) => self.send(worker, next),
            None => self.idle.push(worker),
        }
        let returned = match &self.folder {
            Some(folder) => returned.keep(&download, folder.path()),
            None => returned,
        };
        Ok(self.schedule.complete(returned.take_back(&download, Instant::now())))
    }

    /// Sends the downloads of a dead worker to others, and fails the one that it was attempting if
    /// that was the third death.
    fn on_worker_death(&mut self, worker: usize) -> Result<Option<Output>> {
        let WorkerSlot { current, queue, .. } = mem::take(&mut self.slots[worker]);
        self.partial.retain(|_, other| *other != worker);
        self.idle.retain(|idle| *idle != worker);
        self.free.push(worker);
        for download in queue {
            self.feed(download)?;
        }
        let Some(download) = current else { return Ok(None) };
        let attempt_id = download.attempt_id();
        let deaths = self.deaths.entry(attempt_id.index()).or_default();
        *deaths += 1;
        if *deaths == MAX_DEATHS {
            let failed = attempt_id.failed("killed its worker three times", Instant::now());
            return Ok(self.schedule.complete(failed));
        }
        self.feed(download)?;
        Ok(None)
    }

    /// Kills the workers that are overdue. Returns the next deadline of another.
    fn kill_overdue(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for (worker, slot) in self.slots.iter_mut().enumerate() {
            if slot.deadline.take_if(|deadline| *deadline <= now).is_some() {
                self.fleet.kill(worker);
            }
        }
        self.slots.iter().filter_map(|slot| slot.deadline).min()
    }
}
// ANCHOR_END: fetch-gather

/// Shares the downloads out to the workers, and knows what each has.
struct Coordinator {
    schedule: Schedule,
    fleet: Fleet<Returned>,
    /// By the worker's number.
    slots: Vec<WorkerSlot>,
    /// Numbers of slots without a worker.
    free: Vec<usize>,
    /// Workers without a request, the one that became idle last at the end.
    idle: Vec<usize>,
    /// The worker that has a part of a download's body, by the download's index.
    partial: HashMap<usize, usize>,
    /// Number of workers that have died during an attempt, by the download's index.
    deaths: HashMap<usize, u32>,
    /// The directory in which workers write bodies.
    folder: Option<TemporaryDir>,
}

#[derive(Default)]
struct WorkerSlot {
    /// The download that the worker attempts.
    current: Option<Box<Download>>,
    /// When the worker is killed if it has not answered.
    deadline: Option<Instant>,
    /// Downloads that wait for this worker, since it has parts of their bodies.
    queue: VecDeque<Box<Download>>,
    /// The origin of its last download, to which it may still have a connection.
    origin: String,
}

impl Coordinator {
    fn new(ctx: &Ctx, job: &Job) -> Result<Self> {
        let count = job.at_once();
        let settings = job.settings.single_connection();
        Ok(Self {
            schedule: Schedule::new(job, Instant::now()),
            fleet: Fleet::new(&ctx.stop, "fetch", &settings, "--concurrency", count)?,
            slots: (0..count).map(|_| WorkerSlot::default()).collect(),
            free: (0..count).rev().collect(),
            idle: Vec::new(),
            partial: HashMap::new(),
            deaths: HashMap::new(),
            // If it cannot be created, each worker fails with that reason when it keeps a body.
            folder: job.settings.out.as_ref().and_then(|out| TemporaryDir::new(out, ".cc-fetch-").ok()),
        })
    }
}
