//! A fleet of worker processes: whoever asks chooses which of them he asks, since one may have what another has not.
//!
//! (The [pool](crate::pool) shares tasks out, and does not say who does them.) Nothing is lined up here: a worker that has not
//! answered is not asked. One thread waits for all of them at once, and for whatever comes first: an answer, a death, a stop, or a
//! time.
//!
//! ```text
//! whoever asks ── lifeline: setup, task ──> worker
//!              <── ready, answer ─────────
//! ```
//!
//! As everywhere in this crate, a worker is gone the next moment when its lifeline ends.

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
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
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

/// Worker processes that make answers `A`. Dropping it ends them.
pub struct Fleet<A> {
    work: &'static str,
    /// The flag that says how many there may be, for messages.
    flag: &'static str,
    setup: Vec<u8>,
    /// By their numbers; those that have ended are none.
    workers: Vec<Option<Worker>>,
    epoll: OwnedFd,
    /// Of what has come, that which nobody was told yet.
    events: Vec<Event>,
    _bell: Bell,
    _on_stop: OnRequest,
    answers: PhantomData<A>,
}

struct Worker {
    process: Process, // dropped first: it need not hear of its end
    lifeline: OwnedFd,
    is_ready: bool,
}

/// What a worker says.
#[derive(Serialize, Deserialize)]
enum Word<A> {
    Ready,
    Answer(A),
}

/// What has happened.
pub enum News<A> {
    /// This worker has answered.
    Answer(usize, A),
    /// This worker has ended, whatever it was asked. Another may take its number.
    Death(usize),
}

/// The number of what is no worker.
const BELL: u64 = u64::MAX;

impl<A: DeserializeOwned> Fleet<A> {
    /// A fleet, without workers yet, for the work that was given this name in [`enter`]. There will be `most` of them at most, which
    /// is what this flag says. Each is told the `setup` first.
    pub fn new<S: Serialize>(
        work: &'static str,
        setup: &S,
        (flag, most): (&'static str, usize),
        stop: &Stop,
    ) -> Result<Self> {
        let setup = postcard::to_stdvec(setup).expect("plain data serializes");
        let (bell, on_stop) = stop.bell()?;
        let failed = |error: Errno| Error::io("epoll")(error.into());
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN).map_err(failed)?;
        Ok(Self {
            work,
            flag,
            setup,
            workers: (0..most).map(|_| None).collect(),
            epoll,
            events: Vec::with_capacity(most + 1),
            _bell: bell,
            _on_stop: on_stop,
            answers: PhantomData,
        })
    }

    /// Starts a worker under this number, which nobody has.
    pub fn start(&mut self, number: usize) -> io::Result<()> {
        let (process, lifeline) = start(self.work)?;
        epoll::add(&self.epoll, &lifeline, EventData::new_u64(number as u64), EventFlags::IN)?;
        send(&lifeline, &self.setup, None)?;
        self.workers[number] = Some(Worker { process, lifeline, is_ready: false });
        Ok(())
    }

    /// Asks a worker. If it is dead, that is news to come.
    pub fn ask(&self, number: usize, task: &impl Serialize) {
        let _ = self.workers[number].as_ref().map(|worker| send(&worker.lifeline, task, None));
    }

    /// Kills a worker, whatever it does: it may be suspended. That it is dead is news to come.
    pub fn kill(&self, number: usize) {
        let _ = self.workers[number].as_ref().map(|worker| worker.process.kill());
    }

    /// What happens next, by this time. None if nothing did, or a stop was requested.
    ///
    /// # Errors
    ///
    /// If a worker ends before it is ready: then the system does not let it have what it needs.
    pub fn next(&mut self, until: Option<Instant>) -> Result<Option<News<A>>> {
        if self.events.is_empty() {
            self.wait(until)?;
        }
        let Some(number) = self.events.pop().map(|event| event.data.u64()) else { return Ok(None) };
        let number = usize::try_from(number).expect("workers are few");
        let Some(worker) = self.workers.get_mut(number).and_then(Option::as_mut) else { return Ok(None) };
        match receive(&worker.lifeline, RecvFlags::DONTWAIT) {
            Ok(Some((Word::Ready, _))) => worker.is_ready = true,
            Ok(Some((Word::Answer(answer), _))) => return Ok(Some(News::Answer(number, answer))),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(None) | Err(_) if worker.is_ready => {
                // It is waited for: nothing of it is left when the next one begins.
                self.workers[number] = None;
                return Ok(Some(News::Death(number)));
            }
            Ok(None) | Err(_) => {
                return Err(Error::worker(self.who(number), "it ended before it was ready"));
            }
        }
        Ok(None)
    }

    /// A worker, as a message names it.
    pub fn who(&self, number: usize) -> String {
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

/// All are killed before the first is waited for.
impl<A> Drop for Fleet<A> {
    fn drop(&mut self) {
        self.workers.iter().flatten().for_each(|worker| worker.process.kill());
    }
}

/// In a process that was started as a worker for the work of this name, does it and does not return.
///
/// `work` takes the setup and returns what answers the questions, one after the other.
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
    let setup: Vec<u8> = hear(&lifeline).map_err(failed)?;
    let setup = postcard::from_bytes(&setup).map_err(|error| Error::worker("setup", error))?;
    let mut work = work(setup)?;
    send(&lifeline, &Word::<A>::Ready, None).map_err(failed)?;
    loop {
        let answer = work(hear(&lifeline).map_err(failed)?);
        send(&lifeline, &Word::Answer(answer), None).map_err(failed)?;
    }
}

/// What is said next. When nothing more is, this process ends.
fn hear<M: DeserializeOwned>(lifeline: &OwnedFd) -> io::Result<M> {
    match receive(lifeline, RecvFlags::empty())? {
        Some((message, _)) => Ok(message),
        None => process::exit(0),
    }
}

/// Ends this process when the lifeline does, whatever else it is doing.
fn watch(lifeline: OwnedFd) -> io::Result<()> {
    let wait = move || {
        let mut fds = [PollFd::new(&lifeline, PollFlags::RDHUP)];
        while poll(&mut fds, None).is_err() {}
        process::exit(0);
    };
    // It needs next to no stack.
    thread::Builder::new().name("lifeline".to_owned()).stack_size(64 << 10).spawn(wait).map(drop)
}
