//! What a comparison came to, with every raw sample. `SCHEMA.md` says what each field means in
//! JSON.
//!
//! This is the ground that all rooms stand on, and what `cc-report` reads: it uses nothing of the
//! others. What came later than the first results may be missing in a file, and has a default.

#![expect(missing_docs, reason = "SCHEMA.md names every field, and a test holds it to that")]

#[cfg(test)]
pub(crate) mod example;
pub mod granularity;

use std::{collections::BTreeSet, num::NonZeroUsize, path::PathBuf, time::Duration};

use cc_core::report::Totals;
use serde::{Deserialize, Serialize};

/// Counts up when a field is taken away or changes its meaning; a new one changes nothing for who
/// reads the others.
pub const SCHEMA: u32 = 1;

/// A comparison of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    #[serde(default)]
    pub schema: u32,
    pub workload: String,
    /// The command that does it again.
    pub command: String,
    /// When it began, UTC.
    #[serde(default)]
    pub time: String,
    /// What was built, if it is known.
    pub commit: Option<String>,
    pub machine: Machine,
    #[serde(default)]
    pub load: Load,
    /// What may have disturbed the figures.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether it was interrupted: there are fewer rounds than there should be.
    #[serde(default)]
    pub partial: bool,
    /// What came of it, in words.
    #[serde(default)]
    pub summary: Vec<String>,
    pub input: Input,
    /// What the reference did.
    #[serde(default)]
    pub totals: Totals,
    /// The query that was measured.
    pub query: String,
    /// All queries whose outputs were compared.
    pub checked: Vec<String>,
    pub workers: NonZeroUsize,
    pub rounds: usize,
    /// How many it would take to tell any two models apart whose times differ by three in a
    /// hundred, if that can be said.
    pub rounds_to_tell: Option<usize>,
    /// Whether the rounds became longer or shorter as a whole; nothing if they are too few to say.
    pub drift: Option<Drift>,
    /// How the models scale, if several numbers of workers were tried.
    #[serde(default)]
    pub scaling: Vec<Scaling>,
    /// What has changed since an earlier result.
    pub baseline: Option<Against>,
    /// What the totals say, in words.
    pub caption: String,
    /// Whether the models' lines were compared whatever their order.
    #[serde(default)]
    pub any_order: bool,
    /// Whether there is no output before the end, and no time to the first byte.
    pub prints_at_end: bool,
    /// What is to be said of the comparison with the tools.
    pub tool_note: Option<String>,
    /// Of a service: how it was asked, in words.
    pub asked: Option<String>,
    /// Of a workload that only waits: what is known of it beforehand.
    pub waiting: Option<Waiting>,
    /// How memory was measured.
    pub memory: String,
    pub rows: Vec<Row>,
    /// Models that decline the workload and tools that are not installed, with the reasons.
    pub absent: Vec<String>,
}

/// One model or tool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    /// The name as the table has it.
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    /// How many it has.
    #[serde(default = "one")]
    pub workers: NonZeroUsize,
    pub command: Vec<String>,
    pub verdict: Verdict,
    /// Whether the order of its lines was left out of the comparison.
    #[serde(default)]
    pub any_order: bool,
    pub wall_s: Option<Estimate>,
    /// The reference's time divided by the row's, round by round.
    pub speedup: Option<Estimate>,
    /// Rows with one in common cannot be told apart.
    #[serde(default)]
    pub letters: String,
    pub cpu_s: Option<f64>,
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// Whether `memory_bytes` is `ru_maxrss`, the run being too short to be sampled.
    #[serde(default)]
    pub memory_is_max_rss: bool,
    pub first_s: Option<f64>,
    pub stop_s: Option<f64>,
    pub empty_s: Option<f64>,
    /// Context switches of the whole tree: it had to wait, or another's turn had come.
    pub voluntary_switches: Option<f64>,
    pub involuntary_switches: Option<f64>,
    /// The most that the tree had at once.
    pub threads: Option<u64>,
    pub processes: Option<u64>,
    pub code: Option<Code>,
    /// What it did for its clients, if it is a service.
    pub service: Option<Served>,
    /// Its time by that of a run that does nothing but wait, and its memory by the requests that
    /// may be under way.
    pub of_ideal: Option<f64>,
    pub waiting_bytes: Option<f64>,
    #[serde(default)]
    pub oversubscribed: bool,
    pub runs: usize,
    pub failures: Vec<String>,
    /// Timed rounds that are far from the row's others. They count like all.
    #[serde(default)]
    pub outliers: Vec<Outlier>,
    /// When its workers were busy, if it was traced.
    pub timeline: Option<Timeline>,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Reference,
    Model,
    Tool,
}

/// What the comparison of the outputs came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Reference,
    Same,
    /// Not compared: a tool whose output cannot be the same.
    Own,
    /// In what: the query, and the output, the messages, the totals or the exit status.
    Differs {
        what: String,
        #[serde(default)]
        difference: Option<Difference>,
        #[serde(default)]
        kept: Vec<String>,
    },
    /// Its run for the check failed.
    Failed,
}

/// One run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Its number in the order of execution, over all rows.
    pub at: usize,
    /// When it began, from the beginning of the comparison.
    pub start_s: f64,
    pub phase: Phase,
    pub round: usize,
    pub wall_s: f64,
    pub cpu_s: f64,
    pub first_s: Option<f64>,
    pub stop_s: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub max_rss_bytes: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub threads: Option<u64>,
    pub processes: Option<u64>,
    pub status: String,
    pub totals: Option<Totals>,
    /// What a service did for its clients.
    pub service: Option<Served>,
    /// Why it does not count.
    pub failure: Option<String>,
}

/// What a run was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Check,
    Time,
    Memory,
    Stop,
    Empty,
    Trace,
    Service,
}

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: NonZeroUsize,
    pub cpu: String,
    pub kernel: String,
    pub memory_bytes: u64,
    /// Who sets the processor's clock; nothing where that is not to be seen, as in most virtual
    /// machines.
    pub governor: Option<String>,
    /// Whether the clock may rise above its nominal rate for a while.
    pub turbo: Option<bool>,
}

/// What else the machine did during a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// The load average of the last minute before it began.
    pub average: f64,
    /// The part of the cores' time that the hypervisor gave to other machines.
    pub stolen: f64,
    /// The part of the cores' time that other processes of this machine used.
    pub elsewhere: f64,
}

/// What every run of a comparison works on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// `small`, or the path that was given.
    pub name: String,
    pub measured: Subject,
    /// For the queries that are only checked.
    pub checked: Subject,
    /// For the job that shows what starting costs.
    pub empty: Subject,
    /// What the first query has to print, if that is known beforehand.
    pub output: Option<String>,
}

/// What one run works on: arguments, a path, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    pub args: Vec<String>,
    pub path: Option<PathBuf>,
    /// Whether it is the empty job's, which stays empty whatever is asked of it.
    pub is_empty: bool,
}

/// The first line that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its number, counted in the output that has it; in the reference's if both have one.
    pub line: u64,
    /// The reference's line; nothing if it has no more.
    pub expected: Option<String>,
    /// The other one's.
    pub found: Option<String>,
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// Lines of code: neither blank, nor comment, nor test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Of the file that holds the workload in this model.
    pub workload: usize,
    /// Of the small runtime that this file uses, if the model has one.
    pub mechanism: usize,
}

/// What a server did for its clients. Of a row, the medians over the runs that measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Served {
    /// In the load.
    pub requests: Option<f64>,
    pub pipelined_per_s: Option<f64>,
    pub pipelined_cpu_s: Option<f64>,
    pub single_per_s: Option<f64>,
    pub single_cpu_s: Option<f64>,
    pub rate_per_s: Option<f64>,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
    pub p999_s: Option<f64>,
    pub late_p99_s: Option<f64>,
    pub idle_connections: Option<f64>,
    pub idle_bytes: Option<f64>,
    pub client_pipelined_per_s: Option<f64>,
    pub client_single_per_s: Option<f64>,
}

/// What is known beforehand of a run that only waits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The time of a run that does nothing but wait: latency × requests / concurrency.
    pub ideal_s: f64,
    /// The same for who asks for one after the other.
    pub sequential_s: f64,
    /// How many requests may be under way at once.
    pub at_once: u64,
}

/// A round that is far from the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    pub round: usize,
    pub wall_s: f64,
    /// Whether it is beyond the outer fence, too.
    pub far: bool,
}

/// A trend of all rows together over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// How much longer the last round took than the first, as a part: Theil and Sen's slope, which
    /// single rounds do not move.
    pub change: f64,
    /// How often rounds in a random order have a trend as strong as this one: Mann and Kendall's
    /// test, by permutation.
    pub p: f64,
    /// Whether that is seldom enough to be said.
    pub found: bool,
}

/// A model's times with few workers and with many.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scaling {
    pub name: String,
    /// By number of workers, from few to many.
    pub points: Vec<Point>,
    /// What keeps more workers from doing more, if there are enough counts within the cores to say.
    pub law: Option<Usl>,
}

/// A model with one number of workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub workers: NonZeroUsize,
    /// Its own time with the fewest workers by that with these, in the same round.
    pub speedup: Option<Estimate>,
    /// The speed-up by how many times as many workers these are.
    pub efficiency: Option<f64>,
    /// Whether there are more workers than cores: what is more than the cores cannot be busy at
    /// once.
    pub over_cores: bool,
}

/// A row's throughput by number of workers, fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// Throughput of one worker.
    pub rate: f64,
    /// The part of the work that only one can do at a time.
    pub contention: f64,
    /// What each pair of workers costs, as a part of the work.
    pub coherency: f64,
    /// How far the law is from what was measured: the root of the mean square, as a part of the
    /// throughput.
    pub error: f64,
}

/// What has changed since.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Against {
    pub file: String,
    #[serde(default)]
    pub time: String,
    pub commit: Option<String>,
    /// In what the two are not alike, so that more than the code may be the cause.
    #[serde(default)]
    pub unlike: Vec<String>,
    /// Of those that are in both.
    pub rows: Vec<Change>,
}

/// A row's time by its earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub name: String,
    pub label: String,
    pub workers: NonZeroUsize,
    /// Whether there is a difference that is more than chance.
    pub differs: bool,
    pub p: f64,
    /// The ratio of the geometric means, and its 95 % interval.
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// How a traced run went, on an axis that begins with the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The file for Perfetto.
    pub file: String,
    pub wall_s: f64,
    /// What of the workers' time was spent in kernels: their time by that of all workers.
    pub busy: f64,
    /// From the last moment at which two lanes were in kernels until the end; all of it, if no two
    /// ever were.
    pub tail_s: f64,
    pub lanes: Vec<Lane>,
}

/// A thread, or several of one name that came one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// The worker process's number, from 1; 0 is the program itself.
    pub process: usize,
    pub thread: String,
    /// Whether it does tasks. Otherwise it does what one thread does for all of them.
    pub works: bool,
    /// How long it was in kernels.
    pub busy_s: f64,
    pub intervals: Vec<Interval>,
}

/// When it did something. What lies close together is joined: there is nothing to be seen between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub start_s: f64,
    pub end_s: f64,
    pub parts: Vec<Share>,
}

/// What it did, and how long of the interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub name: String,
    /// Whether it is a task's. Otherwise one thread does it for all of them.
    pub kernel: bool,
    pub busy_s: f64,
}

/// The number of workers of a row that was written before rows had one.
fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

impl Comparison {
    /// Whether what was compared are servers.
    pub fn is_service(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether it was run to see that it works, and not how fast.
    pub fn is_smoke(&self) -> bool {
        self.input.name == "smoke"
    }

    /// The rows beside the reference and the tools.
    pub fn models(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind == Kind::Model)
    }

    /// The plain loop.
    pub fn reference(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == Kind::Reference)
    }

    /// The numbers of workers that were tried, from few to many.
    pub fn worker_counts(&self) -> BTreeSet<usize> {
        let points = self.scaling.iter().flat_map(|scaling| &scaling.points);
        let counts: BTreeSet<usize> = points.map(|point| point.workers.get()).collect();
        if counts.is_empty() { BTreeSet::from([self.workers.get()]) } else { counts }
    }
}

impl Row {
    /// What it is called in a sentence, as no other row: its label without what is in parentheses.
    pub fn shown(&self) -> &str {
        self.label.split(" (").next().unwrap_or(&self.label)
    }

    /// The timed runs that count, in the order in which they were run.
    pub fn timed(&self) -> Vec<&Sample> {
        let counts = |sample: &&Sample| sample.phase == Phase::Time && sample.failure.is_none();
        let mut timed: Vec<&Sample> = self.samples.iter().filter(counts).collect();
        timed.sort_by_key(|sample| (sample.at, sample.round));
        timed
    }

    /// Whether the two cannot be told apart.
    pub fn is_like(&self, other: &Self) -> bool {
        self.letters.chars().any(|letter| other.letters.contains(letter))
    }

    /// Its median time.
    pub fn median(&self) -> Option<f64> {
        self.wall_s.map(|wall| wall.median)
    }
}

/// Seconds, as JSON has them.
pub fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
