//! `fetch` by actors.
//!
//! ```text
//!      a download, to one who is idle
//!   ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌> fetchers <───> servers
//!   ╎                                   ╎    │ death
//!   ╎     what an attempt came to       ╎    v
//!  dispatcher <╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┴╌╌ supervisor
//!   │                                        │
//!   └───────────────> curator <──────────────┘
//!     outputs            └──> sink
//! ```
//!
//! - **Split.** A fetcher for each request that may be under way. It makes one attempt, waiting in the kernel for the answer, and
//!   reports. One that has to come back later is the dispatcher's again, and its fetcher does something else.
//! - **Share.** Nothing. The dispatcher owns the schedule: the limits, the hosts, and who has been told to come back when. It
//!   waits for a report or for the next such time. A fetcher owns its client, with one connection that it keeps: the dispatcher
//!   remembers where it leads, and brings the next download from there to it.
//! - **Bound.** As many fetchers as requests are allowed: the limit of this model is what the system lets a process have of
//!   threads and descriptors. All are started before any is sent something, so that too many are refused at once. When the sink
//!   is behind, the curator's mailbox fills and the dispatcher waits: what is under way ends, and nothing more is asked for.
//! - **Deadlock.** Dotted arrows never wait: only an idle fetcher is sent a download, and a mailbox has room for it; the dispatcher's has
//!   room for a report of every fetcher, who sends the next only after another download. The others all lead to the curator, who waits
//!   for nobody but the sink.
//! - **Order.** None: outputs are passed on as they come.
//! - **Stop.** It halts whoever waits for a message, and thereby whoever waits to send him one; a request in flight waits in `poll` for
//!   the stop as well.
//! - **Fail.** Let it crash: a fetcher that panics is dead, with its thread and its connection. The supervisor is sent what it left, starts
//!   one with a fresh client, which takes over the mailbox, and reports the download that was in hand as failed.

use std::{collections::HashMap, time::Instant};

use cc_workloads::{
    Ctx, Error, Result, Sink, Stop,
    fetch::{
        Attempted, Download, Job, Output, Schedule, Settings, Ticket, Turn, blocking::Client, descriptors,
    },
};

use crate::actor::{Address, Death, Halted, Mailbox, System, system};

/// What TLS and the decoder need, and some more. What a thread does not touch of its stack is not there.
const STACK: usize = 256 << 10;

/// Of a fetcher: its bell, a file, a connection, and one that it keeps while that is to somebody else.
const DESCRIPTORS: usize = 4;

/// So many may have died before the supervisor looks. More have to wait for it, which they do not mind.
const DEATHS: usize = 16;

// ANCHOR: fetch-run
/// Runs the job on a fetcher for each request that may be under way; the calling thread is the last actor, the curator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let fetching = Fetching { settings: job.settings.single_connection(), stop: ctx.stop.clone() };
    system(&ctx.stop, |system| {
        let (dispatcher, reports) = system.mailbox(at_once);
        let (supervisor, deaths) = system.mailbox(DEATHS);
        let (curator, outputs) = system.mailbox(at_once);
        let to = Addresses { dispatcher, supervisor };
        let mut desks = Vec::with_capacity(at_once);
        for id in 0..at_once {
            let (fetcher, orders) = system.mailbox(1);
            let started = Fetcher::new(&fetching, id, orders, to.clone()).and_then(|new| new.start(&system));
            let who = || format!("fetcher {} of {at_once}, see --concurrency", id + 1);
            started.map_err(|error| Error::worker(who(), error))?;
            desks.push(Desk { fetcher, origin: String::new() });
        }
        let (office, watch) = (system.clone(), curator.clone());
        system.spawn("supervisor", move || supervise(&office, &deaths, &fetching, &watch))?;
        let dispatcher = Dispatcher::new(Schedule::new(job, Instant::now()), desks, curator);
        system.spawn("dispatcher", move || dispatcher.work(&reports))?;
        gather(&outputs, job, ctx, out)
    })
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
/// The dispatcher owns the schedule, and knows who is idle and where his connection leads.
struct Dispatcher {
    schedule: Schedule,
    /// By the fetcher's number.
    desks: Vec<Desk>,
    idle: Idle,
    curator: Address<Result<Output>>,
}

impl Dispatcher {
    fn new(schedule: Schedule, desks: Vec<Desk>, curator: Address<Result<Output>>) -> Self {
        let idle = Idle(HashMap::from([(String::new(), (0..desks.len()).collect())]));
        Self { schedule, desks, idle, curator }
    }

    fn work(mut self, reports: &Mailbox<Ended>) -> Result<(), Halted> {
        loop {
            match self.schedule.turn(Instant::now()) {
                Turn::Start(download) => self.assign(download)?,
                Turn::Settled(output) => self.curator.send(Ok(output))?,
                Turn::Wait(until) => {
                    if let Some(ended) = reports.receive_until(until)? {
                        self.take_back(ended)?;
                    }
                }
                Turn::Over => return Ok(()),
            }
        }
    }

    fn assign(&mut self, download: Box<Download>) -> Result<(), Halted> {
        let origin = download.origin();
        let id = self.idle.take(&origin).expect("as many fetchers as attempts");
        self.desks[id].origin = origin;
        self.desks[id].fetcher.send(download)
    }

    fn take_back(&mut self, Ended { id, attempted }: Ended) -> Result<(), Halted> {
        self.idle.put(self.desks[id].origin.clone(), id);
        self.schedule.ended(attempted).map_or(Ok(()), |output| self.curator.send(Ok(output)))
    }
}

/// Who has nothing to do, by the origin that he has spoken with last; those who have not spoken are under "".
struct Idle(HashMap<String, Vec<usize>>);

impl Idle {
    fn put(&mut self, origin: String, id: usize) {
        self.0.entry(origin).or_default().push(id);
    }

    /// One who may still have a connection to this origin, or else one who has none, or else anybody.
    fn take(&mut self, origin: &str) -> Option<usize> {
        let known = [origin, ""].into_iter().find(|known| self.0.contains_key(*known));
        let known = known.or_else(|| self.0.keys().next().map(String::as_str))?.to_owned();
        let those = self.0.get_mut(&known)?;
        let id = those.pop();
        if those.is_empty() {
            self.0.remove(&known);
        }
        id
    }
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-work
/// A fetcher owns its client, and thereby a connection. What it owned when it died says which download was in hand.
struct Fetcher {
    id: usize,
    client: Client,
    orders: Mailbox<Box<Download>>,
    in_hand: Option<Ticket>,
    to: Addresses,
}

impl Fetcher {
    fn new(fetching: &Fetching, id: usize, orders: Mailbox<Box<Download>>, to: Addresses) -> Result<Self> {
        let client = Client::new(&fetching.settings, &fetching.stop)?;
        Ok(Self { id, client, orders, in_hand: None, to })
    }

    fn start(self, system: &System) -> Result<()> {
        let supervisor = self.to.supervisor.clone();
        system.small(STACK).watch(format!("fetcher-{}", self.id), self, Self::work, supervisor)
    }

    /// Makes the attempts that it is sent.
    fn work(&mut self) -> Result<(), Halted> {
        loop {
            let download = self.orders.receive()?;
            self.in_hand = Some(download.ticket());
            let attempted = self.client.attempt(download);
            self.in_hand = None;
            self.to.dispatcher.send(Ended { id: self.id, attempted })?;
        }
    }
}

/// The supervisor starts another fetcher in the place of one that died, and reports the download that it died of.
fn supervise(
    system: &System,
    deaths: &Mailbox<Death<Fetcher>>,
    fetching: &Fetching,
    curator: &Address<Result<Output>>,
) -> Result<(), Halted> {
    loop {
        let Death { remains: Fetcher { id, orders, in_hand, to, .. }, reason } = deaths.receive()?;
        // What a panic has gone through is not trusted again.
        let started = Fetcher::new(fetching, id, orders, to.clone()).and_then(|fresh| fresh.start(system));
        if let Err(error) = started {
            curator.send(Err(error))?;
        }
        if let Some(ticket) = in_hand {
            to.dispatcher.send(Ended { id, attempted: ticket.failed(&reason, Instant::now()) })?;
        }
    }
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// The curator, who owns the sink, emits what comes, until there is one output for each that was wanted.
fn gather(outputs: &Mailbox<Result<Output>>, job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    for _ in &job.wanted {
        let Ok(output) = outputs.receive() else { break };
        // An attempt that the stop has ended came to nothing.
        if ctx.stop.requested() || ctx.emit(output?, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: fetch-gather

/// What every fetcher begins with.
struct Fetching {
    settings: Settings,
    stop: Stop,
}

/// What the dispatcher knows of a fetcher.
struct Desk {
    fetcher: Address<Box<Download>>,
    /// Whom it was sent to last.
    origin: String,
}

/// Whom a fetcher can write to.
#[derive(Clone)]
struct Addresses {
    dispatcher: Address<Ended>,
    supervisor: Address<Death<Fetcher>>,
}

/// To the dispatcher: what this fetcher's attempt came to. The fetcher is idle again.
struct Ended {
    id: usize,
    attempted: Attempted,
}
