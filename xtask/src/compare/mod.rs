//! `cargo xtask compare`: the models against each other, against the reference, and against the tools of today.
//!
//! In reading order: told by [`args`], [`build`] the programs, read the [`manifest`], and for each workload's [`job`]
//! prepare the [`input`]. Then [`measure`](mod@measure), each [`run`](mod@run) in a process of its own, its [`memory`] sampled over the [`tree`] of
//! its processes, until somebody [`cancel`]s it: first [`checking`] that the outputs are the same ([`check`]), then the
//! rounds. What the [`machine`] did meanwhile is watched.
//!
//! The samples become [`rows`] with [`stats`]; [`paired`] tells them apart, [`drift`] and [`outliers`] say what was not
//! steady, [`scaling`] (and [`usl`]) what more workers are good for, [`baseline`] what has changed since an earlier
//! result, and [`summary`] says it in words. All that is [`json`], kept in the [`history`], and a [`table`] of [`columns`] with
//! [`notes`], or [`flat`] for a spreadsheet. How finely work may be cut is asked by [`granularity`], and by [`again`] how
//! often a program is called different from itself.

mod again;
mod args;
mod baseline;
mod build;
mod call;
mod cancel;
mod check;
mod checking;
mod code;
mod columns;
mod drift;
#[cfg(test)]
mod example;
mod external;
#[cfg(test)]
mod fake;
mod flags;
mod flat;
mod granularity;
mod history;
mod input;
mod job;
mod json;
mod machine;
mod manifest;
mod measure;
mod memory;
mod notes;
mod outliers;
mod paired;
mod query;
mod rows;
mod run;
mod scaling;
mod stats;
mod summary;
mod table;
mod tree;
mod usl;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use anyhow::{Error, Result, anyhow, bail};
use serde::Serialize;

use again::Again;
pub(crate) use args::Args;
use baseline::{Earlier, against};
use build::{Entry, Workspace};
use cancel::Cancel;
use granularity::Swept;
use job::Job;
use json::{Comparison, Row, Verdict};
use manifest::workloads;
pub(crate) use run::alone;

/// What the command ends with; the worst of all workloads counts, and the worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Agree,
    Slower,
    Failed,
    Differ,
    Interrupted,
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Agree => 0,
            Self::Slower => 6,
            Self::Failed => 5,
            Self::Differ => 3,
            Self::Interrupted => 130,
        }
    }
}

const USAGE: u8 = 2;
const NOTHING: u8 = 4;

pub(crate) fn run(args: &Args) -> ExitCode {
    let code = match compare(args) {
        Ok(outcome) => outcome.code(),
        Err(Failure { code, error }) => {
            eprintln!("error: {error:#}");
            code
        }
    };
    ExitCode::from(code)
}

/// Why there is nothing to show, and the exit status for it.
struct Failure {
    code: u8,
    error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: Outcome::Failed.code(), error }
    }
}

impl Failure {
    fn usage(error: Error) -> Self {
        Self { code: USAGE, error }
    }
}

fn compare(args: &Args) -> Result<Outcome, Failure> {
    if args.explain {
        print!("{}", include_str!("explain.txt"));
        return Ok(Outcome::Agree);
    }
    let workspace = Workspace::find()?;
    let mut jobs = jobs(args, &workspace).map_err(Failure::usage)?;
    say("building the models' release programs");
    let built = workspace.build(&args.models)?;
    // In the order of the reference's help.
    jobs.sort_by_key(|job| built.entries.iter().position(|entry| entry.workload == job.workload));
    if args.list {
        list(&built.entries, &jobs);
        return Ok(Outcome::Agree);
    }
    built.broken.iter().for_each(|broken| eprintln!("error: {broken}: left out"));
    let outcome = if built.broken.is_empty() { Outcome::Agree } else { Outcome::Failed };
    let cancel = Cancel::on_interrupt().map_err(Error::from)?;
    let earlier = args.baseline.as_deref().map(baseline::load).transpose()?.unwrap_or_default();
    let bench = Bench { args, earlier, workspace: &workspace, entries: &built.entries, cancel: &cancel };
    bench.all(&jobs, outcome)
}

/// Where the last results are.
pub(crate) fn results() -> Result<PathBuf> {
    Ok(Workspace::find()?.target.join("compare"))
}

/// What all workloads have in common.
struct Bench<'a> {
    args: &'a Args,
    workspace: &'a Workspace,
    entries: &'a [Entry],
    cancel: &'a Cancel,
    /// Results to compare these with.
    earlier: Vec<Earlier>,
}

impl Bench<'_> {
    /// Shows one workload after the other, and writes what is to be written of all.
    fn all(&self, jobs: &[Job], mut outcome: Outcome) -> Result<Outcome, Failure> {
        let (mut results, mut written) = (Vec::new(), Vec::new());
        for job in jobs {
            match self.one(job) {
                Ok(Some(result)) => {
                    outcome = outcome.max(result.show(self.args));
                    results.push(result);
                    written.push(job.workload.clone());
                }
                Ok(None) => {}
                Err(error) if self.cancel.is_requested() => eprintln!("{}: {error:#}", job.workload),
                Err(error) => return Err(error.into()),
            }
            if self.cancel.is_requested() {
                outcome = Outcome::Interrupted;
                break;
            }
        }
        if results.is_empty() && outcome != Outcome::Interrupted {
            let error = anyhow!("nothing is selected; see cargo xtask compare --list");
            return Err(Failure { code: NOTHING, error });
        }
        if let Some(path) = &self.args.json {
            match &results[..] {
                [one] => json::write(one, path)?,
                many => json::write(&many, path)?,
            }
        }
        if let Some(path) = &self.args.csv {
            flat::write(results.iter().filter_map(Found::comparison), path)?;
        }
        self.args.html.write(&self.workspace.target, &written)?;
        Ok(outcome)
    }

    /// What comes of a workload, if any of its models is selected. It is written below `target/compare`.
    fn one(&self, job: &Job) -> Result<Option<Found>> {
        let args = self.args;
        let (entrants, absent) = job.entrants(self.entries, args)?;
        if !entrants.iter().any(|entrant| args.is_selected(&entrant.name)) {
            absent.iter().for_each(|absent| eprintln!("{}: {absent}", job.workload));
            return Ok(None);
        }
        let folder = self.workspace.target.join("compare");
        let kept = folder.join(&job.workload);
        let sweep = job.manifest.granularity.as_ref().filter(|_| args.granularity);
        let (result, name) = if let Some(sweep) = sweep {
            let swept = sweep.run(&job.workload, &entrants, &absent, args, &kept, self.cancel)?;
            (Found::Granularity(Box::new(swept)), format!("{}-granularity.json", job.workload))
        } else if let Some(count) = args.aa {
            let again = job.again(&entrants, count.get(), args, self.workspace, &kept, self.cancel)?;
            (Found::Again(Box::new(again)), format!("{}-aa.json", job.workload))
        } else {
            let mut comparison = job.compare(&entrants, absent, args, self.workspace, &kept, self.cancel)?;
            if let Some(file) = &args.baseline {
                comparison.baseline = against(&comparison, &self.earlier, file);
                if comparison.baseline.is_none() {
                    eprintln!("{}: there is no earlier result of it in {}", job.workload, file.display());
                }
            }
            history::keep(&comparison, &folder.join("history"))?;
            (Found::Comparison(Box::new(comparison)), format!("{}.json", job.workload))
        };
        json::write(&result, &folder.join(name))?;
        Ok(Some(result))
    }
}

/// What there is to show of a workload.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Comparison(Box<Comparison>),
    Granularity(Box<Swept>),
    Again(Box<Again>),
}

/// What is to be compared.
fn jobs(args: &Args, workspace: &Workspace) -> Result<Vec<Job>> {
    let all = workloads(workspace)?;
    for name in &args.workloads {
        if !all.contains(name) {
            bail!("no workload is called {name}; there are {}", all.join(", "));
        }
    }
    let is_for_one = args.input.is_some() || !args.query.is_empty();
    if is_for_one && args.workloads.len() != 1 {
        bail!("say which workload the input and the arguments are for: one of {}", all.join(", "));
    }
    let names = if args.workloads.is_empty() { &all } else { &args.workloads };
    let mut jobs: Vec<Job> =
        names.iter().map(|name| Job::new(name, &all, args, workspace)).collect::<Result<_>>()?;
    if args.granularity {
        if args.counts().len() > 1 {
            bail!("one number of workers at a time with --granularity");
        }
        if let Some(job) = jobs.iter().find(|job| job.manifest.granularity.is_none())
            && args.workloads.contains(&job.workload)
        {
            bail!("{} cannot be cut as finely as one likes: its manifest says nothing of it", job.workload);
        }
        jobs.retain(|job| job.manifest.granularity.is_some());
    }
    Ok(jobs)
}

impl Found {
    fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Comparison(comparison) => Some(comparison),
            Self::Granularity(_) | Self::Again(_) => None,
        }
    }

    /// Prints the table and what has gone wrong.
    fn show(&self, args: &Args) -> Outcome {
        let (table, troubles, outcome) = match self {
            Self::Again(again) => (again.text(), Vec::new(), Outcome::Agree),
            Self::Granularity(swept) => (swept.text(), swept.troubles(), swept.outcome()),
            Self::Comparison(found) if args.markdown => {
                (table::markdown(found), notes::troubles(found), found.outcome(args.fail_on))
            }
            Self::Comparison(found) => {
                (table::text(found, table::width()), notes::troubles(found), found.outcome(args.fail_on))
            }
        };
        if !args.is_piped() {
            println!("{table}\n");
        }
        troubles.iter().for_each(|trouble| eprintln!("{trouble}\n"));
        outcome
    }
}

impl Comparison {
    fn outcome(&self, fail_on: Option<f64>) -> Outcome {
        let is_slower = |part| self.baseline.as_ref().is_some_and(|against| against.is_slower_by(part));
        let differs = |row: &Row| matches!(row.verdict, Verdict::Differs { .. });
        let failed = |row: &Row| !row.failures.is_empty();
        match &self.rows {
            rows if rows.iter().any(differs) => Outcome::Differ,
            rows if rows.iter().any(failed) => Outcome::Failed,
            _ if fail_on.is_some_and(is_slower) => Outcome::Slower,
            _ => Outcome::Agree,
        }
    }
}

fn list(entries: &[Entry], jobs: &[Job]) {
    for job in jobs {
        println!("{}", job.workload);
        for entry in entries.iter().filter(|entry| entry.workload == job.workload) {
            let declined = entry.declined.as_ref().map_or(String::new(), |why| format!(" (declined: {why})"));
            println!("  {:<16} {}{declined}", entry.model, entry.mechanism);
        }
        for tool in &job.manifest.tool {
            let what = tool.find().map_or_else(|| "not installed".to_owned(), |_| tool.version());
            println!("  {:<16} {what}", tool.name);
        }
    }
}

/// Says what takes a while, to those who watch.
fn say(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{what} …");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_workloads_counts() {
        let mut row = example::comparison();
        row.rows.truncate(4);
        let outcome = |comparison: &Comparison| comparison.outcome(Some(0.05));
        assert_eq!(outcome(&row), Outcome::Slower);
        row.rows[1].failures.push("Time round 1: signal: 11".to_owned());
        assert_eq!(outcome(&row), Outcome::Failed);
        assert_eq!(outcome(&example::comparison()), Outcome::Differ);
        let worst = [Outcome::Differ, Outcome::Failed, Outcome::Slower, Outcome::Agree].into_iter().max();
        assert_eq!(worst, Some(Outcome::Differ));
        assert_eq!([Outcome::Differ, Outcome::Failed, Outcome::Slower].map(Outcome::code), [3, 5, 6]);
    }

    #[test]
    fn a_slower_row_fails_only_who_asked_for_it() {
        let mut comparison = example::comparison();
        comparison.rows.truncate(4);
        assert_eq!(comparison.outcome(None), Outcome::Agree);
        assert_eq!(comparison.outcome(Some(0.07)), Outcome::Agree);
        assert_eq!(comparison.outcome(Some(0.05)), Outcome::Slower);
    }
}
