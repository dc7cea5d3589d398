//! The command line that every model's program shares: `cc-threads [--model M] [--workers N] WORKLOAD …`.

mod grep;
mod output;
mod signals;

use std::{num::NonZeroUsize, process::ExitCode};

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::contract::{Ctx, Entry, Model};

/// The exit status of a command line that asks for something that cannot be, and of `grep`'s trouble.
const TROUBLE: u8 = 2;

/// Given alone, prints the program's models for a harness that depends on none of them.
pub const LIST_MODELS: &str = "--list-models";

/// The `main` of a model's program. The first model is the default, the others are its variants.
///
/// # Panics
///
/// If `models` is empty.
#[must_use]
pub fn main(models: &[Model]) -> ExitCode {
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
    let ctx = context(&matches, args);
    let done = match workload {
        "grep" => grep::main(model, &ctx, args),
        other => unreachable!("{other} is not a workload"),
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
    for Model { name, mechanism, grep, .. } in models {
        let declined = if let Entry::Declined(why) = grep { why } else { "" };
        println!("{name}\t{mechanism}\tgrep\t{declined}");
    }
    ExitCode::SUCCESS
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
        .subcommand(grep::command());
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
