//! Sorts lines in memory. They are a text, and a record for each line.

use std::ops::{ControlFlow, Range};

use cc_core::{stop::Stop, trace};
use memchr::memchr_iter;

use super::{
    keys::{Keys, PREFIX_BYTES},
    plan,
    reader::{ChunkReader, READ},
};

/// A line of the text.
#[derive(Clone, Copy, Debug)]
struct Record {
    prefix: u64,
    /// The position in the text.
    at: u32,
    /// The length without the newline.
    len: u32,
}

impl Record {
    fn new(text: &[u8], line: Range<usize>, keys: &Keys) -> Result<Self, String> {
        let (Ok(at), Ok(len)) = (u32::try_from(line.start), u32::try_from(line.len())) else {
            return Err("a line is longer than 4 GiB".to_owned());
        };
        Ok(Self { prefix: keys.prefix(&text[line]), at, len })
    }

    fn range(&self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

/// A portion of a chunk that fits in a room. It is reused; the text is not cleared before it is
/// overwritten.
#[derive(Clone, Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    /// The bytes of the text that have been read.
    filled: usize,
    /// The bytes of the text whose lines have records; the others belong to the next portion.
    complete: usize,
    records: Vec<Record>,
}

impl Lines {
    /// Reads lines until the room is full, but at least one. Returns whether there may be more.
    pub(super) fn fill(
        &mut self,
        reader: &mut ChunkReader,
        room: u64,
        keys: &Keys,
        stop: &Stop,
    ) -> Result<bool, String> {
        let (mut size, max_records) = plan::divide_room(room, size_of::<Record>());
        let max_records = max_records.max(1);
        self.begin(size, max_records);
        let mut scanned = 0;
        while !stop.requested() {
            for newline in memchr_iter(keys.delimiter(), &self.text[scanned..self.filled]) {
                if self.records.len() == max_records {
                    return Ok(true);
                }
                let end = scanned + newline;
                self.records.push(Record::new(&self.text, self.complete..end, keys)?);
                self.complete = end + 1;
            }
            scanned = self.filled;
            // The text that was read with a long line may be more than fits in the room.
            if self.filled >= size {
                if self.complete > 0 {
                    return Ok(true);
                }
                size = self.filled + self.filled.max(READ); // exceed the room for a long line
            }
            let want = self.filled + READ.min(size - self.filled);
            if self.text.len() < want {
                self.text.resize(want, 0);
            }
            match reader.read(&mut self.text[self.filled..want])? {
                0 => break,
                read => self.filled += read,
            }
        }
        Ok(false)
    }

    /// Begins a portion with the text that is left of the last one.
    fn begin(&mut self, size: usize, max_records: usize) {
        let left = self.complete..self.filled;
        self.filled = left.len();
        self.complete = 0;
        self.records.clear();
        if self.text.capacity() / 2 > size.max(READ) {
            // Shrink the text, which was enlarged for a long line.
            let mut text = Vec::with_capacity(size.max(left.len()));
            text.extend_from_slice(&self.text[left]);
            self.text = text;
        } else {
            self.text.copy_within(left, 0);
        }
        // Reserve all at once, so that nothing is copied when the vectors grow. Pages that are
        // never written take no memory.
        self.text.reserve_exact(size.saturating_sub(self.text.len()));
        self.records.reserve_exact(max_records);
    }

    /// Discards text that was read for the next portion.
    pub(super) fn discard(&mut self) {
        (self.complete, self.filled) = (0, 0);
    }

    /// Sorts the lines; equal ones stay in their order. Breaks if a stop is requested.
    pub(super) fn sort(&mut self, keys: &Keys, stop: &Stop) -> ControlFlow<()> {
        let _span = trace::span("sort");
        Sort { text: &self.text, keys, stop }.sort(&mut self.records, 0)
    }

    /// The number of lines.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The lines, each with its newline.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|record| &self.text[record.at as usize..=record.range().end])
    }
}

/// Maximum records that are sorted by comparisons; more are first partitioned by eight bits.
const COMPARISON_SORT: usize = 1024;
/// Maximum records with the same prefix that are sorted by comparing their texts: for so few,
/// computing the next prefix of each does not pay.
const TEXT_SORT: usize = 8;
/// Maximum depth of prefixes; lines that are equal up to there are sorted by comparing their texts.
const MAX_DEPTH: usize = 64 * PREFIX_BYTES;

struct Sort<'a> {
    text: &'a [u8],
    keys: &'a Keys,
    stop: &'a Stop,
}

impl Sort<'_> {
    fn line(&self, record: &Record) -> &[u8] {
        &self.text[record.range()]
    }

    /// Sorts lines that are equal up to `depth`. Their prefixes are those of the text from there
    /// on.
    fn sort(&self, records: &mut [Record], depth: usize) -> ControlFlow<()> {
        if records.len() <= COMPARISON_SORT {
            return self.sort_small(records, depth);
        }
        if self.stop.requested() {
            return ControlFlow::Break(());
        }
        let prefixes = || records.iter().map(|record| record.prefix);
        let (min, max) = (prefixes().min().unwrap_or(0), prefixes().max().unwrap_or(0));
        if min == max {
            return self.sort_equal(records, depth);
        }
        // Partition by eight bits, beginning with the first bit in which prefixes differ.
        let shift = (u64::BITS - (min ^ max).leading_zeros()).saturating_sub(8);
        let ends = partition(records, shift);
        let mut start = 0;
        for end in ends {
            self.sort(&mut records[start..end], depth)?;
            start = end;
        }
        ControlFlow::Continue(())
    }

    fn sort_small(&self, records: &mut [Record], depth: usize) -> ControlFlow<()> {
        if !self.keys.are_whole_lines() {
            self.compare(records);
            return ControlFlow::Continue(());
        }
        records.sort_unstable_by_key(|record| (record.prefix, record.at));
        let groups = records.chunk_by_mut(|one, other| one.prefix == other.prefix);
        let mut groups = groups.filter(|group| group.len() > 1);
        groups.try_for_each(|group| self.sort_equal(group, depth))
    }

    /// Sorts lines with the same prefix.
    fn sort_equal(&self, records: &mut [Record], depth: usize) -> ControlFlow<()> {
        let are_equal = records.first().is_none_or(|record| self.keys.is_whole_key(record.prefix));
        let is_text_sort = records.len() <= TEXT_SORT || depth >= MAX_DEPTH;
        if !self.keys.are_whole_lines() || (!are_equal && is_text_sort) {
            self.compare(records);
        } else if are_equal {
            records.sort_unstable_by_key(|record| record.at);
        } else {
            let depth = depth + PREFIX_BYTES;
            for record in &mut *records {
                record.prefix = self.keys.prefix_at(&self.text[record.range()], depth);
            }
            return self.sort(records, depth);
        }
        ControlFlow::Continue(())
    }

    /// Sorts lines by comparing their prefixes and then their texts.
    fn compare(&self, records: &mut [Record]) {
        records.sort_unstable_by(|one, other| {
            let by_prefix = one.prefix.cmp(&other.prefix);
            let by_text = || self.keys.compare_after_prefix(one.prefix, self.line(one), self.line(other));
            by_prefix.then_with(by_text).then(one.at.cmp(&other.at))
        });
    }
}

/// Groups records by eight bits of their prefixes, in place (American flag sort). Returns the end
/// of each group.
fn partition(records: &mut [Record], shift: u32) -> [usize; 256] {
    let digit = |record: &Record| (record.prefix >> shift) as u8 as usize;
    let mut ends = [0; 256];
    for record in &*records {
        ends[digit(record)] += 1;
    }
    let mut next = [0; 256];
    let mut sum = 0;
    for (next, end) in next.iter_mut().zip(&mut ends) {
        *next = sum;
        sum += *end;
        *end = sum;
    }
    for group in 0..256 {
        while next[group] < ends[group] {
            let at = next[group];
            let to = digit(&records[at]);
            if to == group {
                next[group] += 1;
            } else {
                records.swap(at, next[to]);
                next[to] += 1;
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use cc_core::blobs::MemStore;

    use crate::{Content, Key, Piece, Query};

    /// Reads and sorts a text with this room; returns the portions.
    fn portions(text: &[u8], room: u64, query: &Query) -> Vec<Vec<Vec<u8>>> {
        let content = Content::Bytes(text.to_vec().into());
        let pieces = [Piece { path: b"text".to_vec().into(), content, start: 0, end: text.len() as u64 }];
        let (blobs, stop, keys) = (MemStore::default(), Stop::new(), Keys::new(query));
        let mut source = ChunkReader::new(query, &pieces, &blobs);
        let (mut lines, mut portions, mut more) = (Lines::default(), vec![], true);
        while more {
            more = lines.fill(&mut source, room, &keys, &stop).unwrap();
            assert!(lines.sort(&keys, &stop).is_continue());
            portions.push(lines.iter().map(<[u8]>::to_vec).collect());
        }
        portions
    }

    fn key(reverse: bool) -> Query {
        let key = Key { reverse, to: Some(1), ..Key::default() };
        Query { keys: vec![key], ..Query::default() }
    }

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// Lines that are equal up to the end of one prefix, of many prefixes, and of the maximum
    /// depth.
    fn alike() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(3);
        let mut text = vec![];
        for _ in 0..8000 {
            let common = [0, 6, 7, 8, 14, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 9][random.usize(..8)];
            text.extend(std::iter::repeat_n(b'=', common));
            text.extend_from_slice(&[0, b'a'][..random.usize(..3)]);
            text.extend_from_slice(format!("{}\n", random.u32(..900)).as_bytes());
        }
        text
    }

    #[test]
    fn there_is_room_for_a_line_however_little_it_is() {
        for room in [0, 1, 40, 64] {
            let portions = portions(b"b\na\nc\n", room, &Query::default());
            let lines: Vec<_> = portions.concat();
            assert_eq!(lines, [b"b\n", b"a\n", b"c\n"], "{room}");
        }
    }

    #[test]
    fn lines_that_begin_alike_for_long_are_in_order() {
        let text = alike();
        let mut expected = lines(&text);
        // Compare without newlines, since a newline is greater than a NUL.
        expected.sort_by(|one, other| one[..one.len() - 1].cmp(&other[..other.len() - 1]));
        assert!(portions(&text, 1 << 30, &Query::default()) == [expected]);
    }

    #[test]
    fn equal_lines_stay_in_their_order() {
        let text: String = (0..30_000).map(|n| format!("{} {n}\n", n * 7919 % 11)).collect();
        for reverse in [false, true] {
            let mut expected = lines(text.as_bytes());
            let field = |line: &Vec<u8>| line.split(|byte| *byte == b' ').next().unwrap().to_vec();
            expected.sort_by(|one, other| {
                let order = field(one).cmp(&field(other));
                if reverse { order.reverse() } else { order }
            });
            assert!(portions(text.as_bytes(), 1 << 30, &key(reverse)) == [expected]);
        }
    }

    #[test]
    fn what_has_no_room_is_left_for_the_next_portion() {
        let text = alike();
        for room in [100, 10_000, 1 << 20] {
            let portions = portions(&text, room, &Query::default());
            assert!(portions.len() > 1, "everything had room");
            let mut from = 0;
            let all = lines(&text);
            for portion in portions {
                let mut expected = all[from..from + portion.len()].to_vec();
                from += portion.len();
                expected.sort_by(|one, other| one[..one.len() - 1].cmp(&other[..other.len() - 1]));
                assert!(portion == expected);
            }
            assert_eq!(from, all.len());
        }
    }

    #[test]
    fn a_line_that_is_longer_than_the_room_is_read_all_the_same() {
        let text = [b"b\n", &vec![b'l'; 5 << 20][..], b"\na\n"].concat();
        let portions = portions(&text, 1000, &Query::default());
        let lengths: Vec<_> =
            portions.iter().map(|lines| lines.iter().map(Vec::len).collect::<Vec<_>>()).collect();
        // The text that was read with the long line is sorted with it.
        assert_eq!(lengths, [vec![2], vec![2, (5 << 20) + 1]]);
    }

    /// The text that was read with the long line is more than fits in the room.
    #[test]
    fn lines_of_any_length_behind_a_long_one_are_read() {
        let long = |length: usize| [&vec![b'l'; length][..], b"\n"].concat();
        let text = [long(600_000), b"a\n".repeat(20_000), long(100_000).repeat(8), b"z\n".to_vec()].concat();
        let portions = portions(&text, 768 << 10, &Query::default());
        assert_eq!(portions.concat().len(), 20_010);
    }

    #[test]
    fn a_stop_is_heeded() {
        let stop = Stop::new();
        stop.request(cc_core::stop::Cause::Test);
        let (query, blobs) = (Query::default(), MemStore::default());
        let pieces = [Piece {
            path: b"text".to_vec().into(),
            content: Content::Bytes(alike().into()),
            start: 0,
            end: 9,
        }];
        let mut source = ChunkReader::new(&query, &pieces, &blobs);
        let (mut lines, keys) = (Lines::default(), Keys::new(&query));
        assert_eq!(lines.fill(&mut source, 1 << 20, &keys, &stop), Ok(false));
        assert_eq!(lines.len(), 0);
    }
}
