//! Runs, and what there is to know of where in a run a line is.
//!
//! An index has an entry for each *block* of a run, about eight kilobytes: where it begins, and a line to compare with.
//! All that must hold is that this line comes behind every line of the blocks before it, and not behind any of its own;
//! so the shortest such line is taken. The last entry has an empty block, at the run's end. Entries are packed, each
//! relative to the one before.

use std::{io, io::Write, mem};

use cc_core::shelf::{Draft, Shelf};
use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{SortedRun, keys::Keys};
/// The index of a run. The first block, at the run's beginning, has no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Of each entry: how many bytes after the one before it begins, how much of the line is as in the one before, how
    /// long the rest is, and the rest.
    packed: ByteBuf,
    entries: u64,
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where in the run the block begins.
    pub(super) at: u64,
    /// What comes behind all lines before it.
    pub(super) line: Vec<u8>,
}

impl Index {
    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.packed.len() as u64
    }

    /// How many blocks it tells apart.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.entries + 1
    }

    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { packed: &self.packed, entry: Entry::default() }
    }

    /// Whether this can be the index of a run of so many bytes: every entry is whole and its block
    /// begins in the run, behind the one before. Only what has been checked may be asked for its
    /// [entries](Index::entries) if it came from outside.
    pub(super) fn is_of(&self, bytes: u64) -> bool {
        let (mut packed, mut entries, mut last, mut line) = (&self.packed[..], 0, 0, 0);
        while !packed.is_empty() {
            let Some((step, length)) = checked(&mut packed, line) else { return false };
            let at = last + u128::from(step);
            if step == 0 || at > u128::from(bytes) {
                return false;
            }
            (entries, last, line) = (entries + 1, at, length);
        }
        entries == self.entries
    }

    #[cfg(test)]
    pub(super) fn packed(packed: &[u8], entries: u64) -> Self {
        Self { packed: ByteBuf::from(packed), entries }
    }

    /// The same with blocks that are not smaller than this.
    pub(super) fn coarser(&self, block: u64) -> Self {
        let mut coarser = Packer::default();
        let mut entries = self.entries();
        for nth in 1..=self.entries {
            let Some(entry) = entries.next() else { break };
            // The last one is where the run ends, which saves reading its last block again and again.
            if entry.at >= coarser.last.at + block || nth == self.entries {
                coarser.push(entry.at, &entry.line);
            }
        }
        coarser.index
    }
}

/// An index that is being made.
#[derive(Default)]
struct Packer {
    index: Index,
    last: Entry,
}

impl Packer {
    fn push(&mut self, at: u64, line: &[u8]) {
        let packed = &mut self.index.packed;
        let common = self.last.line.iter().zip(line).take_while(|(one, other)| one == other).count();
        put(packed, at - self.last.at);
        put(packed, common as u64);
        put(packed, (line.len() - common) as u64);
        packed.extend_from_slice(&line[common..]);
        self.index.entries += 1;
        self.last.at = at;
        self.last.line.truncate(common);
        self.last.line.extend_from_slice(&line[common..]);
    }
}

/// The entries of an index, one at a time.
pub(super) struct Entries<'a> {
    packed: &'a [u8],
    entry: Entry,
}

impl Entries<'_> {
    /// The next entry, which is overwritten by the one after it.
    pub(super) fn next(&mut self) -> Option<&Entry> {
        if self.packed.is_empty() {
            return None;
        }
        self.entry.at += get(&mut self.packed);
        let common = usize::try_from(get(&mut self.packed)).expect("lines fit into memory");
        let rest = usize::try_from(get(&mut self.packed)).expect("lines fit into memory");
        let (rest, packed) = self.packed.split_at(rest);
        self.entry.line.truncate(common);
        self.entry.line.extend_from_slice(rest);
        self.packed = packed;
        Some(&self.entry)
    }
}

/// Appends a number, seven bits a byte.
fn put(packed: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

/// Takes an entry that follows one whose line has so many bytes. Returns how far behind that its
/// block begins, and the length of its own line; none if it is not whole.
fn checked(packed: &mut &[u8], line: usize) -> Option<(u64, usize)> {
    let (step, common, rest) = (checked_get(packed)?, checked_get(packed)?, checked_get(packed)?);
    let (common, rest) = (usize::try_from(common).ok()?, usize::try_from(rest).ok()?);
    *packed = packed.get(rest..)?;
    (common <= line).then_some((step, common + rest))
}

/// As [`get`], for what may not be a number.
fn checked_get(packed: &mut &[u8]) -> Option<u64> {
    let length = packed.iter().position(|byte| byte & 0x80 == 0)? + 1;
    (length <= 9).then(|| get(packed))
}

fn get(packed: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, rest)) = packed.split_first() else { break };
        *packed = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// A block is not smaller, unless the plan says so or a line beside it is larger.
pub(super) const BLOCK: u64 = 8 << 10;
/// Nor is it smaller than so many times the line of its entry, so that an index is a small part of its run.
const LINES: u64 = 32;
/// So much is kept of a line to compare the next one with.
const HEAD: usize = 256;

/// Writes a run to a shelf.
pub(super) struct RunWriter<'a> {
    keys: &'a Keys,
    draft: Box<dyn Draft + 'a>,
    name: String,
    bytes: u64,
    index: Packer,
    /// How large a block is at the least, and where this one begins.
    least: u64,
    block: u64,
    /// The beginning of the last line, and whether that is all of it.
    last: Vec<u8>,
    whole: bool,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(keys: &'a Keys, shelf: &'a dyn Shelf, name: String, least: u64) -> io::Result<Self> {
        let draft = shelf.create(&name)?;
        let index = Packer::default();
        Ok(Self { keys, draft, name, bytes: 0, index, least, block: 0, last: vec![], whole: true })
    }

    /// Appends lines, each with its newline.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.draft.write_all(text)?;
        let last = mem::take(&mut self.last);
        self.offer(&last, self.whole, text, 0);
        let mut start = 0;
        while let Some(line) = next_block(text, start, self.least) {
            let before = &text[..line - 1];
            let before = &before[memrchr(b'\n', before).map_or(0, |newline| newline + 1)..];
            self.offer(before, true, text, line);
            start = line;
        }
        self.bytes += text.len() as u64;
        let before = text.strip_suffix(b"\n").unwrap_or(text);
        let line = &before[memrchr(b'\n', before).map_or(0, |newline| newline + 1)..];
        self.whole = line.len() <= HEAD;
        self.last = line[..line.len().min(HEAD)].to_vec();
        Ok(())
    }

    /// Ends the block before this line, if it is large enough.
    fn offer(&mut self, last: &[u8], whole: bool, text: &[u8], line: usize) {
        let at = self.bytes + line as u64;
        let text = &text[line..];
        let line = memchr(b'\n', text).map_or(text, |end| &text[..end]);
        let size = at - self.block;
        if size == 0 || (size < self.least && (line.len() as u64) < self.least) {
            return;
        }
        let stand_in = self.keys.stand_in(last, line);
        let is_known = whole || stand_in.len() <= last.len() || !self.keys.are_whole_lines();
        let is_short = stand_in.len() as u64 * LINES <= size.max(self.least);
        if is_known && is_short {
            self.index.push(at, stand_in);
            self.block = at;
        }
    }

    /// Puts the run on the shelf.
    pub(super) fn finish(mut self) -> io::Result<SortedRun> {
        self.draft.finish()?;
        if self.whole && self.bytes > 0 {
            self.index.push(self.bytes, &self.last);
        }
        Ok(SortedRun { name: self.name, bytes: self.bytes, index: self.index.index })
    }
}

/// Where in the text the first line begins that is a block behind `start`.
fn next_block(text: &[u8], start: usize, least: u64) -> Option<usize> {
    let far = start + least as usize;
    let line = far + memchr(b'\n', text.get(far..)?)? + 1;
    (line < text.len()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cc_core::shelf::Memory;

    use crate::{Key, Query};

    fn entries(index: &Index) -> Vec<Entry> {
        let (mut entries, mut all) = (index.entries(), vec![]);
        while let Some(entry) = entries.next() {
            all.push(entry.clone());
        }
        all
    }

    /// Writes these lines, which are in order, in texts of about so many bytes.
    fn run(keys: &Keys, lines: &[Vec<u8>], portion: usize) -> SortedRun {
        let shelf = Memory::default();
        let mut writer = RunWriter::new(keys, &shelf, "run".to_owned(), BLOCK).unwrap();
        let mut text = vec![];
        for line in lines {
            if line.len() >= portion {
                writer.write(&mem::take(&mut text)).unwrap();
            }
            text.extend_from_slice(line);
            text.push(b'\n');
            if text.len() >= portion {
                writer.write(&mem::take(&mut text)).unwrap();
            }
        }
        writer.write(&text).unwrap();
        writer.finish().unwrap()
    }

    fn plain(reverse: bool) -> Keys {
        Keys::new(&Query { keys: vec![Key { reverse, ..Key::default() }], ..Query::default() })
    }

    /// What must hold of an index.
    fn check(keys: &Keys, lines: &[Vec<u8>], run: &SortedRun) {
        let (mut at, mut starts) = (0, vec![]);
        for line in lines {
            starts.push(at);
            at += line.len() as u64 + 1;
        }
        assert_eq!(run.bytes, at);
        for entry in entries(&run.index) {
            let Ok(nth) = starts.binary_search(&entry.at) else {
                assert_eq!(
                    (entry.at, &entry.line),
                    (at, lines.last().unwrap()),
                    "not at the beginning of a line"
                );
                continue;
            };
            assert!(keys.compare(&entry.line, &lines[nth]).is_le());
            // They are equal if it was cut out of equal lines.
            assert!(keys.compare(&lines[nth - 1], &entry.line).is_le(), "{:?}", entry.line);
            if !keys.compare(&lines[nth - 1], &lines[nth]).is_eq() {
                assert!(keys.compare(&lines[nth - 1], &entry.line).is_lt());
            }
        }
    }

    fn lines(count: usize, line: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
        let mut lines: Vec<_> = (0..count).map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn an_entry_is_between_its_block_and_the_one_before() {
        let many =
            lines(40_000, |n| format!("{:x} and more of it", n * 2_654_435_761 % 1_000_003).into_bytes());
        let equal = lines(20_000, |n| format!("the same line again {}", n % 3).into_bytes());
        let long = lines(60, |n| [vec![b'x'; n % 7 * 3000], vec![b'0' + n as u8]].concat());
        for mut lines in [many, equal, long] {
            for portion in [1, 5000, 100_000, 1 << 30] {
                check(&plain(false), &lines, &run(&plain(false), &lines, portion));
            }
            lines.reverse();
            check(&plain(true), &lines, &run(&plain(true), &lines, 100_000));
        }
    }

    #[test]
    fn a_block_is_eight_kilobytes_of_ordinary_lines() {
        let lines = lines(100_000, |n| format!("{:08} an ordinary line", n * 7).into_bytes());
        let run = run(&plain(false), &lines, 256 << 10);
        assert!((7 << 10..11 << 10).contains(&(run.bytes / run.index.blocks())), "{}", run.index.blocks());
        assert!(run.index.size() * 500 < run.bytes, "{} bytes", run.index.size());
        let coarser = run.index.coarser(100 << 10);
        assert!((run.bytes / (110 << 10)..run.bytes / (100 << 10) + 2).contains(&coarser.blocks()));
        check(&plain(false), &lines, &SortedRun { index: coarser, ..run });
    }

    #[test]
    fn blocks_are_as_small_as_the_plan_wants_them() {
        let lines = lines(10_000, |n| format!("{:08} an ordinary line", n * 7).into_bytes());
        let text: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        let (keys, shelf) = (plain(false), Memory::default());
        let mut writer = RunWriter::new(&keys, &shelf, "run".to_owned(), 1 << 10).unwrap();
        writer.write(&text).unwrap();
        let run = writer.finish().unwrap();
        assert!((900..1400).contains(&(run.bytes / run.index.blocks())), "{} blocks", run.index.blocks());
        check(&keys, &lines, &run);
    }

    #[test]
    fn an_index_of_long_lines_is_small_too() {
        let lines = lines(300, |n| [vec![b'x'; 5000], n.to_string().into_bytes()].concat());
        let run = run(&plain(false), &lines, 256 << 10);
        check(&plain(false), &lines, &run);
        assert!(run.index.blocks() > 5 && run.index.size() < run.bytes / 30);
    }

    #[test]
    fn a_very_long_line_is_a_block_of_its_own() {
        let mut lines = lines(1000, |n| format!("{n:05}").into_bytes());
        lines[500] = [b"00500".to_vec(), vec![b'z'; 1 << 20]].concat();
        let run = run(&plain(false), &lines, 1000);
        check(&plain(false), &lines, &run);
        assert!(entries(&run.index).iter().any(|entry| entry.at == 500 * 6));
        assert!(entries(&run.index).iter().any(|entry| entry.at == 500 * 6 + (1 << 20) + 6));
        assert!(run.index.size() < 1000);
    }
}
