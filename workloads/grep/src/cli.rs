//! `grep`'s flags and exit status.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use cc_core::{
    contract::Ctx,
    error::{Error, Result},
    identity::OutputFile,
    output::{Outcome, with_output},
    signals::interrupted,
};
use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_bytes::ByteBuf;

use crate::{Job, Query, Report, Run};

/// Report the lines that match a pattern.
///
/// Patterns are in the syntax of Rust's `regex` crate, applied to bytes. The flags, the output and
/// the exit status are GNU grep's: 0 if a line was selected, 1 if none was, 2 after an error.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
struct Flags {
    /// Print this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// A pattern; may be given several times
    #[arg(short = 'e', long = "regexp", value_name = "PATTERN", allow_hyphen_values = true)]
    patterns: Vec<OsString>,
    /// Patterns are regular expressions (the default)
    #[arg(short = 'E', long = "extended-regexp", overrides_with = "fixed")]
    extended: bool,
    /// Patterns are literal strings
    #[arg(short = 'F', long = "fixed-strings", overrides_with = "extended")]
    fixed: bool,
    /// Search all files below the directories
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Ignore the case of ASCII letters
    #[arg(short = 'i', long)]
    ignore_case: bool,
    /// Select the lines that do not match
    #[arg(short = 'v', long)]
    invert_match: bool,
    /// Match whole words only
    #[arg(short = 'w', long)]
    word_regexp: bool,
    /// Print line numbers
    #[arg(short = 'n', long)]
    line_number: bool,
    /// Print file names with the lines
    #[arg(short = 'H', long, overrides_with = "no_filename")]
    with_filename: bool,
    /// Print no file names
    #[arg(short = 'h', long, overrides_with = "with_filename")]
    no_filename: bool,
    /// Print the names of files with a selected line
    #[arg(short = 'l', long, overrides_with = "files_without_match")]
    files_with_matches: bool,
    /// Print the names of files without a selected line
    #[arg(short = 'L', long, overrides_with = "files_with_matches")]
    files_without_match: bool,
    /// Print each match on a line of its own
    #[arg(short = 'o', long)]
    only_matching: bool,
    /// Print nothing; the exit status is the answer
    #[arg(short = 'q', long, visible_alias = "silent")]
    quiet: bool,
    /// Print no messages about files that cannot be read
    #[arg(short = 's', long)]
    no_messages: bool,
    /// Print the number of selected lines of each file
    #[arg(short = 'c', long)]
    count: bool,
    /// Stop reading a file after NUM selected lines
    #[arg(short = 'm', long, value_name = "NUM")]
    max_count: Option<u64>,
    /// The pattern (unless -e gives it), then files, directories, or - for standard input
    #[arg(value_name = "PATTERN|FILE")]
    operands: Vec<OsString>,
}

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("grep").args_override_self(true))
}

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let mut job = flags(args).job()?;
    job.query.check()?;
    // As in GNU grep: with the other reports the output cannot grow from what is found in it.
    if job.query.report.prints_text() && job.query.max != Some(1) {
        job.output = OutputFile::stdout();
    }
    if job.query.max == Some(0) && job.query.report != Report::FilesWithout {
        return Ok(1.into()); // GNU grep reads nothing either
    }
    with_output("grep", &ctx.stop, |output| {
        let mut printer = job.printer(output);
        let result = run(&job, ctx, &mut printer);
        // After a signal, its exit status takes precedence over an error of the run.
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        result?;
        Ok(Outcome::of(printer.status(), printer.totals()))
    })
}

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).job()?.query.check()
}

/// The job that these arguments describe; the first argument is the program's name. None if clap
/// refuses them, or prints help instead.
pub fn job(words: &[OsString]) -> Option<Result<Job>> {
    let matches = command().try_get_matches_from(words).ok()?;
    Some(flags(&matches).job())
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn job(self) -> Result<Job> {
        let mut patterns = self.patterns.clone();
        let mut operands = self.operands.clone().into_iter();
        if patterns.is_empty() {
            patterns.extend(operands.next());
        }
        if patterns.is_empty() {
            return Err(Error::Usage("no pattern: give one as the first operand or with -e".to_owned()));
        }
        let roots: Vec<PathBuf> = operands.map(PathBuf::from).collect();
        let query = Query {
            patterns: patterns.into_iter().flat_map(lines).collect(),
            fixed: self.fixed,
            ignore_case: self.ignore_case,
            word: self.word_regexp,
            invert: self.invert_match,
            max: self.max_count,
            report: self.report(),
            line_numbers: self.line_number,
            names: self.with_filename || (!self.no_filename && self.many_files(&roots)),
            no_messages: self.no_messages,
            ..Query::default()
        };
        Ok(Job::new(query, roots, self.recursive))
    }

    /// Whether there may be several files, so that lines are printed with file names.
    fn many_files(&self, roots: &[PathBuf]) -> bool {
        match roots {
            [] => self.recursive,
            [root] => self.recursive && root.is_dir(),
            _ => true,
        }
    }

    fn report(&self) -> Report {
        match self {
            Self { quiet: true, .. } => Report::Status,
            Self { files_with_matches: true, .. } => Report::FilesWith,
            Self { files_without_match: true, .. } => Report::FilesWithout,
            Self { count: true, .. } => Report::Count,
            Self { only_matching: true, .. } => Report::Matches,
            _ => Report::Lines,
        }
    }
}

/// Splits a pattern at newlines: like grep, each line is a pattern.
fn lines(pattern: OsString) -> Vec<ByteBuf> {
    pattern.into_vec().split(|byte| *byte == b'\n').map(ByteBuf::from).collect()
}
