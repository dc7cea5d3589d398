//! What came of a load.

use std::{collections::BTreeMap, fmt, mem, time::Duration};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::peers::Peers;
use crate::replies::Tally;

/// Times in nanoseconds, to three digits, up to a minute: what took longer counts as that.
pub(super) struct Times(Histogram<u64>);

const LONGEST: u64 = 60_000_000_000;

impl Times {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_max(LONGEST, 3)?))
    }

    /// So many of the same.
    pub(super) fn record(&mut self, nanoseconds: u64, count: u64) {
        self.0.saturating_record_n(nanoseconds.max(1), count);
    }

    fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e9;
        Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1e9,
        }
    }
}

/// In seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    /// From the first request to the last reply.
    pub(super) wall_s: f64,
    pub(super) requests_per_s: f64,
    /// Requests that read, and those of them that found nothing.
    pub(super) reads: u64,
    pub(super) misses: u64,
    /// Errors among the replies, by what they say.
    pub(super) errors: BTreeMap<String, u64>,
    /// From when a request was sent until it was answered, with all that were sent with it; in an open loop, from when it
    /// was due.
    pub(super) latency_s: Quantiles,
    /// In an open loop: how much later than due the generator had come to requests.
    pub(super) late_s: Option<Quantiles>,
    /// The generator's own processor time, since it was started.
    pub(super) cpu_s: f64,
    #[serde(skip)]
    tally: Tally,
}

impl Outcome {
    pub(super) fn new(peers: &mut Peers, wall: Duration, times: Times, late: Option<Times>) -> Result<Self> {
        let mut tally = mem::take(&mut peers.tally);
        let wall_s = wall.as_secs_f64();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Self {
            requests: peers.sent,
            wall_s,
            requests_per_s: peers.sent as f64 / wall_s.max(1e-9),
            reads: peers.reads,
            misses: tally.nil,
            errors: mem::take(&mut tally.errors),
            latency_s: times.quantiles(),
            late_s: late.map(|late| late.quantiles()),
            cpu_s: Duration::try_from(cpu)?.as_secs_f64(),
            tally,
        })
    }

    /// Whether the replies are such as the requests ask for: errors, and words for numbers, are no success.
    pub(super) fn check(&self) -> Result<()> {
        let failed: u64 = self.errors.values().sum();
        if failed > 0 {
            let each: Vec<String> =
                self.errors.iter().map(|(what, times)| format!("{what} ({times} ×)")).collect();
            bail!("{failed} of {} replies are errors: {}", self.requests, each.join(", "));
        }
        let (reads, Tally { simple, bulk, nil, .. }) = (self.reads, &self.tally);
        let writes = self.requests - reads;
        ensure!(
            bulk + nil == reads && *simple == writes,
            "{reads} reads and {writes} writes are answered with {} values and {simple} times OK",
            bulk + nil
        );
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, wall_s, requests_per_s, reads, misses, latency_s, .. } = self;
        writeln!(f, "{requests} requests in {wall_s:.3} s: {requests_per_s:.0} a second")?;
        writeln!(f, "{reads} reads, {misses} of a key that is not there")?;
        writeln!(f, "latency   {latency_s}")?;
        if let Some(late) = &self.late_s {
            writeln!(f, "lateness  {late}, of this program's own")?;
        }
        writeln!(f, "{:.3} s of this program's processor time", self.cpu_s)
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |seconds: f64| format!("{:.3}", seconds * 1e3);
        let Self { p50, p90, p99, p999, max } = *self;
        write!(f, "p50 {}  p90 {}  p99 {}  p99.9 {}  max {} ms", ms(p50), ms(p90), ms(p99), ms(p999), ms(max))
    }
}
