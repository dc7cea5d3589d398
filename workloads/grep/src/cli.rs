//! `grep`'s flags and exit status.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, IsTerminal},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use cc_core::{
    contract::Ctx,
    error::{Error, Result},
    identity::OutputFile,
    output::{Outcome, with_output},
    signals::interrupted,
    stream,
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use serde_bytes::ByteBuf;

use crate::{BinaryFiles, Context, Filter, Job, Query, Report, Run};

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
    /// Take a pattern from each line of FILE; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pattern_files: Vec<PathBuf>,
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
    /// Match whole lines only
    #[arg(short = 'x', long)]
    line_regexp: bool,
    /// Lines end with NUL, not with a newline
    #[arg(short = 'z', long)]
    null_data: bool,
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
    #[arg(short = 'm', long, value_name = "NUM", allow_negative_numbers = true, value_parser = max_count)]
    max_count: Option<MaxCount>,
    /// Print NUM lines after each selected line
    #[arg(short = 'A', long, value_name = "NUM", value_parser = lines_of_context)]
    after_context: Option<u64>,
    /// Print NUM lines before each selected line
    #[arg(short = 'B', long, value_name = "NUM", value_parser = lines_of_context)]
    before_context: Option<u64>,
    /// Print NUM lines before and after each selected line; -NUM is the same
    #[arg(short = 'C', long, value_name = "NUM", value_parser = lines_of_context)]
    context: Option<u64>,
    /// Print SEP between groups of lines, if there is context
    #[arg(
        long,
        value_name = "SEP",
        default_value = "--",
        allow_hyphen_values = true,
        overrides_with = "no_group_separator"
    )]
    group_separator: OsString,
    /// Print nothing between groups of lines
    #[arg(long, overrides_with = "group_separator")]
    no_group_separator: bool,
    /// Search files only if their names match GLOB
    #[arg(long, value_name = "GLOB")]
    include: Vec<OsString>,
    /// Skip files whose names match GLOB
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<OsString>,
    /// Skip directories whose names match GLOB
    #[arg(long, value_name = "GLOB")]
    exclude_dir: Vec<OsString>,
    /// What to do with files that contain NUL
    #[arg(long, value_name = "TYPE", default_value = "binary", overrides_with_all = ["text", "skip_binary"])]
    binary_files: BinaryFiles,
    /// Treat all files as text
    #[arg(short = 'a', long, overrides_with_all = ["binary_files", "skip_binary"])]
    text: bool,
    /// Assume that files that contain NUL do not match
    #[arg(short = 'I', overrides_with_all = ["binary_files", "text"])]
    skip_binary: bool,
    /// Has no effect, as in GNU grep on Unix
    #[arg(short = 'U', long)]
    binary: bool,
    /// Highlight matches, names, numbers and separators
    #[arg(
        long,
        visible_alias = "colour",
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "never",
        default_missing_value = "auto"
    )]
    color: Color,
    /// The pattern (unless -e gives it), then files, directories, or - for standard input
    #[arg(value_name = "PATTERN|FILE")]
    operands: Vec<OsString>,
}

/// `--color`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// Always
    #[value(aliases = ["yes", "force"])]
    Always,
    /// Never
    #[value(aliases = ["no", "none"])]
    Never,
    /// If standard output is a terminal
    #[value(aliases = ["tty", "if-tty"])]
    Auto,
}

/// `-m`: `None` if there is no limit.
type MaxCount = Option<u64>;

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    // `-NUM` is a cluster of flags for clap, one per digit.
    let digits = DIGITS.map(|digit| {
        let arg = Arg::new(digit).short(digit.chars().next()).hide(true);
        arg.action(ArgAction::Append).num_args(0).default_missing_value(digit)
    });
    let command = Command::new("grep").args_override_self(true).infer_long_args(true);
    Flags::augment_args(command).args(digits)
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let mut job = job_of(args)?;
    job.query.check()?;
    // As in GNU grep: with the other reports the output cannot grow from what is found in it.
    if job.query.report.prints_text() && job.query.max != Some(1) {
        job.output = OutputFile::stdout();
    }
    with_output("grep", &ctx.stop, |output| {
        let mut printer = job.printer(output);
        let result = run(&job, ctx, &mut printer);
        job.position_stdin();
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
    job_of(args)?.query.check()
}

/// The job that these arguments describe; the first argument is the program's name. None if clap
/// refuses them, or prints help instead.
pub fn job(words: &[OsString]) -> Option<Result<Job>> {
    let matches = command().try_get_matches_from(words).ok()?;
    Some(job_of(&matches))
}

fn job_of(args: &ArgMatches) -> Result<Job> {
    let flags = Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions");
    let mut job = flags.job(number(args))?;
    job.filter = filter(args)?;
    Ok(job)
}

/// The rules for names, in the order in which they were given.
fn filter(args: &ArgMatches) -> Result<Filter> {
    let mut rules: Vec<(usize, &str, &OsString)> = Vec::new();
    for id in ["include", "exclude", "exclude_dir"] {
        let globs = args.get_many::<OsString>(id).into_iter().flatten();
        rules.extend(args.indices_of(id).into_iter().flatten().zip(globs).map(|(at, glob)| (at, id, glob)));
    }
    rules.sort();
    let mut filter = Filter::default();
    for (_, id, glob) in rules {
        match id {
            "include" => filter.include_files(glob)?,
            "exclude" => filter.exclude_files(glob)?,
            _ => filter.exclude_directories(glob)?,
        }
    }
    Ok(filter)
}

/// The number of `-NUM`, unless a `-C` after it has replaced it.
fn number(args: &ArgMatches) -> Option<u64> {
    let places =
        |digit: &'static str| args.indices_of(digit).into_iter().flatten().map(move |at| (at, digit));
    let mut digits: Vec<(usize, &str)> = DIGITS.into_iter().flat_map(places).collect();
    digits.sort_unstable();
    let (last, _) = digits.last()?;
    let replaced = args.indices_of("context").into_iter().flatten().any(|at| at > *last);
    // Digits with another flag between them are two numbers, of which the later one counts. A flag
    // has two indices: its own and that of its value.
    let first = digits.windows(2).rposition(|pair| pair[1].0 > pair[0].0 + 2).map_or(0, |at| at + 1);
    let number: String = digits[first..].iter().map(|(_, digit)| *digit).collect();
    (!replaced).then(|| number.parse().unwrap_or(u64::MAX))
}

/// Parses a number of lines of context. A number that is too large is the largest.
fn lines_of_context(text: &str) -> Result<u64, String> {
    match decimal(text) {
        Some((false, number)) => Ok(number),
        _ => Err("it must be a number of lines".to_owned()),
    }
}

/// Parses the number of `-m`. As in GNU grep, a negative number is no limit.
fn max_count(text: &str) -> Result<MaxCount, String> {
    let (is_negative, number) = decimal(text).ok_or("it must be a number of lines")?;
    Ok((!is_negative || number == 0).then_some(number))
}

/// A decimal number of any length: whether it is negative, and its value, or the largest one.
fn decimal(text: &str) -> Option<(bool, u64)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| (text.starts_with('-'), digits.parse().unwrap_or(u64::MAX)))
}

/// Reads the patterns of a file, or of standard input for `-`: one per line.
fn patterns_in(path: &Path) -> Result<Vec<ByteBuf>> {
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        stream::stdin().and_then(|file| stream::read_to_end(file, &mut text))
    } else {
        fs::read(path).map(|bytes| text = bytes)
    };
    read.map_err(Error::io(path.display().to_string()))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.truncate(text.strip_suffix(b"\n").unwrap_or(&text).len());
    Ok(lines(text))
}

impl Flags {
    /// The job; `number` is that of `-NUM`.
    fn job(self, number: Option<u64>) -> Result<Job> {
        let mut patterns: Vec<ByteBuf> =
            self.patterns.iter().flat_map(|pattern| lines(pattern.clone().into_vec())).collect();
        for file in &self.pattern_files {
            patterns.extend(patterns_in(file)?);
        }
        let mut operands = self.operands.clone().into_iter();
        if self.patterns.is_empty() && self.pattern_files.is_empty() {
            let why = "no pattern: give one as the first operand, with -e or with -f";
            let pattern = operands.next().ok_or_else(|| Error::Usage(why.to_owned()))?;
            patterns.extend(lines(pattern.into_vec()));
        }
        let roots: Vec<PathBuf> = operands.map(PathBuf::from).collect();
        let query = Query {
            patterns,
            fixed: self.fixed,
            ignore_case: self.ignore_case,
            word: self.word_regexp,
            line: self.line_regexp,
            invert: self.invert_match,
            null_data: self.null_data,
            binary: self.binary_files(),
            context: self.context(number),
            separator: (!self.no_group_separator)
                .then(|| ByteBuf::from(self.group_separator.clone().into_vec())),
            color: self.color(),
            max: self.max_count.flatten(),
            report: self.report(),
            line_numbers: self.line_number,
            names: self.with_filename || (!self.no_filename && self.many_files(&roots)),
            no_messages: self.no_messages,
            ..Query::default()
        };
        Ok(Job::new(query, roots, self.recursive))
    }

    fn context(&self, number: Option<u64>) -> Option<Context> {
        let both = number.or(self.context);
        let (before, after) = (self.before_context.or(both), self.after_context.or(both));
        (before.is_some() || after.is_some())
            .then(|| Context { before: before.unwrap_or(0), after: after.unwrap_or(0) })
    }

    fn binary_files(&self) -> BinaryFiles {
        match self {
            Self { text: true, .. } => BinaryFiles::Text,
            Self { skip_binary: true, .. } => BinaryFiles::WithoutMatch,
            _ => self.binary_files,
        }
    }

    fn color(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let shows_colours = env::var_os("TERM").is_some_and(|term| term != OsStr::new("dumb"));
                shows_colours && io::stdout().is_terminal()
            }
        }
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
fn lines(pattern: Vec<u8>) -> Vec<ByteBuf> {
    pattern.split(|byte| *byte == b'\n').map(ByteBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Query {
        let words: Vec<OsString> = ["grep"].iter().chain(words).map(OsString::from).collect();
        job(&words).expect("clap accepts it").expect("the job is valid").query
    }

    fn context(words: &[&str]) -> Option<(u64, u64)> {
        parsed(words).context.map(|context| (context.before, context.after))
    }

    #[test]
    fn the_last_number_of_context_counts_and_a_and_b_count_more() {
        for (words, expected) in [
            (&["x"][..], None),
            (&["-12", "x"], Some((12, 12))),
            (&["-3n4", "x"], Some((4, 4))),
            (&["-n5", "x", "file"], Some((5, 5))),
            (&["x", "file", "-C7"], Some((7, 7))),
            (&["-C7", "-2", "x"], Some((2, 2))),
            (&["-2", "-C", "7", "x"], Some((7, 7))),
            (&["-A1", "-5", "x"], Some((5, 1))),
            (&["-B1", "x"], Some((1, 0))),
            (&["-A", "99999999999999999999", "x"], Some((0, u64::MAX))),
        ] {
            assert_eq!(context(words), expected, "{words:?}");
        }
        assert!(job(&["grep", "-A-1", "x"].map(OsString::from)).is_none());
    }

    #[test]
    fn a_maximum_has_any_size() {
        for (number, expected) in [
            ("5", Some(5)),
            ("+5", Some(5)),
            ("-1", None),
            ("18446744073709551616", Some(u64::MAX)),
            ("0", Some(0)),
        ] {
            assert_eq!(parsed(&["-m", number, "x"]).max, expected, "{number}");
        }
        for wrong in ["", "-", "x", "1k"] {
            assert!(job(&["grep", "-m", wrong, "x"].map(OsString::from)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn long_flags_may_be_abbreviated_and_come_after_operands() {
        let query = parsed(&["x", "file", "--inv", "--max=3", "--col=always", "--line-n"]);
        assert_eq!((query.invert, query.max, query.color, query.line_numbers), (true, Some(3), true, true));
        assert!(job(&["grep", "--line", "x"].map(OsString::from)).is_none(), "it is ambiguous");
    }

    #[test]
    fn of_flags_about_binary_files_the_last_one_counts() {
        for (words, expected) in [
            (&["-a"][..], BinaryFiles::Text),
            (&["-aI"], BinaryFiles::WithoutMatch),
            (&["-I", "--text"], BinaryFiles::Text),
            (&["-I", "--binary-files=text"], BinaryFiles::Text),
            (&["--binary-files=without-match", "-U"], BinaryFiles::WithoutMatch),
            (&["-a", "--binary-files=binary"], BinaryFiles::Binary),
        ] {
            assert_eq!(parsed(&[words, &["x"]].concat()).binary, expected, "{words:?}");
        }
    }

    #[test]
    fn each_line_of_a_file_is_a_pattern() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for (text, expected) in [("", &[][..]), ("a", &["a"]), ("a\n\nb\n", &["a", "", "b"]), ("\n", &[""])] {
            fs::write(path, text).unwrap();
            assert_eq!(parsed(&["-f", path]).patterns, expected, "{text:?}");
        }
        assert_eq!(parsed(&["-f", path, "-e", "x"]).patterns, ["x", ""]);
        let missing = job(&["grep", "-f", "/nowhere/at all", "x"].map(OsString::from)).unwrap();
        assert!(missing.unwrap_err().to_string().starts_with("/nowhere/at all: "));
    }

    #[test]
    fn a_query_that_can_select_nothing_reads_nothing() {
        for (words, expected) in [
            (&["-m0", "x"][..], true),
            (&["-v", ""], true),
            (&["-vF", "-e", "", "-e", ""], true),
            (&["-vw", ""], false),
            (&["-vx", ""], false),
            (&[""], false),
            (&["-f", "/dev/null"], true),
            (&["-v", "-f", "/dev/null"], false),
            (&["-v", "-e", "", "-e", "x"], false),
        ] {
            assert_eq!(parsed(words).selects_nothing(), expected, "{words:?}");
        }
    }
}
