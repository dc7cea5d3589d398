//! `cargo xtask compare`: the models against each other, against the reference, and against the tools of today.
//!
//! In reading order: [`build`] the programs, prepare the [`input`], then [`measure`](mod@measure): each [`run`](mod@run) in a process
//! of its own, its [`memory`] sampled over the [`tree`] of its processes, its output [`check`]ed; the samples
//! become [`stats`], and these a [`table`] and [`json`].

mod build;
mod check;
mod code;
mod external;
mod input;
mod json;
mod measure;
mod memory;
mod query;
mod run;
mod stats;
mod table;
mod tree;

use std::{fs, io::IsTerminal, num::NonZeroUsize, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail};
use cc_workloads::Ctx;
use clap::ValueEnum;

use build::{Entry, Workspace};
use check::Order;
use external::Tool;
use input::{Input, Manifest};
use json::{Comparison, Kind, Machine, Row, Verdict};
use measure::{Effort, Entrant, measure};
use query::{Query, quoted};

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
    /// Also write the result with all samples to FILE; - is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Print what there is to compare, and do nothing
    #[arg(long)]
    list: bool,
    /// What to ask for instead: flags and a pattern
    #[arg(last = true, value_name = "FLAG|PATTERN")]
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

/// The workloads there are.
const WORKLOADS: [&str; 1] = ["grep"];

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
    let jobs: Vec<Job> = args
        .workloads()
        .iter()
        .map(|name| Job::new(name, args, &workspace))
        .collect::<Result<_>>()
        .map_err(Failure::usage)?;
    say("building the models' release programs");
    let built = workspace.build(&args.models)?;
    if args.list {
        list(&built.entries, &jobs);
        return Ok(Outcome::Agree);
    }
    let mut outcome = Outcome::Agree;
    for broken in &built.broken {
        eprintln!("error: {broken}: left out");
        outcome = Outcome::Failed;
    }
    for job in &jobs {
        let (entrants, absent) = job.entrants(&built.entries, args)?;
        if !entrants.iter().any(|entrant| args.is_selected(&entrant.name)) {
            let error = anyhow!("nothing is selected; see cargo xtask compare --list");
            return Err(Failure { code: NOTHING, error });
        }
        let comparison = job.compare(&entrants, absent, args, &workspace)?;
        outcome = outcome.max(show(&comparison, args, &workspace)?);
    }
    Ok(outcome)
}

impl Args {
    fn workloads(&self) -> Vec<String> {
        match &self.workloads[..] {
            [] => WORKLOADS.map(str::to_owned).into(),
            given => given.to_vec(),
        }
    }

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
        let words: Vec<String> = std::env::args().skip(1).map(|arg| quoted(&arg)).collect();
        format!("cargo xtask {}", words.join(" "))
    }
}

/// One workload, and what is asked of it.
struct Job {
    workload: String,
    manifest: Manifest,
    queries: Vec<Query>,
}

impl Job {
    fn new(workload: &str, args: &Args, workspace: &Workspace) -> Result<Self> {
        if !WORKLOADS.contains(&workload) {
            bail!("no workload is called {workload}; there is {}", WORKLOADS.join(", "));
        }
        let manifest = Manifest::load(workspace, workload)?;
        let is_file = match &args.input {
            Some(path) => !fs::metadata(path).with_context(|| path.display().to_string())?.is_dir(),
            None => false,
        };
        let queries = manifest.queries(&args.query)?.into_iter();
        let queries = queries.map(|query| if is_file { query } else { query.recursive() }).collect();
        Ok(Self { workload: workload.to_owned(), manifest, queries })
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
            match tool.find() {
                Some(program) => entrants.push(self.tool(tool, program, args.workers())),
                None => absent.push(format!("{}: {} is not installed", tool.name, tool.program)),
            }
        }
        Ok((entrants, absent))
    }

    fn model(&self, entry: &Entry, is_reference: bool, workers: NonZeroUsize) -> Result<Entrant> {
        let own =
            ["--model", &entry.model, "--workers", &workers.to_string(), &self.workload].map(str::to_owned);
        let arguments = |query: &Query| own.iter().cloned().chain(query.arguments(|_| None)).collect();
        let label = match entry.model.as_str() {
            "distributed" => format!("distributed ({workers} processes, loopback)"),
            model => model.to_owned(),
        };
        Ok(Entrant {
            name: entry.model.clone(),
            label,
            mechanism: entry.mechanism.clone(),
            kind: if is_reference { Kind::Reference } else { Kind::Model },
            program: entry.program.clone(),
            env: Vec::new(),
            arguments: self.queries.iter().map(arguments).collect(),
            order: Order::Same,
            code: Some(code::count(&entry.crate_dir, &entry.model, &self.workload, &WORKLOADS)?),
            oversubscribed: !is_reference && workers > Ctx::available_workers(),
        })
    }

    fn tool(&self, tool: &Tool, program: PathBuf, workers: NonZeroUsize) -> Entrant {
        Entrant {
            name: tool.name.clone(),
            label: tool.name.clone(),
            mechanism: tool.version(),
            kind: Kind::Tool,
            program,
            env: tool.env.clone().into_iter().collect(),
            arguments: self.queries.iter().map(|query| tool.arguments(query, workers)).collect(),
            order: tool.order,
            code: None,
            oversubscribed: false,
        }
    }

    fn compare(
        &self,
        entrants: &[Entrant],
        absent: Vec<String>,
        args: &Args,
        workspace: &Workspace,
    ) -> Result<Comparison> {
        let input = match &args.input {
            Some(path) => Input::given(path, workspace)?,
            None => {
                say(&format!("preparing the {} input", args.size()));
                self.manifest.prepare(workspace, &self.workload, args.size())?
            }
        };
        let kept = workspace.target.join("compare").join(&self.workload);
        let measured = measure(entrants, &self.queries, &input, &args.effort(), &kept)?;
        Ok(Comparison {
            workload: self.workload.clone(),
            command: args.command(),
            machine: Machine::this(),
            input,
            totals: measured.totals,
            query: self.queries[0].to_string(),
            checked: self.queries.iter().map(ToString::to_string).collect(),
            workers: args.workers(),
            rounds: measured.rounds,
            memory: memory::METHOD,
            rows: measured.rows,
            absent,
        })
    }
}

/// Prints the table and writes the JSON.
fn show(comparison: &Comparison, args: &Args, workspace: &Workspace) -> Result<Outcome> {
    comparison.write(&workspace.target.join("compare").join(format!("{}.json", comparison.workload)))?;
    if let Some(path) = &args.json {
        comparison.write(path)?;
    }
    match &args.json {
        Some(path) if path.as_os_str() == "-" => {}
        _ if args.markdown => println!("{}", table::markdown(comparison)),
        _ => println!("{}", table::text(comparison)),
    }
    for trouble in table::troubles(comparison) {
        eprintln!("\n{trouble}");
    }
    let differs = |row: &Row| matches!(row.verdict, Verdict::Differs { .. });
    let failed = |row: &Row| !row.failures.is_empty();
    Ok(match &comparison.rows {
        rows if rows.iter().any(differs) => Outcome::Differ,
        rows if rows.iter().any(failed) => Outcome::Failed,
        _ => Outcome::Agree,
    })
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
