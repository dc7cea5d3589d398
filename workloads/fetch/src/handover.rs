//! A download between attempts as plain data, so that another process can make the next one, and what came of it.
//!
//! Clocks are not had in common, so times are told as how long ago, or how long from now. What has come of a body stays where it
//! is: whoever has a part of it, and is handed the same download again, goes on with what he has.

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
    attempt::{Attempted, Next, Ticket},
    download::Download,
    failure::Failure,
    headers::MAX_RETRY_AFTER,
    place::{self, Keep},
};
/// A download, for whoever makes its next attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Its place in [`super::Job::wanted`].
    pub index: usize,
    pub(super) shown: String,
    pub(super) url: Url,
    #[serde(with = "serde_bytes")]
    pub(super) credentials: Option<Vec<u8>>,
    pub(super) seen: Vec<Url>,
    pub(super) failures: u32,
    pub(super) keep: Keep,
    /// How long ago its first attempt began.
    pub(super) age: Option<Duration>,
    /// How long it is until the deadline.
    pub(super) left: Option<Duration>,
}

impl Handover {
    /// Has the body kept in this folder, under a name of its own, until [`Returned::keep`] gives it
    /// the one that it is to have.
    #[must_use]
    pub fn into_folder(self, folder: &Path) -> Self {
        let kept = Keep::At(file(folder, self.index));
        self.or_nowhere(kept)
    }

    /// Has the body kept without a name: it [comes with](Attempted::take_file) what came of the attempt.
    #[must_use]
    pub fn unnamed(self) -> Self {
        self.or_nowhere(Keep::Unnamed)
    }

    fn or_nowhere(self, kept: Keep) -> Self {
        let keep = if self.keep == Keep::Nowhere { Keep::Nowhere } else { kept };
        Self { keep, ..self }
    }

    /// The download that was handed over, as of now. What identifies it is taken from there, not
    /// from what came back: it is the same resource, to be kept where it was to be.
    ///
    /// # Errors
    ///
    /// If it leads to an address that no redirect may lead to.
    pub fn take_back(mut self, of: &Download, now: Instant) -> Result<Box<Download>, Failure> {
        self.url = fetchable(self.url)?;
        let Ticket { index, shown, .. } = of.ticket();
        (self.index, self.shown, self.keep) = (index, shown, of.keep().clone());
        Ok(self.take_over(of.settings(), now))
    }

    /// The download as of now, with nothing of its body.
    ///
    /// # Panics
    ///
    /// If it does not come from [`Download::hand_over`].
    #[must_use]
    pub fn take_over(self, settings: &Arc<Settings>, now: Instant) -> Box<Download> {
        Box::new(Download::from_handover(self, settings, now))
    }
}

/// Where the body of a download is kept that somebody else makes.
fn file(folder: &Path, index: usize) -> PathBuf {
    folder.join(index.to_string())
}

/// Without the password.
impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("index", &self.index).field("url", &self.url.as_str()).finish()
    }
}

/// What an attempt came to, elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    host: String,
    held: Option<Duration>,
    /// Whether a part of the body has come, and stays where it is.
    is_begun: bool,
    next: Further,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Further {
    Done(Output),
    Again(Handover, Duration),
}

impl Attempted {
    /// Tells it to whoever has handed the download over. What is left over is the download, if there is to be another attempt
    /// and it has a part of its body.
    #[must_use]
    pub fn give_back(self, now: Instant) -> (Returned, Option<Box<Download>>) {
        let until = |time: Instant| time.saturating_duration_since(now);
        let (next, left) = match self.next {
            Next::Done(output) => (Further::Done(output), None),
            Next::Again(download, time) => {
                let next = Further::Again(download.hand_over(now), until(time));
                (next, Some(download).filter(|download| download.is_begun()))
            }
        };
        let (host, held) = (self.host.to_string(), self.held.map(until));
        (Returned { host, held, is_begun: left.is_some(), next }, left)
    }
}

impl Returned {
    /// Whether whoever made the attempt has a part of the body, and should make the next one, too.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Gives a body that was kept [in a folder](Handover::into_folder) the name that it is to have. That it cannot is what the attempt
    /// came to, then.
    #[must_use]
    pub fn keep(mut self, of: &Download, folder: &Path) -> Self {
        if let Further::Done(output) = &mut self.next
            && output.outcome.is_ok()
            && let Keep::At(path) = of.keep()
            && let Err(error) = place::rename(&file(folder, output.index), path)
        {
            output.outcome = Err(Failure::Keep(reason(&error)));
        }
        self
    }

    /// What the attempt came to that was made of this download, as of now, for [`super::Schedule::ended`].
    #[must_use]
    pub fn take_back(self, of: &Download, now: Instant) -> Attempted {
        // No wait is longer; a worker that says so would overflow the clock.
        let after = |wait: Duration| now + wait.min(MAX_RETRY_AFTER);
        let next = match self.next {
            Further::Done(output) => Next::Done(output),
            Further::Again(download, wait) => match download.take_back(of, now) {
                Ok(download) => Next::Again(download, after(wait)),
                Err(why) => Next::Done(of.ticket().output(Err(why), now)),
            },
        };
        Attempted { host: self.host.into(), held: self.held.map(after), next, file: None }
    }
}

/// Credentials, if they can be a header.
pub(super) fn header(bytes: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}
