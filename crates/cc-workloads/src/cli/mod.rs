//! The command line that every model's program shares: `cc-threads [--model M] [--workers N] WORKLOAD …`.

mod clean;
mod fetch;
mod grep;
mod kv;
mod mandelbrot;
mod output;
mod resize;
mod signals;
mod sort;
mod wordcount;

use std::{num::NonZeroUsize, process::ExitCode, time::Duration};

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::{
    contract::{Ctx, Entry, Model},
    error::{Error, Result},
    report::{Report, Totals},
};

/// The exit status of a command line that asks for something that cannot be, and of `grep`'s trouble.
const TROUBLE: u8 = 2;

/// Given alone, prints the program's models for a harness that depends on none of them.
pub const LIST_MODELS: &str = "--list-models";

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
        return list(models);
    }
    let matches = command(models).get_matches();
    let name = matches.get_one::<String>("model").expect("has a default");
    let model = models.iter().find(|model| model.name == name).expect("clap checked the name");
    let (workload, args) = matches.subcommand().expect("clap requires one");
    let done = if workload == clean::NAME {
        clean::main(args)
    } else {
        let ctx = context(&matches, args);
        let (.., main) =
            WORKLOADS.iter().find(|(name, ..)| *name == workload).expect("clap checked the name");
        main(model, &ctx, args)
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{workload}: {error}");
            ExitCode::from(TROUBLE)
        }
    }
}

/// A line for each model and workload: `name<TAB>mechanism<TAB>workload<TAB>why it has none, or nothing`.
fn list(models: &[Model]) -> ExitCode {
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
            println!("{name}\t{mechanism}\t{workload}\t{}", declined.unwrap_or_default());
        }
    }
    ExitCode::SUCCESS
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
    let command = Command::new(env!("CARGO_PKG_NAME"))
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
                .value_parser(value_parser!(NonZeroUsize))
                .help("How many workers [default: one per core]"),
        )
        .arg(
            Arg::new("window")
                .long("window")
                .value_name("N")
                .value_parser(value_parser!(NonZeroUsize))
                .help("How many tasks may be in flight [default: sixteen per worker]"),
        )
        .subcommands(WORKLOADS.iter().map(|(_, command, _)| command()))
        .subcommand(clean::command());
    (first.args)(command)
}

fn context(matches: &ArgMatches, args: &ArgMatches) -> Ctx {
    let workers = matches.get_one("workers").copied().unwrap_or_else(Ctx::available_workers);
    let mut ctx = Ctx::new(workers);
    if let Some(window) = matches.get_one("window") {
        ctx.window = *window;
    }
    ctx.args = args.clone();
    ctx
}

/// A time of a flag.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds are a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be more than none".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_fractions() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(["", "x", "-1", "0", "inf", "NaN"].iter().all(|text| seconds(text).is_err()));
    }
}
