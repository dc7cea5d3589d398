//! The command line that every model's program shares: `cc-threads [--model M] [--workers N] WORKLOAD …`.

mod clean;
mod fetch;
mod grep;
mod kv;
pub mod make_input;
mod mandelbrot;
mod output;
mod resize;
mod signals;
mod sort;
#[cfg(test)]
mod tests;
mod wordcount;

use std::{fmt::Write, num::NonZeroUsize, process::ExitCode, time::Duration};

use anstream::{AutoStream, ColorChoice};
use clap::{Arg, ArgMatches, Command, FromArgMatches};

use crate::{
    contract::{Ctx, Entry, Model},
    error::{Error, Result},
    report::{Report, Totals},
    stdio,
};

/// The exit status of a command line that asks for something that cannot be, and of `grep`'s trouble.
const TROUBLE: u8 = 2;

/// What messages begin with that are about no workload.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// What is made of the words of a command line, and of a list of URLs, without a run: for the fuzz
/// targets, which no program has.
#[doc(hidden)]
pub mod jobs {
    pub use super::{fetch::lines as urls, grep::job as grep, sort::job as sort};
}

/// Given alone, prints the program's models for a harness that depends on none of them.
pub const LIST_MODELS: &str = "--list-models";

/// As many workers as a command line may ask for. Each is a thread or a process, and has an owner,
/// a queue and a part of the memory; more than this are a slip of the hand.
pub const MAX_WORKERS: usize = 1024;

/// As many tasks in flight as a command line may ask for: four times as many as the most workers
/// have by default. Queues have room for that many.
pub const MAX_WINDOW: usize = 65_536;

/// A workload on the command line: its name, its flags, and what is done with them.
type Workload = (&'static str, fn() -> Command, fn(&Model, &Ctx, &ArgMatches) -> Result<u8>);

/// All workloads, in the order of the help.
const WORKLOADS: &[Workload] = &[
    ("grep", grep::command, grep::main),
    ("resize", resize::command, resize::main),
    ("mandelbrot", mandelbrot::command, mandelbrot::main),
    ("wordcount", wordcount::command, wordcount::main),
    ("sort", sort::command, sort::main),
    ("kv", kv::command, kv::main),
    ("fetch", fetch::command, fetch::main),
];

/// The `main` of a model's program. The first model is the default, the others are its variants.
///
/// # Panics
///
/// If `models` is empty.
#[must_use]
pub fn main(models: &[Model]) -> ExitCode {
    signals::take_file_size_limit();
    for model in models {
        (model.enter)();
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == LIST_MODELS) {
        return output::print(PROGRAM, &list(models)).into();
    }
    let matches = match command(models).try_get_matches() {
        Ok(matches) => matches,
        Err(told) => return tell(&told).into(),
    };
    let name = matches.get_one::<String>("model").expect("has a default");
    let model = models.iter().find(|model| model.name == name).expect("clap checked the name");
    let (workload, args) = matches.subcommand().expect("clap requires one");
    let done = if workload == clean::NAME {
        clean::main(args)
    } else if workload == make_input::NAME {
        make_input::main(args)
    } else {
        let ctx = context(&matches, args);
        let (.., main) =
            WORKLOADS.iter().find(|(name, ..)| *name == workload).expect("clap checked the name");
        main(model, &ctx, args)
    };
    let status = done.unwrap_or_else(|error| {
        // If standard error does not take it, the status says the same.
        let _ = stdio::say(&format!("{workload}: {error}\n"));
        TROUBLE
    });
    status.into()
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
        let Model { name, mechanism, grep, resize, mandelbrot, wordcount, sort, kv, fetch, .. } = model;
        let entries = [
            ("grep", grep.declined()),
            ("resize", resize.declined()),
            ("mandelbrot", mandelbrot.declined()),
            ("wordcount", wordcount.declined()),
            ("sort", sort.declined()),
            ("kv", kv.declined()),
            ("fetch", fetch.declined()),
        ];
        for (workload, declined) in entries {
            let declined = declined.unwrap_or_default();
            writeln!(text, "{name}\t{mechanism}\t{workload}\t{declined}").expect("a string takes any text");
        }
    }
    text
}

impl<F: Copy> Entry<F> {
    /// The function, or a message for whoever asked for it.
    fn or_usage(self, model: &Model, workload: &str) -> Result<F> {
        match self {
            Self::Run(run) => Ok(run),
            Self::Declined(why) => Err(Error::Usage(format!("{} has no {workload}: {why}", model.name))),
        }
    }
}

/// Tells the harness, if there is one, how much was done.
fn report(workload: &str, model: &Model, ctx: &Ctx, totals: impl Into<Totals>) -> Result<()> {
    let (workload, model) = (workload.to_owned(), model.name.to_owned());
    Report { workload, model, workers: ctx.workers, totals: totals.into() }.send()
}

/// The whole command line of a program with these models, for its `--help` and for tests.
///
/// # Panics
///
/// If `models` is empty.
#[must_use]
pub fn command(models: &[Model]) -> Command {
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
                .value_parser(clap::builder::PossibleValuesParser::new(names))
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
        .subcommands(WORKLOADS.iter().map(|(_, command, _)| command()))
        .subcommand(clean::command())
        .subcommand(make_input::command());
    (first.args)(command)
}

/// As many workers as there are cores, within the limit.
fn default_workers() -> NonZeroUsize {
    Ctx::available_workers().min(NonZeroUsize::new(MAX_WORKERS).expect("it is not zero"))
}

fn context(matches: &ArgMatches, args: &ArgMatches) -> Ctx {
    let workers = matches.get_one("workers").copied().unwrap_or_else(default_workers);
    let mut ctx = Ctx::new(workers);
    if let Some(window) = matches.get_one("window") {
        ctx.window = *window;
    }
    ctx.args = args.clone();
    ctx
}

/// The values of a workload's flags.
fn flags<F: FromArgMatches>(args: &ArgMatches) -> F {
    F::from_arg_matches(args).expect("clap has parsed them by the same definitions")
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

/// A number from 1 to `max`.
fn up_to(text: &str, max: usize) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= max);
    number.ok_or_else(|| format!("it must be a number from 1 to {max}"))
}

/// The longest time that a flag takes: ten years. A longer one cannot be told from never, and a
/// point of time so far away could not be computed.
const MAX_SECONDS: f64 = 10.0 * 365.25 * 86_400.0;

/// A time of a flag.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds are a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        _ if seconds > MAX_SECONDS => Err(format!("it must be {MAX_SECONDS} (ten years) at most")),
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be more than none".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
