//! The result of an attempt.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Fetched, Output, download::Download, failure::Failure};

/// The result of an attempt, for [`super::Schedule::complete`].
pub struct Attempted {
    pub(super) host: Arc<str>,
    /// No request may be sent to this host before.
    pub(super) held: Option<Instant>,
    pub(super) next: Next,
    /// The complete body, if it is in a file without a name.
    pub(super) file: Option<File>,
}

impl Attempted {
    /// The body's file, for the process that has [handed the download
    /// over](super::Handover::unnamed).
    #[must_use]
    pub fn take_file(&mut self) -> Option<File> {
        self.file.take()
    }
}

pub(super) enum Next {
    Done(Output),
    /// Another attempt, not before this time.
    Retry(Box<Download>, Instant),
}

/// Identifies the download of an attempt, so that its failure can be reported if the download
/// itself is lost.
#[derive(Clone, Debug)]
pub struct AttemptId {
    pub(super) index: usize,
    pub(super) shown: String,
    pub(super) host: Arc<str>,
    pub(super) began: Option<Instant>,
}

impl AttemptId {
    /// The index in [`super::Job::wanted`].
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The result of an attempt whose download is lost.
    #[must_use]
    pub fn failed(self, why: &str, now: Instant) -> Attempted {
        let host = self.host.clone();
        Attempted { host, held: None, file: None, next: Next::Done(self.lost(why, now)) }
    }

    /// The output of a download that is lost.
    #[must_use]
    pub fn lost(self, why: &str, now: Instant) -> Output {
        self.output(Err(Failure::Worker(why.to_owned())), now)
    }

    /// The output that another process has sent, for this download: its index and URL are not taken
    /// from the message.
    #[must_use]
    pub fn adopt(self, output: Output) -> Output {
        Output { index: self.index, url: self.shown, ..output }
    }

    pub(super) fn output(self, outcome: Result<Fetched, Failure>, now: Instant) -> Output {
        let elapsed = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        Output { index: self.index, url: self.shown, elapsed, outcome }
    }
}
