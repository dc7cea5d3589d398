//! The resources of an origin, as a manifest defines them.

use std::path::Path;

use serde::Deserialize;

use crate::compare::result::{Subject, Waiting};

/// The resources of an origin, and the limits of the requests.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Resources {
    /// Number of resources.
    pub count: u64,
    /// Number of hosts, over which the resources are distributed in turn.
    pub hosts: u8,
    /// Maximum size of a resource.
    pub bytes: u64,
    /// Delay of every reply.
    pub latency_ms: u64,
    /// Maximum number of requests in flight.
    pub concurrency: u64,
}

impl Resources {
    /// Nine resources, with three requests in flight.
    #[cfg(test)]
    pub(crate) const FEW: Self = Self { count: 9, hosts: 2, bytes: 10, latency_ms: 20, concurrency: 3 };

    /// The subject that requests all resources in the list at `path`.
    pub(crate) fn subject(&self, path: &Path) -> Subject {
        let limit = self.concurrency.to_string();
        let args = ["--concurrency", &limit, "--per-host", &limit, "--no-times"].map(str::to_owned).to_vec();
        Subject { args, path: Some(path.to_owned()), is_empty: false }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let seconds = |requests: u64| (requests * self.latency_ms) as f64 / 1e3;
        Waiting {
            ideal_s: seconds(self.count.div_ceil(self.concurrency)),
            sequential_s: seconds(self.count),
            at_once: self.concurrency.min(self.count),
        }
    }
}
