//! A download between attempts as plain data, so that another process can make the next one, and what came of it.
//!
//! Clocks are not had in common, so times are told as how long ago, or how long from now. What has come of a body stays where it
//! is: whoever has a part of it, and is handed the same download again, goes on with what he has.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Output, Settings,
    attempt::{Attempted, Next},
    download::Download,
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
    pub(super) path: Option<PathBuf>,
    /// How long ago its first attempt began.
    pub(super) age: Option<Duration>,
    /// How long it is until the deadline.
    pub(super) left: Option<Duration>,
}

impl Handover {
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
    next: Further,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Further {
    Done(Output),
    Again(Handover, Duration),
}

impl Attempted {
    /// Tells it to whoever has handed the download over. If there is to be another attempt, the download is left over, with what
    /// it has of its body.
    #[must_use]
    pub fn give_back(self, now: Instant) -> (Returned, Option<Box<Download>>) {
        let until = |time: Instant| time.saturating_duration_since(now);
        let (next, left) = match self.next {
            Next::Done(output) => (Further::Done(output), None),
            Next::Again(download, time) => {
                (Further::Again(download.hand_over(now), until(time)), Some(download))
            }
        };
        (Returned { host: self.host.to_string(), held: self.held.map(until), next }, left)
    }
}

impl Returned {
    /// What the attempt came to, as of now, for [`super::Schedule::ended`].
    #[must_use]
    pub fn take_back(self, settings: &Arc<Settings>, now: Instant) -> Attempted {
        let next = match self.next {
            Further::Done(output) => Next::Done(output),
            Further::Again(download, wait) => Next::Again(download.take_over(settings, now), now + wait),
        };
        Attempted { host: self.host.into(), held: self.held.map(|held| now + held), next }
    }
}

/// Credentials are visible ASCII: they have been a header.
pub(super) fn header(bytes: &[u8]) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(bytes).expect("it has been a header");
    value.set_sensitive(true);
    value
}
