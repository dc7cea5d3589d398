//! How much is measured, and for how long.

use std::{num::NonZeroUsize, time::Duration};

use crate::compare::result::{Phase, seconds};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Timed rounds; by default as many as fit into `limit`.
    pub rounds: Option<NonZeroUsize>,
    /// The fewest and the most timed rounds, unless `rounds` is given.
    pub at_least: usize,
    pub at_most: usize,
    /// How long the check and all phases may take. The first round of each phase, and `at_least`
    /// timed rounds, are measured even if it takes longer.
    pub limit: Duration,
    pub memory_rounds: usize,
    pub stop_rounds: usize,
    pub empty_rounds: usize,
    /// Of a service: those in which it is asked in other ways than by the load.
    pub service_rounds: usize,
    pub timeout: Duration,
}

impl Effort {
    /// How many timed rounds there are, if one takes `round` seconds, `spent` seconds are gone, and
    /// what comes after these rounds takes `later`.
    pub(crate) fn timed_rounds(&self, round: f64, spent: f64, later: f64) -> usize {
        let fit = ((seconds(self.limit) - spent - later) / round).max(0.0) as usize;
        self.rounds.map_or(fit.clamp(self.at_least, self.at_most), NonZeroUsize::get)
    }

    /// Whether a phase may end before this round because the time is up.
    pub(crate) fn is_enough(&self, phase: Phase, round: usize) -> bool {
        match phase {
            Phase::Time => self.rounds.is_none() && round >= self.at_least,
            // One that was asked for its rounds has them all.
            _ => self.rounds.is_none() && round >= 1,
        }
    }
}
