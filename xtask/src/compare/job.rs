//! One workload of a comparison: its entrants, its queries, and its measurement.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cc_core::Ctx;

use crate::{
    compare::{
        measure::{
            aa_test::{AaTest, aa_test},
            clients::Clients,
            machine::{self, Watch},
            memory,
            origin::Origin,
            rounds::measure,
            trace::Traces,
            work::Work,
        },
        plan::{
            args::Args,
            build::{Entry, Workspace},
            code,
            command::CommandTemplate,
            entrant::Entrant,
            manifest::Manifest,
            order::Order,
            query::{Query, line},
            service::{PEERS, Service},
            tool::Tool,
        },
        result::{self, Comparison, Input, Kind, Machine},
        show::{history, notes, summary},
    },
    out::progress,
    process::cancel::Cancel,
};

/// One workload and its queries.
pub(crate) struct Job {
    pub(crate) workload: String,
    /// The names of all workloads.
    all: Vec<String>,
    pub(crate) manifest: Manifest,
    queries: Vec<Query>,
    /// Whether the user has given the query.
    is_given: bool,
}

impl Job {
    pub(crate) fn new(workload: &str, all: &[String], args: &Args, workspace: &Workspace) -> Result<Self> {
        let manifest = Manifest::load(workspace, workload)?;
        if args.input.is_some() && !manifest.takes_files() {
            bail!("{workload} reads no files, so it has no --input; give its arguments after --");
        }
        if let Some(path) = &args.input {
            fs::metadata(path).with_context(|| path.display().to_string())?;
        }
        let queries = manifest.queries(&args.query);
        let is_given = !args.query.is_empty();
        Ok(Self { workload: workload.to_owned(), all: all.to_vec(), manifest, queries, is_given })
    }

    /// The reference, the models and the tools; and the reasons why others are absent.
    pub(crate) fn entrants(&self, entries: &[Entry], args: &Args) -> Result<(Vec<Entrant>, Vec<String>)> {
        let (mut entrants, mut absent) = (Vec::new(), Vec::new());
        let counts = args.counts();
        for (at, entry) in entries.iter().filter(|entry| entry.workload == self.workload).enumerate() {
            let is_reference = at == 0;
            if !is_reference && !args.is_selected(&entry.model) {
                continue;
            }
            match &entry.declined {
                Some(why) => absent.push(format!("{}: {why}", entry.model)),
                None if is_reference => entrants.push(self.model(entry, true, NonZeroUsize::MIN, false)?),
                None => {
                    for count in &counts {
                        entrants.push(self.model(entry, false, *count, counts.len() > 1)?);
                    }
                }
            }
        }
        for tool in self.manifest.tool.iter().filter(|tool| args.is_selected(&tool.name)) {
            match tool.find().map(|program| self.tool(tool, program, args.workers())) {
                None => absent.push(tool.missing()),
                Some(entrant) if self.is_given && !entrant.call.takes_query() => {
                    absent.push(format!("{}: it can run only the manifest's query", tool.name));
                }
                Some(entrant) => entrants.push(entrant),
            }
        }
        absent.extend(self.manifest.service.iter().filter_map(Service::missing));
        Ok((entrants, absent))
    }

    /// Messages about tools and clients that are not installed.
    pub(crate) fn missing(&self, args: &Args) -> Vec<String> {
        let tools = self.manifest.tool.iter().filter(|tool| args.is_selected(&tool.name));
        let missing = tools.filter(|tool| tool.find().is_none()).map(Tool::missing);
        missing.chain(self.manifest.service.iter().filter_map(Service::missing)).collect()
    }

    /// A model with this number of workers. `is_one_of_many` is true if there are entrants of the
    /// same model with other numbers of workers.
    fn model(
        &self,
        entry: &Entry,
        is_reference: bool,
        workers: NonZeroUsize,
        is_one_of_many: bool,
    ) -> Result<Entrant> {
        let workers_arg = workers.to_string();
        let args = ["--model", &entry.model, "--workers", &workers_arg, &self.workload];
        let own: &[&str] = match self.manifest.service {
            Some(_) => &["--listen", "127.0.0.1:0", "{query}"],
            None if self.manifest.waits() => &["{query}", "--input", "{input}"],
            None => &["{query}", "{input}"],
        };
        let args = args.iter().chain(own).map(|arg| (*arg).to_owned()).collect();
        let label = match entry.model.as_str() {
            "distributed" if is_one_of_many => format!("distributed ×{workers} (loopback)"),
            model if is_one_of_many => format!("{model} ×{workers}"),
            "distributed" => format!("distributed ({workers} processes, loopback)"),
            model => model.to_owned(),
        };
        Ok(Entrant {
            name: entry.model.clone(),
            label,
            mechanism: entry.mechanism.clone(),
            kind: if is_reference { Kind::Reference } else { Kind::Model },
            call: CommandTemplate { program: entry.program.clone(), args, ..CommandTemplate::default() },
            order: self.manifest.order,
            workers,
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
            workers,
            oversubscribed: false,
            slow: tool.slow,
        }
    }

    /// Compares the selected model, or else the reference, with itself.
    pub(crate) fn aa_test(
        &self,
        entrants: &[Entrant],
        count: usize,
        args: &Args,
        workspace: &Workspace,
        output_dir: &Path,
        cancel: &Cancel,
    ) -> Result<AaTest> {
        let selected = entrants.iter().find(|entrant| args.models.contains(&entrant.name));
        let entrant = selected.or(entrants.first()).context("there is a reference")?;
        let (input, effort) = (self.input(args, workspace)?, args.effort());
        let (clients, origin) = (self.clients(workspace, &input), self.origin(args, workspace, &input)?);
        let work = Work {
            clients: clients.as_ref(),
            origin: origin.as_ref(),
            ..self.work(&input, output_dir, cancel)
        };
        let comparisons = aa_test(entrant, &work, &effort, count)?;
        Ok(AaTest {
            workload: self.workload.clone(),
            command: args.command(),
            machine: Machine::this(),
            name: entrant.name.clone(),
            rounds: AaTest::rounds(&effort),
            partial: comparisons.len() < count,
            comparisons,
        })
    }

    /// Prepares the input.
    fn input(&self, args: &Args, workspace: &Workspace) -> Result<Input> {
        let mut input = match &args.input {
            Some(path) => self.manifest.given_input(workspace, &self.workload, path)?,
            None => {
                progress(&format!("preparing the {} input", args.size()));
                self.manifest.prepare(workspace, &self.workload, args.size())?
            }
        };
        if self.is_given {
            input.output = None;
        }
        Ok(input)
    }

    /// The clients, if the workload is a service.
    fn clients(&self, workspace: &Workspace, input: &Input) -> Option<Clients> {
        self.manifest.service.as_ref().map(|service| Clients::of(service, workspace.program(PEERS), input))
    }

    /// Starts the origin, if the workload only waits.
    fn origin(&self, args: &Args, workspace: &Workspace, input: &Input) -> Result<Option<Origin>> {
        let resources = self.manifest.resources(args.size()).filter(|_| args.input.is_none());
        let listed = resources.zip(input.measured.path.as_ref());
        listed.map(|(what, list)| Origin::start(&workspace.program(PEERS), what, list)).transpose()
    }

    fn work<'a>(&'a self, input: &'a Input, output_dir: &'a Path, cancel: &'a Cancel) -> Work<'a> {
        Work {
            queries: &self.queries,
            input,
            own_totals: &self.manifest.own_totals,
            prints_at_end: self.manifest.prints_at_end,
            output_dir,
            traces: None,
            clients: None,
            origin: None,
            cancel: Some(cancel),
        }
    }

    pub(crate) fn compare(
        &self,
        entrants: &[Entrant],
        mut absent: Vec<String>,
        args: &Args,
        workspace: &Workspace,
        output_dir: &Path,
        cancel: &Cancel,
    ) -> Result<Comparison> {
        let input = self.input(args, workspace)?;
        let traces = Traces { folder: output_dir.with_file_name("trace"), workload: self.workload.clone() };
        let clients = self.clients(workspace, &input);
        let has_tasks = !self.manifest.has_peers();
        if args.trace && !has_tasks {
            absent.push(format!("traces: {} only waits and has no kernels to trace", self.workload));
        }
        let asked = clients.as_ref().map(Clients::description).transpose()?;
        let traces = (args.trace && has_tasks).then_some(&traces);
        let origin = self.origin(args, workspace, &input)?;
        let (clients, origin) = (clients.as_ref(), origin.as_ref());
        let work = Work { traces, clients, origin, ..self.work(&input, output_dir, cancel) };
        let (time, machine, watch) = (history::now(), Machine::this(), Watch::begin());
        let measured = measure(entrants, &work, &args.effort())?;
        let load = watch.end();
        let query = self.measured_query(&input);
        Ok(Comparison {
            schema: result::SCHEMA,
            workload: self.workload.clone(),
            command: args.command(),
            time,
            commit: history::commit(&workspace.root),
            warnings: machine::warnings(&machine, &load),
            machine,
            load,
            partial: measured.partial,
            summary: summary::summary(&measured.rows),
            input,
            caption: notes::caption(&self.manifest.caption, &measured.totals),
            any_order: self.manifest.order == Order::Any,
            prints_at_end: self.manifest.prints_at_end,
            tool_note: self.manifest.tool_note.clone(),
            totals: measured.totals,
            query,
            checked: self.queries.iter().map(ToString::to_string).collect(),
            workers: args.workers(),
            rounds: measured.rounds,
            rounds_to_tell: measured.rounds_to_tell,
            drift: measured.drift,
            scaling: measured.scaling,
            baseline: None,
            asked,
            waiting: origin.map(Origin::waiting),
            memory: memory::METHOD.to_owned(),
            rows: measured.rows,
            absent,
        })
    }
}

impl Job {
    /// The measured query, combined with the input's arguments.
    fn measured_query(&self, input: &Input) -> String {
        match &input.measured.args[..] {
            [] => self.queries[0].to_string(),
            _ => line(&input.measured.with(&self.queries[0].args)),
        }
    }
}
