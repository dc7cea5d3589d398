//! What becomes of an attempt.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Fetched, Output, download::Download, failure::Failure};

/// What an attempt came to, for [`super::Schedule::ended`].
pub struct Attempted {
    pub(super) host: Arc<str>,
    /// Until when nobody is to ask this host anything.
    pub(super) held: Option<Instant>,
    pub(super) next: Next,
    /// The body, if it is there and has no name.
    pub(super) file: Option<File>,
}

impl Attempted {
    /// The body, if whoever [handed the download over](super::Handover::unnamed) is to keep it.
    #[must_use]
    pub fn take_file(&mut self) -> Option<File> {
        self.file.take()
    }
}

pub(super) enum Next {
    Done(Output),
    /// Another attempt, not before then.
    Again(Box<Download>, Instant),
}

/// Whose attempt it is: enough to report it if nobody can finish it.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub(super) index: usize,
    pub(super) shown: String,
    pub(super) host: Arc<str>,
    pub(super) began: Option<Instant>,
}

impl Ticket {
    /// Its place in [`super::Job::wanted`].
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The attempt, lost for this reason.
    #[must_use]
    pub fn failed(self, why: &str, now: Instant) -> Attempted {
        let host = self.host.clone();
        Attempted { host, held: None, file: None, next: Next::Done(self.lost(why, now)) }
    }

    /// The download, lost for this reason.
    #[must_use]
    pub fn lost(self, why: &str, now: Instant) -> Output {
        self.output(Err(Failure::Worker(why.to_owned())), now)
    }

    /// What a peer says has become of the download. Which download that was is not left to the
    /// peer.
    #[must_use]
    pub fn adopt(self, output: Output) -> Output {
        Output { index: self.index, url: self.shown, ..output }
    }

    pub(super) fn output(self, outcome: Result<Fetched, Failure>, now: Instant) -> Output {
        let elapsed = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        Output { index: self.index, url: self.shown, elapsed, outcome }
    }
}
