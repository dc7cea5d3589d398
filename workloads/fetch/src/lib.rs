//! `fetch`: downloads many resources concurrently, within limits. Nearly all of the time is
//! waiting.
//!
//! ```text
//! Job ── Schedule ── poll() ──> Download ── request() ───> the model's HTTP client
//!           ^                      ^                              │
//!           │                      └── on_head(), on_body(), on_error()
//!           └── complete() <── Attempted <── finish() ─┘  └──> Output ──> Listing ──> bytes
//! ```
//!
//! This package contains what is the same in all models: what to request, and what an answer means.
//! A [`Download`] follows one resource through redirects, retries and resumed bodies. A
//! [`Schedule`] decides which download may start. Neither of them reads a clock, waits, or touches
//! a socket. The model lies in between: it decides how many requests wait at once, how they wait,
//! and what ends a wait.
//!
//! A download counts towards [`Settings::concurrency`] only while one of its requests is in flight.
//! Between two attempts it waits in the schedule.
//!
//! The models with a blocking client share [`blocking`]: the client is not what they differ in.

// Output goes through `stdio`, which returns write errors; `println!` panics on them.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod attempt;
mod backoff;
pub mod blocking;
mod body;
pub mod cli;
mod destination;
mod download;
mod failure;
mod handover;
mod headers;
pub mod http1;
mod limits;
mod listing;
pub mod lookup;
mod names;
mod request;
mod schedule;
pub mod sequential;
pub mod tls;

use std::{ops::AddAssign, path::PathBuf, time::Duration};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::Result,
    report,
};
use serde::{Deserialize, Serialize};

pub use attempt::{AttemptId, Attempted};
pub use destination::Arriving;
pub use download::Download;
pub use failure::{Failure, TransportError};
pub use handover::{Handover, Returned};
pub use limits::descriptors;
pub use listing::Listing;
pub use request::RequestHeader;
pub use schedule::{Action, PARKED, Schedule};
pub use tls::Trust;

/// What a model provides. It fetches all resources of the job and pushes each one's result once, as
/// soon as it is complete. It returns early, and cleans up, when a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// How to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Maximum requests in flight.
    pub concurrency: usize,
    /// Maximum requests in flight to one host name, over all its ports.
    pub per_host: usize,
    /// How long to wait for a connection, or for more bytes of an answer. A whole attempt may take
    /// [`ATTEMPT`] times as long.
    pub timeout: Duration,
    /// Maximum retries of a resource after failures that may be temporary.
    pub retries: u32,
    /// Resources that are not complete after this time fail.
    pub deadline: Option<Duration>,
    /// The directory in which bodies are saved. It exists.
    pub out: Option<PathBuf>,
    /// Maximum bytes of a decompressed body.
    pub max_inflated: u64,
    /// Maximum bytes of a body, as announced or after decompression.
    pub max_size: Option<u64>,
    /// Whether gzip is accepted, and undone. Otherwise bodies are taken as they come.
    pub gzip: bool,
    /// Headers of all requests, instead of those of the same name.
    pub headers: Vec<RequestHeader>,
    /// The authorities whose certificates are trusted.
    pub trust: Trust,
    /// The seed of the random waits between attempts.
    pub seed: u64,
}

/// An attempt may take this many times [`Settings::timeout`]. Without this limit, a server that
/// sends a byte now and then would keep the request for ever.
pub const ATTEMPT: u32 = 10;

/// Longer than any wait of a run. Added to the current time, it does not overflow.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Maximum redirects that are followed for one resource.
pub const MAX_REDIRECTS: usize = 10;

impl Settings {
    /// [`Settings::timeout`], but at most a year: more could overflow when it is added to the
    /// current time.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.min(MAX_WAIT)
    }

    /// The settings of a worker that makes one request at a time.
    #[must_use]
    pub fn single_connection(&self) -> Self {
        Self { concurrency: 1, per_host: 1, ..self.clone() }
    }
}

impl Default for Settings {
    /// 64 requests in flight and 8 per host, two more than browsers open to a host with HTTP/1.1.
    fn default() -> Self {
        Self {
            concurrency: 64,
            per_host: 8,
            timeout: Duration::from_secs(30),
            retries: 3,
            deadline: None,
            out: None,
            max_inflated: 1 << 30,
            max_size: None,
            gzip: true,
            headers: Vec::new(),
            trust: Trust::System,
            seed: 0,
        }
    }
}

/// A resource to fetch. Plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The URL, as it was given.
    pub url: String,
    /// The file and the line that contain it, for messages.
    pub line: Option<String>,
}

impl Wanted {
    /// A URL from the command line.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), line: None }
    }
}

/// What to fetch, and how.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// How to fetch.
    pub settings: Settings,
    /// The resources. One that is listed twice is fetched twice.
    pub wanted: Vec<Wanted>,
}

impl Job {
    /// Maximum requests in flight in this job: limited by the settings and by the number of
    /// resources.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.settings.concurrency.min(self.wanted.len()).max(1)
    }

    /// The sink that prints a line for each fetched resource and finally the failures. The lines
    /// contain the elapsed time if `times`.
    pub fn listing<'a>(&self, times: bool, out: &'a mut dyn Sink<Block>) -> Listing<'a> {
        Listing::new(times, out)
    }
}

/// The result for one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The index in [`Job::wanted`].
    pub index: usize,
    /// The URL, without a password.
    pub url: String,
    /// The time since the start of the first attempt, including waits between attempts.
    pub elapsed: Duration,
    /// The resource, or why it could not be fetched.
    pub outcome: Result<Fetched, Failure>,
}

/// A fetched resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The status code of the last answer: 2xx.
    pub status: u16,
    /// The length of the decompressed body.
    pub bytes: u64,
    /// The XXH3 digest of the decompressed body (64 bits).
    pub digest: u64,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Resources that were fetched.
    pub fetched: u64,
    /// Resources that failed.
    pub failed: u64,
    /// Decompressed bytes of the fetched resources.
    pub bytes: u64,
}

impl AddAssign<&Output> for Totals {
    fn add_assign(&mut self, output: &Output) {
        match &output.outcome {
            Ok(fetched) => {
                self.fetched += 1;
                // The number may come from another process's message, so the sum must not overflow.
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
