//! What a standing worker reports: one line each, on standard error.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cc_workloads::{printable::printable, stdio};

/// Refused calls are reported once in this time: a caller without the token must not fill the log.
const REFUSALS: Duration = Duration::from_secs(1);

/// Where reports go. Clones are the same log.
#[derive(Clone)]
pub(super) struct Log(Option<Arc<Mutex<Refusals>>>);

/// Calls that were refused.
#[derive(Default)]
struct Refusals {
    /// When one was reported last.
    reported: Option<Instant>,
    /// How many were not, since then.
    unreported: u64,
}

impl Log {
    /// Standard error.
    pub(super) fn stderr() -> Self {
        Self(Some(Arc::default()))
    }

    /// Nowhere: a run's own workers have a coordinator that reports.
    pub(super) fn silent() -> Self {
        Self(None)
    }

    /// Reports what has happened to this peer. Text from outside is made [printable].
    pub(super) fn report(&self, peer: SocketAddr, what: impl Display) {
        if self.0.is_some() {
            let line = format!("worker: {peer}: {}\n", printable(&what.to_string()));
            // Written at once, so that lines of several workers are not mixed up. A closed standard
            // error is no reason not to work.
            let _ = stdio::say(&line);
        }
    }

    /// Reports that a call of this peer was refused, or counts it for the next report.
    pub(super) fn refused(&self, peer: SocketAddr) {
        let Some(refusals) = &self.0 else { return };
        let due = refusals.lock().unwrap_or_else(PoisonError::into_inner).due(Instant::now());
        match due {
            Some(0) => self.report(peer, "refused: wrong token"),
            Some(more) => self.report(peer, format_args!("refused: wrong token; {more} other calls before")),
            None => {}
        }
    }
}

impl Refusals {
    /// Counts a refusal. If it is to be reported, returns how many before it were not.
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
    fn refusals_are_reported_once_in_a_while_and_counted() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        let mut due = |after| refusals.due(begin + REFUSALS.mul_f64(after));
        assert_eq!(
            [0.0, 0.1, 0.9, 1.0, 1.5, 2.1].map(&mut due),
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
