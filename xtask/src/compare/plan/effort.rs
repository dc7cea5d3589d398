//! The number of rounds of each phase, and the time limits.

use std::{num::NonZeroUsize, time::Duration};

use crate::compare::result::{Phase, seconds};

/// The number of rounds of each phase, and the time limits.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Number of timed rounds; if `None`, as many as fit into `limit`.
    pub rounds: Option<NonZeroUsize>,
    /// Minimum number of timed rounds, unless `rounds` is given.
    pub at_least: usize,
    /// Maximum number of timed rounds, unless `rounds` is given.
    pub at_most: usize,
    /// Time limit for the check and all phases together. The first round of each phase and
    /// `at_least` timed rounds are measured even if they take longer.
    pub limit: Duration,
    pub memory_rounds: usize,
    pub stop_rounds: usize,
    pub empty_rounds: usize,
    /// Number of extra rounds of a service, with other requests than the load.
    pub service_rounds: usize,
    /// Time limit of a single run.
    pub timeout: Duration,
}

impl Effort {
    /// The number of timed rounds, if a round takes `round` seconds, `spent` seconds have passed,
    /// and the later phases take `later` seconds.
    pub(crate) fn timed_rounds(&self, round: f64, spent: f64, later: f64) -> usize {
        let fit = ((seconds(self.limit) - spent - later) / round).max(0.0) as usize;
        self.rounds.map_or(fit.clamp(self.at_least, self.at_most), NonZeroUsize::get)
    }

    /// Whether a phase may end before this round when the time limit has passed.
    pub(crate) fn is_enough(&self, phase: Phase, round: usize) -> bool {
        match phase {
            Phase::Time => self.rounds.is_none() && round >= self.at_least,
            // If the number of rounds is given, all phases have all their rounds.
            _ => self.rounds.is_none() && round >= 1,
        }
    }
}
