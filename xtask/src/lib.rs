//! The project's own commands: `cargo xtask COMMAND`.
//!
//! A library only so that `cc-report`, which the light path does not build, reads the models' files
//! as `show` does.

// What prints goes through `out`, which does not panic and tells what could not be written.
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

/// The exit status of a command that cannot do what it is asked for.
const USAGE: u8 = 2;

/// Does what the command line says.
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

fn status(done: anyhow::Result<()>, otherwise: u8) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::say(format_args!("error: {error:#}"));
            ExitCode::from(otherwise)
        }
    }
}
