//! `sort`: TODO: what the program does, in a line.
//!
//! ```text
//! Job ── tasks() ──> Task ── kernel() ──> Output ── sink ──> TODO: what the user sees
//! ```
//!
//! TODO: what a [`Task`] is, and why not more or less; what a worker does with it, and what comes back; what is the same
//! for everybody and what a worker needs to be told.
//!
//! TODO: in which order outputs are pushed, if they have one.

pub mod sequential;

use std::iter;

use serde::{Deserialize, Serialize};

use crate::{
    contract::{Ctx, Sink},
    error::Result,
};

/// What a model provides: runs the job and pushes every output once, as they are completed. Returns early, and
/// cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What is to be done.
#[derive(Debug)]
pub struct Job {}

impl Job {
    /// The job's tasks.
    pub fn tasks(&self) -> impl Iterator<Item = Task> + Send + use<> {
        iter::empty()
    }
}

/// A part of it. Plain data: it may be done anywhere, and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {}

impl Task {
    /// The output of a task that could not be done: it panicked, or killed its worker again and again.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        Output { made: Err(why.to_owned()) }
    }
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What was made, or why nothing was.
    pub made: Result<(), String>,
}

/// Does a task.
#[must_use]
pub fn kernel(task: &Task) -> Output {
    task.failed("not written yet")
}
