//! Counts of requests, and of concurrent ones.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The counts of an origin, as `/~stats` returns them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// All requests, except those for `/~stats`.
    pub requests: usize,
    /// Requests in flight.
    pub now: usize,
    /// Maximum number of requests in flight together.
    pub peak: usize,
    /// The same per host, by the name that requests used.
    pub hosts: HashMap<String, Host>,
}

/// The requests at one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Requests in flight.
    pub now: usize,
    /// Maximum number of requests in flight together.
    pub peak: usize,
}

/// The counters that all connections share.
#[derive(Default)]
pub(super) struct Counters {
    state: Mutex<State>,
    more: Condvar,
    /// The peak once more, for tasks, which must not block their thread on the condition variable.
    peak: watch::Sender<usize>,
    /// Delay of every answer in microseconds. It may change while requests wait.
    latency: AtomicU64,
}

#[derive(Default)]
struct State {
    stats: Stats,
    /// How often each path has been requested.
    requested: HashMap<String, usize>,
}

/// A request counts as in flight until this is dropped.
pub(super) struct InFlight {
    counters: Arc<Counters>,
    host: String,
}

impl Counters {
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    /// Sets the delay of later requests.
    pub(super) fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.store(micros, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    pub(super) fn wait_for_peak(&self, requests: usize) {
        let few = |state: &mut State| state.stats.peak < requests;
        drop(self.more.wait_while(self.state(), few));
    }

    /// Waits until this number of requests have been in flight together.
    pub(super) async fn together(&self, requests: usize) {
        // `self` owns the sender, so the channel is not closed.
        let _ = self.peak.subscribe().wait_for(|peak| *peak >= requests).await;
    }

    /// Counts a request, and returns how often this path was requested before.
    pub(super) fn begin(self: &Arc<Self>, host: &str, path: &str) -> (InFlight, usize) {
        let mut state = self.state();
        let stats = &mut state.stats;
        stats.requests += 1;
        stats.now += 1;
        stats.peak = stats.peak.max(stats.now);
        let peak = stats.peak;
        self.peak.send_if_modified(|before| std::mem::replace(before, peak) < peak);
        let at = stats.hosts.entry(host.to_owned()).or_default();
        at.now += 1;
        at.peak = at.peak.max(at.now);
        let requested = state.requested.entry(path.to_owned()).or_default();
        *requested += 1;
        let before = *requested - 1;
        self.more.notify_all();
        (InFlight { counters: self.clone(), host: host.to_owned() }, before)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.counters.state();
        state.stats.now -= 1;
        if let Some(host) = state.stats.hosts.get_mut(&self.host) {
            host.now -= 1;
        }
    }
}
