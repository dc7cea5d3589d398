//! `cargo xtask compare`: the models against each other, against the reference, and against the tools of today.
//!
//! In reading order: [`build`] the programs, read the [`manifest`], prepare the [`input`], then [`measure`](mod@measure): each [`run`](mod@run) in a process
//! of its own, its [`memory`] sampled over the [`tree`] of its processes, its output [`check`]ed; the samples
//! become [`stats`], and these a [`table`] and [`json`]. How finely work may be cut is asked by [`granularity`].

mod build;
mod call;
mod check;
mod code;
mod external;
mod flags;
mod granularity;
mod input;
mod json;
mod manifest;
mod measure;
mod memory;
mod paired;
mod query;
mod run;
mod stats;
mod table;
mod tree;
mod usl;

use std::{
    fs,
    io::IsTerminal,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Error, Result, anyhow, bail};
use cc_workloads::Ctx;
use clap::ValueEnum;
use serde::Serialize;

use build::{Entry, Workspace};
use call::Call;
use check::Order;
use external::Tool;
use granularity::Swept;
use input::Input;
use json::{Comparison, Kind, Machine, Row, Verdict};
use manifest::{Manifest, workloads};
use measure::{Effort, Entrant, Work, measure};
use query::{Query, line};
pub(crate) use run::alone;

use crate::report::Html;

/// Run every model on the same work, check that all say the same, and measure them
///
/// Exit status: 0 if all agree, 2 for wrong usage, 3 if outputs differ, 4 if nothing is selected, 5 if a run
/// failed or timed out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which workloads [default: all]
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Only this model or tool, beside the reference; may be given many times
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// How many workers each model has [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// How many timed rounds [default: as many as fit into some seconds]
    #[arg(long, value_name = "N")]
    rounds: Option<NonZeroUsize>,
    /// How much to work on
    #[arg(long, value_enum, default_value_t = Size::Small)]
    size: Size,
    /// Little work and few rounds: whether it works, not how fast
    #[arg(long, conflicts_with = "size")]
    smoke: bool,
    /// A file or directory to work on, instead of one made from a seed
    #[arg(long, value_name = "PATH", conflicts_with_all = ["size", "smoke"])]
    input: Option<PathBuf>,
    /// Kill a run after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Cut the work ever finer instead, and say where each model drops to half of its best rate
    #[arg(long, conflicts_with_all = ["size", "input", "query", "markdown"])]
    granularity: bool,
    /// Also write the result with all samples to FILE; - is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    html: Html,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Print what there is to compare, and do nothing
    #[arg(long)]
    list: bool,
    /// What to ask for instead: the workload's own arguments, without its input
    #[arg(last = true, value_name = "ARG")]
    query: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    Small,
    Large,
}

/// What the command ends with; the worst of all workloads counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Agree = 0,
    Failed = 5,
    Differ = 3,
}

const USAGE: u8 = 2;
const NOTHING: u8 = 4;

pub(crate) fn run(args: &Args) -> ExitCode {
    let code = match compare(args) {
        Ok(outcome) => outcome as u8,
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
        Self { code: Outcome::Failed as u8, error }
    }
}

impl Failure {
    fn usage(error: Error) -> Self {
        Self { code: USAGE, error }
    }
}

fn compare(args: &Args) -> Result<Outcome, Failure> {
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
    let mut outcome = Outcome::Agree;
    for broken in &built.broken {
        eprintln!("error: {broken}: left out");
        outcome = Outcome::Failed;
    }
    let (mut results, mut written) = (Vec::new(), Vec::new());
    for job in &jobs {
        let (entrants, absent) = job.entrants(&built.entries, args)?;
        if !entrants.iter().any(|entrant| args.is_selected(&entrant.name)) {
            absent.iter().for_each(|absent| eprintln!("{}: {absent}", job.workload));
            continue;
        }
        let kept = workspace.target.join("compare").join(&job.workload);
        let sweep = job.manifest.granularity.as_ref().filter(|_| args.granularity);
        let (result, name) = if let Some(sweep) = sweep {
            let swept = sweep.run(&job.workload, &entrants, &absent, args, &kept)?;
            (Found::Granularity(Box::new(swept)), format!("{}-granularity.json", job.workload))
        } else {
            let comparison = job.compare(&entrants, absent, args, &workspace, &kept)?;
            (Found::Comparison(Box::new(comparison)), format!("{}.json", job.workload))
        };
        json::write(&result, &workspace.target.join("compare").join(name))?;
        outcome = outcome.max(result.show(args));
        results.push(result);
        written.push(job.workload.clone());
    }
    if results.is_empty() {
        let error = anyhow!("nothing is selected; see cargo xtask compare --list");
        return Err(Failure { code: NOTHING, error });
    }
    if let Some(path) = &args.json {
        match &results[..] {
            [one] => json::write(one, path)?,
            many => json::write(&many, path)?,
        }
    }
    args.html.write(&workspace.target, &written)?;
    Ok(outcome)
}

/// Where the last results are.
pub(crate) fn results() -> Result<PathBuf> {
    Ok(Workspace::find()?.target.join("compare"))
}

/// What there is to show of a workload.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Comparison(Box<Comparison>),
    Granularity(Box<Swept>),
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
        if let Some(job) = jobs.iter().find(|job| job.manifest.granularity.is_none())
            && args.workloads.contains(&job.workload)
        {
            bail!("{} cannot be cut as finely as one likes: its manifest says nothing of it", job.workload);
        }
        jobs.retain(|job| job.manifest.granularity.is_some());
    }
    Ok(jobs)
}

impl Args {
    fn is_selected(&self, name: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|model| model == name)
    }

    fn size(&self) -> &'static str {
        match self.size {
            _ if self.smoke => "smoke",
            Size::Small => "small",
            Size::Large => "large",
        }
    }

    fn workers(&self) -> NonZeroUsize {
        self.workers.unwrap_or_else(Ctx::available_workers)
    }

    fn effort(&self) -> Effort {
        let timeout = Duration::from_secs(self.timeout);
        let (memory_rounds, stop_rounds, empty_rounds) = if self.smoke { (1, 1, 2) } else { (2, 3, 5) };
        let rounds = self.rounds.or(if self.smoke { NonZeroUsize::new(3) } else { None });
        Effort { rounds, budget: Duration::from_secs(20), memory_rounds, stop_rounds, empty_rounds, timeout }
    }

    /// What does the same again.
    fn command(&self) -> String {
        let words: Vec<String> = std::env::args().skip(1).collect();
        format!("cargo xtask {}", line(&words))
    }
}

/// One workload, and what is asked of it.
struct Job {
    workload: String,
    /// All workloads that there are.
    all: Vec<String>,
    manifest: Manifest,
    queries: Vec<Query>,
    /// Whether the queries are not the manifest's.
    is_given: bool,
}

impl Job {
    fn new(workload: &str, all: &[String], args: &Args, workspace: &Workspace) -> Result<Self> {
        let manifest = Manifest::load(workspace, workload)?;
        if args.input.is_some() && !manifest.takes_files() {
            bail!("{workload} reads no files; its own arguments come after --");
        }
        let is_file = match &args.input {
            Some(path) => !fs::metadata(path).with_context(|| path.display().to_string())?.is_dir(),
            None => false,
        };
        let queries = manifest.queries(&args.query)?.into_iter();
        let queries = queries.map(|query| if is_file { query } else { query.recursive() }).collect();
        let is_given = !args.query.is_empty();
        Ok(Self { workload: workload.to_owned(), all: all.to_vec(), manifest, queries, is_given })
    }

    /// The reference, the models and the tools, and what is missing and why.
    fn entrants(&self, entries: &[Entry], args: &Args) -> Result<(Vec<Entrant>, Vec<String>)> {
        let (mut entrants, mut absent) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().filter(|entry| entry.workload == self.workload).enumerate() {
            let is_reference = at == 0;
            if !is_reference && !args.is_selected(&entry.model) {
                continue;
            }
            match &entry.declined {
                Some(why) => absent.push(format!("{}: {why}", entry.model)),
                None => entrants.push(self.model(entry, is_reference, args.workers())?),
            }
        }
        for tool in self.manifest.tool.iter().filter(|tool| args.is_selected(&tool.name)) {
            match tool.find().map(|program| self.tool(tool, program, args.workers())) {
                None => absent.push(format!("{}: {} is not installed", tool.name, tool.needs())),
                Some(entrant) if self.is_given && !entrant.call.takes_query() => {
                    absent.push(format!("{}: it does only what the manifest asks for", tool.name));
                }
                Some(entrant) => entrants.push(entrant),
            }
        }
        Ok((entrants, absent))
    }

    fn model(&self, entry: &Entry, is_reference: bool, workers: NonZeroUsize) -> Result<Entrant> {
        let workers_arg = workers.to_string();
        let args = ["--model", &entry.model, "--workers", &workers_arg, &self.workload, "{query}", "{input}"];
        let args = args.map(str::to_owned).into();
        let label = match entry.model.as_str() {
            "distributed" => format!("distributed ({workers} processes, loopback)"),
            model => model.to_owned(),
        };
        Ok(Entrant {
            name: entry.model.clone(),
            label,
            mechanism: entry.mechanism.clone(),
            kind: if is_reference { Kind::Reference } else { Kind::Model },
            call: Call { program: entry.program.clone(), args, ..Call::default() },
            order: self.manifest.order,
            code: Some(code::count(&entry.crate_dir, &entry.model, &self.workload, &self.all)?),
            oversubscribed: !is_reference && workers > Ctx::available_workers(),
            slow: false,
        })
    }

    fn tool(&self, tool: &Tool, program: PathBuf, workers: NonZeroUsize) -> Entrant {
        Entrant {
            name: tool.name.clone(),
            label: tool.name.clone(),
            mechanism: tool.version(),
            kind: Kind::Tool,
            call: tool.call(program, workers),
            order: tool.order,
            code: None,
            oversubscribed: false,
            slow: tool.slow,
        }
    }

    fn compare(
        &self,
        entrants: &[Entrant],
        absent: Vec<String>,
        args: &Args,
        workspace: &Workspace,
        kept: &Path,
    ) -> Result<Comparison> {
        let mut input = match &args.input {
            Some(path) => self.manifest.given(workspace, &self.workload, path)?,
            None => {
                say(&format!("preparing the {} input", args.size()));
                self.manifest.prepare(workspace, &self.workload, args.size())?
            }
        };
        if self.is_given {
            input.output = None;
        }
        let work = Work {
            queries: &self.queries,
            input: &input,
            own_totals: &self.manifest.own_totals,
            prints_at_end: self.manifest.prints_at_end,
            kept,
        };
        let measured = measure(entrants, &work, &args.effort())?;
        let query = self.asked(&input);
        Ok(Comparison {
            workload: self.workload.clone(),
            command: args.command(),
            machine: Machine::this(),
            input,
            caption: table::caption(&self.manifest.caption, &measured.totals),
            any_order: self.manifest.order == Order::Any,
            prints_at_end: self.manifest.prints_at_end,
            tool_note: self.manifest.tool_note.clone(),
            totals: measured.totals,
            query,
            checked: self.queries.iter().map(ToString::to_string).collect(),
            workers: args.workers(),
            rounds: measured.rounds,
            rounds_to_tell: measured.rounds_to_tell,
            memory: memory::METHOD,
            rows: measured.rows,
            absent,
        })
    }
}

impl Job {
    /// The query that is measured, with what the input's arguments add to it.
    fn asked(&self, input: &Input) -> String {
        match &input.measured.args[..] {
            [] => self.queries[0].to_string(),
            _ => line(&input.measured.with(&self.queries[0].arguments(|_| None))),
        }
    }
}

impl Found {
    /// Prints the table and what has gone wrong.
    fn show(&self, args: &Args) -> Outcome {
        let (table, troubles, outcome) = match self {
            Self::Granularity(swept) => (swept.text(), swept.troubles(), swept.outcome()),
            Self::Comparison(found) if args.markdown => {
                (table::markdown(found), table::troubles(found), found.outcome())
            }
            Self::Comparison(found) => (table::text(found), table::troubles(found), found.outcome()),
        };
        if args.json.as_deref() != Some(Path::new("-")) {
            println!("{table}\n");
        }
        troubles.iter().for_each(|trouble| eprintln!("{trouble}\n"));
        outcome
    }
}

impl Comparison {
    fn outcome(&self) -> Outcome {
        let differs = |row: &Row| matches!(row.verdict, Verdict::Differs { .. });
        let failed = |row: &Row| !row.failures.is_empty();
        match &self.rows {
            rows if rows.iter().any(differs) => Outcome::Differ,
            rows if rows.iter().any(failed) => Outcome::Failed,
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
