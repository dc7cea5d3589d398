//! `sort -c`: finds the first line that is not in order.
//!
//! The calling thread does this, in every model. Whether lines are in order is known after the
//! first that is not, and reading costs more than comparing two neighbours.

use std::path::Path;

use cc_core::{contract::Ctx, error::Result};

use super::{Job, chunks, keys::Keys, line_reader::LineReader};

/// A line that is less than the line before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disorder {
    /// The line's number, counted from one.
    pub(super) number: u64,
    /// The line, without its delimiter.
    pub(super) line: Vec<u8>,
}

/// The first line of the job's only operand that is not in order. With `-u`, a line that equals the
/// line before it is not in order, either. A stop ends the search.
pub(super) fn first_disorder(job: &Job, ctx: &Ctx) -> Result<Option<Disorder>> {
    let operand = chunks::files(job).next().unwrap_or(Path::new("-"));
    let keys = Keys::new(&job.query);
    let mut lines = LineReader::open(operand, &job.query, &ctx.stop)?;
    let mut last = vec![];
    let mut number: u64 = 0;
    while lines.advance()? {
        number += 1;
        let line = lines.line();
        if number > 1 {
            let order = keys.compare(&last, line);
            if order.is_gt() || (job.query.unique && order.is_eq()) {
                return Ok(Some(Disorder { number, line: line.to_vec() }));
            }
        }
        last.clear();
        last.extend_from_slice(line);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, num::NonZeroUsize};

    use super::*;
    use crate::cli;

    /// The number of the first line that is not in order.
    fn disorder(flags: &[&str], text: &[u8]) -> Option<(u64, Vec<u8>)> {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, text).unwrap();
        let mut words: Vec<OsString> = ["sort"].iter().chain(flags).map(OsString::from).collect();
        words.push(file.into());
        let job = cli::job(&words).unwrap();
        let found = first_disorder(&job, &Ctx::new(NonZeroUsize::MIN)).unwrap();
        found.map(|found| (found.number, found.line))
    }

    #[test]
    fn the_first_line_that_is_less_is_found() {
        let at = |number: u64, line: &[u8]| Some((number, line.to_vec()));
        assert_eq!(disorder(&[], b""), None);
        assert_eq!(disorder(&[], b"a\na\nb"), None);
        assert_eq!(disorder(&["-u"], b"a\na\nb"), at(2, b"a"));
        assert_eq!(disorder(&[], b"a\nc\nb\na\n"), at(3, b"b"));
        assert_eq!(disorder(&[], b"a\nc\nb"), at(3, b"b"));
        assert_eq!(disorder(&["-n"], b"9\n10\n"), None);
        assert_eq!(disorder(&["-r"], b"9\n10\n"), None);
        assert_eq!(disorder(&["-k1,1"], b"a 2\na 1\n"), at(2, b"a 1"));
        assert_eq!(disorder(&["-s", "-k1,1"], b"a 2\na 1\n"), None);
        assert_eq!(disorder(&["-z"], b"a\nb\0a\0"), at(2, b"a"));
        // Longer than what is read at once.
        let long = [&vec![b'a'; 200_000][..], b"\n"].concat();
        assert_eq!(disorder(&[], &[&long[..], &long, b"b\na\n"].concat()), at(4, b"a"));
    }
}
