//! A fleet of worker processes, each of which the caller addresses by its number, because workers
//! hold different state: an open connection, or a part of a body.
//!
//! The [pool](crate::pool) chooses a worker for each task; here the caller does. Nothing is queued:
//! a worker is sent a request only after it has answered the previous one. One thread waits for all
//! workers at once, and for the first event of any kind: an answer, a death, a stop, or a time.
//!
//! ```text
//! coordinator ── lifeline: setup, request ──> worker
//!             <── ready, answer ────────────
//! ```
//!
//! As everywhere in this crate, a worker exits when its lifeline closes.

use std::{
    convert::Infallible,
    io,
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
    process, thread,
    time::Instant,
};

use cc_workloads::{
    Error, Result, Stop,
    error::reason,
    stop::{Bell, OnRequest},
};
use rustix::{
    buffer::spare_capacity,
    event::{
        PollFd, PollFlags, Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
        poll,
    },
    io::Errno,
    net::RecvFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    lifeline::{receive, send, start},
    process::{Process, enter_as},
};

/// Worker processes that return answers `A`. Dropping it ends them.
pub struct Fleet<A> {
    work: &'static str,
    /// The command line's flag for the number of workers, for messages.
    flag: &'static str,
    setup: Vec<u8>,
    /// By the worker's number; `None` if there is no such worker now.
    workers: Vec<Option<Worker>>,
    epoll: OwnedFd,
    /// Events that epoll has returned and that are not handled yet.
    events: Vec<epoll::Event>,
    _bell: Bell,
    _on_stop: OnRequest,
    answers: PhantomData<A>,
}

struct Worker {
    /// Declared first, so that it is dropped first: the worker is killed before its lifeline
    /// closes, and need not handle that.
    process: Process,
    lifeline: OwnedFd,
    is_ready: bool,
}

/// From a worker.
#[derive(Serialize, Deserialize)]
enum Response<A> {
    /// It has set itself up.
    Ready,
    Answer(A),
}

/// For the caller.
pub enum Event<A> {
    /// This worker has answered its request.
    Answer(usize, A),
    /// This worker has ended, with or without a request. Its number is free for another.
    Death(usize),
}

/// The number of the stop's bell among those of the workers.
const BELL: u64 = u64::MAX;

impl<A: DeserializeOwned> Fleet<A> {
    /// A fleet, without workers yet, for the work with this name, see [`enter`]. It may have up to
    /// `max_workers`, which is the value of `flag`. Each worker is sent the `setup` first.
    pub fn new<S: Serialize>(
        stop: &Stop,
        work: &'static str,
        setup: &S,
        flag: &'static str,
        max_workers: usize,
    ) -> Result<Self> {
        let setup = postcard::to_stdvec(setup).expect("plain data serializes");
        let (bell, on_stop) = stop.bell()?;
        let failed = |error: Errno| Error::io("epoll")(error.into());
        // CLOEXEC, or every worker would inherit it.
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN).map_err(failed)?;
        Ok(Self {
            work,
            flag,
            setup,
            workers: (0..max_workers).map(|_| None).collect(),
            epoll,
            events: Vec::with_capacity(max_workers + 1),
            _bell: bell,
            _on_stop: on_stop,
            answers: PhantomData,
        })
    }

    /// Starts a worker under this number, which must be free.
    pub fn start(&mut self, number: usize) -> io::Result<()> {
        let (process, lifeline) = start(self.work)?;
        epoll::add(&self.epoll, &lifeline, EventData::new_u64(number as u64), EventFlags::IN)?;
        send(&lifeline, &self.setup, None)?;
        self.workers[number] = Some(Worker { process, lifeline, is_ready: false });
        Ok(())
    }

    /// Sends a worker a request. If the worker is dead, that will be an event.
    pub fn send(&self, number: usize, request: &impl Serialize) {
        if let Some(worker) = &self.workers[number] {
            let _ = send(&worker.lifeline, request, None);
        }
    }

    /// Kills a worker, also one that is suspended. Its death will be an event.
    pub fn kill(&self, number: usize) {
        if let Some(worker) = &self.workers[number] {
            worker.process.kill();
        }
    }

    /// Waits for the next event, until this time. `None` if there was none, or a stop was
    /// requested.
    ///
    /// # Errors
    ///
    /// If a worker ends before it is ready: the system does not give it what it needs.
    pub fn next_event(&mut self, until: Option<Instant>) -> Result<Option<Event<A>>> {
        if self.events.is_empty() {
            self.wait(until)?;
        }
        let Some(number) = self.events.pop().map(|event| event.data.u64()) else { return Ok(None) };
        let number = usize::try_from(number).expect("a number has 64 bits");
        // The bell is no worker.
        let Some(worker) = self.workers.get_mut(number).and_then(Option::as_mut) else { return Ok(None) };
        match receive(&worker.lifeline, RecvFlags::DONTWAIT) {
            Ok(Some((Response::Ready, _))) => worker.is_ready = true,
            Ok(Some((Response::Answer(answer), _))) => return Ok(Some(Event::Answer(number, answer))),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(None) | Err(_) if worker.is_ready => {
                // Dropping it reaps the process, so nothing of it is left when a successor starts.
                self.workers[number] = None;
                return Ok(Some(Event::Death(number)));
            }
            Ok(None) | Err(_) => {
                return Err(Error::worker(self.name(number), "it ended before it was ready"));
            }
        }
        Ok(None)
    }

    /// The name of a worker, for messages.
    pub fn name(&self, number: usize) -> String {
        format!("process {} of {}, see {}", number + 1, self.workers.len(), self.flag)
    }

    fn wait(&mut self, until: Option<Instant>) -> Result<()> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        });
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(Error::io("epoll")(error.into())),
        }
    }
}

/// Kills all workers; then the fields are dropped, which reaps them one by one. Without this, each
/// worker would be killed only after the previous one was reaped.
impl<A> Drop for Fleet<A> {
    fn drop(&mut self) {
        for worker in self.workers.iter().flatten() {
            worker.process.kill();
        }
    }
}

/// In a process that was started as a worker for the work with this name, answers requests and does
/// not return. In any other process, does nothing.
///
/// `work` takes the setup and returns the function that answers one request after the other.
pub fn enter<S, T, A, W>(name: &str, work: impl FnOnce(S) -> Result<W>)
where
    S: DeserializeOwned,
    T: DeserializeOwned,
    A: Serialize,
    W: FnMut(T) -> A,
{
    enter_as(name, || serve(work).map(|never| match never {}));
}

fn serve<S, T, A, W>(work: impl FnOnce(S) -> Result<W>) -> Result<Infallible>
where
    S: DeserializeOwned,
    T: DeserializeOwned,
    A: Serialize,
    W: FnMut(T) -> A,
{
    let failed = |error: io::Error| Error::worker("lifeline", reason(&error));
    let lifeline = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    watch(lifeline.try_clone().map_err(failed)?).map_err(failed)?;
    let setup: Vec<u8> = next_message(&lifeline).map_err(failed)?;
    let setup = postcard::from_bytes(&setup).map_err(|error| Error::worker("setup", error))?;
    let mut work = work(setup)?;
    send(&lifeline, &Response::<A>::Ready, None).map_err(failed)?;
    loop {
        let answer = work(next_message(&lifeline).map_err(failed)?);
        send(&lifeline, &Response::Answer(answer), None).map_err(failed)?;
    }
}

/// Receives the next message, or exits if the lifeline is closed.
fn next_message<M: DeserializeOwned>(lifeline: &OwnedFd) -> io::Result<M> {
    match receive(lifeline, RecvFlags::empty())? {
        Some((message, _)) => Ok(message),
        None => process::exit(0),
    }
}

/// Starts a thread that ends this process when the lifeline closes, even while a request is being
/// answered.
fn watch(lifeline: OwnedFd) -> io::Result<()> {
    let wait = move || {
        let mut fds = [PollFd::new(&lifeline, PollFlags::RDHUP)];
        // Only the closing is awaited: the messages are for the main thread. `poll` fails only if a
        // signal interrupts it.
        while poll(&mut fds, None).is_err() {}
        process::exit(0);
    };
    // A small stack: the thread only calls `poll`, and there may be thousands of workers.
    thread::Builder::new().name("lifeline".to_owned()).stack_size(64 << 10).spawn(wait).map(drop)
}
