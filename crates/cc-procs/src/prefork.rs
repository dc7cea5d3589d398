//! Workers that all serve clients of one listener, and the coordinator that starts and replaces
//! them.
//!
//! The coordinator serves no client. It has the listener and starts the workers, which are this
//! program again, as in the [pool](crate::pool). It is connected to each by a *lifeline*, the
//! worker's standard input: a socket that preserves message boundaries, and on which a message may
//! carry a descriptor. So a worker receives the listener, and its end of the
//! [link](crate::mesh) to each other worker:
//!
//! ```text
//! coordinator ── lifeline: begin, links, stop ──> worker 0 <── link ──> worker 1 <── lifeline ──
//!             <── ready, result ─────────────────
//! ```
//!
//! (In C a worker would inherit the descriptors and be told their numbers. In Rust a raw number is
//! not an `OwnedFd`, so the descriptors are passed with SCM_RIGHTS.)
//!
//! When a lifeline closes, its worker is dead. The coordinator reaps it and starts a successor, and
//! the other workers receive links to that. If the coordinator is killed, all lifelines close, and
//! the workers exit.

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    marker::PhantomData,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process,
    time::{Duration, Instant},
};

use cc_workloads::{Ctx, Error, Result, error::reason, kv::deadline_after, stdio};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::RecvFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    lifeline::{self, receive, send},
    process::{Process, enter_as},
};

/// Time before another attempt to start a worker, if one could not be started.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Time that the coordinator waits for results after the time to drain: a worker needs a little
/// longer to send its result.
const GRACE: Duration = Duration::from_millis(250);

/// Has `ctx.workers` workers serve until a stop is requested, and returns the result of each. The
/// result of a worker that is killed is lost. After the stop, workers have the time `drain` to end.
///
/// # Errors
///
/// If the first workers cannot be started. A successor that cannot be started is tried again.
pub fn run<S: Serialize, R: DeserializeOwned>(
    ctx: &Ctx,
    work: &'static str,
    setup: &S,
    listener: &TcpListener,
    drain: Duration,
) -> Result<Vec<R>> {
    let (bell, _on_stop) = ctx.stop.bell()?;
    let mut slots = WorkerSlots::new(work, setup, listener, ctx.workers.get());
    for number in 0..ctx.workers.get() {
        slots.start(number)?;
    }
    for number in 0..ctx.workers.get() {
        slots.begin(number)?;
    }
    while !ctx.stop.requested() {
        let timeout = slots.poll_timeout();
        slots.wait(Some(bell.as_fd()), timeout)?;
        slots.restart()?;
    }
    slots.stop(deadline_after(drain.saturating_add(GRACE)))
}

/// The slots of all workers, and what a worker needs to start.
struct WorkerSlots<'a, R> {
    work: &'static str,
    setup: Vec<u8>,
    listener: &'a TcpListener,
    slots: Vec<WorkerSlot<R>>,
    /// A worker was ready once: so workers can be started, and a failure is worth a retry.
    has_begun: bool,
}

struct WorkerSlot<R> {
    worker: Option<Worker>,
    /// When a worker is to be started, if there is none.
    due: Instant,
    result: Option<R>,
}

/// A worker, seen from the coordinator.
struct Worker {
    /// Declared first, so that it is dropped first: the worker is killed before its lifeline
    /// closes, and need not handle that.
    _process: Process,
    lifeline: OwnedFd,
    is_ready: bool,
}

/// To a worker.
#[derive(Serialize, Deserialize)]
enum Command {
    /// Serve, as the worker with this number, among this number of workers, with this setup. It
    /// carries the listener.
    Begin(usize, usize, Vec<u8>),
    /// There is a link to this worker. It carries the end of it.
    Connect(usize),
    Stop,
}

/// From a worker.
#[derive(Serialize, Deserialize)]
enum Response<R> {
    Ready,
    Result(R),
}

impl<'a, R: DeserializeOwned> WorkerSlots<'a, R> {
    fn new(work: &'static str, setup: &impl Serialize, listener: &'a TcpListener, workers: usize) -> Self {
        let setup = postcard::to_stdvec(setup).expect("plain data serializes");
        let empty = || WorkerSlot { worker: None, due: Instant::now(), result: None };
        let slots = (0..workers).map(|_| empty()).collect();
        Self { work, setup, listener, slots, has_begun: false }
    }

    /// Starts a worker in a slot, and links it with all others.
    fn start(&mut self, number: usize) -> Result<()> {
        let worker = Worker::start(self.work).map_err(failed)?;
        for (other, slot) in self.slots.iter().enumerate() {
            let Some(peer) = &slot.worker else { continue };
            // Both ends are CLOEXEC: a worker that inherited one would keep the link open after the
            // death of the worker that it belongs to.
            let (here, there) = UnixStream::pair().map_err(failed)?;
            send(&worker.lifeline, &Command::Connect(other), Some(here.as_fd())).map_err(failed)?;
            // If the peer is dead, its successor receives another link.
            let _ = send(&peer.lifeline, &Command::Connect(number), Some(there.as_fd()));
        }
        self.slots[number].worker = Some(worker);
        Ok(())
    }

    /// Has a worker begin, which has been sent all of its links.
    fn begin(&self, number: usize) -> Result<()> {
        let Some(worker) = &self.slots[number].worker else { return Ok(()) };
        let begin = Command::Begin(number, self.slots.len(), self.setup.clone());
        send(&worker.lifeline, &begin, Some(self.listener.as_fd())).map_err(failed)
    }

    /// Starts successors of dead workers, when they are due.
    fn restart(&mut self) -> Result<()> {
        for number in 0..self.slots.len() {
            let slot = &self.slots[number];
            if slot.worker.is_some() || slot.due > Instant::now() {
                continue;
            }
            match self.start(number).and_then(|()| self.begin(number)) {
                Err(_) if self.has_begun => {
                    let slot = &mut self.slots[number];
                    slot.worker = None;
                    slot.due = Instant::now() + RETRY_DELAY;
                }
                started => started?,
            }
        }
        Ok(())
    }

    /// The time until a successor is to be started, if one is.
    fn poll_timeout(&self) -> Option<Duration> {
        let due = self.slots.iter().filter(|slot| slot.worker.is_none()).map(|slot| slot.due).min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Waits until a worker sends something or dies, the bell rings, or the time is over.
    fn wait(&mut self, bell: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let lifelines = self.slots.iter().filter_map(|slot| Some(slot.worker.as_ref()?.lifeline.as_fd()));
        let mut fds: Vec<_> =
            lifelines.chain(bell).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match poll(&mut fds, timeout.as_ref()) {
            Err(error) if error != Errno::INTR => Err(Error::io("poll")(error.into())),
            _ => (0..self.slots.len()).try_for_each(|number| self.receive(number)),
        }
    }

    /// Takes all messages of a worker, and handles its death.
    fn receive(&mut self, number: usize) -> Result<()> {
        let slot = &mut self.slots[number];
        while let Some(worker) = &mut slot.worker {
            match receive(&worker.lifeline, RecvFlags::DONTWAIT) {
                Ok(Some((Response::Ready, _))) => {
                    worker.is_ready = true;
                    self.has_begun = true;
                }
                Ok(Some((Response::Result(result), _))) => slot.result = Some(result),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Ok(None) | Err(_) if worker.is_ready || self.has_begun => {
                    // Best effort: a closed standard error is no reason to end the other workers.
                    let _ = stdio::say(&format!(
                        "{}: worker {number} is lost, with all of its data\n",
                        self.work
                    ));
                    let delay = if worker.is_ready { Duration::ZERO } else { RETRY_DELAY };
                    slot.due = Instant::now() + delay;
                    // Dropping it reaps the process, so nothing of it is left when a successor
                    // starts.
                    slot.worker = None;
                }
                Ok(None) | Err(_) => {
                    return Err(Error::worker("worker process", "it ended before it was ready"));
                }
            }
        }
        Ok(())
    }

    /// Has the workers stop, waits for their results until the deadline, and ends them.
    fn stop(mut self, deadline: Instant) -> Result<Vec<R>> {
        for worker in self.slots.iter().filter_map(|slot| slot.worker.as_ref()) {
            // Fails for a worker that has just died.
            let _ = send(&worker.lifeline, &Command::Stop, None);
        }
        while self.slots.iter().any(|slot| slot.worker.is_some() && slot.result.is_none()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait(None, Some(left))?;
        }
        Ok(self.slots.into_iter().filter_map(|slot| slot.result).collect())
    }
}

impl Worker {
    fn start(work: &str) -> io::Result<Self> {
        let (process, lifeline) = lifeline::start(work)?;
        Ok(Self { _process: process, lifeline, is_ready: false })
    }
}

/// What a worker has when it begins.
pub struct WorkerContext<S, R> {
    /// Its number.
    pub number: usize,
    /// The number of workers.
    pub workers: usize,
    /// The setup, which is the same for all workers.
    pub setup: S,
    /// The listener that all workers accept clients from.
    pub listener: TcpListener,
    /// The links to other workers that exist so far.
    pub peers: Vec<(usize, UnixStream)>,
    /// The connection to the coordinator.
    pub lifeline: Lifeline<R>,
}

/// A worker's connection to the coordinator. When it is closed, the worker exits.
pub struct Lifeline<R>(OwnedFd, PhantomData<R>);

/// From the coordinator.
pub enum Event {
    /// There is a link to this worker, which replaces the previous one, if there was one.
    Connect(usize, UnixStream),
    /// The worker must stop, send its result, and serve its peers until it is killed.
    Stop,
}

impl<R: Serialize> Lifeline<R> {
    /// Receives the next event, if there is one. Exits if the lifeline is closed.
    ///
    /// # Errors
    ///
    /// If the message is not an event.
    pub fn receive(&self) -> io::Result<Option<Event>> {
        match receive(&self.0, RecvFlags::DONTWAIT) {
            Ok(Some((Command::Connect(worker), Some(link)))) => Ok(Some(Event::Connect(worker, link.into()))),
            Ok(Some((Command::Stop, _))) => Ok(Some(Event::Stop)),
            Ok(Some(_)) => Err(ErrorKind::InvalidData.into()),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Ok(None) | Err(_) => process::exit(0),
        }
    }

    /// Sends the worker's result.
    ///
    /// # Errors
    ///
    /// If the coordinator does not receive it.
    pub fn send_result(&self, result: R) -> io::Result<()> {
        send(&self.0, &Response::Result(result), None)
    }
}

impl<R> AsFd for Lifeline<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// In a process that was started as a worker for the work with this name, does the work and does
/// not return. In any other process, does nothing.
pub fn enter<S: DeserializeOwned, R: Serialize>(
    name: &str,
    work: impl FnOnce(WorkerContext<S, R>) -> Result<Infallible>,
) {
    enter_as(name, || begin().map_err(Error::io("lifeline")).and_then(work).map(|never| match never {}));
}

/// Receives messages until the worker may begin.
fn begin<S: DeserializeOwned, R: Serialize>() -> io::Result<WorkerContext<S, R>> {
    let lifeline = io::stdin().as_fd().try_clone_to_owned()?;
    let mut peers = Vec::new();
    loop {
        match receive(&lifeline, RecvFlags::empty())? {
            Some((Command::Connect(worker), Some(link))) => peers.push((worker, link.into())),
            Some((Command::Begin(number, workers, setup), Some(listener))) => {
                let setup = postcard::from_bytes(&setup).map_err(io::Error::other)?;
                send(&lifeline, &Response::<R>::Ready, None)?;
                let listener = listener.into();
                let lifeline = Lifeline(lifeline, PhantomData);
                return Ok(WorkerContext { number, workers, setup, listener, peers, lifeline });
            }
            // The coordinator has ended.
            _ => process::exit(0),
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::worker("worker process", reason(&error))
}
