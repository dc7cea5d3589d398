//! Partial network partitions: workers that cannot reach each other, though the coordinator reaches
//! both.
//!
//! A worker that cannot fetch a blob reports it as missing. The session that has the blob is either
//! lost or alive. If it is lost, the blob must be made again. If it is alive, the task must run on
//! another worker: the one that has the blob, or one that can reach it.

use std::{
    collections::BTreeSet,
    ops::ControlFlow::{self, Continue},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cc_workloads::blobs::BlobRange;
use serde::{Deserialize, Serialize};

use super::{
    coordinator::Cluster,
    location::location_of,
    queue::{Attempts, address_of},
};

/// A worker's report that it could not read a range of a blob.
#[derive(Serialize, Deserialize)]
pub(crate) struct Missing {
    /// The location of the session that reports it.
    pub(crate) location: String,
    pub(crate) range: BlobRange,
    pub(crate) why: String,
}

/// Which workers are known not to reach which sessions.
pub(crate) struct Reach<'a> {
    cluster: &'a Cluster,
    /// Pairs of a worker's address and the location of a session that it cannot fetch from.
    cuts: Mutex<BTreeSet<(String, String)>>,
}

impl<'a> Reach<'a> {
    /// Begins with the assumption that every worker reaches every other.
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, cuts: Mutex::default() }
    }

    /// Makes a task that reads from these locations avoid the workers that are known not to reach
    /// one of them.
    pub(crate) fn avoid<'b>(&self, locations: impl Iterator<Item = &'b str>, attempts: &mut Attempts) {
        let cuts = self.cuts();
        if cuts.is_empty() {
            return;
        }
        let locations: BTreeSet<&str> = locations.collect();
        for (reader, _) in cuts.iter().filter(|(_, location)| locations.contains(&**location)) {
            attempts.avoid(reader);
        }
    }

    /// Finds out why something is missing. Returns the location if its session is lost. Otherwise
    /// the task must avoid the worker that has reported it; if no other worker is left, the job
    /// ends.
    pub(crate) async fn lost_location(
        &self,
        missing: &Missing,
        attempts: &mut Attempts,
    ) -> ControlFlow<(), Option<String>> {
        let reader = address_of(&missing.location);
        let location = location_of(&missing.range.name);
        if !self.is_known(reader, location) && !self.cluster.is_alive(location).await {
            return Continue(Some(location.to_owned()));
        }
        self.cuts().insert((reader.to_owned(), location.to_owned()));
        attempts.avoid(reader);
        if self.cluster.has_another(attempts) {
            return Continue(None);
        }
        let subject = format!("{reader} cannot fetch from {}", address_of(location));
        self.cluster.fail_with(subject, &missing.why)
    }

    /// Whether this cut is known, and the session still goes on.
    fn is_known(&self, reader: &str, location: &str) -> bool {
        self.cluster.has(location) && self.cuts().contains(&(reader.to_owned(), location.to_owned()))
    }

    fn cuts(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        // No foreign code runs under the lock, so a panic cannot leave the set half-changed.
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
