//! The outcome of a load.

use std::{collections::BTreeMap, fmt, mem, time::Duration};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::peers::Peers;
use crate::replies::Tally;

/// A histogram of times in nanoseconds, with three significant digits. Longer times than a minute
/// count as a minute.
pub(super) struct Times(Histogram<u64>);

const LONGEST: u64 = 60_000_000_000;

impl Times {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_max(LONGEST, 3)?))
    }

    /// Records `count` equal times.
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

/// Quantiles of times, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// The outcome of a load, as printed with --json.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    /// From the first request to the last reply.
    pub(super) wall_s: f64,
    pub(super) requests_per_s: f64,
    /// Requests that read, and those of them whose key was missing.
    pub(super) reads: u64,
    pub(super) misses: u64,
    /// Error replies, by their text.
    pub(super) errors: BTreeMap<String, u64>,
    /// Time from sending a request, with all requests sent together, to its reply. In an open loop,
    /// from when it was due.
    pub(super) latency_s: Quantiles,
    /// In an open loop: how late the generator sent requests.
    pub(super) late_s: Option<Quantiles>,
    /// Processor time of the generator since it was started.
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

    /// Checks that each reply is of the kind that its request needs. Error replies are a failure.
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
        writeln!(f, "{reads} reads, {misses} of a missing key")?;
        writeln!(f, "latency   {latency_s}")?;
        if let Some(late) = &self.late_s {
            writeln!(f, "lateness  {late}, of this program")?;
        }
        writeln!(f, "{:.3} s processor time of this program", self.cpu_s)
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |seconds: f64| format!("{:.3}", seconds * 1e3);
        let Self { p50, p90, p99, p999, max } = *self;
        write!(f, "p50 {}  p90 {}  p99 {}  p99.9 {}  max {} ms", ms(p50), ms(p90), ms(p99), ms(p999), ms(max))
    }
}
