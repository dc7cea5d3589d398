//! A download between attempts as plain data, so that another process can make the next attempt,
//! and the result of that attempt.
//!
//! Two processes share no clock, so times are durations before or after now. A part of a body is
//! not transferred: it stays in the process that has received it, and continues if that process
//! makes the next attempt, too.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_core::error::reason;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Output, Settings,
    address::fetchable,
    attempt::{AttemptId, Attempted, Next},
    destination::{self, Keep},
    download::Download,
    failure::Failure,
    headers::MAX_RETRY_AFTER,
};
/// A download, for the process that makes its next attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The index in [`super::Job::wanted`].
    pub index: usize,
    pub(super) shown: String,
    pub(super) url: Url,
    #[serde(with = "serde_bytes")]
    pub(super) credentials: Option<Vec<u8>>,
    pub(super) is_away: bool,
    pub(super) seen: Vec<Url>,
    pub(super) failures: u32,
    pub(super) keep: Keep,
    /// The time since its first attempt began.
    pub(super) age: Option<Duration>,
    /// The time until the deadline.
    pub(super) left: Option<Duration>,
}

impl Handover {
    /// Saves the body in this directory under a temporary name, until [`Returned::keep`] gives it
    /// its own.
    #[must_use]
    pub fn into_folder(self, dir: &Path) -> Self {
        let kept = Keep::At(file(dir, self.index));
        self.or_nowhere(kept)
    }

    /// Saves the body in a file without a name, which [the result](Attempted::take_file) contains.
    #[must_use]
    pub fn unnamed(self) -> Self {
        self.or_nowhere(Keep::Unnamed)
    }

    fn or_nowhere(self, kept: Keep) -> Self {
        let keep = if self.keep == Keep::Nowhere { Keep::Nowhere } else { kept };
        Self { keep, ..self }
    }

    /// Turns the handover that a worker has returned into a download again. Identity and
    /// destination are taken from `of`, not from the worker.
    ///
    /// # Errors
    ///
    /// If its URL is one that no redirect may lead to.
    pub fn take_back(mut self, of: &Download, now: Instant) -> Result<Box<Download>, Failure> {
        self.url = fetchable(self.url)?;
        let AttemptId { index, shown, .. } = of.attempt_id();
        (self.index, self.shown, self.keep) = (index, shown, of.keep().clone());
        Ok(self.take_over(of.settings(), now))
    }

    /// The download, without any of its body.
    ///
    /// # Panics
    ///
    /// If the handover does not come from [`Download::hand_over`].
    #[must_use]
    pub fn take_over(self, settings: &Arc<Settings>, now: Instant) -> Box<Download> {
        Box::new(Download::from_handover(self, settings, now))
    }
}

/// The temporary path of a body that a worker downloads.
fn file(dir: &Path, index: usize) -> PathBuf {
    dir.join(index.to_string())
}

/// Does not show the credentials.
impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("index", &self.index).field("url", &self.url.as_str()).finish()
    }
}

/// The result of an attempt that another process has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    host: String,
    held: Option<Duration>,
    /// Whether the process has a part of the body.
    is_begun: bool,
    next: Further,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Further {
    Done(Output),
    Again(Handover, Duration),
}

impl Attempted {
    /// Converts the result for the process that has handed the download over. Also returns the
    /// download itself, if there will be another attempt and a part of its body has arrived here.
    #[must_use]
    pub fn give_back(self, now: Instant) -> (Returned, Option<Box<Download>>) {
        let until = |time: Instant| time.saturating_duration_since(now);
        let (next, left) = match self.next {
            Next::Done(output) => (Further::Done(output), None),
            Next::Retry(download, time) => {
                let next = Further::Again(download.hand_over(now), until(time));
                (next, Some(download).filter(|download| download.is_begun()))
            }
        };
        let (host, held) = (self.host.to_string(), self.held.map(until));
        (Returned { host, held, is_begun: left.is_some(), next }, left)
    }
}

impl Returned {
    /// Whether the process that made the attempt has a part of the body, and should therefore make
    /// the next one, too.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Renames a body that was saved [in a directory](Handover::into_folder) to its final name. If
    /// that fails, the download has failed.
    #[must_use]
    pub fn keep(mut self, of: &Download, dir: &Path) -> Self {
        if let Further::Done(output) = &mut self.next
            && output.outcome.is_ok()
            && let Keep::At(path) = of.keep()
            && let Err(error) = destination::rename(&file(dir, output.index), path)
        {
            output.outcome = Err(Failure::Keep(reason(&error)));
        }
        self
    }

    /// The result of an attempt of this download, for [`super::Schedule::complete`].
    #[must_use]
    pub fn take_back(self, of: &Download, now: Instant) -> Attempted {
        // Limited: a longer wait, from a faulty worker, could overflow the addition.
        let after = |wait: Duration| now + wait.min(MAX_RETRY_AFTER);
        let next = match self.next {
            Further::Done(output) => Next::Done(output),
            Further::Again(download, wait) => match download.take_back(of, now) {
                Ok(download) => Next::Retry(download, after(wait)),
                Err(why) => Next::Done(of.attempt_id().output(Err(why), now)),
            },
        };
        Attempted { host: self.host.into(), held: self.held.map(after), next, file: None }
    }
}

/// Credentials as a header value, if they are valid in a header.
pub(super) fn header(bytes: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}
