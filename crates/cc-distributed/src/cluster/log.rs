//! The log of a standing worker: one line per event, on standard error.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cc_workloads::{printable::printable, stdio};

/// Minimum interval between reports of refused calls: a caller without the token must not fill the
/// log.
const REFUSALS: Duration = Duration::from_secs(1);

/// A log. Clones are the same log. None: reports are dropped.
#[derive(Clone)]
pub(super) struct Log(Option<Arc<Mutex<Refusals>>>);

/// Counts refused calls.
#[derive(Default)]
struct Refusals {
    /// When a refusal was last reported.
    reported: Option<Instant>,
    /// Refusals since then, which were not reported.
    unreported: u64,
}

impl Log {
    /// A log on standard error.
    pub(super) fn stderr() -> Self {
        Self(Some(Arc::default()))
    }

    /// A log that drops all reports: for a run's worker processes, the coordinator reports.
    pub(super) fn silent() -> Self {
        Self(None)
    }

    /// Reports an event of this peer. The text may come from outside, and is made [printable].
    pub(super) fn report(&self, peer: SocketAddr, what: impl Display) {
        if self.0.is_some() {
            let line = format!("worker: {peer}: {}\n", printable(&what.to_string()));
            // One write per line, so that the lines of several workers are not mixed. If standard
            // error is closed, the worker goes on.
            let _ = stdio::say(&line);
        }
    }

    /// Reports that a call of this peer was refused, or counts it for the next report.
    pub(super) fn refused(&self, peer: SocketAddr) {
        let Some(refusals) = &self.0 else { return };
        let due = refusals.lock().unwrap_or_else(PoisonError::into_inner).due(Instant::now());
        match due {
            Some(0) => self.report(peer, "refused: wrong token"),
            Some(more) => self.report(
                peer,
                format_args!("refused: wrong token; {more} more calls were refused since the last report"),
            ),
            None => {}
        }
    }
}

impl Refusals {
    /// Counts a refusal. If it must be reported, returns the number of unreported ones before it.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.reported.is_some_and(|reported| now.duration_since(reported) < REFUSALS) {
            self.unreported += 1;
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_reported_at_intervals_and_counted() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        let mut due = |after| refusals.due(begin + REFUSALS.mul_f64(after));
        assert_eq!(
            [0.0, 0.1, 0.9, 1.0, 1.5, 2.1].map(&mut due),
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
