//! Compares the outputs of two programs.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use memchr::{memchr_iter, memmem};

use crate::compare::{plan::order::Order, result::Difference};

/// Compares the outputs of two models: byte for byte, or line by line in any order. Returns the
/// first difference.
pub(crate) fn same(reference: &Path, other: &Path, order: Order) -> io::Result<Option<Difference>> {
    if order == Order::Unchecked || equal(File::open(reference)?, File::open(other)?)? {
        return Ok(None);
    }
    let (mut expected, mut found) = (Lines::open(reference)?, Lines::open(other)?);
    if order == Order::Any {
        return in_any_order(expected, found, reference, other);
    }
    while let (Some(expected), Some(found)) = (expected.next()?, found.next()?) {
        if expected != found {
            break;
        }
    }
    let line = expected.number.max(found.number);
    Ok(Some(Difference { line, expected: expected.shown(), found: found.shown() }))
}

/// Compares the output lines of the reference and a tool, in the order that `order` requires.
/// Returns the first difference. Lines about binary files are ignored, because each program has its
/// own message for them; a file is binary if a line of `messages` or of the tool's output says so.
pub(crate) fn lines(
    reference: &Path,
    messages: &Path,
    other: &Path,
    order: Order,
) -> io::Result<Option<Difference>> {
    let mut binary = HashSet::new();
    for path in [messages, other] {
        let mut lines = Lines::open(path)?;
        while let Some(line) = lines.next()? {
            binary.extend(binary_file(line).map(<[u8]>::to_vec));
        }
    }
    let (mut expected, mut found) = (Lines::open(reference)?, Lines::open(other)?);
    expected.ignored.clone_from(&binary);
    found.ignored = binary;
    match order {
        Order::Same => in_order(expected, found),
        Order::Any => in_any_order(expected, found, reference, other),
        Order::Unchecked => Ok(None),
    }
}

fn in_order(mut expected: Lines, mut found: Lines) -> io::Result<Option<Difference>> {
    loop {
        let (one, other) = (expected.next()?, found.next()?);
        if one.is_none() && other.is_none() {
            return Ok(None);
        }
        if one != other {
            let line = expected.number.max(found.number);
            return Ok(Some(Difference { line, expected: expected.shown(), found: found.shown() }));
        }
    }
}

/// Compares two outputs as multisets of lines: counts each line up in one and down in the other.
/// Lines are counted by their hash, because outputs may be larger than the memory.
fn in_any_order(
    mut expected: Lines,
    mut found: Lines,
    reference: &Path,
    other: &Path,
) -> io::Result<Option<Difference>> {
    let hash = RandomState::new();
    let mut surplus: HashMap<u64, i64> = HashMap::new();
    while let Some(line) = expected.next()? {
        *surplus.entry(hash.hash_one(line)).or_default() += 1;
    }
    while let Some(line) = found.next()? {
        *surplus.entry(hash.hash_one(line)).or_default() -= 1;
    }
    let first = |path, ignored, wrong: fn(i64) -> bool| -> io::Result<Option<Lines>> {
        let mut lines = Lines::open(path)?;
        lines.ignored = ignored;
        while let Some(line) = lines.next()? {
            if surplus.get(&hash.hash_one(line)).is_some_and(|n| wrong(*n)) {
                return Ok(Some(lines));
            }
        }
        Ok(None)
    };
    if let Some(lines) = first(reference, expected.ignored, |n| n > 0)? {
        return Ok(Some(Difference { line: lines.number, expected: lines.shown(), found: None }));
    }
    let extra = first(other, found.ignored, |n| n < 0)?;
    Ok(extra.map(|lines| Difference { line: lines.number, expected: None, found: lines.shown() }))
}

fn equal(mut one: File, mut other: File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = one.read(&mut a)?;
        other.read_exact(&mut b[..read])?;
        if a[..read] != b[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// The file that a message like `grep: FILE: binary file matches` is about.
fn binary_file(line: &[u8]) -> Option<&[u8]> {
    let end = memmem::find(line, b": binary file matches")
        .or_else(|| memmem::find(line, b": WARNING: stopped searching binary file"))?;
    let name = &line[..end];
    Some(name.strip_prefix(b"grep: ").unwrap_or(name))
}

/// The lines of a file, one at a time.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    /// The names of files whose lines are ignored.
    ignored: HashSet<Vec<u8>>,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        Ok(Self { reader, line: Vec::new(), number: 0, ignored: HashSet::new() })
    }

    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            if self.reader.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !self.is_ignored() {
                return Ok(Some(&self.line));
            }
        }
    }

    /// Whether the line comes from a file that is ignored, or is a message about it.
    fn is_ignored(&self) -> bool {
        if self.ignored.is_empty() {
            return false;
        }
        let name = |end: usize| self.ignored.contains(&self.line[..end]);
        binary_file(&self.line).is_some()
            || name(self.line.len() - 1)
            || memchr_iter(b':', &self.line).any(name)
    }

    /// The current line for a message, cut at `MAX_BYTES`; `None` at the end of the file.
    fn shown(&self) -> Option<String> {
        const MAX_BYTES: usize = 160;
        if self.line.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.line[..self.line.len().min(MAX_BYTES)]);
        Some(text.trim_end_matches('\n').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const REFERENCE: &str = "a:1\na:2\nb:1\nb:2\n";

    fn compared(reference: &str, messages: &str, other: &str, order: Option<Order>) -> Option<Difference> {
        let scratch = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(scratch.path().join(name), text).unwrap();
            scratch.path().join(name)
        };
        let (reference, other) = (file("reference", reference), file("other", other));
        match order {
            None => same(&reference, &other, Order::Same).unwrap(),
            Some(order) => lines(&reference, &file("messages", messages), &other, order).unwrap(),
        }
    }

    fn difference(line: u64, expected: Option<&str>, found: Option<&str>) -> Option<Difference> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Difference { line, expected: owned(expected), found: owned(found) })
    }

    #[test]
    fn equal_outputs_have_no_difference() {
        for order in [None, Some(Order::Same), Some(Order::Any)] {
            assert_eq!(compared(REFERENCE, "", REFERENCE, order), None);
            assert_eq!(compared("", "", "", order), None);
        }
        assert_eq!(compared(REFERENCE, "", "b:1\nb:2\na:1\na:2\n", Some(Order::Any)), None);
    }

    #[test]
    fn models_whose_order_is_free_must_print_the_same_lines() {
        let scratch = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(scratch.path().join(name), text).unwrap();
            scratch.path().join(name)
        };
        let (reference, swapped) = (file("a", "1 a\n2 b\n"), file("b", "2 b\n1 a\n"));
        assert_eq!(same(&reference, &swapped, Order::Any).unwrap(), None);
        assert_eq!(same(&reference, &file("c", "1 a\n"), Order::Unchecked).unwrap(), None);
        let doubled = same(&reference, &file("d", "2 b\n1 a\n1 a\n"), Order::Any).unwrap();
        assert_eq!(doubled, difference(2, None, Some("1 a")));
    }

    #[test]
    fn a_dropped_line_is_found() {
        for order in [None, Some(Order::Same)] {
            let found = compared(REFERENCE, "", "a:1\nb:1\nb:2\n", order);
            assert_eq!(found, difference(2, Some("a:2"), Some("b:1")));
        }
        let found = compared(REFERENCE, "", "b:1\nb:2\na:1\n", Some(Order::Any));
        assert_eq!(found, difference(2, Some("a:2"), None));
    }

    #[test]
    fn a_dropped_last_line_is_found() {
        for order in [None, Some(Order::Same), Some(Order::Any)] {
            let found = compared(REFERENCE, "", "a:1\na:2\nb:1\n", order);
            assert_eq!(found, difference(4, Some("b:2"), None));
        }
    }

    #[test]
    fn a_doubled_line_is_found() {
        for order in [None, Some(Order::Same)] {
            let found = compared(REFERENCE, "", "a:1\na:2\na:2\nb:1\nb:2\n", order);
            assert_eq!(found, difference(3, Some("b:1"), Some("a:2")));
        }
        let found = compared(REFERENCE, "", "a:2\na:1\na:2\nb:1\nb:2\n", Some(Order::Any));
        assert_eq!(found, difference(1, None, Some("a:2")));
    }

    #[test]
    fn swapped_lines_are_found_unless_any_order_is_allowed() {
        let swapped = "a:2\na:1\nb:1\nb:2\n";
        for order in [None, Some(Order::Same)] {
            assert_eq!(compared(REFERENCE, "", swapped, order), difference(1, Some("a:1"), Some("a:2")));
        }
        assert_eq!(compared(REFERENCE, "", swapped, Some(Order::Any)), None);
    }

    #[test]
    fn an_empty_output_differs() {
        for order in [None, Some(Order::Same), Some(Order::Any)] {
            assert_eq!(compared(REFERENCE, "", "", order), difference(1, Some("a:1"), None));
        }
    }

    #[test]
    fn a_missing_final_newline_is_found() {
        assert!(compared("a\n", "", "a", None).is_some());
    }

    #[test]
    fn files_that_either_program_calls_binary_are_ignored() {
        let messages = "grep: x/b: binary file matches\n";
        for message in [
            "grep: x/b: binary file matches\n",
            "x/b: binary file matches (found \"\\0\" byte around offset 4)\n",
            "x/b:7:late\nx/b: WARNING: stopped searching binary file after match (found \"\\0\")\n",
        ] {
            let other = format!("x/a:1\n{message}x/c:1\n");
            assert_eq!(compared("x/a:1\nx/c:1\n", messages, &other, Some(Order::Same)), None);
            assert_eq!(compared("x/a:1\nx/c:1\n", messages, &other, Some(Order::Any)), None);
        }
    }
}
