//! `cc-chaos`: runs the release programs while system resources fail, and judges how each run ends.
//!
//! A run may be *right* (the reference's output, status 0), end with an *error message* (another
//! status, and a reason on standard error), or *abort* if memory was limited. Every other end is a
//! fault of the program: wrong output, a panic, a hang, or a process or file that is left.
//! [`judge`] decides this, and is tested with a program that ends in each of these ways.
//!
//! In reading order: [`programs`] and [`inputs`] (what is run), [`plan`] (which call fails),
//! [`run`] (one run and its result), [`judge`], [`kv`] (the clients of a server), [`soak`]
//! (disturbances at random times).

#[path = "../../failpoints/src/control.rs"]
#[allow(dead_code, unreachable_pub, reason = "the preloaded library has the other half of the uses")]
mod control;
mod inputs;
mod judge;
mod kv;
mod limits;
mod plan;
mod processes;
mod programs;
mod run;
mod soak;
mod table;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Run the programs while system resources fail, and judge how they end.
#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Let a call for a resource fail: the first, one in the middle, or any; and set real limits
    Failpoints {
        #[command(flatten)]
        options: Options,
        /// Number of runs
        #[arg(long, value_name = "N", default_value_t = 2000)]
        runs: usize,
        /// Do only this run
        #[arg(long, value_name = "N")]
        run: Option<usize>,
        /// With --run: use this plan instead of the run's own
        #[arg(long, value_name = "CLASS:ROLE:FIRST:CALLS", requires = "run")]
        plan: Option<String>,
    },
    /// Send signals, kill and suspend processes, step the clock and stall readers at random times
    Soak {
        #[command(flatten)]
        options: Options,
        /// Duration in minutes
        #[arg(long, value_name = "MINUTES", default_value_t = 40.0)]
        minutes: f64,
    },
    /// Run a program under limits
    Exec(limits::Exec),
}

/// Options of both kinds of test.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Directory of the programs and the preloaded library [default: that of this program, where
    /// they are built if necessary]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Number of runs at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Time limit of a run: one that takes longer hangs
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    limit: u64,
    /// Only these workloads
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Only these models
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
}

impl Options {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }
}

fn main() -> Result<ExitCode> {
    match CommandLine::parse().command {
        Command::Failpoints { options, runs, run, plan } => {
            plan::failpoints(&options, runs, run, plan.as_deref())
        }
        Command::Soak { options, minutes } => soak::soak(&options, Duration::from_secs_f64(minutes * 60.0)),
        Command::Exec(exec) => exec.exec(),
    }
}
