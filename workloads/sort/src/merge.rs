//! Merges parts of runs.

use std::cmp::Ordering;

use cc_core::{
    blobs::{BlobRange, BlobStore},
    error::reason,
};
use memchr::{memchr, memrchr};
use serde_bytes::ByteBuf;

use super::{Bound, Merge, Output, keys::Keys, loser_tree::LoserTree};

/// Maximum bytes that are allocated before anything has been read: many times the size of a usual
/// merge. The sizes of parts may come from another machine, so more memory is allocated only for
/// bytes that arrive.
const MAX_RESERVED: usize = 64 << 20;

/// Does merges, and reuses its memory for the next one.
#[derive(Clone, Default)]
pub(super) struct Merger {
    /// The bytes of all parts.
    text: Vec<u8>,
}

/// The next line of a run.
struct Head {
    prefix: u64,
    start: usize,
    /// The position of the line's newline.
    end: usize,
    /// The end of the run's part; if `start` is there, no line is left.
    limit: usize,
}

impl Merger {
    /// Merges the lines of the runs between two bounds. If `unique`, only the first of equal lines
    /// is kept. The error is the part that cannot be read, and the reason.
    pub(super) fn merge(
        &mut self,
        merge: &Merge,
        blobs: &dyn BlobStore,
        keys: &Keys,
        unique: bool,
    ) -> Result<Output, (BlobRange, String)> {
        let mut heads = self.read(merge, blobs, keys)?;
        let size = heads.iter().map(|head| head.limit - head.start).sum();
        let mut out =
            MergedText { text: &self.text, merged: Vec::with_capacity(size), pending: 0..0, lines: 0 };
        let beats = |heads: &[Head], one: usize, other: usize| {
            let (a, b) = (&heads[one], &heads[other]);
            let order = a.prefix.cmp(&b.prefix).then_with(|| compare(&self.text, keys, a, b));
            order.then(one.cmp(&other)).is_lt()
        };
        let mut tree = LoserTree::new(heads.len(), |one, other| beats(&heads, one, other));
        let mut last: Option<Head> = None;
        while let Some(head) = heads.get_mut(tree.winner()).filter(|head| head.start < head.limit) {
            let is_new = !unique
                || last.replace(Head { ..*head }).is_none_or(|last| {
                    last.prefix != head.prefix || compare(&self.text, keys, &last, head).is_ne()
                });
            if is_new {
                out.push(head.start, head.end + 1);
            }
            head.advance(&self.text, keys);
            tree.replay(|one, other| beats(&heads, one, other));
        }
        Ok(out.finish())
    }

    /// Reads the parts, and finds the lines between the bounds. Returns the first line of each
    /// part.
    fn read(
        &mut self,
        merge: &Merge,
        blobs: &dyn BlobStore,
        keys: &Keys,
    ) -> Result<Vec<Head>, (BlobRange, String)> {
        self.text.clear();
        let size = merge.parts.iter().map(|part| part.slice.len()).fold(0, u64::saturating_add);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // Free memory that an earlier merge needed for a very long line.
        self.text.shrink_to(size.saturating_mul(2));
        self.text.reserve_exact(size.min(MAX_RESERVED));
        let slices: Vec<_> = merge.parts.iter().map(|part| &part.slice).collect();
        let describe = |(nth, error)| (BlobRange::clone(slices[nth]), reason(&error));
        blobs.read_all(&slices, &mut self.text).map_err(describe)?;
        let mut heads = Vec::with_capacity(merge.parts.len());
        let mut next = 0;
        for part in &merge.parts {
            let start = next;
            next += part.slice.len() as usize;
            let part_text = &self.text[start..next];
            let position = |bound: &Option<Bound>, default: usize| {
                bound.as_ref().map_or(default, |bound| {
                    first_not_before(
                        part_text,
                        keys,
                        |order, at| {
                            order
                                .then(part.run.cmp(&bound.run))
                                .then((part.slice.start + at as u64).cmp(&bound.at))
                                .is_lt()
                        },
                        &bound.line,
                    )
                })
            };
            let (from, to) = (position(&merge.from, 0), position(&merge.to, part_text.len()));
            let mut head = Head { prefix: 0, start: start + from, end: start + from, limit: start + to };
            head.read_line(&self.text, keys);
            heads.push(head);
        }
        Ok(heads)
    }
}

/// The position of the first line that is not before a bound, in a text of sorted lines.
/// `is_before` is given the order of a line and the bound's line, and the line's position.
fn first_not_before(
    text: &[u8],
    keys: &Keys,
    is_before: impl Fn(Ordering, usize) -> bool,
    line: &[u8],
) -> usize {
    let (mut low, mut high) = (0, text.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = memrchr(keys.delimiter(), &text[low..middle]).map_or(low, |newline| low + newline + 1);
        let end = memchr(keys.delimiter(), &text[middle..]).map_or(text.len(), |newline| middle + newline);
        if is_before(keys.compare(&text[start..end], line), start) {
            low = (end + 1).min(text.len());
        } else {
            high = start;
        }
    }
    low
}

fn compare(text: &[u8], keys: &Keys, one: &Head, other: &Head) -> Ordering {
    // A run without lines comes after all others.
    let by_end = (one.start >= one.limit).cmp(&(other.start >= other.limit));
    by_end.then_with(|| {
        keys.compare_after_prefix(one.prefix, &text[one.start..one.end], &text[other.start..other.end])
    })
}

impl Head {
    fn advance(&mut self, text: &[u8], keys: &Keys) {
        self.start = self.end + 1;
        self.read_line(text, keys);
    }

    /// Finds the end and the prefix of the line at `start`.
    fn read_line(&mut self, text: &[u8], keys: &Keys) {
        if self.start < self.limit {
            let remaining = &text[self.start..self.limit];
            self.end = self.start + memchr(keys.delimiter(), remaining).unwrap_or(remaining.len());
            self.prefix = keys.prefix(&text[self.start..self.end]);
        } else {
            (self.start, self.end, self.prefix) = (self.limit, self.limit, u64::MAX);
        }
    }
}

/// The result of a merge. Lines that are adjacent in a run are copied together.
struct MergedText<'a> {
    text: &'a [u8],
    merged: Vec<u8>,
    /// The adjacent lines that have not been copied yet.
    pending: std::ops::Range<usize>,
    lines: u64,
}

impl MergedText<'_> {
    fn push(&mut self, start: usize, end: usize) {
        self.lines += 1;
        if start != self.pending.end {
            self.merged.extend_from_slice(&self.text[self.pending.clone()]);
            self.pending.start = start;
        }
        self.pending.end = end;
    }

    fn finish(mut self) -> Output {
        self.merged.extend_from_slice(&self.text[self.pending]);
        Output::Lines { text: ByteBuf::from(self.merged), lines: self.lines }
    }
}
