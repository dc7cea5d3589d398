//! The order of lines: which parts of a line are compared, and how.
//!
//! Each line has a *prefix*: a number that is computed from its first key and has the same order.
//! Sorting and merging compare prefixes. They compare the text only if two prefixes are equal and
//! do not contain the whole key.

use std::cmp::Ordering;

use memchr::memchr;

use super::{
    Key, Query,
    numeric::{self, Number},
};

/// Bytes of text in a prefix. The eighth byte is their number, so that the end of a key is less
/// than a NUL.
pub(super) const PREFIX_BYTES: usize = 7;

/// The order of the lines of a job.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// If there are none, whole lines are compared, as bytes.
    keys: Vec<Key>,
    separator: Option<u8>,
    /// All ones if the order of the first key is reversed, otherwise zero. It is xored with
    /// prefixes.
    flip: u64,
    /// The number of fields up to the end of all keys; `None` if a key ends with the line.
    reach: Option<usize>,
}

impl Keys {
    pub(super) fn new(query: &Query) -> Self {
        let is_reversed = query.keys.first().is_some_and(|key| key.reverse);
        let are_whole_lines = query.keys.iter().all(Key::is_bytes_of_the_line) && query.keys.len() < 2;
        Self {
            keys: if are_whole_lines { vec![] } else { query.keys.clone() },
            separator: query.separator,
            flip: if is_reversed { u64::MAX } else { 0 },
            reach: query
                .keys
                .iter()
                .map(|key| key.to)
                .collect::<Option<Vec<_>>>()
                .and_then(|to| to.into_iter().max()),
        }
    }

    /// Whether whole lines are compared, as bytes.
    pub(super) fn are_whole_lines(&self) -> bool {
        self.keys.is_empty()
    }

    /// The prefix of a line.
    pub(super) fn prefix(&self, line: &[u8]) -> u64 {
        let prefix = match self.keys.first() {
            None => bytes_prefix(line),
            Some(key) if key.numeric => Number::read(self.key_text(key, line)).prefix(),
            Some(key) => bytes_prefix(self.key_text(key, line)),
        };
        prefix ^ self.flip
    }

    /// The prefix of a line's text from `depth` on, for the order of whole lines.
    pub(super) fn prefix_at(&self, line: &[u8], depth: usize) -> u64 {
        bytes_prefix(line.get(depth..).unwrap_or_default()) ^ self.flip
    }

    /// Whether the prefix contains the whole first key, so that keys with the same prefix are
    /// equal.
    pub(super) fn is_whole_key(&self, prefix: u64) -> bool {
        match self.keys.first() {
            Some(key) if key.numeric => numeric::is_exact(prefix ^ self.flip),
            _ => (prefix ^ self.flip) & 0xff <= PREFIX_BYTES as u64,
        }
    }

    /// The order of two lines that both have this prefix.
    pub(super) fn compare_after_prefix(&self, prefix: u64, one: &[u8], other: &[u8]) -> Ordering {
        match (&self.keys[..], self.is_whole_key(prefix)) {
            ([] | [_], true) => Ordering::Equal,
            ([], false) => self.flipped(one.cmp(other)),
            (keys, is_first_equal) => self.compare_by(&keys[usize::from(is_first_equal)..], one, other),
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
            let (one, other) = (self.key_text(key, one), self.key_text(key, other));
            let order =
                if key.numeric { Number::read(one).compare(&Number::read(other)) } else { one.cmp(other) };
            if key.reverse { order.reverse() } else { order }
        };
        keys.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The part of the line that the key stands for.
    fn key_text<'a>(&self, key: &Key, line: &'a [u8]) -> &'a [u8] {
        let mut start = self.skip_fields(line, key.from, true);
        if key.skip_blanks {
            start += line[start..].iter().take_while(|byte| is_blank(**byte)).count();
        }
        match key.to {
            None => &line[start..],
            // The end may be before the start, if blanks were skipped.
            Some(to) => &line[start..self.skip_fields(line, to, false).max(start)],
        }
    }

    /// The position where this number of fields ends in the line; after the last one's separator if
    /// `past_separator`.
    fn skip_fields(&self, line: &[u8], fields: usize, past_separator: bool) -> usize {
        let mut at = 0;
        for nth in 1..=fields {
            if at == line.len() {
                break;
            }
            at = match self.separator {
                Some(separator) => match memchr(separator, &line[at..]) {
                    Some(length) => at + length + usize::from(past_separator || nth < fields),
                    None => line.len(),
                },
                // Leading blanks belong to their field.
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

    /// A short separator of two lines, of which `last` comes first: it is greater than `last`, and
    /// not greater than `line`. If the lines are equal, it is equal to them. `last` may be only the
    /// beginning of a line; the separator must then not be longer than that.
    pub(super) fn shortest_separator<'a>(&self, last: &[u8], line: &'a [u8]) -> &'a [u8] {
        if !self.keys.is_empty() {
            return self.reach.map_or(line, |fields| &line[..self.skip_fields(line, fields, false)]);
        }
        if self.flip != 0 {
            return line; // in reverse order, a prefix of the line would be greater than the line
        }
        let common = last.iter().zip(line).take_while(|(one, other)| one == other).count();
        &line[..line.len().min(common + 1)]
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first seven bytes and their number, or 8 if there are more.
fn bytes_prefix(text: &[u8]) -> u64 {
    if let Some(eight) = text.first_chunk::<8>() {
        return u64::from_be_bytes(*eight) & !0xff | 8;
    }
    let mut padded = [0; 8];
    padded[..text.len()].copy_from_slice(text);
    u64::from_be_bytes(padded) | text.len() as u64
}
