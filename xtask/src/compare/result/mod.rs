//! The result of a comparison, with every raw sample. `SCHEMA.md` explains each field of the JSON.
//!
//! All other modules of `compare` use these types, and so does `cc-report`, which reads the JSON;
//! this module uses none of them. Fields that were added after the first version have a default,
//! because an older file does not have them.

#![expect(missing_docs, reason = "SCHEMA.md names every field, and a test holds it to that")]

#[cfg(test)]
pub(crate) mod example;
pub mod granularity;

use std::{collections::BTreeSet, num::NonZeroUsize, path::PathBuf, time::Duration};

use cc_core::report::Totals;
use serde::{Deserialize, Serialize};

/// The version of the schema. It increases when a field is removed or changes its meaning. An
/// additional field does not change it, because readers ignore unknown fields.
pub const SCHEMA: u32 = 1;

/// A comparison of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    #[serde(default)]
    pub schema: u32,
    pub workload: String,
    /// The command that repeats the comparison.
    pub command: String,
    /// When the comparison began, in UTC.
    #[serde(default)]
    pub time: String,
    /// The commit that was built, if it is known.
    pub commit: Option<String>,
    pub machine: Machine,
    #[serde(default)]
    pub load: Load,
    /// Conditions that may have disturbed the figures.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether the comparison was interrupted, and has fewer rounds than planned.
    #[serde(default)]
    pub partial: bool,
    /// The result in sentences.
    #[serde(default)]
    pub summary: Vec<String>,
    pub input: Input,
    /// The totals of the reference.
    #[serde(default)]
    pub totals: Totals,
    /// The query that was measured.
    pub query: String,
    /// All queries whose outputs were compared.
    pub checked: Vec<String>,
    pub workers: NonZeroUsize,
    pub rounds: usize,
    /// Number of rounds that would find a difference of 3 % between any two models, if it can be
    /// estimated.
    pub rounds_to_tell: Option<usize>,
    /// The trend of all times over the rounds; `None` if there are too few rounds.
    pub drift: Option<Drift>,
    /// How the models scale, if several numbers of workers were measured.
    #[serde(default)]
    pub scaling: Vec<Scaling>,
    /// The changes since an earlier result.
    pub baseline: Option<Against>,
    /// A description of the work, made from the totals.
    pub caption: String,
    /// Whether the order of the models' output lines was ignored.
    #[serde(default)]
    pub any_order: bool,
    /// Whether there is no output before the end, and so no time to the first byte.
    pub prints_at_end: bool,
    /// A remark about the comparison with the tools.
    pub tool_note: Option<String>,
    /// For a service: a description of the load.
    pub asked: Option<String>,
    /// For a workload that only waits: the times that are known in advance.
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
    /// The name in the table.
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    /// Number of workers.
    #[serde(default = "one")]
    pub workers: NonZeroUsize,
    pub command: Vec<String>,
    pub verdict: Verdict,
    /// Whether the order of its output lines was ignored.
    #[serde(default)]
    pub any_order: bool,
    pub wall_s: Option<Estimate>,
    /// The reference's time divided by the row's time in the same round.
    pub speedup: Option<Estimate>,
    /// Rows that share a letter cannot be told apart.
    #[serde(default)]
    pub letters: String,
    pub cpu_s: Option<f64>,
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// Whether `memory_bytes` is `ru_maxrss`, because the runs were too short to sample.
    #[serde(default)]
    pub memory_is_max_rss: bool,
    pub first_s: Option<f64>,
    pub stop_s: Option<f64>,
    pub empty_s: Option<f64>,
    /// Context switches of the process tree because a thread had to wait.
    pub voluntary_switches: Option<f64>,
    /// Context switches of the process tree because another thread's turn had come.
    pub involuntary_switches: Option<f64>,
    /// Peak number of threads of the process tree.
    pub threads: Option<u64>,
    /// Peak number of processes of the process tree.
    pub processes: Option<u64>,
    pub code: Option<Code>,
    /// The clients' measurements, if the program is a service.
    pub service: Option<Served>,
    /// Its time divided by that of a run that does nothing but wait.
    pub of_ideal: Option<f64>,
    /// Its memory divided by the maximum number of requests in flight.
    pub waiting_bytes: Option<f64>,
    #[serde(default)]
    pub oversubscribed: bool,
    pub runs: usize,
    pub failures: Vec<String>,
    /// Timed rounds that are far from the row's others. They are included in all figures.
    #[serde(default)]
    pub outliers: Vec<Outlier>,
    /// When its workers were busy, if the model was traced.
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

/// The result of comparing the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Reference,
    Same,
    /// Not compared: a tool whose output cannot be the same.
    Own,
    /// `what` names the query, and what differs: the output, the messages, the totals or the exit
    /// status.
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
    /// The run's number in the order of execution, over all rows.
    pub at: usize,
    /// When the run began, from the beginning of the comparison.
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
    /// The clients' measurements, if the program is a service.
    pub service: Option<Served>,
    /// Why the run failed, and does not count.
    pub failure: Option<String>,
}

/// The purpose of a run.
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

/// The machine on which the figures were measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: NonZeroUsize,
    pub cpu: String,
    pub kernel: String,
    pub memory_bytes: u64,
    /// The CPU frequency governor; `None` if it is not visible, as in most virtual machines.
    pub governor: Option<String>,
    /// Whether the clock rate may temporarily exceed its nominal value.
    pub turbo: Option<bool>,
}

/// The machine's load from other programs during a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// The load average of the minute before the comparison.
    pub average: f64,
    /// The fraction of the cores' time that the hypervisor gave to other virtual machines.
    pub stolen: f64,
    /// The fraction of the cores' time that other processes of this machine used.
    pub elsewhere: f64,
}

/// The input of all runs of a comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// The size, such as `small`, or the path that was given.
    pub name: String,
    pub measured: Subject,
    /// The input of queries that are only checked.
    pub checked: Subject,
    /// The input of the empty job, which measures the cost of starting.
    pub empty: Subject,
    /// The expected output of the first query, if it is known in advance.
    pub output: Option<String>,
}

/// The input of one run: arguments, a path, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    pub args: Vec<String>,
    pub path: Option<PathBuf>,
    /// Whether it is the input of the empty job, whose arguments override those of the query.
    pub is_empty: bool,
}

/// The first line that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The line's number in the output that has it; in the reference's output if both have one.
    pub line: u64,
    /// The reference's line; `None` if its output has ended.
    pub expected: Option<String>,
    /// The other program's line; `None` if its output has ended.
    pub found: Option<String>,
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// Lines of code, without blank lines, comments and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Lines of the model's file for the workload.
    pub workload: usize,
    /// Lines of the model's own mechanism that the file uses.
    pub mechanism: usize,
}

/// The clients' measurements of a server. In a row, the median of each figure over the runs that
/// measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Served {
    /// Number of requests of the load.
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

/// What is known in advance about runs that only wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The time of a run that does nothing but wait: latency × requests / concurrency.
    pub ideal_s: f64,
    /// The same if requests are sent one after the other.
    pub sequential_s: f64,
    /// Maximum number of requests in flight.
    pub at_once: u64,
}

/// A round whose time is far from the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    pub round: usize,
    pub wall_s: f64,
    /// Whether it is also outside the outer fence.
    pub far: bool,
}

/// The trend of all times over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// How much longer the last round took than the first, as a fraction. It is computed from the
    /// Theil-Sen slope, which single rounds do not affect.
    pub change: f64,
    /// The p-value of the Mann-Kendall test, by permutation: the probability of a trend at least as
    /// strong in a random order of the rounds.
    pub p: f64,
    /// Whether the trend is significant.
    pub found: bool,
}

/// How a model scales with the number of workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scaling {
    pub name: String,
    /// The points in ascending order of workers.
    pub points: Vec<Point>,
    /// The fitted scalability law, if there are enough numbers of workers up to the number of
    /// cores.
    pub law: Option<Usl>,
}

/// A model with one number of workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub workers: NonZeroUsize,
    /// The model's time with the fewest workers divided by that with these, in the same round.
    pub speedup: Option<Estimate>,
    /// The speed-up divided by the ratio of the numbers of workers.
    pub efficiency: Option<f64>,
    /// Whether there are more workers than cores, so that not all workers can run at once.
    pub over_cores: bool,
}

/// The parameters of the Universal Scalability Law, fitted to a model's throughput.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// Throughput of one worker.
    pub rate: f64,
    /// The fraction of the work that only one worker can do at a time.
    pub contention: f64,
    /// The cost of each pair of workers, as a fraction of the work.
    pub coherency: f64,
    /// The root mean square of the relative deviations of the law from the measured throughputs.
    pub error: f64,
}

/// The changes since an earlier result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Against {
    pub file: String,
    #[serde(default)]
    pub time: String,
    pub commit: Option<String>,
    /// Other differences between the two results, which may also have caused the changes.
    #[serde(default)]
    pub unlike: Vec<String>,
    /// The rows that are in both results.
    pub rows: Vec<Change>,
}

/// A row's time compared with its earlier time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub name: String,
    pub label: String,
    pub workers: NonZeroUsize,
    /// Whether the difference is significant.
    pub differs: bool,
    pub p: f64,
    /// The ratio of the geometric means of the times, with its 95 % interval.
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// The timeline of a traced run. Times count from the start of the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The file for Perfetto.
    pub file: String,
    pub wall_s: f64,
    /// The fraction of the workers' time that they spent in kernels.
    pub busy: f64,
    /// The serial tail: from the last moment at which two lanes were in kernels until the end; the
    /// whole run, if no two ever were.
    pub tail_s: f64,
    pub lanes: Vec<Lane>,
}

/// A thread, or several threads of one name that followed each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// The worker process's number, from 1; 0 is the program itself.
    pub process: usize,
    pub thread: String,
    /// Whether the thread runs tasks. Otherwise it does work that one thread does for all tasks.
    pub works: bool,
    /// The time in kernels.
    pub busy_s: f64,
    pub intervals: Vec<Interval>,
}

/// A time during which a lane was busy. Intervals that are too close to be seen apart are merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub start_s: f64,
    pub end_s: f64,
    pub parts: Vec<Share>,
}

/// A kernel's share of an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub name: String,
    /// Whether the kernel belongs to a task. Otherwise one thread does this work for all tasks.
    pub kernel: bool,
    pub busy_s: f64,
}

/// The number of workers of a row in a file without that field.
fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

impl Comparison {
    /// Whether the programs are servers.
    pub fn is_service(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether it was run on the smoke input, which shows whether everything works, not how fast.
    pub fn is_smoke(&self) -> bool {
        self.input.name == "smoke"
    }

    /// The rows of models, without the reference and the tools.
    pub fn models(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind == Kind::Model)
    }

    /// The row of the reference.
    pub fn reference(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == Kind::Reference)
    }

    /// The numbers of workers that were measured, in ascending order.
    pub fn worker_counts(&self) -> BTreeSet<usize> {
        let points = self.scaling.iter().flat_map(|scaling| &scaling.points);
        let counts: BTreeSet<usize> = points.map(|point| point.workers.get()).collect();
        if counts.is_empty() { BTreeSet::from([self.workers.get()]) } else { counts }
    }
}

impl Row {
    /// The unique name for sentences: the label without the part in parentheses.
    pub fn shown(&self) -> &str {
        self.label.split(" (").next().unwrap_or(&self.label)
    }

    /// The successful timed runs, in the order of execution.
    pub fn timed(&self) -> Vec<&Sample> {
        let counts = |sample: &&Sample| sample.phase == Phase::Time && sample.failure.is_none();
        let mut timed: Vec<&Sample> = self.samples.iter().filter(counts).collect();
        timed.sort_by_key(|sample| (sample.at, sample.round));
        timed
    }

    /// Whether the two rows cannot be told apart.
    pub fn is_like(&self, other: &Self) -> bool {
        self.letters.chars().any(|letter| other.letters.contains(letter))
    }

    /// The median time.
    pub fn median(&self) -> Option<f64> {
        self.wall_s.map(|wall| wall.median)
    }
}

/// A duration as a number of seconds.
pub fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
