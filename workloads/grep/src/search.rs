//! The kernel: searches the lines of a task.
//!
//! It uses the libraries of ripgrep. `grep-regex` finds a candidate line anywhere in the buffer, if
//! possible by a fast search for literals of the pattern. Only a candidate is then matched as a
//! line.

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
    Binary, FileError, Found, Output, Part, Piece, Query, Report, Row, Task, Totals,
    read::{Buffer, Lines, Source},
};

/// A file with a NUL before this position is binary from its beginning: the size of GNU grep's
/// first buffer.
const BINARY_HEAD: u64 = 96 << 10;

/// Bytes that are read and searched at a time: few enough to be in the cache when they are
/// searched, and enough for most files.
const BLOCK: usize = 128 << 10;

/// A task ends when its text reaches one in this many bytes of its limit. Outputs wait for their
/// turn to be printed, so they take most of a run's memory if the reader of the output is slow.
const TEXT_SHARE: u64 = 4;

/// The search of one worker: the compiled query and a reused buffer. It starts no threads. Clones
/// share no mutable state.
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

    /// Restricts the files that the search opens.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task.
    ///
    /// A panic leaves no state behind that the next task would see: the buffer is filled again for
    /// each block. A caller may therefore assert unwind safety.
    pub fn task(&mut self, task: &Task) -> Output {
        let _span = trace::span("search");
        let mut output = Output::default();
        let mut spent = Spent::default();
        for (nth, piece) in task.pieces.iter().enumerate() {
            self.piece(piece, task.limit, &mut spent, &mut output);
            let left = &task.pieces[nth + 1..];
            if self.query.report == Report::Status && output.found.last().is_some_and(|f| f.selected > 0) {
                break;
            }
            // If a file is not finished, the other pieces follow in the remainder, in order.
            if (spent.reaches(task.limit) || !output.remainder.is_empty()) && !left.is_empty() {
                output.remainder.push(Part::Task(Task { pieces: left.to_vec(), limit: task.limit }));
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
                Ok(CONTINUE) => {}
                Ok(BREAK) => break,
                Err(error) => return output.found.push(Found::unreadable(piece, source.next(), &error)),
            }
        }
    }

    /// Searches the next block. Breaks if the file is finished, or the task's limit is reached.
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
        let mut search = BlockSearch::new(&self.query, piece, &lines, spent.room(limit));
        search.search(&self.matcher, self.buffer.lines(&lines));
        let found = search.found;
        spent.bytes += found.bytes;
        spent.text += found.text.len() as u64;

        let mut flow = if found.ended { BREAK } else { CONTINUE };
        if !found.ended {
            if found.bytes < lines.len() as u64 {
                // The output is full. The next lines probably have as much output per byte, so the
                // tasks that are left have as many bytes as this one.
                let (next, step) = (lines.at + found.bytes, found.bytes.max(4 << 10));
                output.remainder.push(source.unsearched(next, &lines, step, limit));
                flow = BREAK;
            }
            if !source.is_done() && (flow == BREAK || spent.reaches(limit)) {
                output.remainder.push(source.remainder(limit)?);
                flow = BREAK;
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

/// The used part of a task's limit: bytes searched, and bytes of text.
#[derive(Default)]
struct Spent {
    bytes: u64,
    text: u64,
}

impl Spent {
    fn reaches(&self, limit: u64) -> bool {
        self.bytes >= limit || self.room(limit) == 0
    }

    /// Bytes of text that the task may still output.
    fn room(&self, limit: u64) -> u64 {
        (limit / TEXT_SHARE).saturating_sub(self.text)
    }
}

impl Query {
    /// Checks the patterns of the query. The error names the first one that is invalid.
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
        let invalid = |pattern: &str, why: &dyn ToString| Error::Pattern {
            pattern: pattern.to_owned(),
            reason: why.to_string(),
        };
        for pattern in &mut patterns {
            // The builder wraps each pattern in parentheses, so it would accept `a)(b` as two
            // groups: the pattern is first parsed alone. A comment at its end would hide the
            // closing parenthesis, so a newline ends it.
            let parsed = parser.build().parse(pattern).map_err(|error| invalid(pattern, &error))?;
            if parsed.properties().look_set().contains_anchor_haystack() {
                return Err(invalid(
                    pattern,
                    &r"each line is searched separately: use ^ and $, not \A and \z",
                ));
            }
            if let Err(error) = builder.build(pattern) {
                let ended = format!("{pattern}\n");
                builder.build(&ended).map_err(|_| invalid(pattern, &error))?;
                *pattern = ended;
            }
        }
        let shown = patterns.join("|");
        builder.build_many(&patterns).map_err(|error| invalid(&shown, &error))
    }

    /// The pattern in the syntax of the regex library: bytes that are not UTF-8 are escaped.
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
        // If the beginning of the file could be read, only a part of it failed.
        let error = if at == 0 { FileError::Unreadable(why) } else { FileError::Failed(why) };
        let path = piece.path.clone();
        Self { path, at, ended: true, error: Some(error), ..Self::default() }
    }

    /// Whether the printer needs it: it is reported, or the file has more than one range.
    fn matters(&self, query: &Query) -> bool {
        let is_reported = self.selected > 0 || matches!(query.report, Report::Count | Report::FilesWithout);
        is_reported || !self.ended || self.at > 0
    }
}

/// The search of a block of lines.
struct BlockSearch<'a> {
    query: &'a Query,
    found: Found,
    /// The path and separator before each line, if file names are printed.
    prefix: Vec<u8>,
    /// Maximum bytes of text; the search ends after the line that reaches it.
    room: usize,
    /// Whether the positions of rows are kept, because the printer needs them: they depend on the
    /// earlier ranges of the file.
    keep_rows: bool,
    /// The position of the first line that is not printed, since it has a NUL.
    binary_from: usize,
    /// The position up to which line terminators have been counted.
    counted: usize,
    /// The position up to which lines have been searched.
    searched: usize,
}

/// Whether to continue with a piece.
type Flow = std::ops::ControlFlow<()>;
const CONTINUE: Flow = Flow::Continue(());
const BREAK: Flow = Flow::Break(());

impl<'a> BlockSearch<'a> {
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
            for byte in &mut lines[nul..] {
                if *byte == 0 {
                    *byte = b'\n';
                }
            }
        }
        let flow = if self.query.max == Some(0) {
            // `-L -m 0`: no line is selected, so no search is needed.
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
            self.found.binary = Binary::No; // the search ended before the NUL
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
        CONTINUE
    }

    fn search_inverted(&mut self, matcher: &RegexMatcher, lines: &[u8]) -> Flow {
        let mut at = 0;
        while at < lines.len() {
            let matching = next_match(matcher, lines, at).unwrap_or(lines.len()..lines.len());
            while at < matching.start {
                let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |newline| at + newline + 1);
                self.select(matcher, lines, at..end)?;
                at = end;
            }
            at = matching.end;
        }
        CONTINUE
    }

    /// Reports a selected line.
    fn select(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>) -> Flow {
        let query = self.query;
        let nth = self.found.selected;
        self.searched = line.end;
        self.found.selected += 1;
        if self.found.at > 0 && (nth == 0 || query.max.is_some()) {
            self.found.ends.push(to_u32(line.end));
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
        if query.report.first_line_decides() || query.max.is_some_and(|max| self.found.selected >= max) {
            return self.end();
        }
        let output_bytes =
            self.found.text.len() + size_of_val(&self.found.rows[..]) + size_of_val(&self.found.ends[..]);
        if output_bytes >= self.room && line.end < lines.len() {
            self.found.ended = false;
            return BREAK;
        }
        CONTINUE
    }

    /// Ends the search: later lines of the file are not needed.
    fn end(&mut self) -> Flow {
        self.found.ended = true;
        BREAK
    }

    /// Writes each match of a line as a row of its own.
    fn matches(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>, nth: u64) {
        let text = &lines[..line.end];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let (text, mut at) = (&text[line.start..], 0);
        while let Some(found) = find(matcher, text, at) {
            if found.is_empty() {
                at = found.end + 1; // GNU grep does not print empty matches
            } else {
                at = found.end;
                self.found.matches += 1;
                self.row(lines, line.start + found.start..line.start + found.end, line.start, nth);
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
        let output = &mut *self.found.text;
        if self.keep_rows {
            let at = to_u32(output.len());
            let (line, nth) = (to_u32(self.found.newlines), to_u32(nth));
            self.found.rows.push(Row { at, line, nth });
        }
        output.extend_from_slice(&self.prefix);
        if self.query.line_numbers && !self.keep_rows {
            push_number(output, self.found.newlines + 1);
        }
        let text = &lines[text];
        output.extend_from_slice(text);
        if text.last() != Some(&b'\n') {
            output.push(b'\n');
        }
    }

    /// Counts the lines before `to` that have not been counted yet.
    fn count_to(&mut self, to: usize, lines: &[u8]) {
        if to > self.counted {
            self.found.newlines += memchr_iter(b'\n', &lines[self.counted..to]).count() as u64;
            self.counted = to;
        }
    }
}

fn to_u32(n: impl TryInto<u32>) -> u32 {
    n.try_into().ok().expect("a range's text is smaller than 4 GiB")
}

/// Writes a line number and its separator.
pub(super) fn push_number(text: &mut Vec<u8>, mut number: u64) {
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
    text.extend_from_slice(&digits[at..]);
}

/// The next matching line, with its terminator, at or after `from`, where a line begins.
fn next_match(matcher: &RegexMatcher, lines: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at < lines.len() {
        let kind = matcher.find_candidate_line(&lines[at..]).expect("a regex search does not fail")?;
        let (LineMatchKind::Confirmed(offset) | LineMatchKind::Candidate(offset)) = kind;
        let position = at + offset;
        let start = memrchr(b'\n', &lines[at..position]).map_or(at, |newline| at + newline + 1);
        if start == lines.len() {
            return None; // an empty match after the last line
        }
        let end = memchr(b'\n', &lines[position..]).map_or(lines.len(), |newline| position + newline + 1);
        let line = &lines[start..end];
        let is_match = || matcher.is_match(line.strip_suffix(b"\n").unwrap_or(line));
        if matches!(kind, LineMatchKind::Confirmed(_)) || is_match().expect("a regex search does not fail") {
            return Some(start..end);
        }
        at = end;
    }
    None
}

fn find(matcher: &RegexMatcher, text: &[u8], at: usize) -> Option<Range<usize>> {
    let found = matcher.find_at(text, at).expect("a regex search does not fail")?;
    Some(found.start()..found.end())
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
