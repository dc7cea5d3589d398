//! What becomes of the counts.

use std::ops::ControlFlow;

use super::Output;
use crate::contract::Sink;

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pixels computed.
    pub pixels: u64,
}

/// The sink that every model's outputs go to.
#[derive(Debug)]
pub struct Picture;

impl Sink<Output> for Picture {
    fn push(&mut self, _: Output) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
