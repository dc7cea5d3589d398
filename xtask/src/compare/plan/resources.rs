//! What an origin has, as a manifest says it.

use std::path::Path;

use serde::Deserialize;

use crate::compare::result::{Subject, Waiting};

/// What there is to be had, and how it is asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Resources {
    /// The number of resources, of hosts that have them by turns, and the most bytes of one.
    pub count: u64,
    pub hosts: u8,
    pub bytes: u64,
    /// Every request waits for so long.
    pub latency_ms: u64,
    /// The most requests that are in flight at once.
    pub concurrency: u64,
}

impl Resources {
    /// Nine, three at once.
    #[cfg(test)]
    pub(crate) const FEW: Self = Self { count: 9, hosts: 2, bytes: 10, latency_ms: 20, concurrency: 3 };

    /// How all are asked for that `path` will list.
    pub(crate) fn subject(&self, path: &Path) -> Subject {
        let most = self.concurrency.to_string();
        let args = ["--concurrency", &most, "--per-host", &most, "--no-times"].map(str::to_owned).to_vec();
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
