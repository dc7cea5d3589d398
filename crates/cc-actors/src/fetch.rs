//! `fetch` by actors.
//!
//! ```text
//!        a download, for an idle one
//!   ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌> fetchers <───> servers
//!   ╎                                   ╎    │ death
//!   ╎     what an attempt came to       ╎    v
//!  dispatcher <╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┴╌╌ supervisor
//!   │
//!   └───────────────> curator ──> sink
//!     outputs
//! ```
//!
//! - **Split.** A fetcher for each request that may be in flight. It makes one attempt, waiting in
//!   the kernel for the answer, and reports. An attempt that has to be made again later is the
//!   dispatcher's, and its fetcher does something else.
//! - **Share.** Nothing. The dispatcher owns the schedule: the limits, the hosts, and when each
//!   download may be tried again. It waits for a report or for the next such time. A fetcher owns
//!   its client, with one connection that it keeps: the dispatcher remembers where it leads, and
//!   brings the next download from there to it.
//! - **Bound.** As many fetchers as requests are allowed: the limit of this model is what the
//!   system lets a process have of threads and descriptors. All are started before any is sent
//!   something, so that too many are refused at once. When the sink is slow, the curator's mailbox
//!   fills and the dispatcher waits: what is in flight ends, and nothing more is asked for.
//! - **Deadlock.** Dotted arrows never wait: only an idle fetcher is sent a download, and a mailbox
//!   has room for it; the dispatcher's has room for a report of every fetcher, which sends the next
//!   only after another download. The dispatcher waits for room at the curator, which waits for
//!   nothing but the sink.
//! - **Order.** None: outputs are passed on as they come.
//! - **Stop.** An actor that waits for a message is halted, and its mailbox goes with it, which
//!   ends the wait of every actor that sends to it; a request in flight waits in `poll` for the
//!   stop as well.
//! - **Fail.** Let it crash: a fetcher that panics is dead, with its thread and its connection. Its
//!   [supervisor] reports the download in hand as failed and starts a fetcher
//!   with a fresh client on the same mailbox.

use std::{collections::HashMap, time::Instant};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    fetch::{Attempted, Download, Job, Output, Schedule, Ticket, Turn, blocking::Client, descriptors},
};

use crate::actor::{Address, Halted, Mailbox, system};
use crate::supervisor::{self, ChildSpec, Supervisor};

/// Stack of a fetcher, in bytes: what TLS and the decoder need, and some more. The system provides
/// only the pages that a thread touches.
const STACK: usize = 256 << 10;

/// Descriptors of a fetcher: its bell, a file, a connection, and the last one, which it keeps until
/// one to another host is there.
const DESCRIPTORS: usize = 4;

/// Maximum deaths in the supervisor's mailbox; the thread of another dead fetcher waits for room.
const DEATHS: usize = 16;

// ANCHOR: fetch-run
/// Runs the job on a fetcher for each request that may be under way; the calling thread is the last
/// actor, the curator.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let settings = job.settings.single_connection();
    let client = || Client::new(&settings, &ctx.stop);
    system(&ctx.stop, |system| {
        let (dispatcher, reports) = system.mailbox(at_once);
        let (curator, outputs) = system.mailbox(at_once);
        let children =
            ChildSpec { name: "fetcher", capacity: 1, to: dispatcher, kernel: client, work, report_failure };
        let supervisor = Supervisor::new(&system.small(STACK), DEATHS, children);
        let mut desks = Vec::with_capacity(at_once);
        for id in 0..at_once {
            let who = || format!("fetcher {} of {at_once}, see --concurrency", id + 1);
            let fetcher = supervisor.start(id).map_err(|error| Error::worker(who(), error))?;
            desks.push(Desk { fetcher, origin: String::new() });
        }
        system.spawn("supervisor", move || supervisor.supervise())?;
        let dispatcher = Dispatcher::new(Schedule::new(job, Instant::now()), desks, curator);
        system.spawn("dispatcher", move || dispatcher.work(&reports))?;
        gather(&outputs, job, ctx, out);
        Ok(())
    })
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
/// The dispatcher owns the schedule, and knows which fetchers are idle and where their connections
/// lead.
struct Dispatcher {
    schedule: Schedule,
    /// By the fetcher's number.
    desks: Vec<Desk>,
    idle: Idle,
    curator: Address<Output>,
}

impl Dispatcher {
    fn new(schedule: Schedule, desks: Vec<Desk>, curator: Address<Output>) -> Self {
        let idle = Idle(HashMap::from([(String::new(), (0..desks.len()).collect())]));
        Self { schedule, desks, idle, curator }
    }

    fn work(mut self, reports: &Mailbox<Ended>) -> Result<(), Halted> {
        loop {
            match self.schedule.turn(Instant::now()) {
                Turn::Start(download) => self.assign(download)?,
                Turn::Settled(output) => self.curator.send(output)?,
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
        self.schedule.ended(attempted).map_or(Ok(()), |output| self.curator.send(output))
    }
}

/// The idle fetchers, by the origin of their last download; those that have had none are under "".
struct Idle(HashMap<String, Vec<usize>>);

impl Idle {
    fn put(&mut self, origin: String, id: usize) {
        self.0.entry(origin).or_default().push(id);
    }

    /// A fetcher that may still have a connection to this origin, or else one that has none, or
    /// else any other.
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
/// A fetcher owns its client, and thereby a connection; its supervisor starts another if it panics.
type Fetcher = supervisor::Worker<Client, Box<Download>, Address<Ended>, Ticket>;

/// Makes the attempts that it is sent.
fn work(fetcher: &mut Fetcher) -> Result<(), Halted> {
    loop {
        let download = fetcher.mailbox.receive()?;
        fetcher.in_hand = Some(download.ticket());
        let attempted = fetcher.kernel.attempt(download);
        fetcher.in_hand = None;
        fetcher.to.send(Ended { id: fetcher.id, attempted })?;
    }
}

/// Reports the download that a fetcher had in hand when it panicked.
fn report_failure(fetcher: &Fetcher, ticket: Ticket, reason: &str) -> Result<(), Halted> {
    fetcher.to.send(Ended { id: fetcher.id, attempted: ticket.failed(reason, Instant::now()) })
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// The curator owns the sink, and emits what comes, until there is one output for each that was
/// wanted.
fn gather(outputs: &Mailbox<Output>, job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    for _ in &job.wanted {
        let Ok(output) = outputs.receive() else { break };
        // An attempt that the stop has ended came to nothing.
        if ctx.stop.requested() || ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: fetch-gather

/// What the dispatcher knows of a fetcher.
struct Desk {
    fetcher: Address<Box<Download>>,
    /// The origin of its last download.
    origin: String,
}

/// To the dispatcher: what this fetcher's attempt came to. The fetcher is idle again.
struct Ended {
    id: usize,
    attempted: Attempted,
}
