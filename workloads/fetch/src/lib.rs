//! `fetch`: many resources, downloaded at once, with limits. All waiting, little work.
//!
//! ```text
//! Job ── Schedule ── turn() ──> Download ── request() ────> a client of the model's kind
//!           ^                      ^                              │
//!           │                      └── answered(), received(), broke()
//!           └──── ended() <── Attempted <── finish() ──┘  └──> Output ──> Listing ──> bytes
//! ```
//!
//! What a request says and what its answer means is the same for all models, and is here: a [`Download`] is one resource's way
//! through redirects, retries and resumed bodies, and a [`Schedule`] says which of them may begin now. Neither reads a clock,
//! waits, or touches a socket. Between them is the model: how many wait at once, on what, and what ends a wait.
//!
//! A download occupies a place among [`Settings::concurrency`] only while a request of it is under way. While it has been told to come
//! back later it is in the schedule.
//!
//! The models with a blocking client have the same one: [`blocking`]. It is not what they differ in.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod attempt;
mod backoff;
pub mod blocking;
mod body;
pub mod cli;
mod download;
mod failure;
mod handover;
mod headers;
mod limits;
mod listing;
pub mod lookup;
mod names;
mod place;
mod schedule;
pub mod sequential;

use std::{ops::AddAssign, path::PathBuf, time::Duration};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::Result,
    report,
};
use serde::{Deserialize, Serialize};

pub use attempt::{Attempted, Ticket};
pub use download::Download;
pub use failure::{Failure, Trouble};
pub use handover::{Handover, Returned};
pub use limits::descriptors;
pub use listing::Listing;
pub use place::Arriving;
pub use schedule::{PARKED, Schedule, Turn};

/// What a model provides: fetches every resource of the job and pushes what became of it once, as they are completed. Returns
/// early, and cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// How to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// So many requests at once, at most.
    pub concurrency: usize,
    /// So many of them at one host, by its name, whatever the ports.
    pub per_host: usize,
    /// How long to wait for a connection, or for more of an answer; an attempt may take [`ATTEMPT`] times as long in all.
    pub timeout: Duration,
    /// How often to try again what failed and may succeed.
    pub retries: u32,
    /// What is not there after this time has failed.
    pub deadline: Option<Duration>,
    /// The directory to keep bodies in. It exists.
    pub out: Option<PathBuf>,
    /// A compressed body may have so many bytes when it is not compressed any more.
    pub max_inflated: u64,
    /// What the jitter of waits between attempts is drawn from.
    pub seed: u64,
}

/// An attempt may take this many times [`Settings::timeout`], or a server that sends a byte now and then would hold it for ever.
pub const ATTEMPT: u32 = 10;

/// A longer time than any run waits. Adding it to the time of day does not overflow.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// So many redirects are followed for one resource.
pub const MAX_REDIRECTS: usize = 10;

impl Settings {
    /// [`Settings::timeout`], or a year if that is shorter: a longer one would overflow the clock
    /// that it is added to.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.min(LONGEST_WAIT)
    }

    /// The same for a worker that makes one request at a time, whatever its host may have of them.
    #[must_use]
    pub fn single_connection(&self) -> Self {
        Self { concurrency: 1, per_host: 1, ..self.clone() }
    }
}

impl Default for Settings {
    /// 64 at once, eight at a host: what browsers do with six connections a host, and some more, since nobody waits for a page.
    fn default() -> Self {
        Self {
            concurrency: 64,
            per_host: 8,
            timeout: Duration::from_secs(30),
            retries: 3,
            deadline: None,
            out: None,
            max_inflated: 1 << 30,
            seed: 0,
        }
    }
}

/// One resource that is wanted. Plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its URL, as it was given.
    pub url: String,
    /// Which line of which file it is from, for messages.
    pub line: Option<String>,
}

impl Wanted {
    /// A URL of the command line.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), line: None }
    }
}

/// What to fetch, and how.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// How.
    pub settings: Settings,
    /// What; twice, if it is there twice.
    pub wanted: Vec<Wanted>,
}

impl Job {
    /// How many requests there can be at once: no more than are allowed, nor than there are resources.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.settings.concurrency.min(self.wanted.len()).max(1)
    }

    /// The sink that prints a line for each resource that was fetched, with the time it took if `times`, and the failures at the end.
    pub fn listing<'a>(&self, times: bool, out: &'a mut dyn Sink<Block>) -> Listing<'a> {
        Listing::new(times, out)
    }
}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its place in [`Job::wanted`].
    pub index: usize,
    /// Its URL, without a password.
    pub url: String,
    /// From the beginning of its first attempt; waits between attempts count.
    pub elapsed: Duration,
    /// What it is, or why it is not there.
    pub outcome: Result<Fetched, Failure>,
}

/// A resource that has been fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The status of the last answer: 2xx.
    pub status: u16,
    /// The length of the body, not compressed.
    pub bytes: u64,
    /// The body's XXH3, 64 bits.
    pub digest: u64,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Resources that were fetched.
    pub fetched: u64,
    /// Resources that were not.
    pub failed: u64,
    /// The bytes of those that were, not compressed.
    pub bytes: u64,
}

impl AddAssign<&Output> for Totals {
    fn add_assign(&mut self, output: &Output) {
        match &output.outcome {
            Ok(fetched) => {
                self.fetched += 1;
                // Workers say how many: no sum of theirs may overflow.
                self.bytes = self.bytes.saturating_add(fetched.bytes);
            }
            Err(_) => self.failed += 1,
        }
    }
}

impl From<Totals> for report::Totals {
    fn from(Totals { fetched, failed, bytes }: Totals) -> Self {
        let entries = [("fetched", fetched), ("failed", failed), ("bytes", bytes)];
        entries.map(|(name, n)| (name.to_owned(), n)).into()
    }
}
