//! The results, as `cargo xtask compare` writes them. Fields that are not shown are not read, and those that came later may
//! be missing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Report,
    figures::{count, list},
};

/// The newest form of the results that is understood.
const SCHEMA: u32 = 1;

/// A comparison of one workload.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "xtask/src/compare says what the fields are")]
pub struct Comparison {
    #[serde(default)]
    pub schema: Option<u32>,
    pub workload: String,
    pub command: String,
    pub machine: Machine,
    pub input: Input,
    pub query: String,
    pub checked: Vec<String>,
    pub workers: usize,
    pub rounds: usize,
    pub rounds_to_tell: Option<usize>,
    pub caption: String,
    pub prints_at_end: bool,
    pub tool_note: Option<String>,
    /// Of a service: how it was asked.
    #[serde(default)]
    pub asked: Option<String>,
    /// Of a workload that only waits: what is known of it beforehand.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    pub memory: String,
    pub rows: Vec<Row>,
    pub absent: Vec<String>,
    /// When it began, and what was built.
    pub time: Option<String>,
    pub commit: Option<String>,
    /// What may have disturbed the figures.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether it was interrupted.
    #[serde(default)]
    pub partial: bool,
    pub drift: Option<Drift>,
    #[serde(default)]
    pub scaling: Vec<Scaling>,
    pub baseline: Option<Baseline>,
}

/// What the figures were measured on.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    pub memory_bytes: u64,
}

/// What was worked on.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Input {
    pub name: String,
}

/// One model or tool.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Row {
    pub name: String,
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    pub command: Vec<String>,
    pub verdict: Verdict,
    #[serde(default)]
    pub any_order: bool,
    pub wall_s: Option<Estimate>,
    pub speedup: Option<Estimate>,
    #[serde(default)]
    pub letters: String,
    pub cpu_s: Option<f64>,
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
    #[serde(default)]
    pub memory_is_max_rss: bool,
    pub first_s: Option<f64>,
    pub stop_s: Option<f64>,
    pub empty_s: Option<f64>,
    pub voluntary_switches: Option<f64>,
    pub involuntary_switches: Option<f64>,
    pub threads: Option<u64>,
    pub processes: Option<u64>,
    pub code: Option<Code>,
    #[serde(default)]
    pub service: Option<Served>,
    pub of_ideal: Option<f64>,
    pub waiting_bytes: Option<f64>,
    pub runs: usize,
    pub failures: Vec<String>,
    #[serde(default)]
    pub outliers: Vec<Outlier>,
    pub timeline: Option<Timeline>,
    pub samples: Vec<Sample>,
}

/// What is known beforehand of a run that only waits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Waiting {
    pub ideal_s: f64,
    pub sequential_s: f64,
    pub at_once: u64,
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// What a service did for its clients.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as above")]
pub struct Served {
    pub pipelined_per_s: Option<f64>,
    pub pipelined_cpu_s: Option<f64>,
    pub single_per_s: Option<f64>,
    pub rate_per_s: Option<f64>,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
    pub p999_s: Option<f64>,
    pub idle_connections: Option<f64>,
    pub idle_bytes: Option<f64>,
}

/// Lines of code.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Code {
    pub workload: usize,
    pub mechanism: usize,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as above")]
pub enum Kind {
    Reference,
    Model,
    Tool,
}

/// What the comparison of the outputs came to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as above")]
pub enum Verdict {
    Reference,
    Same,
    Own,
    Differs { what: String },
    Failed,
}

/// One run.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Sample {
    pub phase: String,
    pub round: usize,
    /// Its place in the order in which everything was run, if that was written down.
    pub at: Option<usize>,
    pub wall_s: f64,
    pub failure: Option<String>,
}

/// Whether the rounds became longer or shorter.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Drift {
    pub change: f64,
    pub p: f64,
    pub found: bool,
}

/// A timed round that is far from its row's others.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Outlier {
    pub round: usize,
    pub wall_s: f64,
}

/// When a row's workers were busy, if it was traced.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Timeline {
    pub wall_s: f64,
    pub busy: f64,
    pub tail_s: f64,
    pub lanes: Vec<Lane>,
}

/// A thread of a traced run.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Lane {
    pub process: usize,
    pub thread: String,
    pub works: bool,
    pub busy_s: f64,
    pub intervals: Vec<Interval>,
}

/// When a thread did something.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Interval {
    pub start_s: f64,
    pub end_s: f64,
    pub parts: Vec<Part>,
}

/// What it did, and how long of the interval.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Part {
    pub name: String,
    pub kernel: bool,
    pub busy_s: f64,
}

/// A model with several numbers of workers.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Scaling {
    pub name: String,
    pub points: Vec<Scaled>,
    pub law: Option<Law>,
}

/// A model with one number of workers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Scaled {
    pub workers: usize,
    pub efficiency: Option<f64>,
    pub over_cores: bool,
}

/// The Universal Scalability Law of a model.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Law {
    pub contention: f64,
    pub coherency: f64,
    pub error: f64,
}

/// What has changed since an earlier result.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Baseline {
    pub file: String,
    pub time: Option<String>,
    #[serde(default)]
    pub unlike: Vec<String>,
    pub rows: Vec<Changed>,
}

/// A row's time now by its time then.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Changed {
    pub label: String,
    pub differs: bool,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// How finely a workload may be cut. See xtask/src/compare/granularity.rs.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Swept {
    pub workload: String,
    pub command: String,
    pub machine: Machine,
    pub workers: usize,
    pub rounds: usize,
    pub tiles: Vec<Cut>,
    pub rows: Vec<Grained>,
}

/// A shape of tiles, and the work that is in one.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Cut {
    pub tile: String,
    pub work_s: f64,
}

/// One model, with one tile a message and with as many as it joins.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Grained {
    pub name: String,
    pub single: Curve,
    pub joined: Curve,
}

/// How a model's rate falls as the tiles become smaller.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Curve {
    pub best: f64,
    pub metg: Option<Metg>,
    pub points: Vec<Point>,
}

/// A model at one shape of tiles.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Point {
    pub tile: String,
    pub work_s: f64,
    pub rate: f64,
    #[serde(default)]
    pub stopped: bool,
}

/// The smallest task at half of the best rate.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "as above")]
pub struct Metg {
    pub work_s: f64,
    pub is_bound: bool,
}

/// A result as it was read, without its white space.
pub struct Raw {
    /// `grep.json`
    pub name: String,
    /// The whole of it.
    pub text: String,
}

impl Comparison {
    /// What was measured beside the reference and the tools.
    pub fn models(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind == Kind::Model)
    }

    /// The plain loop.
    #[must_use]
    pub fn reference(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == Kind::Reference)
    }

    /// The numbers of workers that were tried, from few to many.
    #[must_use]
    pub fn worker_counts(&self) -> BTreeSet<usize> {
        let counts: BTreeSet<usize> = self
            .scaling
            .iter()
            .flat_map(|scaling| scaling.points.iter().map(|point| point.workers))
            .collect();
        if counts.is_empty() { BTreeSet::from([self.workers]) } else { counts }
    }

    /// The same in words.
    #[must_use]
    pub fn workers_shown(&self) -> String {
        let counts = self.worker_counts();
        let all: Vec<String> = counts.iter().map(usize::to_string).collect();
        if let [_] = all[..] { count(self.workers, "worker") } else { format!("{} workers", list(&all)) }
    }

    /// Whether it was run to see that it works, and not how fast.
    #[must_use]
    pub fn is_smoke(&self) -> bool {
        self.input.name == "smoke"
    }
}

impl Row {
    /// What it is called: the model's name, and with how many workers where there are several. No other row is called so.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.label.split(" (").next().unwrap_or(&self.label)
    }

    /// The timed runs that count, in the order in which they were run.
    #[must_use]
    pub fn timed(&self) -> Vec<&Sample> {
        let counts = |sample: &&Sample| sample.phase == "time" && sample.failure.is_none();
        let mut timed: Vec<&Sample> = self.samples.iter().filter(counts).collect();
        timed.sort_by_key(|sample| (sample.at, sample.round));
        timed
    }

    /// Whether the two cannot be told apart.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.letters.chars().any(|letter| other.letters.contains(letter))
    }

    /// Its median time.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.wall_s.map(|wall| wall.median)
    }
}

impl Machine {
    /// In a line.
    #[must_use]
    pub fn shown(&self) -> String {
        let Self { cores, cpu, kernel, memory_bytes } = self;
        let plural = if *cores == 1 { "core" } else { "cores" };
        format!("{cores} {plural} × {cpu}, {} GB, Linux {kernel}", memory_bytes.div_ceil(1_000_000_000))
    }
}

/// The rows with a time, the fastest first.
pub fn by_time<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a Row> {
    let mut timed: Vec<(&Row, f64)> = rows.filter_map(|row| Some((row, row.median()?))).collect();
    timed.sort_by(|one, other| one.1.total_cmp(&other.1));
    timed.into_iter().map(|(row, _)| row).collect()
}

/// Reads the results in a folder: of these workloads, or of all there are, by name.
pub(crate) fn read(folder: &Path, workloads: &[String]) -> Result<Report> {
    let mut report = Report::default();
    for path in files(folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let workload = name.strip_suffix("-granularity").unwrap_or(&name);
        // Where all rows are one model, there is nothing to choose.
        if name.ends_with("-aa")
            || !workloads.is_empty() && !workloads.iter().any(|wanted| wanted == workload)
        {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        take(&mut report, &name, &text).with_context(|| path.display().to_string())?;
    }
    if report.comparisons.is_empty() {
        bail!("there are no results in {}; run cargo xtask compare", folder.display());
    }
    Ok(report)
}

/// Adds a result.
fn take(report: &mut Report, name: &str, text: &str) -> Result<()> {
    let whole: serde_json::Value = serde_json::from_str(text)?;
    if name.ends_with("-granularity") {
        report.granularity.push(parse(&whole)?);
    } else {
        let found: Comparison = parse(&whole)?;
        ensure!(found.schema.is_none_or(|schema| schema <= SCHEMA), "it was written by a newer xtask");
        report.comparisons.push(found);
    }
    report.raw.push(Raw { name: format!("{name}.json"), text: whole.to_string() });
    Ok(())
}

fn parse<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T> {
    T::deserialize(value).context("not a result of this version; run cargo xtask compare again")
}

/// The JSON files in a folder, by name. Those that others lie in, `history` and so on, are no results.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
