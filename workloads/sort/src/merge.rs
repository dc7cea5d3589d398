//! Merging parts of runs.

use std::cmp::Ordering;

use cc_core::{
    error::reason,
    shelf::{Shelf, Slice},
};
use memchr::{memchr, memrchr};
use serde_bytes::ByteBuf;

use super::{Bound, Merge, Output, keys::Keys, losers::Losers};
/// Memory that is taken before anything has been read: many times the size of a usual merge. More
/// is taken as it arrives, so that a size which nothing stands behind costs none.
const RESERVED: usize = 64 << 20;

/// Merges, one after the other, over the same memory.
#[derive(Clone, Default)]
pub(super) struct Merger {
    /// What was read of the runs.
    text: Vec<u8>,
}

/// The next line of a run.
struct Head {
    prefix: u64,
    start: usize,
    /// Where its newline is.
    end: usize,
    /// Where the run's part ends; nothing is left if the line begins there.
    limit: usize,
}

impl Merger {
    /// The lines of the runs between two bounds, in order; of equal ones only the first if they are to be `unique`. Fails
    /// with what cannot be read, and why.
    pub(super) fn merge(
        &mut self,
        merge: &Merge,
        shelf: &dyn Shelf,
        keys: &Keys,
        unique: bool,
    ) -> Result<Output, (Slice, String)> {
        let mut heads = self.read(merge, shelf, keys)?;
        let size = heads.iter().map(|head| head.limit - head.start).sum();
        let mut out = Out { text: &self.text, made: Vec::with_capacity(size), pending: 0..0, lines: 0 };
        let beats = |heads: &[Head], one: usize, other: usize| {
            let (a, b) = (&heads[one], &heads[other]);
            let order = a.prefix.cmp(&b.prefix).then_with(|| compare(&self.text, keys, a, b));
            order.then(one.cmp(&other)).is_lt()
        };
        let mut tree = Losers::new(heads.len(), |one, other| beats(&heads, one, other));
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

    /// Reads the parts, and finds the lines between the bounds.
    fn read(&mut self, merge: &Merge, shelf: &dyn Shelf, keys: &Keys) -> Result<Vec<Head>, (Slice, String)> {
        self.text.clear();
        let size = merge.parts.iter().map(|part| part.slice.len()).fold(0, u64::saturating_add);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // What a very long line has taken is not kept.
        self.text.shrink_to(size.saturating_mul(2));
        self.text.reserve_exact(size.min(RESERVED));
        let slices: Vec<_> = merge.parts.iter().map(|part| &part.slice).collect();
        let unread = |(nth, error)| (Slice::clone(slices[nth]), reason(&error));
        shelf.read_all(&slices, &mut self.text).map_err(unread)?;
        let mut heads = Vec::with_capacity(merge.parts.len());
        let mut next = 0;
        for part in &merge.parts {
            let start = next;
            next += part.slice.len() as usize;
            let part_text = &self.text[start..next];
            let place = |bound: &Option<Bound>, none: usize| {
                bound.as_ref().map_or(none, |bound| {
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
            let (from, to) = (place(&merge.from, 0), place(&merge.to, part_text.len()));
            let mut head = Head { prefix: 0, start: start + from, end: start + from, limit: start + to };
            head.look(&self.text, keys);
            heads.push(head);
        }
        Ok(heads)
    }
}

/// Where the first line begins that is not before a bound, in a text of sorted lines.
fn first_not_before(
    text: &[u8],
    keys: &Keys,
    is_before: impl Fn(Ordering, usize) -> bool,
    line: &[u8],
) -> usize {
    let (mut low, mut high) = (0, text.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = memrchr(b'\n', &text[low..middle]).map_or(low, |newline| low + newline + 1);
        let end = memchr(b'\n', &text[middle..]).map_or(text.len(), |newline| middle + newline);
        if is_before(keys.compare(&text[start..end], line), start) {
            low = (end + 1).min(text.len());
        } else {
            high = start;
        }
    }
    low
}

fn compare(text: &[u8], keys: &Keys, one: &Head, other: &Head) -> Ordering {
    // Who has nothing left is behind everybody.
    let by_end = (one.start >= one.limit).cmp(&(other.start >= other.limit));
    by_end.then_with(|| {
        keys.compare_beyond(one.prefix, &text[one.start..one.end], &text[other.start..other.end])
    })
}

impl Head {
    fn advance(&mut self, text: &[u8], keys: &Keys) {
        self.start = self.end + 1;
        self.look(text, keys);
    }

    /// Looks at the line that begins here.
    fn look(&mut self, text: &[u8], keys: &Keys) {
        if self.start < self.limit {
            let rest = &text[self.start..self.limit];
            self.end = self.start + memchr(b'\n', rest).unwrap_or(rest.len());
            self.prefix = keys.prefix(&text[self.start..self.end]);
        } else {
            (self.start, self.end, self.prefix) = (self.limit, self.limit, u64::MAX);
        }
    }
}

/// The text that is made. Lines that follow each other in a run are copied together.
struct Out<'a> {
    text: &'a [u8],
    made: Vec<u8>,
    pending: std::ops::Range<usize>,
    lines: u64,
}

impl Out<'_> {
    fn push(&mut self, start: usize, end: usize) {
        self.lines += 1;
        if start != self.pending.end {
            self.made.extend_from_slice(&self.text[self.pending.clone()]);
            self.pending.start = start;
        }
        self.pending.end = end;
    }

    fn finish(mut self) -> Output {
        self.made.extend_from_slice(&self.text[self.pending]);
        Output::Lines { text: ByteBuf::from(self.made), lines: self.lines }
    }
}
