//! `fetch` on free threads.
//!
//! - **Split.** A thread for each request that may be under way. It takes the next download that may begin, makes one
//!   attempt, waiting in the kernel for an answer, and takes the next. One that has to come back later goes back into the
//!   schedule, and its thread does something else.
//! - **Share.** The schedule, under one lock that is held for microseconds, and the client with its idle connections.
//! - **Bound.** As many threads as requests are allowed: the limit of this model is what the system lets a process have of them, and
//!   a stack and a descriptor for each. All are started before any begins, so that too many are refused at once. Results
//!   wait in a bounded queue; when it is full, so do the threads, and nothing more is asked for.
//! - **Order.** None: results come as they are completed.
//! - **Stop.** A request in flight waits in `poll` for the stop as well; who waits for something to do is woken by the
//!   condition variables.
//! - **Fail.** A panic is caught where the attempt is made, and is that download's failure.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Instant,
};

use cc_workloads::{
    Ctx, Error, Result, Sink, Stop,
    fetch::{Attempted, Download, Job, Output, Schedule, Turn, blocking::Client, descriptors},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::caught::caught;

/// What TLS and the decoder need, and some more. What a thread does not touch of its stack is not there.
const STACK: usize = 256 << 10;

/// A connection each, and a file, or the connection that is being made while another is closed.
const DESCRIPTORS: usize = 2;

// ANCHOR: fetch-run
/// Runs the job on a thread for each request that may be under way; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let client = &Client::new(&job.settings, &ctx.stop)?;
    let board = &Arc::new(Board::new(Schedule::new(job, Instant::now())));
    let watched = board.clone();
    let _on_stop = ctx.stop.on_request(move || watched.close());
    let (done, outputs) = bounded(at_once);
    thread::scope(|scope| {
        // Nobody begins before all are there.
        let mut held = board.lock();
        for n in 0..at_once {
            let done = done.clone();
            let thread = thread::Builder::new().name(format!("fetch-{n}")).stack_size(STACK);
            let work = move || work(board, client, &done, &ctx.stop);
            if let Err(error) = thread.spawn_scoped(scope, work) {
                held.closed = true;
                let who = format!("thread {} of {at_once}, see --concurrency", n + 1);
                return Err(Error::worker(who, error));
            }
        }
        drop((held, done));
        gather(outputs, ctx, out);
        Ok(())
    })
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-work
/// Makes attempts until there is nothing left to do.
fn work(board: &Board, client: &Client, done: &Sender<Output>, stop: &Stop) {
    while let Some(turn) = board.turn() {
        let output = match turn {
            Turn::Start(download) => board.ended(attempt(client, download)),
            Turn::Settled(output) => Some(output),
            Turn::Wait(_) | Turn::Over => None,
        };
        // An attempt that the stop has ended came to nothing.
        if stop.requested() || output.is_some_and(|output| done.send(output).is_err()) {
            break;
        }
    }
}

fn attempt(client: &Client, download: Box<Download>) -> Attempted {
    let ticket = download.ticket();
    caught(|| client.attempt(download), |why| ticket.failed(why, Instant::now()))
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// Emits what comes. With the receiver, it drops what the threads may be waiting for.
fn gather(outputs: Receiver<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    for output in outputs {
        if ctx.stop.requested() || ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: fetch-gather

/// The schedule, and those who wait for it.
struct Board {
    state: Mutex<State>,
    /// There may be something to do.
    changed: Condvar,
    /// The same, for the one who waits for a time.
    clock: Condvar,
}

struct State {
    schedule: Schedule,
    /// Somebody waits for the next time at which there is something to do. One is enough: if all did, all would wake.
    is_watched: bool,
    closed: bool,
}

impl Board {
    fn new(schedule: Schedule) -> Self {
        let state = Mutex::new(State { schedule, is_watched: false, closed: false });
        Self { state, changed: Condvar::new(), clock: Condvar::new() }
    }

    /// What the calling thread is to do next. Waits for it; nothing is left if there is none.
    fn turn(&self) -> Option<Turn> {
        let mut state = self.lock();
        while !state.closed {
            match state.schedule.turn(Instant::now()) {
                Turn::Wait(until) => state = self.wait(state, until),
                Turn::Over => {
                    state.closed = true;
                    self.wake_all();
                }
                turn => {
                    // There may be more, and if this thread watched the time, nobody does now.
                    self.changed.notify_one();
                    return Some(turn);
                }
            }
        }
        None
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        let Some(until) = until.filter(|_| !state.is_watched) else {
            return self.changed.wait(state).expect(UNPOISONED);
        };
        state.is_watched = true;
        let left = until.saturating_duration_since(Instant::now());
        let (mut state, _) = self.clock.wait_timeout(state, left).expect(UNPOISONED);
        state.is_watched = false;
        state
    }

    /// Takes back an attempt, and wakes who may go on because of it.
    fn ended(&self, attempted: Attempted) -> Option<Output> {
        let output = self.lock().schedule.ended(attempted);
        self.changed.notify_one();
        self.clock.notify_one();
        output
    }

    /// There is nothing more to do.
    fn close(&self) {
        self.lock().closed = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        self.changed.notify_all();
        self.clock.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "the schedule does not panic";
