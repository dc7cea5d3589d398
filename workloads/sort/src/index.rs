//! Writes runs and their indexes, which tell where lines are in a run.
//!
//! An index has an entry for each *block* of a run, about eight kilobytes: its position, and a
//! separator. This is a line that is greater than all lines of earlier blocks, and not greater than
//! any line of its own block. Only between equal lines, it is equal to both. It need not occur in
//! the run, so the shortest such line is chosen. The last entry is that of an empty block at the
//! end of the run; its separator is the run's last line. Entries are compressed: each is stored
//! relative to the one before.

use std::{io, io::Write, mem};

use cc_core::blobs::{BlobStore, BlobWriter};
use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{SortedRun, keys::Keys};

/// The index of a run. The first block, at the run's beginning, has no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// For each entry: the distance of its block from the one before, the length of the prefix that
    /// its line has in common with the one before, the length of the suffix after it, and the
    /// suffix.
    packed: ByteBuf,
    entries: u64,
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The position of the block in the run.
    pub(super) at: u64,
    /// The separator: no line before the block is greater.
    pub(super) line: Vec<u8>,
}

impl Index {
    /// The index's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.packed.len() as u64
    }

    /// The number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.entries + 1
    }

    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { packed: &self.packed, entry: Entry::default() }
    }

    /// Whether this can be the index of a run with this number of bytes: every entry is complete,
    /// and its block begins in the run, after the one before. An index from another machine must be
    /// checked before its [entries](Index::entries) are read.
    pub(super) fn is_of(&self, bytes: u64) -> bool {
        let mut packed = &self.packed[..];
        let mut entries = 0;
        let mut at = 0;
        let mut line_length = 0;
        while !packed.is_empty() {
            let Some((step, length)) = take_checked_entry(&mut packed, line_length) else { return false };
            at += u128::from(step);
            if step == 0 || at > u128::from(bytes) {
                return false;
            }
            entries += 1;
            line_length = length;
        }
        entries == self.entries
    }

    #[cfg(test)]
    pub(super) fn packed(packed: &[u8], entries: u64) -> Self {
        Self { packed: ByteBuf::from(packed), entries }
    }

    /// An index of the same run whose blocks have at least this size.
    pub(super) fn coarser(&self, block: u64) -> Self {
        let mut coarser = Packer::default();
        let mut entries = self.entries();
        for nth in 1..=self.entries {
            let Some(entry) = entries.next() else { break };
            // The last entry is the end of the run. Without it, merges after the last line would
            // read the last block again.
            if entry.at >= coarser.last.at + block || nth == self.entries {
                coarser.push(entry.at, &entry.line);
            }
        }
        coarser.index
    }
}

/// Builds an index.
#[derive(Default)]
struct Packer {
    index: Index,
    last: Entry,
}

impl Packer {
    fn push(&mut self, at: u64, line: &[u8]) {
        let packed = &mut self.index.packed;
        let common = self.last.line.iter().zip(line).take_while(|(one, other)| one == other).count();
        put_number(packed, at - self.last.at);
        put_number(packed, common as u64);
        put_number(packed, (line.len() - common) as u64);
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
        self.entry.at += take_number(&mut self.packed);
        let common = usize::try_from(take_number(&mut self.packed)).expect("lines fit into memory");
        let length = usize::try_from(take_number(&mut self.packed)).expect("lines fit into memory");
        let (suffix, packed) = self.packed.split_at(length);
        self.entry.line.truncate(common);
        self.entry.line.extend_from_slice(suffix);
        self.packed = packed;
        Some(&self.entry)
    }
}

/// Appends a number as LEB128: seven bits per byte, the lowest first.
fn put_number(packed: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

/// Takes an entry that follows one with a line of this length. Returns the distance of its block
/// from the one before, and the length of its own line; `None` if the entry is invalid.
fn take_checked_entry(packed: &mut &[u8], line_before: usize) -> Option<(u64, usize)> {
    let step = take_checked_number(packed)?;
    let common = usize::try_from(take_checked_number(packed)?).ok()?;
    let suffix = usize::try_from(take_checked_number(packed)?).ok()?;
    *packed = packed.get(suffix..)?;
    (common <= line_before).then_some((step, common + suffix))
}

/// Takes a number, or returns `None` if it is incomplete or longer than nine bytes.
fn take_checked_number(packed: &mut &[u8]) -> Option<u64> {
    let length = packed.iter().position(|byte| byte & 0x80 == 0)? + 1;
    (length <= 9).then(|| take_number(packed))
}

/// Takes a number, which must be valid.
fn take_number(packed: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, after)) = packed.split_first() else { break };
        *packed = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// Minimum bytes of a block, if the plan does not set another value. A block next to a longer line
/// may be smaller.
pub(super) const MIN_BLOCK: u64 = 8 << 10;
/// Minimum size of a block in relation to the line of its entry, so that an index is small in
/// relation to its run.
const BLOCK_PER_LINE: u64 = 32;
/// Maximum bytes that are kept of the last line of a text, for comparison with the next line.
const MAX_KEPT_LINE: usize = 256;

/// Writes a run to a blob store.
pub(super) struct RunWriter<'a> {
    keys: &'a Keys,
    blob: Box<dyn BlobWriter + 'a>,
    name: String,
    bytes: u64,
    index: Packer,
    /// Minimum bytes of a block.
    min_block: u64,
    /// The position of the current block.
    block_start: u64,
    /// The last line, or its first [`MAX_KEPT_LINE`] bytes.
    last: Vec<u8>,
    /// Whether `last` is the complete line.
    is_last_complete: bool,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(
        keys: &'a Keys,
        blobs: &'a dyn BlobStore,
        name: String,
        min_block: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            keys,
            blob: blobs.create(&name)?,
            name,
            bytes: 0,
            index: Packer::default(),
            min_block,
            block_start: 0,
            last: vec![],
            is_last_complete: true,
        })
    }

    /// Appends lines, each with its newline.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let delimiter = self.keys.delimiter();
        self.blob.write_all(text)?;
        let last = mem::take(&mut self.last);
        self.try_end_block(&last, self.is_last_complete, text, 0);
        let mut start = 0;
        while let Some(line) = next_block(text, start, self.min_block, delimiter) {
            self.try_end_block(last_line(&text[..line - 1], delimiter), true, text, line);
            start = line;
        }
        self.bytes += text.len() as u64;
        let line = last_line(text.strip_suffix(&[delimiter]).unwrap_or(text), delimiter);
        self.is_last_complete = line.len() <= MAX_KEPT_LINE;
        self.last = line[..line.len().min(MAX_KEPT_LINE)].to_vec();
        Ok(())
    }

    /// Ends the block before the line at position `line` of the text, if the block is large enough.
    /// `last` is the line before, or its beginning.
    fn try_end_block(&mut self, last: &[u8], is_last_complete: bool, text: &[u8], line: usize) {
        let at = self.bytes + line as u64;
        let text = &text[line..];
        let line = memchr(self.keys.delimiter(), text).map_or(text, |end| &text[..end]);
        let size = at - self.block_start;
        if size == 0 || (size < self.min_block && (line.len() as u64) < self.min_block) {
            return;
        }
        let separator = self.keys.shortest_separator(last, line);
        // If only the beginning of the last line is known, a longer separator may not be greater.
        let is_greater = is_last_complete || separator.len() <= last.len() || !self.keys.are_whole_lines();
        let is_short = separator.len() as u64 * BLOCK_PER_LINE <= size.max(self.min_block);
        if is_greater && is_short {
            self.index.push(at, separator);
            self.block_start = at;
        }
    }

    /// Finishes the blob of the run.
    pub(super) fn finish(mut self) -> io::Result<SortedRun> {
        self.blob.finish()?;
        if self.is_last_complete && self.bytes > 0 {
            self.index.push(self.bytes, &self.last);
        }
        Ok(SortedRun { name: self.name, bytes: self.bytes, index: self.index.index })
    }
}

/// The position of the first line in the text that is at least a block after `start`.
fn next_block(text: &[u8], start: usize, min_block: u64, delimiter: u8) -> Option<usize> {
    let min_end = start + min_block as usize;
    let line = min_end + memchr(delimiter, text.get(min_end..)?)? + 1;
    (line < text.len()).then_some(line)
}

/// The last line of a text that does not end with a delimiter.
fn last_line(text: &[u8], delimiter: u8) -> &[u8] {
    &text[memrchr(delimiter, text).map_or(0, |newline| newline + 1)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cc_core::blobs::MemStore;

    use crate::{Key, Query};

    fn entries(index: &Index) -> Vec<Entry> {
        let (mut entries, mut all) = (index.entries(), vec![]);
        while let Some(entry) = entries.next() {
            all.push(entry.clone());
        }
        all
    }

    /// Writes these lines, which are in order, in texts of about `portion` bytes.
    fn run(keys: &Keys, lines: &[Vec<u8>], portion: usize) -> SortedRun {
        let blobs = MemStore::default();
        let mut writer = RunWriter::new(keys, &blobs, "run".to_owned(), MIN_BLOCK).unwrap();
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

    /// Checks the invariants of an index.
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
            // They are equal only if the lines on both sides are.
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
        let (keys, blobs) = (plain(false), MemStore::default());
        let mut writer = RunWriter::new(&keys, &blobs, "run".to_owned(), 1 << 10).unwrap();
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
