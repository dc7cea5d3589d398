//! Which workers are at work, and when the job gives up.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cc_workloads::{Cause, Error, Stop, printable::printable};
use tokio::{sync::watch, time::timeout};

use super::{
    lost::Lost,
    queue::{Attempts, Queue, address},
};

/// Starts of worker processes that may fail in a row, for each worker of the cluster: the pauses
/// between them double, so a system that lacks threads or descriptors has more than a second to
/// recover.
const STARTS: u32 = 6;

/// Who is at work, and whether the job can go on. Clones are the same roster.
#[derive(Clone)]
pub(super) struct Roster(Arc<State>);

struct State {
    /// The places of the sessions there are.
    present: watch::Sender<HashSet<String>>,
    /// The number of the last prompt. Each asks for a ping of every worker.
    prompts: watch::Sender<u64>,
    /// For each worker's address the last prompt before the ping that it has answered last.
    heard: watch::Sender<HashMap<String, u64>>,
    /// How many workers have not answered wrongly.
    trusted: AtomicUsize,
    /// What became of the worker that was lost last.
    last: Mutex<String>,
    error: Mutex<Option<Error>>,
    /// How many workers the cluster has, at work or not.
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
        let (present, _) = watch::channel(HashSet::new());
        let last = Mutex::new("none could be started".to_owned());
        Self(Arc::new(State {
            present,
            prompts: watch::Sender::default(),
            heard: watch::Sender::default(),
            trusted: AtomicUsize::default(),
            last,
            error: Mutex::default(),
            workers: AtomicU32::new(0),
            has_begun: AtomicBool::new(false),
            failed_starts: AtomicU32::new(0),
            queue: queue.clone(),
            stop: stop.clone(),
        }))
    }

    /// The cluster has one worker more, at work or not.
    pub(super) fn add_worker(&self) {
        self.0.workers.fetch_add(1, Ordering::Relaxed);
        self.0.trusted.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker is at work in a session, as long as this is kept.
    pub(super) fn entered(&self, place: String) -> Present {
        self.0.has_begun.store(true, Ordering::Relaxed);
        self.0.failed_starts.store(0, Ordering::Relaxed);
        self.0.present.send_modify(|places| {
            places.insert(place.clone());
        });
        Present { roster: self.clone(), place }
    }

    /// Whether any worker has ever welcomed a session.
    pub(super) fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    /// A session has ended, or could not be begun.
    pub(super) fn left(&self, who: &str, lost: Lost) {
        match lost {
            Lost::NotStarted(why) if self.has_failed_to_start() => {
                self.fail(Error::worker("no worker can be started", why));
            }
            // A mistake in the configuration, and nothing has been done yet that could be lost: say
            // so at once.
            Lost::Refused(why) if !self.has_begun() => {
                self.fail(Error::worker(who, why));
            }
            Lost::Gone(why) | Lost::Refused(why) | Lost::NotStarted(why) => {
                *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = format!("{who}: {why}");
            }
            Lost::Distrusted(why) => {
                let why = format!("{}: answered wrongly: {why}", printable(who));
                *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = why.clone();
                if self.0.trusted.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.fail(Error::worker("no worker left", why));
                }
            }
        }
    }

    /// Whether this failed start is one too many, with no worker at work.
    fn has_failed_to_start(&self) -> bool {
        let failed = self.0.failed_starts.fetch_add(1, Ordering::Relaxed) + 1;
        failed >= STARTS * self.0.workers.load(Ordering::Relaxed) && self.0.present.borrow().is_empty()
    }

    /// Whether the session at this place goes on, as far as is known here.
    pub(super) fn has(&self, place: &str) -> bool {
        self.0.present.borrow().contains(place)
    }

    /// Whether the session at this place goes on, as its worker confirms from now on.
    pub(super) async fn is_alive(&self, place: &str) -> bool {
        let mut present = self.0.present.subscribe();
        let mut heard = self.0.heard.subscribe();
        let prompt = self.prompt();
        // An answer to a ping that was sent before the prompt tells nothing.
        let is_later = |heard: &HashMap<String, u64>| heard.get(address(place)) >= Some(&prompt);
        tokio::select! {
            _ = present.wait_for(|places| !places.contains(place)) => false,
            heard = heard.wait_for(is_later) => heard.is_ok(),
            () = self.0.queue.closed() => false,
        }
    }

    /// Whether a worker is at work that may do a task after these attempts.
    pub(super) fn has_another(&self, attempts: &Attempts) -> bool {
        self.0.present.borrow().iter().any(|place| !attempts.avoids(address(place)))
    }

    /// Has every worker pinged at once. Returns the prompt's number.
    fn prompt(&self) -> u64 {
        let mut number = 0;
        self.0.prompts.send_modify(|last| {
            *last += 1;
            number = *last;
        });
        number
    }

    pub(super) fn prompts(&self) -> watch::Receiver<u64> {
        self.0.prompts.subscribe()
    }

    /// The worker at this address has answered a ping that was sent after this prompt.
    pub(super) fn heard(&self, address: &str, prompt: u64) {
        self.0.heard.send_modify(|heard| {
            heard.insert(address.to_owned(), prompt);
        });
    }

    /// Ends the job. The first error is kept.
    pub(super) fn fail(&self, error: Error) {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.0.queue.close();
        self.0.stop.request(Cause::Break);
    }

    /// Why the job had to end, if it had to.
    pub(super) fn take_error(&self) -> Option<Error> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the job when there has been no worker for so long.
    pub(super) async fn watch(self, patience: Duration) {
        let mut present = self.0.present.subscribe();
        let alone = async {
            while present.wait_for(HashSet::is_empty).await.is_ok() {
                if timeout(patience, present.wait_for(|places| !places.is_empty())).await.is_err() {
                    let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    self.fail(Error::worker("no worker left", last));
                }
            }
        };
        tokio::select! {
            () = self.0.queue.closed() => {}
            () = alone => {}
        }
    }
}

/// Counts as a worker.
pub(super) struct Present {
    roster: Roster,
    place: String,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.roster.0.failed_starts.store(0, Ordering::Relaxed);
        self.roster.0.present.send_modify(|places| {
            places.remove(&self.place);
        });
    }
}
