//! The run that was traced.

use std::{num::NonZeroUsize, time::Duration};

/// When a run was, and with how many workers.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// What the model is called; no other is called so.
    pub name: &'a str,
    /// By the spans' clock.
    pub started_ns: u64,
    pub wall: Duration,
    pub workers: NonZeroUsize,
}
