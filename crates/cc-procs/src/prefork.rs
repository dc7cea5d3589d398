//! Workers that serve on one listener, each beside the others, and whoever starts them and has dead ones replaced.
//!
//! The coordinator does none of the work. It has the listener and starts the workers, which are this program
//! again, as in the [pool](crate::pool). To each it is tied by a *lifeline*, the worker's standard input. This is a socket
//! that keeps messages apart, and a message on it can carry a descriptor: so a worker gets the listener, and its end
//! of the [way](crate::mesh) to each other worker:
//!
//! ```text
//! coordinator ── lifeline: place, ways, stop ──> worker 0 <── way ──> worker 1 <── lifeline ── coordinator
//!             <── ready, result ──────────────
//! ```
//!
//! (In C one would have the descriptors inherited and tell their numbers. In Rust nobody can vouch for a number.)
//!
//! If a lifeline ends, its worker is dead. It is waited for, and the next takes its place; then the others are
//! given a new way there. If the coordinator is killed, all lifelines end, and the workers exit.

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

/// How long to wait with the next try if a worker could not be started.
const PAUSE: Duration = Duration::from_secs(1);

/// How much longer than they may take workers are waited for when they are to stop.
const GRACE: Duration = Duration::from_millis(250);

/// Has `ctx.workers` workers serve until a stop is requested, and returns what each tells at its end. That of a worker
/// which is killed is lost. After a stop they have as much time as this.
///
/// # Errors
///
/// If the workers cannot be started. Later that is tried again and again.
pub fn run<S: Serialize, R: DeserializeOwned>(
    work: &'static str,
    setup: &S,
    listener: &TcpListener,
    ctx: &Ctx,
    drain: Duration,
) -> Result<Vec<R>> {
    let (bell, _on_stop) = ctx.stop.bell()?;
    let mut seats = Seats::new(work, setup, listener, ctx.workers.get());
    (0..ctx.workers.get()).try_for_each(|number| seats.fill(number))?;
    (0..ctx.workers.get()).try_for_each(|number| seats.begin(number))?;
    while !ctx.stop.requested() {
        let patience = seats.patience();
        seats.listen(Some(bell.as_fd()), patience)?;
        seats.refill()?;
    }
    seats.stop(deadline_after(drain.saturating_add(GRACE)))
}

/// The workers' places, and what they are filled with.
struct Seats<'a, R> {
    work: &'static str,
    setup: Vec<u8>,
    listener: &'a TcpListener,
    seats: Vec<Seat<R>>,
    /// Workers can be started: one was.
    has_begun: bool,
}

struct Seat<R> {
    worker: Option<Worker>,
    /// When a worker is to be started, if there is none.
    due: Instant,
    result: Option<R>,
}

/// A worker, seen from the coordinator.
struct Worker {
    _process: Process, // dropped first: it need not hear of its end
    lifeline: OwnedFd,
    is_ready: bool,
}

/// What a worker is told.
#[derive(Serialize, Deserialize)]
enum Order {
    /// It may begin. Its number, how many there are, and the setup; with the listener.
    Begin(usize, usize, Vec<u8>),
    /// There is a way to this worker; with its end.
    Way(usize),
    Stop,
}

/// What a worker tells.
#[derive(Serialize, Deserialize)]
enum Word<R> {
    Ready,
    Result(R),
}

impl<'a, R: DeserializeOwned> Seats<'a, R> {
    fn new(work: &'static str, setup: &impl Serialize, listener: &'a TcpListener, workers: usize) -> Self {
        let setup = postcard::to_stdvec(setup).expect("plain data serializes");
        let empty = || Seat { worker: None, due: Instant::now(), result: None };
        let seats = (0..workers).map(|_| empty()).collect();
        Self { work, setup, listener, seats, has_begun: false }
    }

    /// Starts a worker there, and gives it and the others the ways between them.
    fn fill(&mut self, number: usize) -> Result<()> {
        let worker = Worker::start(self.work).map_err(failed)?;
        for (other, seat) in self.seats.iter().enumerate() {
            let Some(neighbour) = &seat.worker else { continue };
            let (here, there) = UnixStream::pair().map_err(failed)?;
            send(&worker.lifeline, &Order::Way(other), Some(here.as_fd())).map_err(failed)?;
            // If that one is dead, its successor will be told.
            let _ = send(&neighbour.lifeline, &Order::Way(number), Some(there.as_fd()));
        }
        self.seats[number].worker = Some(worker);
        Ok(())
    }

    /// Has the worker there begin, which has been given all ways that there are.
    fn begin(&self, number: usize) -> Result<()> {
        let Some(worker) = &self.seats[number].worker else { return Ok(()) };
        let begin = Order::Begin(number, self.seats.len(), self.setup.clone());
        send(&worker.lifeline, &begin, Some(self.listener.as_fd())).map_err(failed)
    }

    fn refill(&mut self) -> Result<()> {
        for number in 0..self.seats.len() {
            let seat = &self.seats[number];
            if seat.worker.is_some() || seat.due > Instant::now() {
                continue;
            }
            match self.fill(number).and_then(|()| self.begin(number)) {
                Err(_) if self.has_begun => {
                    let seat = &mut self.seats[number];
                    (seat.worker, seat.due) = (None, Instant::now() + PAUSE);
                }
                filled => filled?,
            }
        }
        Ok(())
    }

    /// How long nothing is to be done if nobody says anything.
    fn patience(&self) -> Option<Duration> {
        let due = self.seats.iter().filter(|seat| seat.worker.is_none()).map(|seat| seat.due).min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Waits until a worker says something or dies, or something else is to be done.
    fn listen(&mut self, bell: Option<BorrowedFd<'_>>, patience: Option<Duration>) -> Result<()> {
        let timeout = patience.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let lifelines = self.seats.iter().filter_map(|seat| Some(seat.worker.as_ref()?.lifeline.as_fd()));
        let mut fds: Vec<_> =
            lifelines.chain(bell).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match poll(&mut fds, timeout.as_ref()) {
            Err(error) if error != Errno::INTR => Err(Error::io("poll")(error.into())),
            _ => (0..self.seats.len()).try_for_each(|number| self.hear(number)),
        }
    }

    /// Takes what a worker has said, and notes its death.
    fn hear(&mut self, number: usize) -> Result<()> {
        let seat = &mut self.seats[number];
        while let Some(worker) = &mut seat.worker {
            match receive(&worker.lifeline, RecvFlags::DONTWAIT) {
                Ok(Some((Word::Ready, _))) => (worker.is_ready, self.has_begun) = (true, true),
                Ok(Some((Word::Result(result), _))) => seat.result = Some(result),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Ok(None) | Err(_) if worker.is_ready || self.has_begun => {
                    // A closed standard error is no reason to end the others.
                    let _ =
                        stdio::say(&format!("{}: worker {number} is lost, with what it held\n", self.work));
                    let pause = if worker.is_ready { Duration::ZERO } else { PAUSE };
                    seat.due = Instant::now() + pause;
                    // It is waited for: nothing of it is left when the next one begins.
                    seat.worker = None;
                }
                Ok(None) | Err(_) => {
                    return Err(Error::worker("worker process", "it ended before it was ready"));
                }
            }
        }
        Ok(())
    }

    /// Has the workers stop, and then ends them.
    fn stop(mut self, deadline: Instant) -> Result<Vec<R>> {
        for worker in self.seats.iter().filter_map(|seat| seat.worker.as_ref()) {
            // One that has just died has stopped.
            let _ = send(&worker.lifeline, &Order::Stop, None);
        }
        while self.seats.iter().any(|seat| seat.worker.is_some() && seat.result.is_none()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.listen(None, Some(left))?;
        }
        Ok(self.seats.into_iter().filter_map(|seat| seat.result).collect())
    }
}

impl Worker {
    fn start(work: &str) -> io::Result<Self> {
        let (process, lifeline) = lifeline::start(work)?;
        Ok(Self { _process: process, lifeline, is_ready: false })
    }
}

/// A worker's place among the others, seen from the worker.
pub struct Place<S, R> {
    /// Which one it is.
    pub number: usize,
    /// How many there are.
    pub workers: usize,
    /// What all are told.
    pub setup: S,
    /// Where clients come, to one or the other.
    pub listener: TcpListener,
    /// The ways to the others, as far as they are there.
    pub ways: Vec<(usize, UnixStream)>,
    /// The coordinator.
    pub lifeline: Lifeline<R>,
}

/// The way to the coordinator. Whoever hears that it has ended exits.
pub struct Lifeline<R>(OwnedFd, PhantomData<R>);

/// What the coordinator says.
pub enum News {
    /// There is a new way to this worker. If there was one before, it has ended.
    Way(usize, UnixStream),
    /// The worker is to stop, tell its result, and be there for the others until it is ended.
    Stop,
}

impl<R: Serialize> Lifeline<R> {
    /// What the coordinator has said; nothing, if it has not said more.
    ///
    /// # Errors
    ///
    /// If it cannot be understood.
    pub fn hear(&self) -> io::Result<Option<News>> {
        match receive(&self.0, RecvFlags::DONTWAIT) {
            Ok(Some((Order::Way(worker), Some(way)))) => Ok(Some(News::Way(worker, way.into()))),
            Ok(Some((Order::Stop, _))) => Ok(Some(News::Stop)),
            Ok(Some(_)) => Err(ErrorKind::InvalidData.into()),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Ok(None) | Err(_) => process::exit(0),
        }
    }

    /// Tells the result.
    ///
    /// # Errors
    ///
    /// If the coordinator does not listen.
    pub fn tell(&self, result: R) -> io::Result<()> {
        send(&self.0, &Word::Result(result), None)
    }
}

impl<R> AsFd for Lifeline<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// In a process that was started as a worker for the work of this name, does it and does not return.
pub fn enter<S: DeserializeOwned, R: Serialize>(
    name: &str,
    work: impl FnOnce(Place<S, R>) -> Result<Infallible>,
) {
    enter_as(name, || begin().map_err(Error::io("lifeline")).and_then(work).map(|never| match never {}));
}

fn begin<S: DeserializeOwned, R: Serialize>() -> io::Result<Place<S, R>> {
    let lifeline = io::stdin().as_fd().try_clone_to_owned()?;
    let mut ways = Vec::new();
    loop {
        match receive(&lifeline, RecvFlags::empty())? {
            Some((Order::Way(worker), Some(way))) => ways.push((worker, way.into())),
            Some((Order::Begin(number, workers, setup), Some(listener))) => {
                let setup = postcard::from_bytes(&setup).map_err(io::Error::other)?;
                send(&lifeline, &Word::<R>::Ready, None)?;
                let (listener, lifeline) = (listener.into(), Lifeline(lifeline, PhantomData));
                return Ok(Place { number, workers, setup, listener, ways, lifeline });
            }
            // The coordinator has gone.
            _ => process::exit(0),
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::worker("worker process", reason(&error))
}
