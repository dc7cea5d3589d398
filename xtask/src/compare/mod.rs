//! `cargo xtask compare`: compares the models with each other, with the reference, and with
//! established tools.
//!
//! Four modules share one [`result`]: `plan` reads the command line and the manifests and builds
//! the programs, `measure` runs them, `stats` estimates how certain the samples are, and `show`
//! writes tables, notes and files. A `job` takes one workload through all of them.

mod job;
mod measure;
mod outcome;
pub(crate) mod plan;
pub mod result;
mod show;
mod stats;
mod words;

use std::{process::ExitCode, time::Duration};

use anyhow::{Error, Result, anyhow, bail};

use crate::{out, process::cancel::Cancel};

use job::Job;
use outcome::Outcome;
use plan::{
    args::Args,
    build::{Entry, Workspace},
    manifest::workloads,
};
use show::{csv, finding::Finding, history, json};
use stats::baseline::{self, Earlier, against};

const USAGE: u8 = 2;
const NOTHING: u8 = 4;

pub(crate) fn run(args: &Args) -> ExitCode {
    let code = match compare(args) {
        Ok(outcome) => outcome.code(),
        Err(Failure { code, error }) => {
            out::say(format_args!("error: {error:#}"));
            code
        }
    };
    ExitCode::from(code)
}

/// An error that left nothing to show, and its exit status.
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
        out::print(include_str!("show/explain.txt").trim_end());
        return Ok(Outcome::Agree);
    }
    measure::machine::load_average();
    let workspace = Workspace::find()?;
    let jobs = jobs(args, &workspace).map_err(Failure::usage)?;
    let earlier = args.baseline.as_deref().map(baseline::load).transpose();
    let earlier = earlier.map_err(Failure::usage)?.unwrap_or_default();
    all_known(&args.models, &workspace.models(), &jobs).map_err(Failure::usage)?;
    let cancel = Cancel::on_interrupt().map_err(Error::from)?;
    let has_peers = jobs.iter().any(|job| job.manifest.has_peers()) && !args.list;
    out::say("building the release programs (cargo build --release): the first time takes minutes");
    let built = match workspace.build(&args.models, has_peers, &cancel) {
        Err(error) if cancel.is_requested() => {
            out::say(format_args!("{error:#}"));
            return Ok(Outcome::Interrupted);
        }
        built => built?,
    };
    if args.list {
        list(&built.entries, &jobs);
        return Ok(Outcome::Agree);
    }
    built.broken.iter().for_each(|broken| out::say(format_args!("error: {broken}: skipped")));
    let outcome = if built.broken.is_empty() { Outcome::Agree } else { Outcome::Failed };
    let bench = Bench { args, earlier, workspace: &workspace, entries: &built.entries, cancel: &cancel };
    announce(args, &jobs);
    bench.all(&jobs, outcome)
}

/// Announces what will be measured, about how long it takes, and which tools are missing.
fn announce(args: &Args, jobs: &[Job]) {
    let names: Vec<&str> = jobs.iter().map(|job| job.workload.as_str()).collect();
    out::say(announced(&names, args.estimate(jobs.len())));
    let mut missing: Vec<String> = Vec::new();
    for tool in jobs.iter().flat_map(|job| job.missing(args)) {
        if !missing.contains(&tool) {
            missing.push(tool);
        }
    }
    if !missing.is_empty() {
        out::say(format_args!("skipped, because it is not installed:\n  {}", missing.join("\n  ")));
    }
}

/// `measuring mandelbrot, resize: about 90 s`
fn announced(names: &[&str], estimate: Option<Duration>) -> String {
    let time = match estimate.map(|time| time.as_secs()) {
        None => String::new(),
        Some(seconds) if seconds < 100 => format!(": about {seconds} s"),
        Some(seconds) => format!(": about {} min", seconds.div_ceil(60)),
    };
    format!("measuring {}{time}", names.join(", "))
}

/// What the comparisons of all workloads share.
struct Bench<'a> {
    args: &'a Args,
    workspace: &'a Workspace,
    entries: &'a [Entry],
    cancel: &'a Cancel,
    /// The results of `--baseline`.
    earlier: Vec<Earlier>,
}

impl Bench<'_> {
    /// Compares and shows one workload after the other, then writes the files that were requested.
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
                Err(error) if self.cancel.is_requested() => {
                    out::say(format_args!("{}: {error:#}", job.workload));
                }
                Err(error) => return Err(error.into()),
            }
            if self.cancel.is_requested() {
                outcome = Outcome::Interrupted;
                break;
            }
        }
        match &results[..] {
            [] if outcome == Outcome::Interrupted => {}
            [] => {
                let error = anyhow!("no model or tool is selected; see cargo xtask compare --list");
                return Err(Failure { code: NOTHING, error });
            }
            results => self.write(results, &written)?,
        }
        Ok(outcome)
    }

    /// Writes the files that `--json`, `--csv` and `--html` request.
    fn write(&self, results: &[Finding], written: &[String]) -> Result<()> {
        if let Some(path) = &self.args.json {
            match results {
                [one] => json::write(one, path)?,
                many => json::write(&many, path)?,
            }
        }
        if let Some(path) = &self.args.csv {
            csv::write(results.iter().filter_map(Finding::comparison), path)?;
        }
        self.args.html.write(&self.workspace.target, written)
    }

    /// The result of a workload, also written below `target/compare`; `None` if none of its models
    /// and tools is selected.
    fn one(&self, job: &Job) -> Result<Option<Finding>> {
        let args = self.args;
        let (entrants, absent) = job.entrants(self.entries, args)?;
        if !entrants.iter().any(|entrant| args.is_selected(&entrant.name)) {
            absent.iter().for_each(|absent| out::say(format_args!("{}: {absent}", job.workload)));
            return Ok(None);
        }
        let folder = self.workspace.results();
        let outputs = folder.join(&job.workload);
        let sweep = job.manifest.granularity.as_ref().filter(|_| args.granularity);
        let (result, name) = if let Some(sweep) = sweep {
            let result = sweep.run(&job.workload, &entrants, &absent, args, &outputs, self.cancel)?;
            (Finding::Granularity(Box::new(result)), format!("{}-granularity.json", job.workload))
        } else if let Some(count) = args.aa {
            let test = job.aa_test(&entrants, count.get(), args, self.workspace, &outputs, self.cancel)?;
            (Finding::AaTest(Box::new(test)), format!("{}-aa.json", job.workload))
        } else {
            let mut comparison =
                job.compare(&entrants, absent, args, self.workspace, &outputs, self.cancel)?;
            if let Some(file) = &args.baseline {
                comparison.baseline = against(&comparison, &self.earlier, file);
                if comparison.baseline.is_none() {
                    let file = file.display();
                    out::say(format_args!("{}: {file} has no earlier result of it", job.workload));
                }
            }
            history::append(&comparison, &folder.join("history"))?;
            (Finding::Comparison(Box::new(comparison)), format!("{}.json", job.workload))
        };
        json::write(&result, &folder.join(name))?;
        Ok(Some(result))
    }
}

/// The selected workloads, with their manifests.
fn jobs(args: &Args, workspace: &Workspace) -> Result<Vec<Job>> {
    let all = workloads(workspace)?;
    for name in &args.workloads {
        if !all.contains(name) {
            bail!("unknown workload {name}; the workloads are {}", all.join(", "));
        }
    }
    let is_for_one = args.input.is_some() || !args.query.is_empty();
    if is_for_one && args.workloads.len() != 1 {
        bail!("--input and arguments after -- need exactly one workload: one of {}", all.join(", "));
    }
    let wanted = all.iter().filter(|name| args.workloads.is_empty() || args.workloads.contains(name));
    let mut jobs: Vec<Job> =
        wanted.map(|name| Job::new(name, &all, args, workspace)).collect::<Result<_>>()?;
    if args.granularity {
        if args.counts().len() > 1 {
            bail!("--granularity takes only one number of workers");
        }
        if let Some(job) = jobs.iter().find(|job| job.manifest.granularity.is_none())
            && args.workloads.contains(&job.workload)
        {
            bail!("{} has no --granularity: its manifest has no [granularity] section", job.workload);
        }
        jobs.retain(|job| job.manifest.granularity.is_some());
    }
    Ok(jobs)
}

/// Checks that each name is a known model or tool.
fn all_known(names: &[String], models: &[&str], jobs: &[Job]) -> Result<()> {
    let tools = jobs.iter().flat_map(|job| &job.manifest.tool).map(|tool| tool.name.as_str());
    let mut known: Vec<&str> = Vec::new();
    for name in models.iter().copied().chain(tools) {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => bail!("unknown model or tool {name}; the known ones are {}", known.join(", ")),
        None => Ok(()),
    }
}

fn list(entries: &[Entry], jobs: &[Job]) {
    for job in jobs {
        out::print(&job.workload);
        for entry in entries.iter().filter(|entry| entry.workload == job.workload) {
            let declined = entry.declined.as_ref().map_or(String::new(), |why| format!(" (declined: {why})"));
            out::print(format_args!("  {:<16} {}{declined}", entry.model, entry.mechanism));
        }
        for tool in &job.manifest.tool {
            let what = tool.find().map_or_else(|| "not installed".to_owned(), |_| tool.version());
            out::print(format_args!("  {:<16} {what}", tool.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_announced_with_its_time() {
        let minutes = Some(Duration::from_secs(315));
        assert_eq!(announced(&["grep", "kv"], minutes), "measuring grep, kv: about 6 min");
        assert_eq!(announced(&["grep"], Some(Duration::from_secs(45))), "measuring grep: about 45 s");
        assert_eq!(announced(&["grep"], None), "measuring grep");
    }

    #[test]
    fn an_unknown_model_is_refused() {
        let known = |name: &str| all_known(&[name.to_owned()], &["threads"], &[]);
        assert!(known("threads").is_ok());
        assert_eq!(
            known("thread").unwrap_err().to_string(),
            "unknown model or tool thread; the known ones are threads"
        );
    }
}
