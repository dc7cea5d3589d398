//! The roster: which workers are in a session, and when the job gives up.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cc_workloads::{Cause, Error, Stop, printable::printable};
use tokio::{sync::watch, time::timeout};

use super::{
    lost::Lost,
    queue::{Attempts, Queue, address_of},
};

/// Maximum failed starts of worker processes in a row, per worker of the cluster. The pauses
/// between them double, so a system that lacks threads or descriptors has more than a second to
/// recover.
const FAILED_STARTS: u32 = 6;

/// Which workers are in a session, and whether the job can go on. Clones are the same roster.
#[derive(Clone)]
pub(super) struct Roster(Arc<State>);

/// The counters and flags use relaxed ordering: each is independent, and guards no other memory.
struct State {
    /// The locations of the current sessions.
    sessions: watch::Sender<HashSet<String>>,
    /// The number of the last ping request. A ping request asks for a ping of every worker.
    ping_requests: watch::Sender<u64>,
    /// For each worker's address, the last ping request before the last ping that it has answered.
    pongs: watch::Sender<HashMap<String, u64>>,
    /// How many workers have not answered wrongly.
    trusted: AtomicUsize,
    /// Why the last lost worker was lost.
    last_loss: Mutex<String>,
    error: Mutex<Option<Error>>,
    /// How many workers the cluster has, in a session or not.
    workers: AtomicU32,
    /// Whether any worker has ever welcomed a session.
    has_begun: AtomicBool,
    /// Starts of processes that have failed since a session began or ended.
    failed_starts: AtomicU32,
    queue: Queue,
    stop: Stop,
}

impl Roster {
    pub(super) fn new(queue: &Queue, stop: &Stop) -> Self {
        let (sessions, _) = watch::channel(HashSet::new());
        Self(Arc::new(State {
            sessions,
            ping_requests: watch::Sender::default(),
            pongs: watch::Sender::default(),
            trusted: AtomicUsize::default(),
            last_loss: Mutex::new("none could be started".to_owned()),
            error: Mutex::default(),
            workers: AtomicU32::new(0),
            has_begun: AtomicBool::new(false),
            failed_starts: AtomicU32::new(0),
            queue: queue.clone(),
            stop: stop.clone(),
        }))
    }

    /// Adds a worker to the cluster, in a session or not.
    pub(super) fn add_worker(&self) {
        self.0.workers.fetch_add(1, Ordering::Relaxed);
        self.0.trusted.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a worker has welcomed a session, which lasts until the guard is dropped.
    pub(super) fn enter(&self, location: String) -> MembershipGuard {
        self.0.has_begun.store(true, Ordering::Relaxed);
        self.0.failed_starts.store(0, Ordering::Relaxed);
        self.0.sessions.send_modify(|sessions| {
            sessions.insert(location.clone());
        });
        MembershipGuard { roster: self.clone(), location }
    }

    /// Whether any worker has ever welcomed a session.
    pub(super) fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    /// Records that a session has ended, or could not be begun. `name` is the worker's.
    pub(super) fn on_session_end(&self, name: &str, lost: Lost) {
        match lost {
            Lost::NotStarted(why) if self.has_failed_to_start() => {
                self.fail(Error::worker("no worker can be started", why));
            }
            // Probably a mistake in the configuration. Nothing was done yet that could be lost, so
            // the job ends at once.
            Lost::Refused(why) if !self.has_begun() => {
                self.fail(Error::worker(name, why));
            }
            Lost::Gone(why) | Lost::Refused(why) | Lost::NotStarted(why) => {
                *self.last_loss() = format!("{name}: {why}");
            }
            Lost::Distrusted(why) => {
                let why = format!("{}: answered wrongly: {why}", printable(name));
                *self.last_loss() = why.clone();
                if self.0.trusted.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.fail(Error::worker("no worker left", why));
                }
            }
        }
    }

    /// Counts a failed start. Returns whether there are too many, and no worker is in a session.
    fn has_failed_to_start(&self) -> bool {
        let failed = self.0.failed_starts.fetch_add(1, Ordering::Relaxed) + 1;
        failed >= FAILED_STARTS * self.0.workers.load(Ordering::Relaxed)
            && self.0.sessions.borrow().is_empty()
    }

    fn last_loss(&self) -> MutexGuard<'_, String> {
        self.0.last_loss.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session at this location goes on, as far as is known here.
    pub(super) fn has(&self, location: &str) -> bool {
        self.0.sessions.borrow().contains(location)
    }

    /// Whether the session at this location goes on, confirmed by an answer to a later ping.
    pub(super) async fn is_alive(&self, location: &str) -> bool {
        let mut sessions = self.0.sessions.subscribe();
        let mut pongs = self.0.pongs.subscribe();
        let request = self.request_pings();
        // The answer to a ping that was sent before the request proves nothing.
        let is_later = |pongs: &HashMap<String, u64>| pongs.get(address_of(location)) >= Some(&request);
        tokio::select! {
            _ = sessions.wait_for(|sessions| !sessions.contains(location)) => false,
            pong = pongs.wait_for(is_later) => pong.is_ok(),
            () = self.0.queue.closed() => false,
        }
    }

    /// Whether a worker is in a session that a task does not avoid after these attempts.
    pub(super) fn has_another(&self, attempts: &Attempts) -> bool {
        self.0.sessions.borrow().iter().any(|location| !attempts.avoids(address_of(location)))
    }

    /// Has every worker pinged at once. Returns the number of this request.
    fn request_pings(&self) -> u64 {
        let mut number = 0;
        self.0.ping_requests.send_modify(|last| {
            *last += 1;
            number = *last;
        });
        number
    }

    pub(super) fn ping_requests(&self) -> watch::Receiver<u64> {
        self.0.ping_requests.subscribe()
    }

    /// Records that the worker at this address has answered a ping that was sent after this
    /// request.
    pub(super) fn on_pong(&self, address: &str, request: u64) {
        self.0.pongs.send_modify(|pongs| {
            pongs.insert(address.to_owned(), request);
        });
    }

    /// Ends the job. The first error is kept.
    pub(super) fn fail(&self, error: Error) {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.0.queue.close();
        self.0.stop.request(Cause::Break);
    }

    /// The error that has ended the job, if there was one.
    pub(super) fn take_error(&self) -> Option<Error> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the job when no worker was in a session for this time.
    pub(super) async fn watch(self, limit: Duration) {
        let mut sessions = self.0.sessions.subscribe();
        let watch = async {
            while sessions.wait_for(HashSet::is_empty).await.is_ok() {
                let next = sessions.wait_for(|sessions| !sessions.is_empty());
                if timeout(limit, next).await.is_err() {
                    let last_loss = self.last_loss().clone();
                    self.fail(Error::worker("no worker left", last_loss));
                }
            }
        };
        tokio::select! {
            () = self.0.queue.closed() => {}
            () = watch => {}
        }
    }
}

/// The membership of a worker: dropping it means that its session has ended.
pub(super) struct MembershipGuard {
    roster: Roster,
    location: String,
}

impl Drop for MembershipGuard {
    fn drop(&mut self) {
        self.roster.0.failed_starts.store(0, Ordering::Relaxed);
        self.roster.0.sessions.send_modify(|sessions| {
            sessions.remove(&self.location);
        });
    }
}
