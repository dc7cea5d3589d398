//! The project's own commands: `cargo xtask COMMAND`.
//!
//! It is a library because `cc-report` uses its result types and its reader of the models' files.
//! `cc-report` is a separate package because most commands do not need its dependencies.

// All output goes through `out`, which does not panic if a write fails and reports the failure in
// the exit status.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cargo;
pub mod compare;
pub mod models;
pub mod new_workload;
pub mod out;
mod process;
mod report;
pub mod show;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// The project's own commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Compare(compare::plan::args::Args),
    Report(report::Args),
    Choose(report::Choose),
    Show(show::Args),
    NewWorkload(new_workload::Args),
    Tidy(tidy::Args),
}

/// The exit status of a command that could not do its job, or could not write its output.
const USAGE: u8 = 2;

/// Runs the command that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    out::checked(match Command::parse() {
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => status(report::run(&args), USAGE),
        Command::Choose(args) => status(report::choose(&args), USAGE),
        Command::Show(args) => status(show::run(&args), USAGE),
        Command::NewWorkload(args) => status(new_workload::run(&args), USAGE),
        Command::Tidy(args) => status(tidy::run(&args), 1),
    })
}

fn status(result: anyhow::Result<()>, failure: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::say(format_args!("error: {error:#}"));
            ExitCode::from(failure)
        }
    }
}
