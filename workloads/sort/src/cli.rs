//! `sort`'s flags and exit status.

use std::{env, ffi::OsString, path::PathBuf};

use cc_core::{
    contract::Ctx,
    error::Result,
    output::{Outcome, with_output},
    signals::interrupted,
    stream,
};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Job, Key, Query, Run};

/// Sort the lines of files, which may be larger than memory.
///
/// The order is that of GNU `sort -s` in the C locale: bytes are compared, and equal lines stay in
/// the order of the input. A file that cannot be read ends the run before anything is written. The
/// exit status is 0, or 2 after an error.
#[derive(Debug, Args)]
struct Flags {
    /// Compare numbers
    #[arg(short = 'n', long)]
    numeric_sort: bool,
    /// Reverse the order
    #[arg(short = 'r', long)]
    reverse: bool,
    /// Of equal lines, write only the first
    #[arg(short = 'u', long)]
    unique: bool,
    /// Ignore leading blanks
    #[arg(short = 'b', long)]
    ignore_leading_blanks: bool,
    /// Keep equal lines in order; always on, accepted for GNU sort's sake
    #[arg(short = 's', long)]
    stable: bool,
    /// Compare these fields, counted from 1: `2` means from the second field to the end of the
    /// line, `2,3` the second and the third. A letter `b`, `n` or `r` after a number sets the flags
    /// of this key instead of the global ones. May be given several times
    #[arg(short = 'k', long = "key", value_name = "F[,F]", value_parser = key)]
    keys: Vec<GivenKey>,
    /// The byte that separates fields [default: the transition to a blank]
    #[arg(short = 't', long, value_name = "SEP", value_parser = separator)]
    field_separator: Option<u8>,
    /// Maximum memory: a number with b, K, M, G, T, P, E, or % of the machine's memory; K if there
    /// is no suffix. Each worker takes at least a megabyte [default: 25%]
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = size)]
    buffer_size: Option<u64>,
    /// Directory for data that does not fit into memory [default: $TMPDIR or /tmp]
    #[arg(short = 'T', long, value_name = "DIR")]
    temporary_directory: Option<PathBuf>,
    /// Write the result to FILE, which may be one of the inputs [default: standard output]
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Files, or - for standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

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
    let job = flags(args).job();
    with_output("sort", &ctx.stop, |output| {
        // Before any file is made: an input that cannot be read is reported first.
        job.plan(ctx)?;
        let mut sorted = job.sorted(&ctx.stop, output)?;
        let result = run(&job, ctx, &mut sorted);
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

/// The job that these arguments describe; the first argument is the program's name. None if clap
/// refuses them, or prints help instead.
pub fn job(words: &[OsString]) -> Option<Job> {
    let matches = command().try_get_matches_from(words).ok()?;
    Some(flags(&matches).job())
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn job(self) -> Job {
        let all = Key {
            numeric: self.numeric_sort,
            reverse: self.reverse,
            skip_blanks: self.ignore_leading_blanks,
            ..Key::default()
        };
        let mut keys: Vec<Key> = self.keys.iter().map(|key| key.with(all)).collect();
        if keys.is_empty() && all != Key::default() {
            keys.push(all);
        }
        let query = Query { keys, separator: self.field_separator, unique: self.unique, ..Query::default() };
        let memory = self.buffer_size.unwrap_or_else(|| share_of_memory(25));
        let temporary = stream::shared_name(self.temporary_directory.unwrap_or_else(env::temp_dir));
        Job { query, files: self.files, memory, temporary, output: self.output }
    }
}

/// A key, and whether it has flags of its own.
#[derive(Clone, Copy, Debug)]
struct GivenKey {
    key: Key,
    has_flags: bool,
}

impl GivenKey {
    /// The key with the global flags, unless it has its own.
    fn with(&self, flags: Key) -> Key {
        let Self { key, has_flags } = *self;
        if has_flags { key } else { Key { from: key.from, to: key.to, ..flags } }
    }
}

/// `F[bnr][,F[bnr]]`.
fn key(text: &str) -> Result<GivenKey, String> {
    let (from, to) = text.split_once(',').map_or((text, None), |(from, to)| (from, Some(to)));
    let mut given = GivenKey { key: Key::default(), has_flags: false };
    given.key.from = given.field(from, true)? - 1;
    given.key.to = to.map(|to| given.field(to, false)).transpose()?;
    Ok(given)
}

impl GivenKey {
    fn field(&mut self, text: &str, is_first: bool) -> Result<usize, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, flags) = text.split_at(digits);
        if number.is_empty() {
            return Err("the number of the field is missing".to_owned());
        }
        if flags.starts_with('.') {
            return Err("a key cannot begin or end within a field (F.C)".to_owned());
        }
        for flag in flags.chars() {
            self.has_flags = true;
            match flag {
                'n' => self.key.numeric = true,
                'r' => self.key.reverse = true,
                'b' => self.key.skip_blanks |= is_first, // blanks do not matter at the end of a key
                _ => return Err(format!("{flag:?} is not one of b, n and r")),
            }
        }
        match number.parse() {
            Ok(0) => Err("fields are counted from 1".to_owned()),
            Ok(number) => Ok(number),
            Err(_) => Ok(usize::MAX), // too large to parse, so no line has this field
        }
    }
}

fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        b"\\0" => Ok(0),
        _ => Err("the separator must be one byte".to_owned()),
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

    fn job(args: &[&str]) -> Job {
        let words: Vec<OsString> = ["sort"].iter().chain(args).map(OsString::from).collect();
        super::job(&words).unwrap()
    }

    fn key(from: usize, to: Option<usize>, flags: &str) -> Key {
        let [numeric, reverse, skip_blanks] = ['n', 'r', 'b'].map(|flag| flags.contains(flag));
        Key { from, to, numeric, reverse, skip_blanks }
    }

    #[test]
    fn keys_without_flags_use_the_global_ones() {
        assert_eq!(job(&[]).query, Query::default());
        assert_eq!(job(&["-nr"]).query.keys, [key(0, None, "nr")]);
        assert_eq!(job(&["-b"]).query.keys, [key(0, None, "b")]);
        let keys = job(&["-r", "-k2,3", "-k", "4n", "-k1b,1n", "-k5,5b"]).query.keys;
        let expected = [key(1, Some(3), "r"), key(3, None, "n"), key(0, Some(1), "nb"), key(4, Some(5), "")];
        assert_eq!(keys, expected);
    }

    #[test]
    fn invalid_keys_are_refused() {
        let refused = |args: &[&str]| {
            let error = command().try_get_matches_from([&["sort"], args].concat()).unwrap_err();
            error.to_string()
        };
        assert!(refused(&["-k1.2"]).contains("within a field"));
        assert!(refused(&["-k0"]).contains("from 1"));
        assert!(refused(&["-k1,0"]).contains("from 1"));
        assert!(refused(&["-k1f"]).contains("'f' is not one of"));
        assert!(refused(&["-k1,"]).contains("missing"));
        assert!(refused(&["-kx"]).contains("missing"));
        assert!(refused(&["-t", "ab"]).contains("one byte"));
        assert!(refused(&["-S", "1x"]).contains("is not one of"));
        assert!(refused(&["-S", "M"]).contains("begins with a number"));
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
    }
}
