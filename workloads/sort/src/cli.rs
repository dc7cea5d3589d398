//! `sort`'s flags and exit status.

use std::{env, ffi::OsString, path::PathBuf};

use cc_core::{
    contract::Ctx,
    error::Result,
    output::{Outcome, with_output},
    signals::interrupted,
};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Job, Key, Query, Run};

/// Sort the lines of files, which may be larger than memory.
///
/// The order is that of GNU `sort -s` in the C locale: bytes are compared, and lines that are equal stay in the order of
/// the input. A file that cannot be read ends the run before anything is written. The exit status is 0, or 2 after
/// trouble.
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
    /// Pass over leading blanks
    #[arg(short = 'b', long)]
    ignore_leading_blanks: bool,
    /// Stable, as it always is
    #[arg(short = 's', long)]
    stable: bool,
    /// Compare these fields, counted from 1: `2` is from the second to the end of the line, `2,3` two fields; with `b`,
    /// `n` or `r` behind a number the flags do not count for this key. May be given many times
    #[arg(short = 'k', long = "key", value_name = "F[,F]", value_parser = key)]
    keys: Vec<GivenKey>,
    /// The byte between fields [default: where blanks begin]
    #[arg(short = 't', long, value_name = "SEP", value_parser = separator)]
    field_separator: Option<u8>,
    /// How much memory: with b, K, M, G, T, or % of all there is; K if it is a number alone. Each worker takes a
    /// megabyte at the least [default: 25%]
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = size)]
    buffer_size: Option<u64>,
    /// Where to put what does not fit into it [default: $TMPDIR or /tmp]
    #[arg(short = 'T', long, value_name = "DIR")]
    temporary_directory: Option<PathBuf>,
    /// Where the result goes; it may be one of the files
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

/// Does what the command line asks for.
///
/// # Errors
///
/// If it asks for something that cannot be, or if the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let job = flags(args).job();
    with_output("sort", &ctx.stop, |output| {
        // Before anything is made: what cannot be read is the first thing to be told.
        job.plan(ctx)?;
        let mut sorted = job.sorted(&ctx.stop, output)?;
        let ran = run(&job, ctx, &mut sorted);
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        let totals = sorted.totals();
        ran?;
        if ctx.stop.cause().is_none() || sorted.has_failed() {
            sorted.finish()?;
            return Ok(Outcome::of(0, totals));
        }
        Ok(0.into())
    })
}

/// What a run makes of a command line before anything is done.
///
/// # Errors
///
/// If it asks for something that cannot be.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    drop(flags(args).job());
    Ok(())
}

/// The job of these words, the first of which is the program's name. None if clap refuses them, or
/// explains something.
pub fn job(words: &[OsString]) -> Option<Job> {
    let matches = command().try_get_matches_from(words).ok()?;
    Some(flags(&matches).job())
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap has parsed them by the same definitions")
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
        let temporary = self.temporary_directory.unwrap_or_else(env::temp_dir);
        Job { query, files: self.files, memory, temporary, output: self.output }
    }
}

/// A key, and whether it says how it is to be compared.
#[derive(Clone, Copy, Debug)]
struct GivenKey {
    key: Key,
    has_flags: bool,
}

impl GivenKey {
    /// What the flags say counts for keys that say nothing.
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
            return Err("a field's number is missing".to_owned());
        }
        if flags.starts_with('.') {
            return Err("there are no keys that begin or end within a field (F.C)".to_owned());
        }
        for flag in flags.chars() {
            self.has_flags = true;
            match flag {
                'n' => self.key.numeric = true,
                'r' => self.key.reverse = true,
                'b' => self.key.skip_blanks |= is_first, // where a field ends blanks make no difference
                _ => return Err(format!("{flag:?} is none of b, n and r")),
            }
        }
        match number.parse() {
            Ok(0) => Err("fields are counted from 1".to_owned()),
            Ok(number) => Ok(number),
            Err(_) => Ok(usize::MAX), // no line has so many
        }
    }
}

fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        b"\\0" => Ok(0),
        _ => Err("a separator is one byte".to_owned()),
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
        _ => return Err(format!("{suffix:?} is none of %, b, K, M, G, T, P and E")),
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
    fn keys_that_say_nothing_are_compared_as_the_flags_say() {
        assert_eq!(job(&[]).query, Query::default());
        assert_eq!(job(&["-nr"]).query.keys, [key(0, None, "nr")]);
        assert_eq!(job(&["-b"]).query.keys, [key(0, None, "b")]);
        let keys = job(&["-r", "-k2,3", "-k", "4n", "-k1b,1n", "-k5,5b"]).query.keys;
        let expected = [key(1, Some(3), "r"), key(3, None, "n"), key(0, Some(1), "nb"), key(4, Some(5), "")];
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let refused = |args: &[&str]| {
            let error = command().try_get_matches_from([&["sort"], args].concat()).unwrap_err();
            error.to_string()
        };
        assert!(refused(&["-k1.2"]).contains("within a field"));
        assert!(refused(&["-k0"]).contains("from 1"));
        assert!(refused(&["-k1,0"]).contains("from 1"));
        assert!(refused(&["-k1f"]).contains("'f' is none of"));
        assert!(refused(&["-k1,"]).contains("missing"));
        assert!(refused(&["-kx"]).contains("missing"));
        assert!(refused(&["-t", "ab"]).contains("one byte"));
        assert!(refused(&["-S", "1x"]).contains("is none of"));
        assert!(refused(&["-S", "M"]).contains("begins with a number"));
    }

    #[test]
    fn sizes_are_kilobytes_unless_they_say_otherwise() {
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
