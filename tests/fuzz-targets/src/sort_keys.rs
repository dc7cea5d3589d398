//! Input of `sort`: options with keys, and a text.

use std::{cmp::Ordering, ffi::OsString, num::NonZeroUsize, ops::ControlFlow, os::unix::ffi::OsStringExt};

use cc_workloads::{
    Sink, Stop,
    blobs::MemStore,
    sort::{self, Chunk, Content, Ignore, Job, Key, Order, Output, Piece, Plan, Query, Runs, Sorter, Task},
};

use crate::{first_line, random, words};

/// Maximum size of the text.
const LONGEST: usize = 1 << 12;

/// Takes the first line as the words of a command line, and the other bytes as a text to sort.
///
/// - A query that is written as options and parsed again is the same.
/// - The order is that of a simple comparison, key by key, and stable. The prefixes that decide
///   most comparisons, the runs, and the bounds of the merges make no difference.
pub fn sort_keys(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let (options, text) = first_line(bytes);
    let Some(job) = sort::cli::job(&words(options)) else { return };
    let again = sort::cli::job(&said(&job.query)).expect("they are options");
    assert_eq!(again.query, job.query);

    let lines = lines(text, job.query.delimiter());
    let mut rng = random(bytes);
    // Other orders have no second implementation here: all divisions must have the same result.
    let is_simple = |key: &Key| matches!(key.order, Order::Bytes | Order::Numeric);
    let expected = if job.query.keys.iter().all(is_simple) {
        simply_sorted(&lines, &job.query)
    } else {
        sorted(&job, &lines, &mut rng)
    };
    for _ in 0..2 {
        let sorted = sorted(&job, &lines, &mut rng);
        assert!(sorted == expected, "{} and not {}", sorted.escape_ascii(), expected.escape_ascii());
    }
}

/// The sorted lines, each with its delimiter.
fn simply_sorted(lines: &[&[u8]], query: &Query) -> Vec<u8> {
    let mut sorted: Vec<Line> = lines.iter().map(|line| Line::new(line, query)).collect();
    sorted.sort_by(|one, other| one.compare(other, query));
    if query.unique {
        sorted.dedup_by(|one, first| one.compare(first, query).is_eq());
    }
    let mut text = vec![];
    for line in sorted {
        text.extend_from_slice(line.text);
        text.push(query.delimiter());
    }
    text
}

/// Writes a query as the words of a command line.
fn said(query: &Query) -> Vec<OsString> {
    // With `-s` there are no keys but those that are given.
    let mut words: Vec<OsString> = vec!["program".into(), "-s".into()];
    if query.zero_terminated {
        words.push("-z".into());
    }
    if query.unique {
        words.push("-u".into());
    }
    match query.separator {
        Some(0) => words.push(r"--field-separator=\0".into()),
        Some(separator) => {
            words.push(OsString::from_vec([b"--field-separator=", &[separator][..]].concat()));
        }
        None => {}
    }
    // A key without letters takes the global ones, of which there are none.
    words.extend(query.keys.iter().map(|key| said_key(key).into()));
    words
}

fn said_key(key: &Key) -> String {
    let order = match key.order {
        Order::Bytes => "",
        Order::Numeric => "n",
        Order::General => "g",
        Order::Human => "h",
        Order::Month => "M",
        Order::Version => "V",
    };
    let ignore = match key.ignore {
        Ignore::Nothing => "",
        Ignore::Nonprinting => "i",
        Ignore::Nondictionary => "d",
    };
    let mut letters = format!("{order}{ignore}");
    for (is_set, letter) in [(key.fold_case, 'f'), (key.reverse, 'r'), (key.skip_blanks, 'b')] {
        letters.extend(is_set.then_some(letter));
    }
    let end_blanks = if key.skip_end_blanks { "b" } else { "" };
    let to = key.to.map_or_else(String::new, |to| format!(",{to}.{}{end_blanks}", key.to_byte));
    format!("-k{}.{}{letters}{to}", key.from.saturating_add(1), key.from_byte.saturating_add(1))
}

/// Sorts lines in chunks, runs and merges of random sizes, far smaller than real ones.
fn sorted(job: &Job, lines: &[&[u8]], rng: &mut fastrand::Rng) -> Vec<u8> {
    let (blobs, stop) = (MemStore::default(), Stop::new());
    let mut sorter = Sorter::new(&job.query, &stop);
    let plan = Plan {
        chunk: 64,
        room: 64,
        in_memory: true,
        merge: rng.u64(1..200),
        fits: NonZeroUsize::MIN,
        block: rng.u64(1..64),
        index: *rng.choice(&[0, 100, u64::MAX]).expect("there are three"),
    };
    let (mut runs, mut out) = (Runs::new(job, &plan, &blobs), Out::default());
    let mut rest = lines;
    for number in 0.. {
        if rest.is_empty() {
            break;
        }
        let (some, others) = rest.split_at(rng.usize(1..=rest.len()));
        rest = others;
        let chunk = chunk(number, some, job.query.delimiter(), &plan, rng);
        let output = done(&mut sorter, &job.query, &Task::Chunk(chunk), &blobs);
        let _ = runs.gather(&mut out).push(output);
    }
    while let Some(pass) = runs.pass() {
        let mut writer = pass.writer(&mut out).expect("there is memory");
        for task in pass.merges() {
            let _ = writer.push(done(&mut sorter, &job.query, &task, &blobs));
        }
        let made = writer.finish().expect("there is memory");
        runs.put(pass, made);
    }
    let mut last = Out::default();
    for task in runs.merges() {
        let _ = last.push(done(&mut sorter, &job.query, &task, &blobs));
    }
    assert_eq!(out.read, lines.len() as u64, "every line is read once");
    last.text
}

fn chunk(number: u64, lines: &[&[u8]], delimiter: u8, plan: &Plan, rng: &mut fastrand::Rng) -> Chunk {
    let end = [delimiter];
    let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().chain(&end)).copied().collect();
    let end = text.len() as u64;
    let piece = Piece { path: b"f".to_vec().into(), content: Content::Bytes(text.into()), start: 0, end };
    Chunk { number, pieces: vec![piece], room: rng.u64(64..2000), block: plan.block }
}

fn done(sorter: &mut Sorter, query: &Query, task: &Task, blobs: &MemStore) -> Output {
    let output = sorter.task(task, blobs);
    assert_eq!(task.scope(query).accepts(&output), Ok(()));
    output
}

#[derive(Default)]
struct Out {
    text: Vec<u8>,
    read: u64,
}

impl Sink<Output> for Out {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        match output {
            Output::Lines { text, .. } => self.text.extend_from_slice(&text),
            Output::Read(totals) => self.read += totals.lines,
            other => panic!("{other:?}"),
        }
        ControlFlow::Continue(())
    }
}

/// A line and its keys.
struct Line<'a> {
    text: &'a [u8],
    values: Vec<Value<'a>>,
}

enum Value<'a> {
    Text(Vec<u8>),
    /// Whether the number is negative, its digits before the point, and those after it.
    Number(bool, &'a [u8], &'a [u8]),
}

impl<'a> Line<'a> {
    fn new(text: &'a [u8], query: &Query) -> Self {
        let whole = [Key::default()];
        let keys = if query.keys.is_empty() { &whole[..] } else { &query.keys };
        Self { text, values: keys.iter().map(|key| Value::new(text, key, query.separator)).collect() }
    }

    fn compare(&self, other: &Self, query: &Query) -> Ordering {
        for (nth, (one, other)) in self.values.iter().zip(&other.values).enumerate() {
            let order = one.compare(other);
            if order.is_ne() {
                let is_reversed = query.keys.get(nth).is_some_and(|key| key.reverse);
                return if is_reversed { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }
}

impl<'a> Value<'a> {
    fn new(line: &'a [u8], key: &Key, separator: Option<u8>) -> Self {
        let fields = fields(line, separator);
        let skip_blanks = |start: usize| start + count(&line[start..], is_blank);
        let mut start = fields.get(key.from).map_or(line.len(), |field| field.0);
        if key.skip_blanks {
            start = skip_blanks(start);
        }
        start = start.saturating_add(key.from_byte).min(line.len());
        let last = key.to.and_then(|to| fields.get(to - 1));
        let end = match last {
            None => line.len(),
            Some(field) if key.to_byte == 0 => field.1,
            Some(field) => {
                let field = if key.skip_end_blanks { skip_blanks(field.0) } else { field.0 };
                field.saturating_add(key.to_byte).min(line.len())
            }
        };
        let text = &line[start..end.max(start)];
        if key.order == Order::Numeric { Self::number(text) } else { Self::Text(compared(text, key)) }
    }

    fn number(text: &'a [u8]) -> Self {
        let text = &text[count(text, is_blank)..];
        let (is_negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let (whole, rest) = text.split_at(count(text, u8::is_ascii_digit));
        let part = rest.strip_prefix(b".").unwrap_or_default();
        let part = &part[..count(part, u8::is_ascii_digit)];
        let is_zero = whole.iter().chain(part).all(|digit| *digit == b'0');
        Self::Number(is_negative && !is_zero, whole, part)
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(one, ..), Self::Number(other, ..)) if one != other => other.cmp(one),
            (Self::Number(below, ..), Self::Number(..)) => {
                let length =
                    |value: &Self| if let Self::Number(_, whole, _) = value { whole.len() } else { 0 };
                let longest = length(self).max(length(other));
                let (one, other) = (self.digits(longest), other.digits(longest));
                let order = digit_by_digit(&one, &other);
                if *below { order.reverse() } else { order }
            }
            _ => unreachable!("a key is a number in all lines or in none"),
        }
    }

    /// The digits, with zeros in front up to `before` digits before the point.
    fn digits(&self, before: usize) -> Vec<u8> {
        let Self::Number(_, whole, part) = self else { unreachable!("only numbers have digits") };
        let mut digits = vec![b'0'; before - whole.len()];
        digits.extend(whole.iter().chain(*part));
        digits
    }
}

/// The bytes of a key that are compared.
fn compared(text: &[u8], key: &Key) -> Vec<u8> {
    let mut bytes = text.to_vec();
    match key.ignore {
        Ignore::Nothing => {}
        Ignore::Nonprinting => bytes.retain(|byte| byte.is_ascii_graphic() || *byte == b' '),
        Ignore::Nondictionary => bytes.retain(|byte| byte.is_ascii_alphanumeric() || is_blank(byte)),
    }
    if key.fold_case {
        bytes.make_ascii_uppercase();
    }
    bytes
}

/// Compares digits; missing ones at the end are zeros.
fn digit_by_digit(one: &[u8], other: &[u8]) -> Ordering {
    let digit = |digits: &[u8], at| digits.get(at).copied().unwrap_or(b'0');
    let orders = (0..one.len().max(other.len())).map(|at| digit(one, at).cmp(&digit(other, at)));
    orders.fold(Ordering::Equal, Ordering::then)
}

/// The start and the end of each field.
fn fields(line: &[u8], separator: Option<u8>) -> Vec<(usize, usize)> {
    let (mut fields, mut start) = (vec![], 0);
    for at in 0..line.len() {
        let ends = match separator {
            Some(separator) => line[at] == separator,
            // Blanks belong to the field that follows.
            None => at > 0 && is_blank(&line[at]) && !is_blank(&line[at - 1]),
        };
        if ends {
            fields.push((start, at));
            start = at + usize::from(separator.is_some());
        }
    }
    fields.push((start, line.len()));
    fields
}

fn count(text: &[u8], is: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is(byte)).count()
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// The lines, without their delimiters. There is no empty line after the last delimiter.
fn lines(text: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == delimiter).collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}
