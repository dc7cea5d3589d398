//! The models and tools that take part in a comparison.

use std::num::NonZeroUsize;

use crate::compare::{
    plan::{command::CommandTemplate, order::Order},
    result::{Code, Kind, Phase},
};

/// A model or a tool that takes part.
#[derive(Clone)]
pub(crate) struct Entrant {
    pub name: String,
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    pub call: CommandTemplate,
    pub order: Order,
    pub code: Option<Code>,
    pub workers: NonZeroUsize,
    pub oversubscribed: bool,
    /// Whether the tool is so slow that it is timed only once.
    pub slow: bool,
}

impl Entrant {
    /// The unique name.
    pub(crate) fn id(&self) -> String {
        self.label.split(" (").next().unwrap_or_default().to_owned()
    }

    /// Whether it takes part in this round. Memory and stopping of a tool are measured only once,
    /// because tools are not ranked.
    pub(crate) fn takes_part(&self, phase: Phase, round: usize) -> bool {
        match phase {
            Phase::Check | Phase::Empty => true,
            Phase::Time => round == 0 || !self.slow,
            Phase::Memory | Phase::Stop => !self.slow && (round == 0 || self.kind != Kind::Tool),
            Phase::Trace | Phase::Service => !self.slow,
        }
    }
}
