//! `cc-chaos`: runs the release programs while what they need fails, and judges how each run ends.
//!
//! A run is *right* (the reference's output, status 0), or ends with an *error in words* (another
//! status, and a message on standard error), or *aborts* where memory was limited. Anything else is
//! a fault of the program: wrong output, a panic, a hang, a process or a file that is left behind.
//! [`judge`] decides, and is tested with a program that does each of these things.
//!
//! Read in this order: [`programs`] and [`inputs`] (what is run on what), [`plan`] (which call
//! fails), [`run`] (one run and what was seen of it), [`judge`], [`kv`] (a server and its clients),
//! [`soak`] (disturbances at random times).

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

/// Run the programs while what they need fails, and judge how they end.
#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Let the first call for a resource fail, one in the middle, or any; and set real limits
    Failpoints {
        #[command(flatten)]
        options: Options,
        /// How many runs
        #[arg(long, value_name = "N", default_value_t = 2000)]
        runs: usize,
        /// Do only the run of this number
        #[arg(long, value_name = "N")]
        run: Option<usize>,
        /// With --run: use this plan instead of the one that the number gives
        #[arg(long, value_name = "CLASS:ROLE:FIRST:CALLS", requires = "run")]
        plan: Option<String>,
    },
    /// Send signals, kill and suspend processes, step the clock and stall readers at random times
    Soak {
        #[command(flatten)]
        options: Options,
        /// For how long
        #[arg(long, value_name = "MINUTES", default_value_t = 40.0)]
        minutes: f64,
    },
    /// Run a program under limits
    Exec(limits::Exec),
}

/// What both kinds of test take.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Everything random follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the programs and the preloaded library are [default: beside this program, built if
    /// necessary]
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// How many runs at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// A run that takes longer hangs
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
