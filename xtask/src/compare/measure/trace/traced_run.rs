//! The description of a traced run.

use std::{num::NonZeroUsize, time::Duration};

/// The model, the time and the number of workers of a traced run.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The model's unique name.
    pub name: &'a str,
    /// The start, by the clock of the spans.
    pub started_ns: u64,
    pub wall: Duration,
    pub workers: NonZeroUsize,
}
