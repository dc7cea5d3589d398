//! `sort -m`: merges files that are sorted already.
//!
//! The calling thread does this, in every model. The files have no index, so no range of the result
//! can be found without reading all that precedes it. A file that is not sorted is no error: as in
//! GNU sort, the least of the files' next lines is always the next line of the result.

use std::{mem, ops::ControlFlow};

use cc_core::{
    contract::{Ctx, Sink},
    error::Result,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Job, Output, Totals, chunks, keys::Keys, line_reader::LineReader, loser_tree::LoserTree};

/// Bytes of the result that are passed on at once.
const PORTION: usize = 256 << 10;

/// An operand, with the prefix of its next line; none if there is no line left.
struct Head<'a> {
    lines: LineReader<'a>,
    prefix: Option<u64>,
}

impl Head<'_> {
    fn advance(&mut self, keys: &Keys) -> Result<()> {
        self.prefix = self.lines.advance()?.then(|| keys.prefix(self.lines.line()));
        Ok(())
    }
}

/// Whether the next line of one operand goes before that of another.
fn beats(keys: &Keys, heads: &[Head], one: usize, other: usize) -> bool {
    let (a, b) = (&heads[one], &heads[other]);
    let (Some(a_prefix), Some(b_prefix)) = (a.prefix, b.prefix) else { return a.prefix.is_some() };
    let by_text = || keys.compare_after_prefix(a_prefix, a.lines.line(), b.lines.line());
    a_prefix.cmp(&b_prefix).then_with(by_text).then(one.cmp(&other)).is_lt()
}

/// Merges the operands, and pushes the result and how much was read. All operands are open at the
/// same time.
pub(super) fn merge(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    allow_open_files();
    let keys = Keys::new(&job.query);
    let mut heads = vec![];
    for operand in chunks::files(job) {
        let mut head = Head { lines: LineReader::open(operand, &job.query, &ctx.stop)?, prefix: None };
        head.advance(&keys)?;
        heads.push(head);
    }
    let mut tree = LoserTree::new(heads.len(), |one, other| beats(&keys, &heads, one, other));
    let mut merged = Merged { delimiter: job.query.delimiter(), text: vec![], lines: 0 };
    let mut read = Totals { files: heads.len() as u64, ..Totals::default() };
    let mut last: Option<Vec<u8>> = None;
    while let Some(head) = heads.get_mut(tree.winner()).filter(|head| head.prefix.is_some()) {
        let line = head.lines.line();
        read.lines += 1;
        read.bytes += line.len() as u64 + 1;
        if last.as_ref().is_none_or(|last| keys.compare(last, line).is_ne()) {
            if merged.push(line, out).is_break() {
                return Ok(());
            }
            last = job.query.unique.then(|| line.to_vec());
        }
        head.advance(&keys)?;
        tree.replay(|one, other| beats(&keys, &heads, one, other));
    }
    if merged.flush(out).is_continue() {
        let _ = out.push(Output::Read(read));
    }
    Ok(())
}

/// Raises the soft limit on open files to the hard limit. If that fails, opening the operand that
/// exceeds the limit reports it.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The lines of the result that have not been passed on.
struct Merged {
    delimiter: u8,
    text: Vec<u8>,
    lines: u64,
}

impl Merged {
    fn push(&mut self, line: &[u8], out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        self.text.extend_from_slice(line);
        self.text.push(self.delimiter);
        self.lines += 1;
        if self.text.len() < PORTION { ControlFlow::Continue(()) } else { self.flush(out) }
    }

    fn flush(&mut self, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        let (text, lines) = (mem::take(&mut self.text).into(), mem::take(&mut self.lines));
        out.push(Output::Lines { text, lines })
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, num::NonZeroUsize};

    use super::*;
    use crate::cli;

    #[derive(Default)]
    struct Collected(Vec<u8>, u64, Totals);

    impl Sink<Output> for Collected {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            match output {
                Output::Lines { text, lines } => {
                    self.0.extend_from_slice(&text);
                    self.1 += lines;
                }
                Output::Read(read) => self.2 += read,
                other => panic!("{other:?}"),
            }
            ControlFlow::Continue(())
        }
    }

    fn merged(flags: &[&str], texts: &[&str]) -> String {
        let scratch = tempfile::tempdir().unwrap();
        let mut words: Vec<OsString> = ["sort"].iter().chain(flags).map(OsString::from).collect();
        for (nth, text) in texts.iter().enumerate() {
            let file = scratch.path().join(nth.to_string());
            fs::write(&file, text).unwrap();
            words.push(file.into());
        }
        let mut out = Collected::default();
        merge(&cli::job(&words).unwrap(), &Ctx::new(NonZeroUsize::MIN), &mut out).unwrap();
        let ends = if flags.contains(&"-z") { b'\0' } else { b'\n' };
        assert_eq!(out.0.iter().filter(|byte| **byte == ends).count() as u64, out.1);
        assert_eq!(out.2.files, texts.len() as u64);
        String::from_utf8(out.0).unwrap()
    }

    #[test]
    fn sorted_files_become_one() {
        assert_eq!(merged(&[], &["a\nc\n", "", "b\nd", "a\n"]), "a\na\nb\nc\nd\n");
        assert_eq!(merged(&["-u"], &["a\nb\nb\n", "a\nc"]), "a\nb\nc\n");
        assert_eq!(merged(&["-z"], &["a\0c\0", "b\n"]), "a\0b\n\0c\0");
        assert_eq!(merged(&["-s", "-nr"], &["9 x\n1 x\n", "10\n9 a\n"]), "10\n9 x\n9 a\n1 x\n");
    }

    #[test]
    fn files_that_are_not_sorted_stay_so() {
        assert_eq!(merged(&[], &["b\na\n"]), "b\na\n");
        assert_eq!(merged(&[], &["c\na\n", "b\n"]), "b\nc\na\n");
        assert_eq!(merged(&["-u"], &["b\nb\na\nb\n"]), "b\na\nb\n");
    }

    #[test]
    fn what_is_larger_than_a_portion_is_passed_on_in_several() {
        let lines = |nth: usize| (0..40_000).map(|n| format!("{:06}\n", 2 * n + nth)).collect::<String>();
        let all: String = (0..80_000).map(|n| format!("{n:06}\n")).collect();
        assert!(merged(&[], &[&lines(0), &lines(1)]) == all);
    }
}
