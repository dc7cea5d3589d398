//! The results that `cargo xtask compare` has written, read from their folder.
//! [`xtask::compare::result`] says what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use xtask::compare::result::{Comparison, Row, SCHEMA};

use crate::{
    Report,
    figures::{count, list},
};

/// A result file, minified.
pub struct Raw {
    /// The file name, such as `grep.json`.
    pub name: String,
    /// The JSON text, without white space.
    pub text: String,
}

/// The number of workers of the models: `2 workers`, or all numbers that were measured.
#[must_use]
pub fn workers(found: &Comparison) -> String {
    let counts = found.worker_counts();
    let all: Vec<String> = counts.iter().map(usize::to_string).collect();
    if let [_] = all[..] { count(found.workers.get(), "worker") } else { format!("{} workers", list(&all)) }
}

/// The rows that have a time, fastest first.
pub fn by_time<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a Row> {
    let mut timed: Vec<(&Row, f64)> = rows.filter_map(|row| Some((row, row.median()?))).collect();
    timed.sort_by(|one, other| one.1.total_cmp(&other.1));
    timed.into_iter().map(|(row, _)| row).collect()
}

/// Reads the results in a folder, in alphabetical order: of these workloads, or of all if none is
/// named.
pub(crate) fn read(folder: &Path, workloads: &[String]) -> Result<Report> {
    let mut report = Report::default();
    for path in files(folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let workload = name.strip_suffix("-granularity").unwrap_or(&name);
        // An A/A test compares one model with itself: there is nothing to choose from.
        if name.ends_with("-aa")
            || !workloads.is_empty() && !workloads.iter().any(|wanted| wanted == workload)
        {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        add(&mut report, &name, &text).with_context(|| path.display().to_string())?;
    }
    if report.comparisons.is_empty() {
        bail!("{} has no results; run cargo xtask compare", folder.display());
    }
    Ok(report)
}

/// Adds a result to the report.
fn add(report: &mut Report, name: &str, text: &str) -> Result<()> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    if name.ends_with("-granularity") {
        report.granularity.push(parse(&value)?);
    } else {
        let found: Comparison = parse(&value)?;
        ensure!(found.schema <= SCHEMA, "it was written by a later version of xtask");
        report.comparisons.push(found);
    }
    report.raw.push(Raw { name: format!("{name}.json"), text: value.to_string() });
    Ok(())
}

fn parse<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T> {
    T::deserialize(value).context("not a result of this version; run cargo xtask compare again")
}

/// The JSON files in a folder in alphabetical order, without those in subfolders such as `history`.
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
