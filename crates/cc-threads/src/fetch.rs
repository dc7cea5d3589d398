//! `fetch` on free threads.
//!
//! - **Split.** A thread for each request that may be in flight. It takes the next download that
//!   may start, makes one attempt, waits in the kernel for the response, and takes the next. A
//!   download that must be retried later goes back into the schedule, and its thread does another.
//! - **Share.** The schedule, under one lock that is held for microseconds, and the client with its
//!   idle connections. Threads wait for the schedule in the leader/follower pattern: one waits for
//!   its next time, the others for a notification.
//! - **Bound.** As many threads as requests are allowed. The limits of this model are the system's
//!   limit of threads, and a stack and descriptors for each. All threads are created before any
//!   makes an attempt, so that a number that is too large is an error at once. Results wait in a
//!   bounded queue; while it is full, the threads wait, and no more requests are sent.
//! - **Order.** None: results are emitted as they are completed.
//! - **Stop.** A request in flight waits in `poll` for the stop, too. A thread that waits for the
//!   schedule is woken through its condition variable.
//! - **Fail.** A panic is caught where the attempt is made, and is that download's failure.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Instant,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    fetch::{Action, Attempted, Download, Job, Output, Schedule, blocking::Client, descriptors},
};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::caught::caught;

/// Stack size of a thread: what TLS and the decoder need, and some more. Pages of a stack that are
/// never touched are never committed.
const STACK: usize = 256 << 10;

/// Maximum descriptors of a thread: a connection, and either a file or the connection that is being
/// opened while another is closed.
const DESCRIPTORS: usize = 2;

// ANCHOR: fetch-run
/// Runs the job on a thread for each request that may be in flight; the calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    descriptors(at_once, DESCRIPTORS)?;
    let client = &Client::new(&job.settings, &ctx.stop)?;
    let schedule = &Arc::new(SharedSchedule::new(Schedule::new(job, Instant::now())));
    let stopped = schedule.clone();
    let _on_stop = ctx.stop.on_request(move || stopped.close());
    let (outputs_tx, outputs_rx) = bounded(at_once);
    thread::scope(|scope| {
        // While this lock is held, no thread starts an attempt: first, all threads must exist.
        let mut state = schedule.lock();
        for n in 0..at_once {
            let outputs_tx = outputs_tx.clone();
            let thread = thread::Builder::new().name(format!("fetch-{n}")).stack_size(STACK);
            let work = move || work(ctx, client, schedule, &outputs_tx);
            if let Err(error) = thread.spawn_scoped(scope, work) {
                state.is_closed = true;
                let name = format!("thread {} of {at_once}, see --concurrency", n + 1);
                return Err(Error::worker(name, error));
            }
        }
        drop(state);
        // Otherwise `gather` would wait for outputs of this thread.
        drop(outputs_tx);
        gather(ctx, outputs_rx, out);
        Ok(())
    })
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-work
/// Makes attempts until nothing is left to do, or a stop is requested.
fn work(ctx: &Ctx, client: &Client, schedule: &SharedSchedule, outputs_tx: &Sender<Output>) {
    while let Some(action) = schedule.next_action() {
        let output = match action {
            Action::Start(download) => schedule.complete(attempt(client, download)),
            Action::Emit(output) => Some(output),
            Action::Wait(_) | Action::Done => None,
        };
        // After a stop, an output may be of an attempt that the stop has interrupted: not a result.
        if ctx.stop.requested() {
            break;
        }
        if let Some(output) = output
            && outputs_tx.send(output).is_err()
        {
            break;
        }
    }
}

/// Makes one attempt. A panic is its failure, not the run's.
fn attempt(client: &Client, download: Box<Download>) -> Attempted {
    let id = download.attempt_id();
    caught(|| client.attempt(download), |why| id.failed(why, Instant::now()))
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// Emits the outputs as they arrive. Takes the receiver by value: dropping it fails the `send` of
/// every thread that waits for room.
fn gather(ctx: &Ctx, outputs_rx: Receiver<Output>, out: &mut dyn Sink<Output>) {
    for output in outputs_rx {
        if ctx.stop.requested() || ctx.emit(output, out).is_break() {
            break;
        }
    }
}
// ANCHOR_END: fetch-gather

/// The schedule, shared by all threads in the leader/follower pattern.
///
/// If nothing can start now, one thread becomes the leader: it waits for the time at which the
/// schedule has something to do. All others are followers and wait until they are notified. If each
/// thread waited for that time itself, all of them would wake, and all but one for nothing.
struct SharedSchedule {
    state: Mutex<State>,
    /// Notified when there may be something to do.
    followers: Condvar,
    /// Notified when there may be something to do before the time that the leader waits for.
    leader: Condvar,
}

struct State {
    schedule: Schedule,
    has_leader: bool,
    /// Nothing is left to do, or a stop was requested.
    is_closed: bool,
}

impl SharedSchedule {
    fn new(schedule: Schedule) -> Self {
        let state = Mutex::new(State { schedule, has_leader: false, is_closed: false });
        Self { state, followers: Condvar::new(), leader: Condvar::new() }
    }

    /// Waits for what the calling thread is to do next. None if nothing is left to do.
    fn next_action(&self) -> Option<Action> {
        let mut state = self.lock();
        while !state.is_closed {
            match state.schedule.poll(Instant::now()) {
                Action::Wait(until) => state = self.wait(state, until),
                Action::Done => {
                    state.is_closed = true;
                    self.notify_all();
                }
                action => {
                    // Wakes a follower: there may be more to do, and if this thread was the leader,
                    // another one must wait for the next time.
                    self.followers.notify_one();
                    return Some(action);
                }
            }
        }
        None
    }

    /// Waits as the leader if there is a time to wait for and no leader, otherwise as a follower.
    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        let Some(until) = until.filter(|_| !state.has_leader) else {
            return self.followers.wait(state).expect(UNPOISONED);
        };
        state.has_leader = true;
        let timeout = until.saturating_duration_since(Instant::now());
        let (mut state, _) = self.leader.wait_timeout(state, timeout).expect(UNPOISONED);
        state.has_leader = false;
        state
    }

    /// Gives an attempt back to the schedule. It may allow another download to start, or an earlier
    /// time to wait for, so a follower and the leader are woken.
    fn complete(&self, attempted: Attempted) -> Option<Output> {
        let output = self.lock().schedule.complete(attempted);
        self.followers.notify_one();
        self.leader.notify_one();
        output
    }

    /// Ends the waits of all threads, now and later.
    fn close(&self) {
        self.lock().is_closed = true;
        self.notify_all();
    }

    fn notify_all(&self) {
        self.followers.notify_all();
        self.leader.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

/// Why no lock of the schedule is poisoned: attempts, which may panic, are made outside of it.
const UNPOISONED: &str = "the schedule does not panic";
