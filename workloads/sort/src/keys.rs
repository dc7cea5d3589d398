//! The order of lines: which parts of a line are compared, and how.
//!
//! Each line has a *prefix*: a number that is computed from its first key and has the same order.
//! Sorting and merging compare prefixes. They compare the text only if two prefixes are equal and
//! do not contain the whole key.

use std::{borrow::Cow, cmp::Ordering};

use memchr::memchr;

use super::{
    Ignore, Key, Order, Query, general,
    numeric::{self, Number, is_blank},
    version,
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
    delimiter: u8,
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
            delimiter: query.delimiter(),
            flip: if is_reversed { u64::MAX } else { 0 },
            reach: query
                .keys
                .iter()
                .map(|key| key.to.filter(|_| key.to_byte == 0))
                .collect::<Option<Vec<_>>>()
                .and_then(|to| to.into_iter().max()),
        }
    }

    /// The byte that ends each line.
    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Whether whole lines are compared, as bytes.
    pub(super) fn are_whole_lines(&self) -> bool {
        self.keys.is_empty()
    }

    /// The prefix of a line.
    pub(super) fn prefix(&self, line: &[u8]) -> u64 {
        let prefix = match self.keys.first() {
            None => bytes_prefix(line),
            Some(key) => key.prefix(self.key_text(key, line)),
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
        let prefix = prefix ^ self.flip;
        match self.keys.first().map_or(Order::Bytes, |key| key.order) {
            Order::Bytes => prefix & 0xff <= PREFIX_BYTES as u64,
            Order::Numeric => numeric::is_exact(prefix),
            Order::General | Order::Month => true,
            Order::Human | Order::Version => false,
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
            let order = key.compare(self.key_text(key, one), self.key_text(key, other));
            if key.reverse { order.reverse() } else { order }
        };
        keys.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The part of the line that the key stands for.
    fn key_text<'a>(&self, key: &Key, line: &'a [u8]) -> &'a [u8] {
        let mut start = self.skip_fields(line, key.from, true);
        if key.skip_blanks {
            start = skip_blanks(line, start);
        }
        start = start.saturating_add(key.from_byte).min(line.len());
        let end = match key.to {
            None => line.len(),
            Some(to) if key.to_byte == 0 => self.skip_fields(line, to, false),
            Some(to) => {
                let field = self.skip_fields(line, to.saturating_sub(1), true);
                let field = if key.skip_end_blanks { skip_blanks(line, field) } else { field };
                field.saturating_add(key.to_byte).min(line.len())
            }
        };
        // The end may be before the start.
        &line[start..end.max(start)]
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

/// The position of the first byte that is not a blank, from `start` on.
fn skip_blanks(line: &[u8], start: usize) -> usize {
    start + line[start..].iter().take_while(|byte| is_blank(**byte)).count()
}

impl Key {
    /// Whether the key's text is not compared as it is.
    fn is_translated(&self) -> bool {
        self.fold_case || self.ignore != Ignore::Nothing
    }

    /// The bytes of the key's text that are compared.
    fn translated<'a>(&self, text: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> {
        let Self { fold_case, ignore, .. } = *self;
        let compared = text.iter().copied().filter(move |byte| match ignore {
            Ignore::Nothing => true,
            Ignore::Nonprinting => matches!(byte, b' '..=b'~'),
            Ignore::Nondictionary => byte.is_ascii_alphanumeric() || is_blank(*byte),
        });
        compared.map(move |byte| if fold_case { byte.to_ascii_uppercase() } else { byte })
    }

    /// The text that is compared if the order is not simply that of its bytes.
    fn translated_text<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        if self.is_translated() { self.translated(text).collect() } else { Cow::Borrowed(text) }
    }

    /// The prefix of the key's text.
    fn prefix(&self, text: &[u8]) -> u64 {
        match self.order {
            Order::Bytes if self.is_translated() => {
                let mut eight = [0; PREFIX_BYTES + 1];
                let length = eight.iter_mut().zip(self.translated(text)).map(|(to, byte)| *to = byte).count();
                bytes_prefix(&eight[..length])
            }
            Order::Bytes => bytes_prefix(text),
            Order::Numeric => Number::read(text).prefix(),
            Order::General => general::prefix(text),
            Order::Human => numeric::unit_prefix(text, self.fold_case),
            Order::Month => month(text),
            Order::Version => version::prefix(&self.translated_text(text)),
        }
    }

    /// The order of the texts of two keys, before it is reversed.
    fn compare(&self, one: &[u8], other: &[u8]) -> Ordering {
        match self.order {
            Order::Bytes if self.is_translated() => self.translated(one).cmp(self.translated(other)),
            Order::Bytes => one.cmp(other),
            Order::Numeric => Number::read(one).compare(&Number::read(other)),
            Order::General => general::prefix(one).cmp(&general::prefix(other)),
            Order::Human => {
                let by_unit = numeric::unit(one, self.fold_case).cmp(&numeric::unit(other, self.fold_case));
                by_unit.then_with(|| Number::read(one).compare(&Number::read(other)))
            }
            Order::Month => month(one).cmp(&month(other)),
            Order::Version => version::compare(&self.translated_text(one), &self.translated_text(other)),
        }
    }
}

/// The number of the month whose name the text begins with, after blanks; zero if there is none.
fn month(text: &[u8]) -> u64 {
    const MONTHS: [&[u8; 3]; 12] =
        [b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC"];
    let text = &text[skip_blanks(text, 0)..];
    let name = text.first_chunk::<3>();
    let nth = name.and_then(|name| MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name)));
    nth.map_or(0, |nth| nth as u64 + 1)
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

/// Calls `check` with every two of these texts and their order. The groups are in ascending order,
/// and the texts of a group are equal.
#[cfg(test)]
pub(crate) fn for_each_pair(ordered: &[&[&str]], check: impl Fn(&str, &str, Ordering)) {
    let all = || ordered.iter().enumerate().flat_map(|(n, equal)| equal.iter().map(move |text| (n, *text)));
    for (n, one) in all() {
        all().for_each(|(m, other)| check(one, other, n.cmp(&m)));
    }
}
