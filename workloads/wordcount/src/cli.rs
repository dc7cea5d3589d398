//! `wordcount`'s flags and exit status.

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
};

use cc_core::{
    contract::Ctx,
    error::Result,
    output::{Outcome, with_output},
    signals::interrupted,
};
use clap::{
    ArgMatches, Args, Command, FromArgMatches,
    builder::{OsStringValueParser, TypedValueParser},
};

use crate::{Job, Run, Settings};

/// Count how often each word occurs, and list the most frequent first.
///
/// A word is a run of ASCII letters, digits and apostrophes. Each line of the output is a count, a
/// tab and a word; words with the same count are in the order of their bytes. The exit status is 0
/// if everything could be read, 1 if something could not, 2 if the run could not be done.
#[derive(Debug, Args)]
struct Flags {
    /// Count words that differ only in case as one
    #[arg(short = 'i', long)]
    ignore_case: bool,
    /// List only the K most frequent words
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// Leave out words of fewer than N characters
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_len: usize,
    /// Read all files below the directories; without FILE, those below the current one
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Files, directories (with -r), or - for standard input [default: standard input]
    #[arg(value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    roots: Vec<PathBuf>,
}

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("wordcount").args_override_self(true))
}

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let job = flags(args).job();
    with_output("wordcount", &ctx.stop, |output| {
        let mut ranking = job.ranking(output);
        let result = run(&job, ctx, &mut ranking);
        let (status, totals) = (ranking.status(), ranking.totals());
        if result.is_ok() && !ctx.stop.requested() {
            let _ = ranking.finish(); // the output reports whether it was written
        }
        // After a signal, its exit status takes precedence over an error of the run.
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        result?;
        Ok(Outcome::of(status, totals))
    })
}

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    drop(flags(args).job());
    Ok(())
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn job(self) -> Job {
        let settings = Settings {
            ignore_case: self.ignore_case,
            min_len: self.min_len,
            top: self.top,
            seed: RandomState::new().hash_one("wordcount"),
            ..Settings::default()
        };
        Job { settings, roots: self.roots, recursive: self.recursive }
    }
}
