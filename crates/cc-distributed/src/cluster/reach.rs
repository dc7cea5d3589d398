//! Which workers do not reach each other, though the coordinator reaches both: a partial partition.
//!
//! A worker that cannot fetch something says so, and what it names is either lost or alive. If it
//! is lost, it has to be made again. If it is alive, the task is for another worker: for the one
//! that has the bytes, or any that reaches it.

use std::{
    collections::BTreeSet,
    ops::ControlFlow::{self, Continue},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cc_workloads::shelf::Slice;
use serde::{Deserialize, Serialize};

use super::{
    coordinator::Cluster,
    location::place,
    queue::{Attempts, address},
};

/// Something that a worker cannot have.
#[derive(Serialize, Deserialize)]
pub(crate) struct Missing {
    /// The place of the worker that misses it.
    pub(crate) at: String,
    pub(crate) slice: Slice,
    pub(crate) why: String,
}

/// What is known of who does not reach whom.
pub(crate) struct Reach<'a> {
    cluster: &'a Cluster,
    /// Addresses of workers, and places that they cannot fetch from.
    cut: Mutex<BTreeSet<(String, String)>>,
}

impl<'a> Reach<'a> {
    /// As far as is known, every worker reaches every other.
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, cut: Mutex::default() }
    }

    /// Lets workers have a task that reads from these places only if nothing is known that they
    /// could not fetch.
    pub(crate) fn avoid<'b>(&self, places: impl Iterator<Item = &'b str>, attempts: &mut Attempts) {
        let cut = self.cut();
        if !cut.is_empty() {
            let places: BTreeSet<&str> = places.collect();
            let known = cut.iter().filter(|(_, from)| places.contains(&**from));
            known.for_each(|(at, _)| attempts.avoid(at));
        }
    }

    /// The place that is lost, if that is why something is missing. If it is not, the task is for
    /// another worker, and if there is none, that ends the job.
    pub(crate) async fn lost_place(
        &self,
        missing: &Missing,
        attempts: &mut Attempts,
    ) -> ControlFlow<(), Option<String>> {
        let (at, from) = (address(&missing.at), place(&missing.slice.name));
        if !self.knows(at, from) && !self.cluster.is_alive(from).await {
            return Continue(Some(from.to_owned()));
        }
        self.cut().insert((at.to_owned(), from.to_owned()));
        attempts.avoid(at);
        if self.cluster.has_another(attempts) {
            return Continue(None);
        }
        let who = format!("{at} cannot fetch from {}", address(from));
        self.cluster.fail_with(who, &missing.why)
    }

    fn knows(&self, at: &str, from: &str) -> bool {
        self.cluster.has(from) && self.cut().contains(&(at.to_owned(), from.to_owned()))
    }

    fn cut(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
