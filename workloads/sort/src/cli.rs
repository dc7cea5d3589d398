//! `sort`'s flags and exit status.

mod letters;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    ops::ControlFlow,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::{Error, Result, reason},
    output::{Outcome, Output, with_output},
    printable::{printable, printable_path},
    signals::interrupted,
    stream,
};
use clap::{
    ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{OsStringValueParser, TypedValueParser},
};

use crate::{Job, Key, Query, Run, check::first_disorder, chunks, merge_files};
use letters::Letters;

/// Sort the lines of files, which may be larger than memory.
///
/// The flags, the output and the exit status are those of GNU `sort` in the C locale. A file that
/// cannot be read ends the run before anything is written. The exit status is 0, or 2 after an
/// error; with -c or -C it is 1 if the lines are not in order.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Flags {
    /// Print this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Compare numbers
    #[arg(short = 'n', long)]
    numeric_sort: bool,
    /// Compare floating-point numbers, such as 1e3
    #[arg(short = 'g', long)]
    general_numeric_sort: bool,
    /// Compare numbers with units, such as 2K and 1G
    #[arg(short = 'h', long)]
    human_numeric_sort: bool,
    /// Compare the names of months, such as JAN
    #[arg(short = 'M', long)]
    month_sort: bool,
    /// Compare names with version numbers
    #[arg(short = 'V', long)]
    version_sort: bool,
    /// The same as -g, -h, -M, -n or -V
    #[arg(long, value_name = "ORDER", value_parser = ORDERS)]
    sort: Vec<String>,
    /// Reverse the order
    #[arg(short = 'r', long)]
    reverse: bool,
    /// Ignore leading blanks
    #[arg(short = 'b', long)]
    ignore_leading_blanks: bool,
    /// Compare only blanks, letters and digits
    #[arg(short = 'd', long)]
    dictionary_order: bool,
    /// Ignore the case of ASCII letters
    #[arg(short = 'f', long)]
    ignore_case: bool,
    /// Compare only printable characters
    #[arg(short = 'i', long)]
    ignore_nonprinting: bool,
    /// Of equal lines, write only the first
    #[arg(short = 'u', long)]
    unique: bool,
    /// Keep lines with equal keys in order, instead of comparing them as bytes
    #[arg(short = 's', long)]
    stable: bool,
    /// Check that the input is sorted; name the first line that is not. With `quiet` or `silent`,
    /// name none
    #[arg(
        short = 'c',
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DIAGNOSE,
        value_parser = [DIAGNOSE, "quiet", "silent"]
    )]
    check: Vec<String>,
    /// The same as --check=quiet
    #[arg(short = 'C')]
    check_silently: bool,
    /// Merge files that are sorted already
    #[arg(short = 'm', long)]
    merge: bool,
    /// Compare a key: from field F, counted from 1, and its byte C to the end of the line or to
    /// another field and byte. The letters b, d, f, g, h, i, M, n, r and V after a number set the
    /// order of this key instead of the global one. May be given several times
    #[arg(short = 'k', long = "key", value_name = "F[.C][,F[.C]]", value_parser = key)]
    keys: Vec<GivenKey>,
    /// The byte that separates fields; \0 is a NUL [default: the transition to a blank]
    #[arg(
        short = 't',
        long,
        value_name = "SEP",
        allow_hyphen_values = true,
        value_parser = OsStringValueParser::new().try_map(|text| separator(&text))
    )]
    field_separator: Vec<u8>,
    /// Lines end with a NUL, instead of a newline
    #[arg(short = 'z', long)]
    zero_terminated: bool,
    /// Maximum memory: a number with b, K, M, G, T, P, E, or % of the machine's memory; K if there
    /// is no suffix. Each worker takes at least a megabyte [default: 25%]
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = size)]
    buffer_size: Vec<u64>,
    /// Directory for data that does not fit into memory [default: $TMPDIR or /tmp]
    #[arg(short = 'T', long, value_name = "DIR")]
    temporary_directory: Option<PathBuf>,
    /// Accepted for GNU sort's sake; the number of workers is that of --workers
    #[arg(long, value_name = "N")]
    parallel: Option<std::num::NonZeroUsize>,
    /// Write the result to FILE, which may be one of the inputs [default: standard output]
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Read the names of the files, each with a NUL at its end, from FILE, or from standard input
    /// if it is -
    #[arg(long, value_name = "FILE")]
    files0_from: Option<PathBuf>,
    /// Files, or - for standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The values of `--sort`.
const ORDERS: [&str; 5] = ["general-numeric", "human-numeric", "month", "numeric", "version"];

/// The value of `--check` if none is given.
const DIAGNOSE: &str = "diagnose-first";

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("sort").args_override_self(true))
}

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let Request { mut job, action, files0_from } = flags(args).request()?;
    if let Some(list) = files0_from {
        job.files = listed_files(&list)?;
    }
    with_output("sort", &ctx.stop, |output| match action {
        Action::Check { is_silent } => check(&job, is_silent, ctx, output),
        Action::Merge => write(&job, ctx, output, merge_files::merge),
        Action::Sort => write(&job, ctx, output, run),
    })
}

/// Sorts or merges, and writes the result.
fn write(
    job: &Job,
    ctx: &Ctx,
    output: &mut Output,
    run: impl FnOnce(&Job, &Ctx, &mut dyn Sink<crate::Output>) -> Result<()>,
) -> Result<Outcome> {
    // Before any file is made: an input that cannot be read is reported first.
    job.plan(ctx)?;
    let mut sorted = job.sorted(&ctx.stop, output)?;
    let result = run(job, ctx, &mut sorted);
    // After a signal, its exit status takes precedence over an error of the run.
    if let Some(status) = interrupted(&ctx.stop) {
        return Ok(status.into());
    }
    let totals = sorted.totals();
    result?;
    if ctx.stop.cause().is_none() || sorted.has_failed() {
        sorted.finish()?;
        return Ok(Outcome::of(0, totals));
    }
    Ok(0.into())
}

/// Checks that the lines are in order.
fn check(job: &Job, is_silent: bool, ctx: &Ctx, output: &mut Output) -> Result<Outcome> {
    let disorder = first_disorder(job, ctx)?;
    if let Some(status) = interrupted(&ctx.stop) {
        return Ok(status.into());
    }
    let Some(disorder) = disorder else { return Ok(0.into()) };
    if !is_silent {
        let file = job.files.first().map_or(Path::new("-"), PathBuf::as_path);
        let (file, line) = (printable_path(file), printable(&disorder.line));
        let message = format!("sort: {file}:{}: disorder: {line}\n", disorder.number);
        // If it cannot be written, the writer changes the exit status.
        let _: ControlFlow<()> = output.push(Block::Err(message.into_bytes()));
    }
    Ok(NOT_IN_ORDER.into())
}

/// The exit status of `-c` and `-C` if a line is not in order.
const NOT_IN_ORDER: u8 = 1;

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).request().map(drop)
}

/// The job that these arguments describe; the first argument is the program's name. None if they
/// are invalid, or ask for help. The files of `--files0-from` are not in the job.
pub fn job(words: &[OsString]) -> Option<Job> {
    let matches = command().try_get_matches_from(words).ok()?;
    flags(&matches).request().ok().map(|request| request.job)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

/// What a command line asks for.
struct Request {
    job: Job,
    action: Action,
    /// The file that lists the operands.
    files0_from: Option<PathBuf>,
}

/// What is done with the lines.
enum Action {
    Sort,
    Merge,
    Check { is_silent: bool },
}

impl Flags {
    fn request(self) -> Result<Request> {
        let action = self.action()?;
        let all = self.letters();
        let keys = self.keys(all)?;
        let separator = only(&self.field_separator, "incompatible tabs")?.copied();
        let output = only(&self.output, "multiple output files specified")?.cloned();
        if let (Some(_), Some(file)) = (&self.files0_from, self.files.first()) {
            let file = printable_path(file);
            return usage(format!(
                "extra operand '{file}': file operands cannot be combined with --files0-from"
            ));
        }
        let query = Query {
            keys,
            separator,
            unique: self.unique,
            zero_terminated: self.zero_terminated,
            ..Query::default()
        };
        let memory = self.buffer_size.into_iter().max().unwrap_or_else(|| share_of_memory(25));
        let temporary = stream::shared_name(self.temporary_directory.unwrap_or_else(env::temp_dir));
        let job = Job { query, files: self.files, memory, temporary, output };
        Ok(Request { job, action, files0_from: self.files0_from })
    }

    fn action(&self) -> Result<Action> {
        let is_check = !self.check.is_empty();
        let is_silent = self.check_silently || self.check.iter().any(|how| how != DIAGNOSE);
        if is_silent && self.check.iter().any(|how| how == DIAGNOSE) {
            return incompatible("cC");
        }
        let letter = if is_silent { 'C' } else { 'c' };
        match (is_check || is_silent, &self.files[..]) {
            (true, [_, extra, ..]) => {
                usage(format!("extra operand '{}' not allowed with -{letter}", printable_path(extra)))
            }
            (true, _) if !self.output.is_empty() => incompatible(&format!("{letter}o")),
            (true, _) => Ok(Action::Check { is_silent }),
            (false, _) => Ok(if self.merge { Action::Merge } else { Action::Sort }),
        }
    }

    /// The letters of the global flags.
    fn letters(&self) -> Letters {
        let given = [
            (self.ignore_leading_blanks, 'b'),
            (self.dictionary_order, 'd'),
            (self.ignore_case, 'f'),
            (self.general_numeric_sort, 'g'),
            (self.human_numeric_sort, 'h'),
            (self.ignore_nonprinting, 'i'),
            (self.month_sort, 'M'),
            (self.numeric_sort, 'n'),
            (self.reverse, 'r'),
            (self.version_sort, 'V'),
        ];
        let mut letters = Letters::default();
        for (_, letter) in given.into_iter().filter(|(is_given, _)| *is_given) {
            letters.add(letter);
        }
        for order in &self.sort {
            letters.add(match &**order {
                "general-numeric" => 'g',
                "human-numeric" => 'h',
                "month" => 'M',
                "numeric" => 'n',
                _ => 'V',
            });
        }
        if self.ignore_leading_blanks {
            letters.add_end_blanks();
        }
        letters
    }

    /// All keys, with the last one that decides between lines whose other keys are equal.
    fn keys(&self, all: Letters) -> Result<Vec<Key>> {
        let mut keys = vec![];
        for given in &self.keys {
            // A key without letters takes the global ones.
            keys.push(if given.letters.is_empty() { all } else { given.letters }.set(given.key)?);
        }
        if keys.is_empty() && !all.is_empty() {
            keys.push(all.set(Key::default())?);
        }
        let is_decided = keys.is_empty() || keys.iter().any(Key::is_bytes_of_the_line);
        if !self.stable && !self.unique && !is_decided {
            keys.push(Key { reverse: self.reverse, ..Key::default() });
        }
        Ok(keys)
    }
}

/// The only value of a flag that may be repeated, but not with another value.
fn only<'a, T: PartialEq>(values: &'a [T], message: &str) -> Result<Option<&'a T>> {
    let first = values.first();
    if values.iter().any(|value| Some(value) != first) {
        return usage(message.to_owned());
    }
    Ok(first)
}

fn usage<T>(message: String) -> Result<T> {
    Err(Error::Usage(message))
}

fn incompatible<T>(letters: &str) -> Result<T> {
    usage(format!("options '-{letters}' are incompatible"))
}

/// The names that `--files0-from` lists.
fn listed_files(list: &Path) -> Result<Vec<PathBuf>> {
    let name = printable_path(list);
    let is_stdin = chunks::is_stdin(list);
    let mut names = vec![];
    let read = if is_stdin {
        stream::stdin().and_then(|file| stream::read_to_end(file, &mut names))
    } else {
        fs::read(list).map(|read| names = read)
    };
    if let Err(error) = read {
        return Err(Error::Failed(format!("cannot read: {name}: {}", reason(&error))));
    }
    let names = names.strip_suffix(b"\0").unwrap_or(&names);
    if names.is_empty() {
        return usage(format!("no input from '{name}'"));
    }
    let mut files = vec![];
    for (nth, file) in names.split(|byte| *byte == 0).enumerate() {
        match file {
            b"" => return usage(format!("{name}:{}: invalid zero-length file name", nth + 1)),
            b"-" if is_stdin => {
                return usage("when reading file names from stdin, no file name of '-' allowed".to_owned());
            }
            file => files.push(PathBuf::from(OsString::from_vec(file.to_vec()))),
        }
    }
    Ok(files)
}

/// A key of `-k`, with its own letters.
#[derive(Clone, Copy, Debug)]
struct GivenKey {
    key: Key,
    letters: Letters,
}

/// `F[.C][LETTERS][,F[.C][LETTERS]]`.
fn key(text: &str) -> Result<GivenKey, String> {
    let (mut key, mut letters) = (Key::default(), Letters::default());
    let (field, text) = number(text, "invalid number at field start")?;
    key.from = field.checked_sub(1).ok_or("field number is zero")?;
    let (byte, text) = byte_of_field(text)?;
    key.from_byte = byte.unwrap_or(1).checked_sub(1).ok_or("character offset is zero")?;
    let text = letters.take(text, Letters::add);
    let text = match text.strip_prefix(',') {
        None => text,
        Some(text) => {
            let (field, text) = number(text, "invalid number after ','")?;
            key.to = Some(field).filter(|field| *field > 0);
            let (byte, text) = byte_of_field(text)?;
            key.to_byte = byte.unwrap_or(0);
            if key.to.is_none() {
                return Err("field number is zero".to_owned());
            }
            letters.take(text, |letters, letter| match letter {
                'b' => letters.add_end_blanks(),
                letter => letters.add(letter),
            })
        }
    };
    if text.is_empty() {
        Ok(GivenKey { key, letters })
    } else {
        Err("stray character in field spec".to_owned())
    }
}

/// Takes the byte's number after a point, if there is a point.
fn byte_of_field(text: &str) -> Result<(Option<usize>, &str), String> {
    match text.strip_prefix('.') {
        None => Ok((None, text)),
        Some(text) => number(text, "invalid number after '.'").map(|(byte, text)| (Some(byte), text)),
    }
}

/// Takes a number. One that is too large to parse is the largest: no line has that number of
/// fields.
fn number<'a>(text: &'a str, what: &str) -> Result<(usize, &'a str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, text) = text.split_at(digits);
    if number.is_empty() {
        return Err(what.to_owned());
    }
    Ok((number.parse().unwrap_or(usize::MAX), text))
}

fn separator(text: &OsStr) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        b"\\0" => Ok(0),
        b"" => Err("empty tab".to_owned()),
        _ => Err("multi-character tab: the separator must be one byte".to_owned()),
    }
}

/// A number of bytes, with GNU's suffixes.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a size begins with a number".to_owned())?;
    let power = match suffix {
        "%" => return Ok(share_of_memory(number)),
        "b" => 0,
        "" | "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return Err(format!("{suffix:?} is not one of %, b, K, M, G, T, P and E")),
    };
    Ok(number.saturating_mul(1 << (10 * power)))
}

fn share_of_memory(percent: u64) -> u64 {
    let all = rustix::system::sysinfo();
    let all = u128::from(all.totalram) * u128::from(all.mem_unit);
    u64::try_from(all * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ignore, Order};

    fn job(args: &[&str]) -> Job {
        let words: Vec<OsString> = ["sort"].iter().chain(args).map(OsString::from).collect();
        super::job(&words).unwrap()
    }

    fn key(from: usize, to: Option<usize>, flags: &str) -> Key {
        let [reverse, skip_blanks] = ['r', 'b'].map(|flag| flags.contains(flag));
        let order = if flags.contains('n') { Order::Numeric } else { Order::Bytes };
        Key { from, to, order, reverse, skip_blanks, ..Key::default() }
    }

    #[test]
    fn keys_without_letters_use_the_global_ones() {
        assert_eq!(job(&[]).query, Query::default());
        assert_eq!(job(&["-snr"]).query.keys, [key(0, None, "nr")]);
        assert_eq!(job(&["-sb"]).query.keys, [key(0, None, "b")]);
        let keys = job(&["-s", "-r", "-k2,3", "-k", "4n", "-k1b,1n", "-k5,5b"]).query.keys;
        let expected = [key(1, Some(3), "r"), key(3, None, "n"), key(0, Some(1), "nb"), key(4, Some(5), "")];
        assert_eq!(keys, expected);
        // The global `-b` is one of both ends.
        let [both, own] = job(&["-sb", "-k1.2,2.3", "-k1.2,2.3b"]).query.keys[..] else { panic!("two") };
        let bytes = Key { from_byte: 1, to_byte: 3, skip_end_blanks: true, ..key(0, Some(2), "") };
        assert_eq!((both, own), (Key { skip_blanks: true, ..bytes }, bytes));
    }

    #[test]
    fn lines_with_equal_keys_are_compared_as_bytes() {
        let last = |args: &[&str]| job(args).query.keys.last().copied();
        assert_eq!(last(&["-n"]), Some(key(0, None, "")));
        assert_eq!(last(&["-k1,1nr"]), Some(key(0, None, "")));
        assert_eq!(last(&["-r", "-k1,1n"]), Some(key(0, None, "r")));
        for stable in [&["-s"][..], &["-u"], &["--stable"]] {
            assert_eq!(last(&[stable, &["-k1,1n"]].concat()), Some(key(0, Some(1), "n")));
        }
        assert_eq!(job(&["-k1"]).query.keys.len(), 1);
        assert_eq!(job(&["-r"]).query.keys, [key(0, None, "r")]);
    }

    #[test]
    fn letters_are_those_of_gnu_sort() {
        let one = |args: &[&str]| job(&[&["-s"], args].concat()).query.keys[0];
        for (letter, order) in [
            ("n", Order::Numeric),
            ("g", Order::General),
            ("h", Order::Human),
            ("M", Order::Month),
            ("V", Order::Version),
        ] {
            let long = match order {
                Order::Numeric => "--sort=numeric",
                Order::General => "--sort=general-numeric",
                Order::Human => "--sort=human-numeric",
                Order::Month => "--sort=month",
                _ => "--sort=version",
            };
            for given in [format!("-{letter}"), format!("-k1{letter}"), long.to_owned()] {
                assert_eq!(one(&[&given]), Key { order, ..Key::default() }, "{given}");
            }
        }
        let fold = Key { fold_case: true, ..Key::default() };
        assert_eq!(one(&["-f"]), fold);
        assert_eq!(one(&["-id"]), Key { ignore: Ignore::Nondictionary, ..Key::default() });
        assert_eq!(one(&["-fi"]), Key { ignore: Ignore::Nonprinting, ..fold });
    }

    fn refused(args: &[&str]) -> String {
        match command().try_get_matches_from([&["sort"], args].concat()) {
            Err(error) => error.to_string(),
            Ok(matches) => parse(&matches).expect_err("it is invalid").to_string(),
        }
    }

    #[test]
    fn invalid_keys_are_refused() {
        for (text, why) in [
            ("-k0", "field number is zero"),
            ("-k1,0", "field number is zero"),
            ("-k1.0", "character offset is zero"),
            ("-k1x", "stray character"),
            ("-k1B", "stray character"),
            ("-k1,2,3", "stray character"),
            ("-k1,", "invalid number after ','"),
            ("-k1.", "invalid number after '.'"),
            ("-k1,1.x", "invalid number after '.'"),
            ("-kx", "invalid number at field start"),
        ] {
            let error = refused(&[text]);
            assert!(error.contains(why), "{error}");
        }
        assert!(refused(&["-t", "ab"]).contains("one byte"));
        assert!(refused(&["-t", ""]).contains("empty tab"));
        assert!(refused(&["-S", "1x"]).contains("is not one of"));
        assert!(refused(&["-S", "M"]).contains("begins with a number"));
        assert!(refused(&["--parallel", "0"]).contains("zero"));
    }

    #[test]
    fn what_contradicts_is_refused() {
        for (args, why) in [
            (&["-dn"][..], "options '-dn' are incompatible"),
            (&["-n", "-i", "-d", "-r", "-b", "-f"], "options '-dfn' are incompatible"),
            (&["-k1nM"], "options '-Mn' are incompatible"),
            (&["-k1iV,2g"], "options '-giV' are incompatible"),
            (&["-cC"], "options '-cC' are incompatible"),
            (&["-c", "-o", "x"], "options '-co' are incompatible"),
            (&["--check=quiet", "-o", "x"], "options '-Co' are incompatible"),
            (&["-c", "a", "b"], "extra operand 'b' not allowed with -c"),
            (&["-o", "a", "-o", "b"], "multiple output files specified"),
            (&["-t,", "-t;"], "incompatible tabs"),
            (&["--files0-from=a", "b"], "file operands cannot be combined with --files0-from"),
        ] {
            assert!(refused(args).contains(why), "{args:?}: {}", refused(args));
        }
        // The global letters are not those of a key that has its own.
        job(&["-dn", "-k1,1r"]);
        job(&["-dV", "-o", "a", "-oa", "-t,", "-t", ","]);
    }

    #[test]
    fn names_are_read_from_a_list() {
        let scratch = tempfile::tempdir().unwrap();
        let list = scratch.path().join("list");
        for (text, names) in [
            (&b"a\0b"[..], Ok(&["a", "b"][..])),
            (b"a\0-\0", Ok(&["a", "-"])),
            (b"", Err("no input")),
            (b"a\0\0b", Err(":2: invalid zero-length")),
        ] {
            fs::write(&list, text).unwrap();
            match (listed_files(&list), names) {
                (Ok(files), Ok(names)) => {
                    assert_eq!(files, names.iter().map(PathBuf::from).collect::<Vec<_>>());
                }
                (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                (result, _) => panic!("{result:?}"),
            }
        }
    }

    #[test]
    fn sizes_without_a_suffix_are_kilobytes() {
        let sizes = [("10", 10 << 10), ("7b", 7), ("2M", 2 << 20), ("1g", 1 << 30), ("3k", 3 << 10)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes));
        }
        assert!(size("50%").unwrap() < size("100%").unwrap());
        assert_eq!(size("99999999999P"), Ok(u64::MAX));
        assert_eq!(job(&[]).memory, share_of_memory(25));
    }

    #[test]
    fn a_separator_is_a_byte() {
        assert_eq!(job(&["-t", ","]).query.separator, Some(b','));
        assert_eq!(job(&["-t\\0"]).query.separator, Some(0));
        assert_eq!(job(&["-t-"]).query.separator, Some(b'-'));
        assert_eq!(separator(OsStr::from_bytes(b"\xff")), Ok(0xff));
    }
}
