//! The command line that every model's program shares: `cc-threads [--model M] [--workers N] WORKLOAD …`.

mod clean;
mod make_input;
#[cfg(test)]
mod tests;

use std::{fmt::Write, num::NonZeroUsize, process::ExitCode};

use anstream::{AutoStream, ColorChoice};
use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser, parser::ValueSource};

use crate::{
    contract::{Ctx, Options},
    error::Result,
    model::{Model, WORKLOADS},
    output::{self, TROUBLE},
    quantity::up_to,
    report::{LIST_MODELS, MAKE_INPUT, Report},
    signals, stdio,
};

/// What messages begin with that are about no workload.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// As many workers as a command line may ask for. Each is a thread or a process, and has an owner,
/// a queue and a part of the memory; more than this are a slip of the hand.
pub const MAX_WORKERS: usize = 1024;

/// As many tasks in flight as a command line may ask for: four times as many as the most workers
/// have by default. Queues have room for that many.
pub const MAX_WINDOW: usize = 65_536;

/// Adds the options that only one model has to a command line.
pub type AddOptions = fn(Command) -> Command;

/// The `main` of a model's program. The first model is the default, the others are its variants.
///
/// # Panics
///
/// If `models` is empty.
#[must_use]
pub fn main(models: &[Model]) -> ExitCode {
    main_with(models, |command| command)
}

/// The same for a model with options of its own. A run finds their values in [`Ctx::options`].
///
/// # Panics
///
/// If `models` is empty.
#[must_use]
pub fn main_with(models: &[Model], add: AddOptions) -> ExitCode {
    signals::take_file_size_limit();
    for model in models {
        (model.enter)();
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == LIST_MODELS) {
        return output::print(PROGRAM, &list(models)).into();
    }
    let matches = match command(models, add).try_get_matches() {
        Ok(matches) => matches,
        Err(told) => return tell(&told).into(),
    };
    let (workload, args) = matches.subcommand().expect("clap requires one");
    let done = match workload {
        clean::NAME => clean::main(args),
        MAKE_INPUT => make_input::main(args),
        workload => run(models, add, workload, &matches, args),
    };
    let status = done.unwrap_or_else(|error| {
        // If standard error does not take it, the status says the same.
        let _ = stdio::say(&format!("{workload}: {error}\n"));
        TROUBLE
    });
    status.into()
}

/// Runs a workload and tells the harness, if there is one, how much was done. Returns the exit
/// status.
fn run(
    models: &[Model],
    add: AddOptions,
    workload: &str,
    matches: &ArgMatches,
    args: &ArgMatches,
) -> Result<u8> {
    let name = matches.get_one::<String>("model").expect("has a default");
    let model = models.iter().find(|model| model.name == name).expect("clap checked the name");
    let row = WORKLOADS.iter().find(|row| row.name == workload).expect("clap checked the name");
    let mut ctx = context(matches);
    ctx.options = options(add, args);
    let outcome = (row.main)(model, &ctx, args)?;
    if let Some(totals) = outcome.totals {
        let (workload, model) = (workload.to_owned(), model.name.to_owned());
        Report { workload, model, workers: ctx.workers, totals }.send()?;
    }
    Ok(outcome.status)
}

/// What was given for the options that `add` adds.
fn options(add: AddOptions, args: &ArgMatches) -> Options {
    let mut options = Options::default();
    for arg in add(Command::new(PROGRAM)).get_arguments() {
        let id = arg.get_id().as_str();
        if args.value_source(id) == Some(ValueSource::CommandLine) {
            for value in args.get_raw(id).into_iter().flatten() {
                options.add(id, value);
            }
        }
    }
    options
}

/// Prints what clap has to say: the help that was asked for, or what is wrong with the command
/// line. Returns the exit status.
fn tell(told: &clap::Error) -> u8 {
    if told.use_stderr() {
        let text = in_style(told, AutoStream::choice(&std::io::stderr()));
        let _ = stdio::write_err(text.as_bytes()); // the status says the same
        TROUBLE
    } else {
        output::print(PROGRAM, &in_style(told, AutoStream::choice(&std::io::stdout())))
    }
}

/// With colours, unless the stream has no use for them.
fn in_style(told: &clap::Error, choice: ColorChoice) -> String {
    let text = told.render();
    if choice == ColorChoice::Never { text.to_string() } else { text.ansi().to_string() }
}

/// A line for each model and workload: `name<TAB>mechanism<TAB>workload<TAB>why it has none, or nothing`.
fn list(models: &[Model]) -> String {
    let mut text = String::new();
    for model in models {
        let Model { name, mechanism, .. } = model;
        for row in WORKLOADS {
            let (workload, declined) = (row.name, (row.declined)(model).unwrap_or_default());
            writeln!(text, "{name}\t{mechanism}\t{workload}\t{declined}").expect("a string takes any text");
        }
    }
    text
}

/// The whole command line of a program with these models, for its `--help` and for tests.
///
/// # Panics
///
/// If `models` is empty.
#[must_use]
pub fn command(models: &[Model], add: AddOptions) -> Command {
    let [first, ..] = models else { panic!("a program has a model") };
    let names: Vec<&str> = models.iter().map(|model| model.name).collect();
    let mechanisms: Vec<String> =
        models.iter().map(|model| format!("{}: {}", model.name, model.mechanism)).collect();
    let command = Command::new(PROGRAM)
        .about(mechanisms.join("\n"))
        .subcommand_required(true)
        .arg(
            Arg::new("model")
                .long("model")
                .value_parser(PossibleValuesParser::new(names))
                .default_value(first.name)
                .help("Which of this program's models does the work"),
        )
        .arg(
            Arg::new("workers")
                .long("workers")
                .value_name("N")
                .value_parser(workers)
                .help(format!("How many workers, up to {MAX_WORKERS} [default: one per core]")),
        )
        .arg(Arg::new("window").long("window").value_name("N").value_parser(window).help(format!(
            "How many tasks may be in flight, up to {MAX_WINDOW} [default: sixteen per worker]"
        )))
        .subcommands(WORKLOADS.iter().map(|row| (row.command)()))
        .subcommand(clean::command())
        .subcommand(make_input::command());
    add(command)
}

/// As many workers as there are cores, within the limit.
fn default_workers() -> NonZeroUsize {
    Ctx::available_workers().min(NonZeroUsize::new(MAX_WORKERS).expect("it is not zero"))
}

fn context(matches: &ArgMatches) -> Ctx {
    let workers = matches.get_one("workers").copied().unwrap_or_else(default_workers);
    let mut ctx = Ctx::new(workers);
    if let Some(window) = matches.get_one("window") {
        ctx.window = *window;
    }
    ctx
}

/// The number of workers of a command line.
///
/// # Errors
///
/// If it is no number from 1 to [`MAX_WORKERS`].
pub fn workers(text: &str) -> Result<NonZeroUsize, String> {
    up_to(text, MAX_WORKERS)
}

fn window(text: &str) -> Result<NonZeroUsize, String> {
    up_to(text, MAX_WINDOW)
}
