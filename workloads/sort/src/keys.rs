//! The order of lines: what of a line is compared, and how.
//!
//! A comparison is decided, wherever possible, by a *prefix*: a number made of the line's first key, in whose order
//! the keys are. Sorting and merging compare numbers, and look at the text only when two of them are equal and do not
//! say everything.

use std::cmp::Ordering;

use memchr::memchr;

use super::{
    Key, Query,
    numeric::{self, Number},
};

/// How many bytes of text a prefix has. The eighth says how many there are, so that an end is less than a NUL.
pub(super) const DEPTH: usize = 7;

/// The order of the lines of a job.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// None is the whole line, its bytes.
    keys: Vec<Key>,
    separator: Option<u8>,
    /// All bits, if the first key's order is reversed.
    flip: u64,
    /// How far into a line the keys reach, in fields; none if to its end.
    reach: Option<usize>,
}

impl Keys {
    pub(super) fn new(query: &Query) -> Self {
        let first = query.keys.first().is_some_and(|key| key.reverse);
        let whole = query.keys.iter().all(Key::is_bytes_of_the_line) && query.keys.len() < 2;
        Self {
            keys: if whole { vec![] } else { query.keys.clone() },
            separator: query.separator,
            flip: if first { u64::MAX } else { 0 },
            reach: query
                .keys
                .iter()
                .map(|key| key.to)
                .collect::<Option<Vec<_>>>()
                .and_then(|to| to.into_iter().max()),
        }
    }

    /// Whether it is the whole lines' bytes that are compared.
    pub(super) fn are_whole_lines(&self) -> bool {
        self.keys.is_empty()
    }

    /// The prefix of a line.
    pub(super) fn prefix(&self, line: &[u8]) -> u64 {
        let prefix = match self.keys.first() {
            None => bytes_prefix(line),
            Some(key) if key.numeric => Number::read(self.find(key, line)).prefix(),
            Some(key) => bytes_prefix(self.find(key, line)),
        };
        prefix ^ self.flip
    }

    /// The prefix of what is left of a line from `depth` on, which is for whole lines only.
    pub(super) fn prefix_at(&self, line: &[u8], depth: usize) -> u64 {
        bytes_prefix(line.get(depth..).unwrap_or_default()) ^ self.flip
    }

    /// Whether keys of this same prefix are equal.
    pub(super) fn settles(&self, prefix: u64) -> bool {
        match self.keys.first() {
            Some(key) if key.numeric => numeric::settles(prefix ^ self.flip),
            _ => (prefix ^ self.flip) & 0xff <= DEPTH as u64,
        }
    }

    /// The order of two lines that have this same prefix.
    pub(super) fn compare_beyond(&self, prefix: u64, one: &[u8], other: &[u8]) -> Ordering {
        match (&self.keys[..], self.settles(prefix)) {
            ([] | [_], true) => Ordering::Equal,
            ([], false) => self.flipped(one.cmp(other)),
            (keys, settled) => self.compare_by(&keys[usize::from(settled)..], one, other),
        }
    }

    /// The order of two lines.
    pub(super) fn compare(&self, one: &[u8], other: &[u8]) -> Ordering {
        match &self.keys[..] {
            [] => self.flipped(one.cmp(other)),
            keys => self.compare_by(keys, one, other),
        }
    }

    fn flipped(&self, order: Ordering) -> Ordering {
        if self.flip == 0 { order } else { order.reverse() }
    }

    fn compare_by(&self, keys: &[Key], one: &[u8], other: &[u8]) -> Ordering {
        let compare = |key: &Key| {
            let (one, other) = (self.find(key, one), self.find(key, other));
            let order =
                if key.numeric { Number::read(one).compare(&Number::read(other)) } else { one.cmp(other) };
            if key.reverse { order.reverse() } else { order }
        };
        keys.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// What of the line is compared.
    fn find<'a>(&self, key: &Key, line: &'a [u8]) -> &'a [u8] {
        let mut start = self.skip(line, 0, key.from, true);
        if key.skip_blanks {
            start += line[start..].iter().take_while(|byte| is_blank(**byte)).count();
        }
        match key.to {
            None => &line[start..],
            // It may end before blanks that were skipped.
            Some(to) => &line[start..self.skip(line, 0, to, false).max(start)],
        }
    }

    /// Where in the line so many fields end, counted from `at`; behind the last one's separator if `behind`.
    fn skip(&self, line: &[u8], mut at: usize, fields: usize, behind: bool) -> usize {
        for nth in 1..=fields {
            if at == line.len() {
                break;
            }
            at = match self.separator {
                Some(separator) => match memchr(separator, &line[at..]) {
                    Some(length) => at + length + usize::from(behind || nth < fields),
                    None => line.len(),
                },
                // A field's leading blanks belong to it.
                None => {
                    let text = line[at..].iter().position(|byte| !is_blank(*byte));
                    let text = text.map_or(line.len(), |blanks| at + blanks);
                    let end = line[text..].iter().position(|byte| is_blank(*byte));
                    end.map_or(line.len(), |length| text + length)
                }
            };
        }
        at
    }

    /// A short stand-in for `line` in comparisons: it is behind every line up to `last`, which comes before `line`, and
    /// not behind `line`. All there is to know of `last` may be its beginning.
    pub(super) fn stand_in<'a>(&self, last: &[u8], line: &'a [u8]) -> &'a [u8] {
        if !self.keys.is_empty() {
            return self.reach.map_or(line, |fields| &line[..self.skip(line, 0, fields, false)]);
        }
        if self.flip != 0 {
            return line; // what is shorter would be behind it
        }
        let common = last.iter().zip(line).take_while(|(one, other)| one == other).count();
        &line[..line.len().min(common + 1)]
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first bytes, and their number; 8 stands for more.
fn bytes_prefix(text: &[u8]) -> u64 {
    if let Some(eight) = text.first_chunk::<8>() {
        return u64::from_be_bytes(*eight) & !0xff | 8;
    }
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(text) {
        *to = *from;
    }
    u64::from_be_bytes(eight) | text.len() as u64
}
