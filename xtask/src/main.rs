//! The project's own commands: `cargo xtask COMMAND`.

mod compare;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// The project's own commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Compare(compare::Args),
    /// Check the structure that a compiler cannot
    Tidy,
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Compare(args) => compare::run(&args),
        Command::Tidy => status(tidy::run()),
    }
}

fn status(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
