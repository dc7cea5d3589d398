//! The figures as CSV: one line per row of each workload, with all fields that are single values.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::compare::result::{Comparison, Estimate, Kind, Row, Served, Verdict};

/// A line. Names and units are those of `SCHEMA.md`; `_` joins the names of nested fields.
#[derive(Serialize)]
struct Line<'a> {
    workload: &'a str,
    input: &'a str,
    query: &'a str,
    name: &'a str,
    label: &'a str,
    mechanism: &'a str,
    kind: Kind,
    workers: usize,
    oversubscribed: bool,
    verdict: &'static str,
    rounds: usize,
    wall_s_median: Option<f64>,
    wall_s_low: Option<f64>,
    wall_s_high: Option<f64>,
    speedup_median: Option<f64>,
    speedup_low: Option<f64>,
    speedup_high: Option<f64>,
    letters: &'a str,
    cpu_s: Option<f64>,
    cores: Option<f64>,
    memory_bytes: Option<u64>,
    memory_is_max_rss: bool,
    first_s: Option<f64>,
    stop_s: Option<f64>,
    empty_s: Option<f64>,
    voluntary_switches: Option<f64>,
    involuntary_switches: Option<f64>,
    threads: Option<u64>,
    processes: Option<u64>,
    code_workload: Option<usize>,
    code_mechanism: Option<usize>,
    service_requests: Option<f64>,
    service_pipelined_per_s: Option<f64>,
    service_pipelined_cpu_s: Option<f64>,
    service_single_per_s: Option<f64>,
    service_single_cpu_s: Option<f64>,
    service_rate_per_s: Option<f64>,
    service_p50_s: Option<f64>,
    service_p99_s: Option<f64>,
    service_p999_s: Option<f64>,
    service_late_p99_s: Option<f64>,
    service_idle_connections: Option<f64>,
    service_idle_bytes: Option<f64>,
    service_client_pipelined_per_s: Option<f64>,
    service_client_single_per_s: Option<f64>,
    runs: usize,
    failures: usize,
    outliers: usize,
    timeline_busy: Option<f64>,
    timeline_tail_s: Option<f64>,
    partial: bool,
    time: &'a str,
    commit: Option<&'a str>,
    machine: String,
    command: &'a str,
}

/// Writes the rows of these comparisons to a file, or to standard output for `-`.
pub(crate) fn write<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>, path: &Path) -> Result<()> {
    let text = text(comparisons)?;
    if path == Path::new("-") {
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn text<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for comparison in comparisons {
        for row in &comparison.rows {
            writer.serialize(line(comparison, row))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn line<'a>(comparison: &'a Comparison, row: &'a Row) -> Line<'a> {
    let served = |what: fn(&Served) -> Option<f64>| row.service.as_ref().and_then(what);
    let part = |estimate: Option<Estimate>, part: fn(Estimate) -> f64| estimate.map(part);
    Line {
        workload: &comparison.workload,
        input: &comparison.input.name,
        query: &comparison.query,
        name: &row.name,
        label: &row.label,
        mechanism: &row.mechanism,
        kind: row.kind,
        workers: row.workers.get(),
        oversubscribed: row.oversubscribed,
        verdict: verdict(&row.verdict),
        rounds: comparison.rounds,
        wall_s_median: part(row.wall_s, |wall| wall.median),
        wall_s_low: part(row.wall_s, |wall| wall.low),
        wall_s_high: part(row.wall_s, |wall| wall.high),
        speedup_median: part(row.speedup, |speedup| speedup.median),
        speedup_low: part(row.speedup, |speedup| speedup.low),
        speedup_high: part(row.speedup, |speedup| speedup.high),
        letters: &row.letters,
        cpu_s: row.cpu_s,
        cores: row.cores,
        memory_bytes: row.memory_bytes,
        memory_is_max_rss: row.memory_is_max_rss,
        first_s: row.first_s,
        stop_s: row.stop_s,
        empty_s: row.empty_s,
        voluntary_switches: row.voluntary_switches,
        involuntary_switches: row.involuntary_switches,
        threads: row.threads,
        processes: row.processes,
        code_workload: row.code.map(|code| code.workload),
        code_mechanism: row.code.map(|code| code.mechanism),
        service_requests: served(|it| it.requests),
        service_pipelined_per_s: served(|it| it.pipelined_per_s),
        service_pipelined_cpu_s: served(|it| it.pipelined_cpu_s),
        service_single_per_s: served(|it| it.single_per_s),
        service_single_cpu_s: served(|it| it.single_cpu_s),
        service_rate_per_s: served(|it| it.rate_per_s),
        service_p50_s: served(|it| it.p50_s),
        service_p99_s: served(|it| it.p99_s),
        service_p999_s: served(|it| it.p999_s),
        service_late_p99_s: served(|it| it.late_p99_s),
        service_idle_connections: served(|it| it.idle_connections),
        service_idle_bytes: served(|it| it.idle_bytes),
        service_client_pipelined_per_s: served(|it| it.client_pipelined_per_s),
        service_client_single_per_s: served(|it| it.client_single_per_s),
        runs: row.runs,
        failures: row.failures.len(),
        outliers: row.outliers.len(),
        timeline_busy: row.timeline.as_ref().map(|timeline| timeline.busy),
        timeline_tail_s: row.timeline.as_ref().map(|timeline| timeline.tail_s),
        partial: comparison.partial,
        time: &comparison.time,
        commit: comparison.commit.as_deref(),
        machine: comparison.machine.shown(),
        command: &comparison.command,
    }
}

fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Reference => "reference",
        Verdict::Same => "same",
        Verdict::Own => "own",
        Verdict::Differs { .. } => "differs",
        Verdict::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, file};

    use super::*;
    use crate::compare::result::example;

    #[test]
    fn there_is_a_line_per_row_and_a_header() {
        let comparison = example::comparison();
        let text = text([&comparison, &comparison]).unwrap();
        assert_eq!(text.lines().count(), 1 + 2 * comparison.rows.len());
        let one = super::text([&comparison]).unwrap();
        assert_data_eq!(one, file!["snapshots/rows.csv"].raw());
    }

    #[test]
    fn a_file_is_written_or_an_error_returned() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("rows.csv");
        write([&example::comparison()], &path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("workload,input,query,name,"));
        assert!(write([&example::comparison()], &scratch.path().join("no/rows.csv")).is_err());
    }
}
