//! How many requests there were, and how many at once.

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

/// What an origin has counted: what `/~stats` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// All requests, but those for this.
    pub requests: usize,
    /// Those that are under way.
    pub now: usize,
    /// The most that were at once.
    pub peak: usize,
    /// The same for each host, by the name under which it was asked.
    pub hosts: HashMap<String, Host>,
}

/// The requests at one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Those that are under way.
    pub now: usize,
    /// The most that were at once.
    pub peak: usize,
}

/// What all connections count together.
#[derive(Default)]
pub(super) struct Counters {
    state: Mutex<State>,
    more: Condvar,
    /// The peak, for those who must not hold their thread up.
    peak: watch::Sender<usize>,
    /// How long every request waits, in microseconds. It may be changed while they do.
    latency: AtomicU64,
}

#[derive(Default)]
struct State {
    stats: Stats,
    /// How often each path has been asked for.
    asked: HashMap<String, usize>,
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay {
    counters: Arc<Counters>,
    host: String,
}

impl Counters {
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    /// Requests that come from now on wait for so long.
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

    /// Waits until so many requests have been under way at once.
    pub(super) async fn together(&self, requests: usize) {
        // It does not close before this goes.
        let _ = self.peak.subscribe().wait_for(|peak| *peak >= requests).await;
    }

    /// Counts a request, and says how often this path had been asked for before.
    pub(super) fn begin(self: &Arc<Self>, host: &str, path: &str) -> (UnderWay, usize) {
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
        let asked = state.asked.entry(path.to_owned()).or_default();
        *asked += 1;
        let before = *asked - 1;
        self.more.notify_all();
        (UnderWay { counters: self.clone(), host: host.to_owned() }, before)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.counters.state();
        state.stats.now -= 1;
        if let Some(host) = state.stats.hosts.get_mut(&self.host) {
            host.now -= 1;
        }
    }
}
