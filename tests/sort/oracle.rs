//! The oracle: a second implementation of the order, as simple as possible. It keeps all lines in
//! memory, extracts the keys, and uses a stable sort.

use std::{cmp::Ordering, fs, path::PathBuf};

use cc_workloads::sort::{Key, Order, Query, Totals};

use super::invocation::Invocation;

/// The expected result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) out: Vec<u8>,
    pub(super) totals: Totals,
}

impl Expected {
    /// The expected result of a job with this standard input.
    pub(super) fn of(invocation: &Invocation, stdin: &[u8]) -> Self {
        let implicit = invocation.files.is_empty().then(|| PathBuf::from("-"));
        let mut stdin = Some(stdin.to_vec());
        let read = |path: &PathBuf| match path.to_str() {
            Some("-") => stdin.take().unwrap_or_default(),
            _ => fs::read(path).expect("the file is there"),
        };
        let texts: Vec<Vec<u8>> = invocation.files.iter().chain(&implicit).map(read).collect();
        sorted(&texts, &invocation.query())
    }
}

/// The lines of these texts, in order.
pub(super) fn sorted(texts: &[Vec<u8>], query: &Query) -> Expected {
    let lines: Vec<&[u8]> = texts.iter().flat_map(|text| lines(text)).collect();
    let mut keyed: Vec<_> = lines.iter().map(|line| (values(line, query), *line)).collect();
    keyed.sort_by(|(one, _), (other, _)| compare(one, other, query));
    if query.unique {
        keyed.dedup_by(|(one, _), (other, _)| compare(one, other, query).is_eq());
    }
    let bytes = lines.iter().map(|line| line.len() as u64 + 1).sum();
    let (read, written) = (lines.len() as u64, keyed.len() as u64);
    let mut out = vec![];
    for (_, line) in keyed {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    Expected { out, totals: Totals { files: texts.len() as u64, bytes, lines: read, sorted: written } }
}

/// The lines, without their newlines. There is no empty line after the last newline.
pub(super) fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

/// Whether two lines, without their newlines, are equal.
pub(super) fn are_equal(one: &[u8], other: &[u8], query: &Query) -> bool {
    compare(&values(one, query), &values(other, query), query).is_eq()
}

/// A key of a line, as it is compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Bytes(&'a [u8]),
    Number(Vec<u8>),
}

fn values<'a>(line: &'a [u8], query: &Query) -> Vec<Value<'a>> {
    if query.keys.is_empty() {
        return vec![Value::Bytes(line)];
    }
    let value = |key: &Key| {
        let text = cut(line, key, query.separator);
        if key.order == Order::Numeric { Value::Number(number(text)) } else { Value::Bytes(text) }
    };
    query.keys.iter().map(value).collect()
}

fn compare(one: &[Value], other: &[Value], query: &Query) -> Ordering {
    let is_reversed = |nth: usize| query.keys.get(nth).is_some_and(|key| key.reverse);
    for (nth, (one, other)) in one.iter().zip(other).enumerate() {
        match one.cmp(other) {
            Ordering::Equal => {}
            order if is_reversed(nth) => return order.reverse(),
            order => return order,
        }
    }
    Ordering::Equal
}

/// The start and the end of each field.
fn fields(line: &[u8], separator: Option<u8>) -> Vec<(usize, usize)> {
    let (mut fields, mut start) = (vec![], 0);
    for at in 0..line.len() {
        let ends = match separator {
            Some(separator) => line[at] == separator,
            // Blanks belong to the field that follows them.
            None => at > 0 && is_blank(line[at]) && !is_blank(line[at - 1]),
        };
        if ends {
            fields.push((start, at));
            start = at + usize::from(separator.is_some());
        }
    }
    fields.push((start, line.len()));
    fields
}

fn cut<'a>(line: &'a [u8], key: &Key, separator: Option<u8>) -> &'a [u8] {
    let fields = fields(line, separator);
    let mut start = fields.get(key.from).map_or(line.len(), |field| field.0);
    while key.skip_blanks && start < line.len() && is_blank(line[start]) {
        start += 1;
    }
    let end = key.to.and_then(|to| fields.get(to - 1)).map_or(line.len(), |field| field.1);
    &line[start..end.max(start)]
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Maximum number of digits on either side of the point: no number in these tests has more.
const DIGITS: usize = 64;

/// Encodes a number as text whose order is the order of numbers.
fn number(text: &[u8]) -> Vec<u8> {
    let blanks = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    let text = &text[blanks..];
    let (is_negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (whole, rest) = leading_digits(text);
    let part = rest.strip_prefix(b".").map_or(&b""[..], |rest| leading_digits(rest).0);
    assert!(whole.len() <= DIGITS && part.len() <= DIGITS, "too long for this test");
    let is_below_zero = is_negative && [whole, part].concat().iter().any(|digit| *digit != b'0');
    let mut digits = vec![if is_below_zero { b'-' } else { b'1' }];
    digits.resize(1 + DIGITS - whole.len(), b'0');
    digits.extend_from_slice(whole);
    digits.extend_from_slice(part);
    digits.resize(1 + 2 * DIGITS, b'0');
    if is_below_zero {
        digits[1..].iter_mut().for_each(|digit| *digit = b'9' - *digit);
    }
    digits
}

fn leading_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}
