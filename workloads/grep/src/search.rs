//! The kernel: search a task's lines.
//!
//! Made of what ripgrep is made of: `grep-regex` finds a candidate line anywhere in the buffer with the fastest
//! literal search there is, and only a candidate is looked at as a line.

use std::{io, ops::Range};

use cc_core::{
    error::{Error, Result, reason},
    failpoint,
    root::Files,
    trace,
};
use grep_matcher::{LineMatchKind, Matcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use memchr::{memchr, memchr_iter, memrchr};

use super::{
    Binary, Found, Output, Part, Piece, Query, Report, Row, Task, Totals, Trouble,
    read::{Buffer, Lines, Source},
};
/// A file with a NUL before this offset is binary from its beginning: GNU grep's first buffer.
const BINARY_HEAD: u64 = 96 << 10;

/// How much is read and searched at a time: small enough to be in the cache still when it is searched, large enough
/// for most files.
const BLOCK: usize = 128 << 10;

/// A task puts out this part of its limit before it hands the rest back: outputs wait for their turn, and are what
/// a run's memory is filled with when nobody reads them.
const TEXT_SHARE: u64 = 4;

/// One worker's search: the compiled query and a reused buffer. It starts no threads, and a panic leaves it
/// usable. A clone shares nothing that is written to.
#[derive(Clone)]
pub struct Search {
    query: Query,
    matcher: RegexMatcher,
    files: Files,
    buffer: Buffer,
}

impl Search {
    /// Compiles the query.
    pub fn new(query: &Query) -> Result<Self> {
        let (files, buffer) = (Files::All, Buffer::default());
        Ok(Self { query: query.clone(), matcher: query.matcher()?, files, buffer })
    }

    /// The same, but it opens these files only.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task.
    pub fn task(&mut self, task: &Task) -> Output {
        let _span = trace::span("search");
        let mut output = Output::default();
        let mut spent = Spent::default();
        for (at, piece) in task.pieces.iter().enumerate() {
            self.piece(piece, task.limit, &mut spent, &mut output);
            let left = &task.pieces[at + 1..];
            if self.query.report == Report::Status && output.found.last().is_some_and(|f| f.selected > 0) {
                break;
            }
            // What is behind a file that was not finished comes behind the rest of it.
            if (spent.reaches(task.limit) || !output.rest.is_empty()) && !left.is_empty() {
                output.rest.push(Part::Task(Task { pieces: left.to_vec(), limit: task.limit }));
                break;
            }
        }
        output
    }

    /// Searches a piece, block by block.
    fn piece(&mut self, piece: &Piece, limit: u64, spent: &mut Spent, output: &mut Output) {
        failpoint::hit(&piece.path, piece.start);
        let mut source = match Source::open(piece, self.query.base(), &self.files) {
            Ok(source) => source,
            Err(error) => return output.found.push(Found::unreadable(piece, piece.start, &error)),
        };
        while !source.is_done() {
            match self.block(piece, &mut source, limit, spent, output) {
                Ok(ON) => {}
                Ok(ENOUGH) => break,
                Err(error) => return output.found.push(Found::unreadable(piece, source.next(), &error)),
            }
        }
    }

    /// Searches the next block. Enough if the file is settled, or the task's limit is reached.
    fn block(
        &mut self,
        piece: &Piece,
        source: &mut Source,
        limit: u64,
        spent: &mut Spent,
        output: &mut Output,
    ) -> io::Result<Flow> {
        let size = usize::try_from(limit).map_or(BLOCK, |limit| limit.min(BLOCK));
        let lines = self.buffer.fill(source, size)?;
        let mut page = Page::new(&self.query, piece, &lines, spent.room(limit));
        page.search(&self.matcher, self.buffer.lines(&lines));
        let found = page.found;
        spent.bytes += found.bytes;
        spent.text += found.text.len() as u64;

        let mut flow = if found.ended { ENOUGH } else { ON };
        if !found.ended {
            if found.bytes < lines.len() as u64 {
                // The next lines will put out about as much per byte: as many bytes for a task as filled this one.
                let (next, step) = (lines.at + found.bytes, found.bytes.max(4 << 10));
                output.rest.push(source.unsearched(next, &lines, step, limit));
                flow = ENOUGH;
            }
            if !source.is_done() && (flow == ENOUGH || spent.reaches(limit)) {
                output.rest.push(source.rest(limit)?);
                flow = ENOUGH;
            }
        }
        if found.matters(&self.query) {
            output.found.push(found);
        } else {
            output.others += Totals { files: 1, bytes: found.bytes, ..Totals::default() };
        }
        Ok(flow)
    }
}

/// What a task has searched and put out.
#[derive(Default)]
struct Spent {
    bytes: u64,
    text: u64,
}

impl Spent {
    fn reaches(&self, limit: u64) -> bool {
        self.bytes >= limit || self.room(limit) == 0
    }

    /// The text that may be put out yet.
    fn room(&self, limit: u64) -> u64 {
        (limit / TEXT_SHARE).saturating_sub(self.text)
    }
}

impl Query {
    /// Checks the query, and says which pattern is wrong.
    pub fn check(&self) -> Result<()> {
        self.matcher().map(drop)
    }

    fn matcher(&self) -> Result<RegexMatcher> {
        let mut patterns: Vec<String> = self.patterns.iter().map(|pattern| self.source(pattern)).collect();
        let mut builder = RegexMatcherBuilder::new();
        builder
            .unicode(false)
            .multi_line(true)
            .line_terminator(Some(b'\n'))
            .case_insensitive(self.ignore_case)
            .word(self.word);
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.unicode(false).utf8(false).multi_line(true);
        let wrong = |pattern: &str, why: &dyn ToString| Error::Pattern {
            pattern: pattern.to_owned(),
            reason: why.to_string(),
        };
        for pattern in &mut patterns {
            // The builder parses a pattern within parentheses: `a)(b` would be two groups there,
            // and a comment at its end would hide the last one.
            let parsed = parser.build().parse(pattern).map_err(|error| wrong(pattern, &error))?;
            if parsed.properties().look_set().contains_anchor_haystack() {
                return Err(wrong(pattern, &r"every line is searched by itself: use ^ and $, not \A and \z"));
            }
            if let Err(error) = builder.build(pattern) {
                let ended = format!("{pattern}\n");
                builder.build(&ended).map_err(|_| wrong(pattern, &error))?;
                *pattern = ended;
            }
        }
        let shown = patterns.join("|");
        builder.build_many(&patterns).map_err(|error| wrong(&shown, &error))
    }

    /// A pattern as the regex library takes it: text, with the bytes that are not UTF-8 escaped.
    fn source(&self, pattern: &[u8]) -> String {
        let mut source = String::new();
        for chunk in pattern.utf8_chunks() {
            if self.fixed {
                source += &regex_syntax::escape(chunk.valid());
            } else {
                source += chunk.valid();
            }
            for byte in chunk.invalid() {
                source += &format!(r"\x{byte:02X}");
            }
        }
        source
    }
}

impl Found {
    fn unreadable(piece: &Piece, at: u64, error: &io::Error) -> Self {
        let why = reason(error);
        // A file whose beginning could be read has lost a part in the middle.
        let trouble = if at == 0 { Trouble::Unreadable(why) } else { Trouble::Failed(why) };
        let path = piece.path.clone();
        Self { path, at, ended: true, trouble: Some(trouble), ..Self::default() }
    }

    /// Whether the printer has to know of it.
    fn matters(&self, query: &Query) -> bool {
        let says_something =
            self.selected > 0 || matches!(query.report, Report::Count | Report::FilesWithout);
        says_something || !self.ended || self.at > 0
    }
}

/// The text of one piece, as it is written.
struct Page<'a> {
    query: &'a Query,
    found: Found,
    /// Path and separator, if lines carry them.
    prefix: Vec<u8>,
    /// The text that is enough for one go.
    room: usize,
    /// Rows must be told apart later, when the earlier ranges of the file are known.
    keep_rows: bool,
    /// Where the lines are printed no more: the first line with a NUL.
    binary_from: usize,
    /// Up to where line terminators have been counted.
    counted: usize,
    /// Up to where the lines have been searched.
    searched: usize,
}

/// Whether to go on with a piece.
type Flow = std::ops::ControlFlow<()>;
const ON: Flow = Flow::Continue(());
const ENOUGH: Flow = Flow::Break(());

impl<'a> Page<'a> {
    fn new(query: &'a Query, piece: &Piece, lines: &Lines, room: u64) -> Self {
        let mut prefix = Vec::new();
        if query.names && query.report.prints_text() {
            prefix.extend_from_slice(&piece.path);
            prefix.push(b':');
        }
        let at = lines.at;
        let found = Found { path: piece.path.clone(), at, ended: lines.ended, ..Found::default() };
        let keep_rows = at > 0 && query.report.prints_text() && (query.line_numbers || query.max.is_some());
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        Self { query, found, prefix, room, keep_rows, binary_from: usize::MAX, counted: 0, searched: 0 }
    }

    fn search(&mut self, matcher: &RegexMatcher, lines: &mut [u8]) {
        if let Some(nul) = memchr(0, lines) {
            self.found.binary = Binary::Seen;
            let is_head = self.found.at + (nul as u64) < BINARY_HEAD;
            self.binary_from = match memrchr(b'\n', &lines[..nul]) {
                Some(newline) if !is_head => newline + 1,
                _ => 0,
            };
            // In a binary file a NUL ends a line, as in GNU grep.
            lines[nul..].iter_mut().filter(|byte| **byte == 0).for_each(|nul| *nul = b'\n');
        }
        let flow = if self.query.max == Some(0) {
            // `-L -m 0`: no line is selected, and none needs to be searched.
            self.end()
        } else if self.query.invert {
            self.search_inverted(matcher, lines)
        } else {
            self.search_matching(matcher, lines)
        };
        if flow.is_continue() {
            self.searched = lines.len();
        }
        if self.searched <= self.binary_from {
            self.found.binary = Binary::No; // as far as the search has come
        }
        if self.query.line_numbers {
            self.count_to(self.searched, lines);
        }
        self.found.bytes = self.searched as u64;
    }

    fn search_matching(&mut self, matcher: &RegexMatcher, lines: &[u8]) -> Flow {
        let mut at = 0;
        while let Some(line) = next_match(matcher, lines, at) {
            at = line.end;
            self.select(matcher, lines, line)?;
        }
        ON
    }

    fn search_inverted(&mut self, matcher: &RegexMatcher, lines: &[u8]) -> Flow {
        let mut at = 0;
        while at < lines.len() {
            let hit = next_match(matcher, lines, at).unwrap_or(lines.len()..lines.len());
            while at < hit.start {
                let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |newline| at + newline + 1);
                self.select(matcher, lines, at..end)?;
                at = end;
            }
            at = hit.end;
        }
        ON
    }

    /// Reports a selected line.
    fn select(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>) -> Flow {
        let query = self.query;
        let nth = self.found.selected;
        self.searched = line.end;
        self.found.selected += 1;
        if self.found.at > 0 && (nth == 0 || query.max.is_some()) {
            self.found.ends.push(small(line.end));
        }
        if query.report.prints_text() && line.start >= self.binary_from {
            self.found.binary = Binary::Matched;
            self.found.matches += 1;
            return self.end();
        }
        match query.report {
            Report::Lines => {
                self.found.matches += 1;
                self.row(lines, line.clone(), line.start, nth);
            }
            Report::Matches if query.invert => {}
            Report::Matches => self.matches(matcher, lines, line.clone(), nth),
            Report::Count | Report::FilesWith | Report::FilesWithout | Report::Status => {
                self.found.matches += 1;
            }
        }
        if query.report.first_line_settles() || query.max.is_some_and(|max| self.found.selected >= max) {
            return self.end();
        }
        let done =
            self.found.text.len() + size_of_val(&self.found.rows[..]) + size_of_val(&self.found.ends[..]);
        if done >= self.room && line.end < lines.len() {
            self.found.ended = false;
            return ENOUGH;
        }
        ON
    }

    /// What has been found settles the file.
    fn end(&mut self) -> Flow {
        self.found.ended = true;
        ENOUGH
    }

    /// Each match of a line on a row of its own.
    fn matches(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>, nth: u64) {
        let text = &lines[..line.end];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let (text, mut at) = (&text[line.start..], 0);
        while let Some(hit) = find(matcher, text, at) {
            if hit.is_empty() {
                at = hit.end + 1; // GNU grep does not print empty matches
            } else {
                at = hit.end;
                self.found.matches += 1;
                self.row(lines, line.start + hit.start..line.start + hit.end, line.start, nth);
            }
            if at > text.len() {
                break;
            }
        }
    }

    /// Writes one row: prefix, line number, text.
    fn row(&mut self, lines: &[u8], text: Range<usize>, line: usize, nth: u64) {
        if self.query.line_numbers {
            self.count_to(line, lines);
        }
        let page = &mut *self.found.text;
        if self.keep_rows {
            let at = small(page.len());
            let (line, nth) = (small(self.found.newlines), small(nth));
            self.found.rows.push(Row { at, line, nth });
        }
        page.extend_from_slice(&self.prefix);
        if self.query.line_numbers && !self.keep_rows {
            push_number(page, self.found.newlines + 1);
        }
        let text = &lines[text];
        page.extend_from_slice(text);
        if text.last() != Some(&b'\n') {
            page.push(b'\n');
        }
    }

    /// Counts the lines before `to`, each once.
    fn count_to(&mut self, to: usize, lines: &[u8]) {
        if to > self.counted {
            self.found.newlines += memchr_iter(b'\n', &lines[self.counted..to]).count() as u64;
            self.counted = to;
        }
    }
}

fn small(n: impl TryInto<u32>) -> u32 {
    n.try_into().ok().expect("a range's text is smaller than 4 GiB")
}

/// Writes a line number and its separator.
pub(super) fn push_number(page: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b':'; 21];
    let mut at = 20;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    page.extend_from_slice(&digits[at..]);
}

/// The next matching line at or after `from`, which is the beginning of a line, with its terminator.
fn next_match(matcher: &RegexMatcher, lines: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at < lines.len() {
        let hit = matcher.find_candidate_line(&lines[at..]).expect("a regex search does not fail")?;
        let (LineMatchKind::Confirmed(offset) | LineMatchKind::Candidate(offset)) = hit;
        let hit_at = at + offset;
        let start = memrchr(b'\n', &lines[at..hit_at]).map_or(at, |newline| at + newline + 1);
        if start == lines.len() {
            return None; // an empty match behind the last line
        }
        let end = memchr(b'\n', &lines[hit_at..]).map_or(lines.len(), |newline| hit_at + newline + 1);
        let line = &lines[start..end];
        let is_match = || matcher.is_match(line.strip_suffix(b"\n").unwrap_or(line));
        if matches!(hit, LineMatchKind::Confirmed(_)) || is_match().expect("a regex search does not fail") {
            return Some(start..end);
        }
        at = end;
    }
    None
}

fn find(matcher: &RegexMatcher, text: &[u8], at: usize) -> Option<Range<usize>> {
    let hit = matcher.find_at(text, at).expect("a regex search does not fail")?;
    Some(hit.start()..hit.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    fn query(pattern: &str) -> Query {
        Query { patterns: vec![pattern.as_bytes().to_vec().into()], ..Query::default() }
    }

    fn refused(pattern: &str) -> String {
        query(pattern).check().unwrap_err().to_string()
    }

    #[test]
    fn a_pattern_is_a_regular_expression_by_itself() {
        for pattern in ["a)(b", "a)|(?:b", ")("] {
            assert!(refused(pattern).contains("unopened group"), "{pattern}");
        }
        assert!(refused("a(b").contains("unclosed group"));
        assert!(refused(r"\Aa").contains("use ^ and $"));
    }

    #[test]
    fn no_line_is_selected_if_none_is_wanted() {
        let query = Query { max: Some(0), report: Report::FilesWithout, ..query("e") };
        let content = Content::Bytes(b"e\ne\n".to_vec().into());
        let task = Task { pieces: vec![Piece { content, ..Piece::file("f") }], limit: 1 << 20 };
        let output = Search::new(&query).unwrap().task(&task);
        assert_eq!((output.found[0].selected, output.found[0].ended), (0, true));
        assert_eq!(task.scope(&query).accepts(&output), Ok(()));
    }

    #[test]
    fn a_comment_ends_with_its_pattern() {
        let query = query("(?x) a b # and no more");
        let matcher = query.matcher().unwrap();
        assert!(matcher.is_match(b"ab").unwrap() && !matcher.is_match(b"a b").unwrap());
    }
}
