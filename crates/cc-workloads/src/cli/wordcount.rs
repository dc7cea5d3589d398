//! `wordcount`'s flags and exit status.

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
};

use clap::{ArgMatches, Args, Command};

use super::{flags, output::with_output, report, signals::interrupted};
use crate::{
    contract::{Ctx, Model},
    error::Result,
    wordcount::{Job, Settings},
};

/// Count how often each word occurs, and list the most frequent first.
///
/// A word is a run of ASCII letters, digits and apostrophes. Each line of the output is a count, a tabulator and a word;
/// words that occur as often are in the order of their bytes. The exit status is 0 if everything could be read, 1 if
/// something could not, 2 if the run could not be done.
#[derive(Debug, Args)]
struct Flags {
    /// Count words that differ only in case as one
    #[arg(short = 'i', long)]
    ignore_case: bool,
    /// List the K most frequent words only
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// Leave out words of fewer than N characters
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_len: usize,
    /// Read all files below the directories; without FILE, those below the current one
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Files, directories (with -r), and - for standard input, which is read if there are none
    #[arg(value_name = "FILE")]
    roots: Vec<PathBuf>,
}

pub(super) fn command() -> Command {
    Flags::augment_args(Command::new("wordcount").args_override_self(true))
}

pub(super) fn main(model: &Model, ctx: &Ctx, args: &ArgMatches) -> Result<u8> {
    let job = flags::<Flags>(args).job();
    let run = model.wordcount.or_usage(model, "wordcount")?;
    with_output("wordcount", &ctx.stop, |output| {
        let mut ranking = job.ranking(output);
        let ran = run(&job, ctx, &mut ranking);
        let (status, totals) = (ranking.status(), ranking.totals());
        if ran.is_ok() && !ctx.stop.requested() {
            let _ = ranking.finish(); // the writer knows whether it is read
        }
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status);
        }
        ran?;
        report("wordcount", model, ctx, totals)?;
        Ok(status)
    })
}

/// What is made of a command line before anything is done.
#[cfg(test)]
pub(super) fn parse(args: &ArgMatches) -> Result<()> {
    drop(flags::<Flags>(args).job());
    Ok(())
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
