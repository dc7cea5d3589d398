//! `fetch` in worker processes.
//!
//! - **Split.** A worker process for each request that is under way, as in servers that fork beforehand. It makes one attempt,
//!   waiting in the kernel for the answer, and reports. One that has to come back later is the coordinator's again, and its worker
//!   does something else.
//! - **Share.** Nothing. The coordinator owns the schedule and speaks to no server; a worker owns its client, with one
//!   connection, and the part of a body that broke off. That stays where it is, so the coordinator knows who has it, and
//!   hands that download to him again, even if it has to wait for him.
//! - **Bound.** As many workers as requests are allowed, started when there is something for them: the limit of this model is what the
//!   system lets a user have of processes, and the memory that each has to itself. While the sink is behind, nothing is begun.
//! - **Order.** None: results come as they are completed.
//! - **Stop.** The workers are killed: what they were doing is nobody's, and a kill also reaches one that is suspended.
//! - **Fail.** A panic is caught in the worker, and is that download's failure. If a worker dies, the attempt is made again by another,
//!   unless it is the third that has died of it; what the dead one had of other bodies comes again. One that has not
//!   answered when its attempt must be over is killed. Workers write into a folder of the run, and the coordinator alone
//!   gives files their names: whatever a worker leaves behind goes with the folder.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_workloads::{
    Ctx, Error, Result, Sink, Stop,
    error::panic_reason,
    fetch::{
        Download, Handover, Job, Output, PARKED, Returned, Schedule, Settings, Turn, blocking::Client,
        descriptors,
    },
    temporary::TemporaryDir,
};

use crate::fleet::{self, Fleet, News};

/// Of the coordinator, for each worker: its lifeline, and one for another that is being started.
const DESCRIPTORS: usize = 2;

/// How many workers may die of a download before it is given up.
const TRIES: u32 = 3;

/// How much longer than its attempt may take a worker is waited for.
const GRACE: Duration = Duration::from_secs(5);

// ANCHOR: fetch-run
/// Runs the job in a process for each request that may be under way; the calling thread coordinates, and gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    descriptors(job.at_once(), DESCRIPTORS)?;
    let mut desk = Desk::new(job, ctx)?;
    while !ctx.stop.requested() {
        let output = match desk.schedule.turn(Instant::now()) {
            Turn::Start(download) => desk.assign(download).map(|()| None)?,
            Turn::Settled(output) => Some(output),
            Turn::Wait(until) => desk.gather(until)?,
            Turn::Over => break,
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

/// What the coordinator knows.
struct Desk {
    schedule: Schedule,
    fleet: Fleet<Returned>,
    /// By the worker's number.
    seats: Vec<Seat>,
    /// Seats without a worker.
    vacant: Vec<usize>,
    /// Workers with nothing to do, those that have had something last at the end.
    idle: Vec<usize>,
    /// Who has a part of a download's body.
    homes: HashMap<usize, usize>,
    /// How many workers have died of a download.
    deaths: HashMap<usize, u32>,
    /// Where workers put bodies.
    folder: Option<TemporaryDir>,
}

#[derive(Default)]
struct Seat {
    in_hand: Option<Box<Download>>,
    /// When its answer is overdue, if it ever is.
    overdue: Option<Instant>,
    /// Others that have their bodies here.
    queue: VecDeque<Box<Download>>,
    /// Where its connection leads.
    origin: String,
}

impl Desk {
    fn new(job: &Job, ctx: &Ctx) -> Result<Self> {
        let at_once = job.at_once();
        Ok(Self {
            schedule: Schedule::new(job, Instant::now()),
            fleet: Fleet::new(
                "fetch",
                &job.settings.single_connection(),
                ("--concurrency", at_once),
                &ctx.stop,
            )?,
            seats: (0..at_once).map(|_| Seat::default()).collect(),
            vacant: (0..at_once).rev().collect(),
            idle: Vec::new(),
            homes: HashMap::new(),
            deaths: HashMap::new(),
            // If there can be none, no body can be kept, as each worker will find.
            folder: job.settings.out.as_ref().and_then(|out| TemporaryDir::new(out, ".cc-fetch-").ok()),
        })
    }
}

// ANCHOR: fetch-feed
impl Desk {
    /// Hands a download to whoever has a part of it, or else to a worker that is idle, or else to a new one.
    fn assign(&mut self, download: Box<Download>) -> Result<()> {
        let home = self.homes.get(&download.ticket().index()).copied();
        match home {
            Some(home) if self.seats[home].in_hand.is_some() => {
                self.seats[home].queue.push_back(download);
                return Ok(());
            }
            Some(home) => self.idle.retain(|idle| *idle != home),
            None => {}
        }
        let origin = download.origin();
        let worker = home.map_or_else(|| self.free(&origin), Ok)?;
        self.seats[worker].origin = origin;
        self.hand_over(worker, download);
        Ok(())
    }

    /// A worker that is free, if possible one whose connection leads there.
    fn free(&mut self, origin: &str) -> Result<usize> {
        let known = self.idle.iter().rposition(|idle| self.seats[*idle].origin == origin);
        if let Some(at) = known.or(self.idle.len().checked_sub(1)) {
            return Ok(self.idle.remove(at));
        }
        let number = self.vacant.pop().expect("as many seats as attempts");
        self.fleet.start(number).map_err(|error| Error::worker(self.fleet.who(number), error))?;
        Ok(number)
    }

    fn hand_over(&mut self, worker: usize, download: Box<Download>) {
        let now = Instant::now();
        let handover = download.hand_over(now);
        let handover = match &self.folder {
            Some(folder) => handover.into_folder(folder.path()),
            None => handover,
        };
        self.fleet.ask(worker, &handover);
        let seat = &mut self.seats[worker];
        seat.overdue = now.checked_add(download.patience(now).saturating_add(GRACE));
        seat.in_hand = Some(download);
    }
}
// ANCHOR_END: fetch-feed

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    fleet::enter("fetch", work);
}

// ANCHOR: fetch-work
/// Prepares a worker process: what it returns makes an attempt of each download that is handed over.
pub(crate) fn work(settings: Settings) -> Result<impl FnMut(Handover) -> Returned> {
    let settings = Arc::new(settings);
    let client = Client::new(&settings, &Stop::default())?;
    let mut begun: HashMap<usize, Box<Download>> = HashMap::new();
    Ok(move |handover: Handover| {
        let index = handover.index;
        let mine = begun.remove(&index);
        let download = mine.unwrap_or_else(|| handover.take_over(&settings, Instant::now()));
        let ticket = download.ticket();
        let attempted = catch_unwind(AssertUnwindSafe(|| client.attempt(download)));
        let attempted =
            attempted.unwrap_or_else(|panic| ticket.failed(&panic_reason(&*panic), Instant::now()));
        let (returned, left) = attempted.give_back(Instant::now());
        if let Some(download) = left {
            keep(&mut begun, index, download);
        }
        returned
    })
}
/// Keeps a body that broke off for its next attempt. Each may have a file that is open: if there
/// are too many, another starts over, which the coordinator need not know.
fn keep(begun: &mut HashMap<usize, Box<Download>>, index: usize, download: Box<Download>) {
    if begun.len() >= PARKED
        && let Some(other) = begun.keys().next().copied()
    {
        begun.remove(&other);
    }
    begun.insert(index, download);
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
impl Desk {
    /// Waits for what a worker made of its attempt, or for this time.
    fn gather(&mut self, until: Option<Instant>) -> Result<Option<Output>> {
        let next_overdue = self.end_overdue();
        match self.fleet.next([until, next_overdue].into_iter().flatten().min())? {
            Some(News::Answer(worker, returned)) => self.take_back(worker, returned),
            Some(News::Death(worker)) => self.bury(worker),
            None => Ok(None),
        }
    }

    fn take_back(&mut self, worker: usize, returned: Returned) -> Result<Option<Output>> {
        let seat = &mut self.seats[worker];
        seat.overdue = None;
        let download = seat.in_hand.take().expect("who answers was asked");
        match returned.is_begun() {
            true => self.homes.insert(download.ticket().index(), worker),
            false => self.homes.remove(&download.ticket().index()),
        };
        match self.seats[worker].queue.pop_front() {
            Some(next) => self.hand_over(worker, next),
            None => self.idle.push(worker),
        }
        let returned = match &self.folder {
            Some(folder) => returned.keep(&download, folder.path()),
            None => returned,
        };
        Ok(self.schedule.ended(returned.take_back(&download, Instant::now())))
    }

    /// Gives what a dead worker had to others.
    fn bury(&mut self, worker: usize) -> Result<Option<Output>> {
        let Seat { in_hand, queue, .. } = std::mem::take(&mut self.seats[worker]);
        self.homes.retain(|_, home| *home != worker);
        self.idle.retain(|idle| *idle != worker);
        self.vacant.push(worker);
        queue.into_iter().try_for_each(|download| self.assign(download))?;
        let Some(download) = in_hand else { return Ok(None) };
        let ticket = download.ticket();
        let deaths = self.deaths.entry(ticket.index()).or_default();
        *deaths += 1;
        if *deaths == TRIES {
            let failed = ticket.failed("killed its worker three times", Instant::now());
            return Ok(self.schedule.ended(failed));
        }
        self.assign(download).map(|()| None)
    }

    /// Kills whoever is overdue, and says when the next is.
    fn end_overdue(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for (worker, seat) in self.seats.iter_mut().enumerate() {
            if seat.overdue.take_if(|time| *time <= now).is_some() {
                self.fleet.kill(worker);
            }
        }
        self.seats.iter().filter_map(|seat| seat.overdue).min()
    }
}
// ANCHOR_END: fetch-gather
