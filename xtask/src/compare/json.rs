//! The whole result, with every raw sample, as JSON.

use std::{fs, io::Write, num::NonZeroUsize, path::Path, time::Duration};

use anyhow::{Context, Result};
use cc_workloads::report::Totals;
use serde::Serialize;

use super::{check::Difference, code::Code, input::Input, stats::Estimate, table::plural};

/// A comparison of one workload.
#[derive(Serialize)]
pub(crate) struct Comparison {
    pub workload: String,
    /// The command that does it again.
    pub command: String,
    pub machine: Machine,
    pub input: Input,
    /// What the reference did.
    pub totals: Totals,
    /// The query that was measured.
    pub query: String,
    /// All queries whose outputs were compared.
    pub checked: Vec<String>,
    pub workers: NonZeroUsize,
    pub rounds: usize,
    /// How many it would take to tell any two models apart whose times differ by three in a hundred, if that can be said.
    pub rounds_to_tell: Option<usize>,
    /// What the totals say, in words.
    pub caption: String,
    /// Whether the models' lines were compared whatever their order.
    pub any_order: bool,
    /// Whether there is no output before the end, and no time to the first byte.
    pub prints_at_end: bool,
    /// What is to be said of the comparison with the tools.
    pub tool_note: Option<String>,
    /// How memory was measured.
    pub memory: &'static str,
    pub rows: Vec<Row>,
    /// Models that decline the workload and tools that are not installed, with the reasons.
    pub absent: Vec<String>,
}

/// What the figures were measured on.
#[derive(Clone, Serialize)]
pub(crate) struct Machine {
    pub cores: NonZeroUsize,
    pub cpu: String,
    pub kernel: String,
    pub memory_bytes: u64,
}

/// One model or tool.
#[derive(Serialize)]
pub(crate) struct Row {
    pub name: String,
    /// The name as the table has it.
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    pub command: Vec<String>,
    pub verdict: Verdict,
    /// Whether the order of its lines was left out of the comparison.
    pub any_order: bool,
    pub wall_s: Option<Estimate>,
    /// The reference's time divided by the row's, round by round.
    pub speedup: Option<Estimate>,
    /// Rows with one in common cannot be told apart.
    pub letters: String,
    pub cpu_s: Option<f64>,
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// Whether `memory_bytes` is `ru_maxrss`, the run being too short to be sampled.
    pub memory_is_max_rss: bool,
    pub first_s: Option<f64>,
    pub stop_s: Option<f64>,
    pub empty_s: Option<f64>,
    pub code: Option<Code>,
    pub oversubscribed: bool,
    pub runs: usize,
    pub failures: Vec<String>,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Reference,
    Model,
    Tool,
}

/// What the comparison of the outputs came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Reference,
    Same,
    /// Not compared: a tool whose output cannot be the same.
    Own,
    /// In what: the query, and the output, the messages, the totals or the exit status.
    Differs {
        what: String,
        difference: Option<Difference>,
        kept: Vec<String>,
    },
    /// Its run for the check failed.
    Failed,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub phase: Phase,
    pub round: usize,
    pub wall_s: f64,
    pub cpu_s: f64,
    pub first_s: Option<f64>,
    pub stop_s: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub max_rss_bytes: u64,
    pub status: String,
    pub totals: Option<Totals>,
    /// Why it does not count.
    pub failure: Option<String>,
}

/// What a run was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Check,
    Time,
    Memory,
    Stop,
    Empty,
}

/// Writes a result to a file, or to standard output for `-`.
pub(crate) fn write(result: &impl Serialize, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(result)?;
    text.push('\n');
    if path == Path::new("-") {
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

impl Machine {
    /// In a line.
    pub(crate) fn shown(&self) -> String {
        let Self { cores, cpu, kernel, memory_bytes } = self;
        let cores = plural(cores.get(), "core");
        format!("{cores} × {cpu}, {} GB, Linux {kernel}", memory_bytes.div_ceil(1_000_000_000))
    }

    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = kib.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: cc_workloads::Ctx::available_workers(),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown CPU".to_owned()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: kib * 1024,
        }
    }
}

/// Seconds, as JSON has them.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
