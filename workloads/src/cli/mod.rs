//! The command line that every model's program shares:
//! `cc-threads [--model M] [--workers N] WORKLOAD …`.

mod clean;
mod make_input;
#[cfg(test)]
mod tests;

use std::{fmt::Write, num::NonZeroUsize, process::ExitCode};

use anstream::{AutoStream, ColorChoice};
use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::PossibleValuesParser,
    error::{ContextKind, ErrorKind},
    parser::ValueSource,
};

use crate::{
    contract::{Ctx, Options},
    error::Result,
    model::{Model, WORKLOADS, Workload},
    output::{self, TROUBLE},
    quantity::up_to,
    report::{LIST_MODELS, MAKE_INPUT, Report},
    signals, stdio,
};

/// The prefix of messages that concern no workload.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Maximum of `--workers`: each worker is a thread or a process, with a queue and a part of the
/// memory. A larger number is a typing error.
pub const MAX_WORKERS: usize = 1024;

/// Maximum of `--window`: four times the default window of [`MAX_WORKERS`] workers. Models allocate
/// queues of this capacity.
pub const MAX_WINDOW: usize = 65_536;

/// Adds the options of a single model to a command line.
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

/// The same for a model with its own options. A run finds their values in [`Ctx::options`].
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
        Err(message) => return print_message(message).into(),
    };
    let (workload, args) = matches.subcommand().expect("clap requires one");
    let result = match workload {
        clean::NAME => clean::main(args),
        MAKE_INPUT => make_input::main(args),
        workload => run(models, add, workload, &matches, args),
    };
    let status = result.unwrap_or_else(|error| {
        // If standard error cannot be written, the status still reports the failure.
        let _ = stdio::say(&format!("{workload}: {error}\n"));
        TROUBLE
    });
    status.into()
}

/// Runs a workload and reports to the harness, if there is one, how much was done. Returns the exit
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

/// The values of the options that `add` adds.
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

/// Prints the message that clap has in place of a command line: the requested help, or an error.
/// Returns the exit status.
fn print_message(mut message: clap::Error) -> u8 {
    if message.kind() == ErrorKind::UnknownArgument {
        // It says how to pass the unknown flag as an operand, which is hardly what was meant. The
        // name of a similar flag, if there is one, is another context and stays.
        message.remove(ContextKind::Suggested);
    }
    if message.use_stderr() {
        let text = styled(&message, AutoStream::choice(&std::io::stderr()));
        let _ = stdio::write_err(text.as_bytes()); // the status still reports the failure
        TROUBLE
    } else {
        output::print(PROGRAM, &styled(&message, AutoStream::choice(&std::io::stdout())))
    }
}

/// The text of a message, with colours if the stream shows them.
fn styled(message: &clap::Error, choice: ColorChoice) -> String {
    let text = message.render();
    if choice == ColorChoice::Never { text.to_string() } else { text.ansi().to_string() }
}

/// A line for each model and workload: `name<TAB>mechanism<TAB>workload<TAB>reason`. The reason
/// says why the model has declined the workload; it is empty if the model has not.
fn list(models: &[Model]) -> String {
    let mut text = String::new();
    for model in models {
        let Model { name, mechanism, .. } = model;
        for row in WORKLOADS {
            let (workload, declined) = (row.name, (row.declined)(model).unwrap_or_default());
            writeln!(text, "{name}\t{mechanism}\t{workload}\t{declined}")
                .expect("writing to a string cannot fail");
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
    let [first, ..] = models else { panic!("a program needs at least one model") };
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
                .help("The model that does the work"),
        )
        .arg(
            Arg::new("workers")
                .long("workers")
                .value_name("N")
                .value_parser(workers)
                .help(format!("Number of workers, up to {MAX_WORKERS} [default: one per core]")),
        )
        .arg(Arg::new("window").long("window").value_name("N").value_parser(window).help(format!(
            "Limit on tasks begun and not yet emitted, up to {MAX_WINDOW} [default: 16 per worker]"
        )))
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(version())
        .subcommands(WORKLOADS.iter().map(workload))
        .subcommand(clean::command())
        .subcommand(make_input::command());
    add(command)
}

/// A workload's command line, with the flags that all workloads have.
fn workload(row: &Workload) -> Command {
    let name = format!("{PROGRAM} {}", row.name);
    let command = (row.command)().display_name(name).version(env!("CARGO_PKG_VERSION"));
    // As in GNU's programs, a long flag may be abbreviated.
    command.infer_long_args(true).disable_version_flag(true).arg(version())
}

/// `--version`, without clap's `-V`: a workload may have a flag of that letter.
fn version() -> Arg {
    Arg::new("version").long("version").action(ArgAction::Version).help("Print the version")
}

/// One worker per core, within the limit.
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

/// Parses a number of workers.
///
/// # Errors
///
/// If it is not a number from 1 to [`MAX_WORKERS`].
pub fn workers(text: &str) -> Result<NonZeroUsize, String> {
    up_to(text, MAX_WORKERS)
}

fn window(text: &str) -> Result<NonZeroUsize, String> {
    up_to(text, MAX_WINDOW)
}
