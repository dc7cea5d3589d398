//! The whole result, with every raw sample, as JSON. `SCHEMA.md` says what each field means.

use std::{fs, io::Write, num::NonZeroUsize, path::Path, time::Duration};

use anyhow::{Context, Result};
use cc_workloads::report::Totals;
use serde::Serialize;

use super::{
    baseline::Against,
    check::Difference,
    code::Code,
    drift::Drift,
    input::Input,
    machine::{Load, Machine},
    origin::Waiting,
    outliers::Outlier,
    scaling::Scaling,
    service::Served,
    stats::Estimate,
    trace::Timeline,
};

/// Counts up when a field is taken away or changes its meaning; a new one changes nothing for who reads the others.
pub(crate) const SCHEMA: u32 = 1;

/// A comparison of one workload.
#[derive(Serialize)]
pub(crate) struct Comparison {
    pub schema: u32,
    pub workload: String,
    /// The command that does it again.
    pub command: String,
    /// When it began, UTC.
    pub time: String,
    /// What was built, if it is known.
    pub commit: Option<String>,
    pub machine: Machine,
    pub load: Load,
    /// What may have disturbed the figures.
    pub warnings: Vec<String>,
    /// Whether it was interrupted: there are fewer rounds than there should be.
    pub partial: bool,
    /// What came of it, in words.
    pub summary: Vec<String>,
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
    /// Whether the rounds became longer or shorter as a whole; nothing if they are too few to say.
    pub drift: Option<Drift>,
    /// How the models scale, if several numbers of workers were tried.
    pub scaling: Vec<Scaling>,
    /// What has changed since an earlier result.
    pub baseline: Option<Against>,
    /// What the totals say, in words.
    pub caption: String,
    /// Whether the models' lines were compared whatever their order.
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
    pub memory: &'static str,
    pub rows: Vec<Row>,
    /// Models that decline the workload and tools that are not installed, with the reasons.
    pub absent: Vec<String>,
}

/// One model or tool.
#[derive(Serialize)]
pub(crate) struct Row {
    pub name: String,
    /// The name as the table has it.
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    /// How many it has.
    pub workers: NonZeroUsize,
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
    /// Context switches of the whole tree: it had to wait, or another's turn had come.
    pub voluntary_switches: Option<f64>,
    pub involuntary_switches: Option<f64>,
    /// The most that the tree had at once.
    pub threads: Option<u64>,
    pub processes: Option<u64>,
    pub code: Option<Code>,
    /// What it did for its clients, if it is a service.
    pub service: Option<Served>,
    /// Its time by that of a run that does nothing but wait, and its memory by the requests that may be under way.
    pub of_ideal: Option<f64>,
    pub waiting_bytes: Option<f64>,
    pub oversubscribed: bool,
    pub runs: usize,
    pub failures: Vec<String>,
    /// Timed rounds that are far from the row's others. They count like all.
    pub outliers: Vec<Outlier>,
    /// When its workers were busy, if it was traced.
    pub timeline: Option<Timeline>,
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
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    #[default]
    Check,
    Time,
    Memory,
    Stop,
    Empty,
    Trace,
    Service,
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

impl Comparison {
    /// Whether what was compared are servers.
    pub(crate) fn is_service(&self) -> bool {
        self.asked.is_some()
    }
}

impl Row {
    /// What it is called in a sentence: its label without what is in parentheses.
    pub(crate) fn shown(&self) -> String {
        self.label.split(" (").next().unwrap_or_default().to_owned()
    }
}

/// Seconds, as JSON has them.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use snapbox::{assert_data_eq, file};

    use super::*;
    use crate::compare::example;

    const PAGE: &str = include_str!("SCHEMA.md");

    /// The path of each field, where `[]` stands for each element. The names of totals are the workloads' own.
    fn paths(value: &Value, path: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !path.ends_with("totals") => {
                for (name, value) in fields {
                    let each = if value.is_array() { "[]" } else { "" };
                    let path = format!("{path}{}{name}{each}", if path.is_empty() { "" } else { "." });
                    all.insert(path.clone());
                    paths(value, &path, all);
                }
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| paths(element, path, all));
            }
            _ => {}
        }
    }

    #[test]
    fn a_comparison_is_written_with_every_field() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("new/comparison.json");
        write(&example::comparison(), &path).unwrap();
        assert_data_eq!(fs::read_to_string(path).unwrap(), file!["snapshots/comparison.json"].raw());
    }

    #[test]
    fn the_page_names_every_field_and_no_other() {
        let mut written = BTreeSet::new();
        for example in [example::comparison(), example::waiting()] {
            paths(&serde_json::to_value(example).unwrap(), "", &mut written);
        }
        let named = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        let missing: Vec<_> = written.difference(&named).collect();
        let unknown: Vec<_> = named.difference(&written).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "not named: {missing:#?}; not written: {unknown:#?}"
        );
        assert!(PAGE.contains(&format!("`\"schema\": {SCHEMA}`")));
    }
}
