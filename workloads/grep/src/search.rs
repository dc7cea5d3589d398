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
    Binary, BinaryFiles, Context, FileError, Found, Line, Mark, Output, Part, Piece, Query, Report, Row,
    Task, Totals,
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

/// A regular expression that matches nothing: the intersection of two disjoint classes.
const NO_MATCH: &str = "[a&&b]";

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
        let mut source = match Source::open(piece, &self.query, &self.files) {
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
        if self.patterns.is_empty() {
            let nothing = self.builder().build(NO_MATCH);
            return Ok(nothing.expect("it is a regular expression"));
        }
        // If all patterns are literals, the library needs no regular expression for them: it finds
        // tens of thousands of them at once.
        let literals: Option<Vec<&str>> =
            self.patterns.iter().map(|pattern| std::str::from_utf8(pattern).ok()).collect();
        if let (true, false, Some(literals)) = (self.fixed, self.null_data, literals) {
            let built = self.builder().fixed_strings(true).build_many(&literals);
            return built.map_err(|error| invalid(&literals.join("\n"), &error));
        }
        let patterns: Vec<String> =
            self.patterns.iter().map(|pattern| self.checked(pattern)).collect::<Result<_>>()?;
        self.builder().build_many(&patterns).map_err(|error| self.first_error(&patterns, &error))
    }

    fn builder(&self) -> RegexMatcherBuilder {
        let mut builder = RegexMatcherBuilder::new();
        builder.unicode(false).case_insensitive(self.ignore_case).word(self.word && !self.line);
        if self.null_data {
            // Each line is searched separately, and may contain newlines.
            builder.dot_matches_new_line(true);
        } else {
            builder.multi_line(true).line_terminator(Some(b'\n')).whole_line(self.line);
        }
        builder
    }

    /// A pattern in the syntax of the regex library, if it is a regular expression by itself.
    ///
    /// The library joins the patterns and puts each in parentheses. So it would accept `a)(b` as
    /// two groups, and a comment at the end of a pattern would hide the closing parenthesis.
    fn checked(&self, pattern: &[u8]) -> Result<String> {
        let mut pattern = self.source(pattern);
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.unicode(false).utf8(false).multi_line(true);
        let parsed = parser.build().parse(&pattern).map_err(|error| invalid(&pattern, &error))?;
        if parsed.properties().look_set().contains_anchor_haystack() {
            let why = r"each line is searched separately: use ^ and $, not \A and \z";
            return Err(invalid(&pattern, &why));
        }
        if pattern.contains('#') && parser.build().parse(&format!("(?:{pattern})")).is_err() {
            pattern.push('\n'); // ends the comment
        }
        Ok(if self.null_data && self.line { format!("^(?:{pattern})$") } else { pattern })
    }

    /// The error of the first pattern that is invalid alone. Only together they may be too large,
    /// for example.
    fn first_error(&self, patterns: &[String], of_all: &dyn ToString) -> Error {
        let alone = |pattern: &String| Some(invalid(pattern, &self.builder().build(pattern).err()?));
        patterns.iter().find_map(alone).unwrap_or_else(|| invalid(&patterns.join("|"), of_all))
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

fn invalid(pattern: &str, why: &dyn ToString) -> Error {
    Error::Pattern { pattern: pattern.to_owned(), reason: why.to_string() }
}

impl Found {
    fn unreadable(piece: &Piece, at: u64, error: &io::Error) -> Self {
        let why = reason(error);
        // If the beginning of the file could be read, only a part of it failed.
        let error = if at == 0 { FileError::Unreadable(why) } else { FileError::Failed(why) };
        let (path, is_stream) = (piece.path.clone(), piece.is_stream());
        Self { path, at, is_stream, ended: true, error: Some(error), ..Self::default() }
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
    /// If the printer formats the lines: the state of the lines around selected ones.
    around: Option<Around>,
}

/// The lines around selected lines, of which the printer may need some as context.
struct Around {
    context: Context,
    /// The position up to which lines are in the text, or not needed.
    covered: usize,
    /// The lines after `covered` that are context of an earlier line.
    after: u64,
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
        let (path, is_stream) = (piece.path.clone(), piece.is_stream());
        let found = Found { path, at, is_stream, ended: lines.ended, ..Found::default() };
        let around = query.is_formatted_by_printer().then(|| Around::new(query, at));
        let keep_rows = at > 0
            && around.is_none()
            && query.report.prints_text()
            && (query.line_numbers || query.max.is_some());
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (binary_from, counted, searched) = (usize::MAX, 0, 0);
        Self { query, found, prefix, room, keep_rows, binary_from, counted, searched, around }
    }

    fn search(&mut self, matcher: &RegexMatcher, mut lines: &mut [u8]) {
        if self.query.detects_binary()
            && let Some(nul) = memchr(0, lines)
        {
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
            if self.query.binary == BinaryFiles::WithoutMatch {
                self.found.ended = true;
                lines = &mut lines[..self.binary_from];
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
        // The lines before the NUL are all that is searched with `-I`.
        let reaches_nul = match self.query.binary {
            BinaryFiles::WithoutMatch => flow.is_continue(),
            BinaryFiles::Binary | BinaryFiles::Text => self.searched > self.binary_from,
        };
        if !reaches_nul {
            self.found.binary = Binary::No;
        }
        self.end_around(matcher, lines);
        if self.query.line_numbers {
            self.count_to(self.searched, lines);
        }
        self.found.bytes = self.searched as u64;
    }

    fn search_matching(&mut self, matcher: &RegexMatcher, lines: &[u8]) -> Flow {
        let mut at = 0;
        while let Some(line) = self.next_match(matcher, lines, at) {
            at = line.end;
            self.select(matcher, lines, line)?;
        }
        CONTINUE
    }

    fn search_inverted(&mut self, matcher: &RegexMatcher, lines: &[u8]) -> Flow {
        let mut at = 0;
        while at < lines.len() {
            let matching = self.next_match(matcher, lines, at).unwrap_or(lines.len()..lines.len());
            while at < matching.start {
                let end = self.line_end(lines, at);
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
            Report::Lines | Report::Matches if self.around.is_some() => {
                self.found.matches += 1;
                self.around(matcher, lines, line.clone());
            }
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
        if query.report.first_line_decides() {
            return self.end();
        }
        if query.max.is_some_and(|max| self.found.selected >= max) {
            return self.end_at_max(matcher, lines);
        }
        let output_bytes = self.found.text.len()
            + size_of_val(&self.found.rows[..])
            + size_of_val(&self.found.ends[..])
            + size_of_val(&self.found.lines[..])
            + size_of_val(&self.found.marks[..]);
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

    /// Ends the search at the last line that `-m` allows, and after the context of that line. If it
    /// continues after these lines, they are not searched, but later ones of the file may be.
    fn end_at_max(&mut self, matcher: &RegexMatcher, lines: &[u8]) -> Flow {
        self.cover(matcher, lines, lines.len());
        match self.around {
            Some(Around { after, covered, .. }) => {
                self.searched = covered;
                if after > 0 { BREAK } else { self.end() }
            }
            None => self.end(),
        }
    }

    /// Writes a selected line and the lines around it.
    fn around(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>) {
        self.cover(matcher, lines, line.start);
        self.cover_before(matcher, lines, line.start);
        self.line(matcher, lines, line.clone(), true);
        let around = self.around.as_mut().expect("the printer formats the lines");
        (around.covered, around.after) = (line.end, around.context.after);
    }

    /// Writes the lines that are context of the next line that is selected in a later range, if it
    /// is near.
    fn end_around(&mut self, matcher: &RegexMatcher, lines: &[u8]) {
        if self.around.is_some() {
            let end = self.searched.min(lines.len());
            self.cover(matcher, lines, end);
            if !self.found.ended {
                self.cover_before(matcher, lines, end);
            }
        }
    }

    /// Writes the context after earlier lines, up to this position.
    fn cover(&mut self, matcher: &RegexMatcher, lines: &[u8], to: usize) {
        while let Some(Around { after: 1.., covered, .. }) = self.around
            && covered < to
        {
            let end = self.line_end(lines, covered);
            self.line(matcher, lines, covered..end, false);
            let around = self.around.as_mut().expect("it is there");
            (around.covered, around.after) = (end, around.after - 1);
        }
    }

    /// Writes the context before the line that begins here.
    fn cover_before(&mut self, matcher: &RegexMatcher, lines: &[u8], to: usize) {
        let Some(Around { context, covered, .. }) = self.around else { return };
        let (mut from, mut left) = (to, context.before);
        while from > covered && left > 0 {
            let earlier = memrchr(self.terminator(), &lines[covered..from - 1]);
            from = earlier.map_or(covered, |terminator| covered + terminator + 1);
            left -= 1;
        }
        while from < to {
            let end = self.line_end(lines, from);
            self.line(matcher, lines, from..end, false);
            from = end;
        }
    }

    /// Writes a line for the printer to format, with the matches in it.
    fn line(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>, is_selected: bool) {
        if line.start >= self.binary_from {
            return;
        }
        if self.query.line_numbers {
            self.count_to(line.start, lines);
        }
        let terminator = self.terminator();
        let bytes = &lines[line.clone()];
        let content = bytes.strip_suffix(&[terminator]).unwrap_or(bytes);
        let at = self.found.text.len();
        let (start, number) = (to_u32(line.start), to_u32(self.found.newlines));
        self.found.lines.push(Line { at: to_u32(at), start, line: number, is_selected });
        if is_selected != self.query.invert {
            let marks = &mut self.found.marks;
            each_match(matcher, content, |found| {
                marks.push(Mark { start: to_u32(at + found.start), end: to_u32(at + found.end) });
            });
        }
        let output = &mut *self.found.text;
        output.extend_from_slice(content);
        output.push(terminator);
    }

    /// The end of the line that begins here, after its terminator.
    fn line_end(&self, lines: &[u8], start: usize) -> usize {
        memchr(self.terminator(), &lines[start..]).map_or(lines.len(), |terminator| start + terminator + 1)
    }

    fn terminator(&self) -> u8 {
        self.query.terminator()
    }

    /// The next matching line, with its terminator, at or after `from`, where a line begins.
    fn next_match(&self, matcher: &RegexMatcher, lines: &[u8], from: usize) -> Option<Range<usize>> {
        if !self.query.null_data {
            return next_match(matcher, lines, from);
        }
        let mut start = from;
        while start < lines.len() {
            let end = self.line_end(lines, start);
            let line = &lines[start..end];
            if matcher.is_match(line.strip_suffix(b"\0").unwrap_or(line)).expect(NEVER_FAILS) {
                return Some(start..end);
            }
            start = end;
        }
        None
    }

    /// Writes each match of a line as a row of its own.
    fn matches(&mut self, matcher: &RegexMatcher, lines: &[u8], line: Range<usize>, nth: u64) {
        let text = &lines[line.clone()];
        let text = text.strip_suffix(&[self.terminator()]).unwrap_or(text);
        each_match(matcher, text, |found| {
            self.found.matches += 1;
            self.row(lines, line.start + found.start..line.start + found.end, line.start, nth);
        });
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
        let (text, terminator) = (&lines[text], self.query.terminator());
        output.extend_from_slice(text);
        if text.last() != Some(&terminator) {
            output.push(terminator);
        }
    }

    /// Counts the lines before `to` that have not been counted yet.
    fn count_to(&mut self, to: usize, lines: &[u8]) {
        if to > self.counted {
            self.found.newlines +=
                memchr_iter(self.query.terminator(), &lines[self.counted..to]).count() as u64;
            self.counted = to;
        }
    }
}

fn to_u32(n: impl TryInto<u32>) -> u32 {
    n.try_into().ok().expect("a range's text is smaller than 4 GiB")
}

impl Around {
    fn new(query: &Query, at: u64) -> Self {
        let context = query.context.unwrap_or_default();
        // The first lines of a range may be context of the last line of the range before.
        Self { context, covered: 0, after: if at > 0 { context.after } else { 0 } }
    }
}

/// Why a search returns no error.
const NEVER_FAILS: &str = "a regex search does not fail";

/// Writes a line number and its separator.
pub(super) fn push_number(text: &mut Vec<u8>, number: u64) {
    push_digits(text, number);
    text.push(b':');
}

/// Writes a line number.
pub(super) fn push_digits(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
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
        let kind = matcher.find_candidate_line(&lines[at..]).expect(NEVER_FAILS)?;
        let (LineMatchKind::Confirmed(offset) | LineMatchKind::Candidate(offset)) = kind;
        let position = at + offset;
        let start = memrchr(b'\n', &lines[at..position]).map_or(at, |newline| at + newline + 1);
        if start == lines.len() {
            return None; // an empty match after the last line
        }
        let end = memchr(b'\n', &lines[position..]).map_or(lines.len(), |newline| position + newline + 1);
        let line = &lines[start..end];
        let is_match = || matcher.is_match(line.strip_suffix(b"\n").unwrap_or(line));
        if matches!(kind, LineMatchKind::Confirmed(_)) || is_match().expect(NEVER_FAILS) {
            return Some(start..end);
        }
        at = end;
    }
    None
}

/// Calls `each` with each match in a line, except for empty ones, which GNU grep does not print
/// either.
fn each_match(matcher: &RegexMatcher, line: &[u8], mut each: impl FnMut(Range<usize>)) {
    let mut at = 0;
    while at <= line.len()
        && let Some(found) = find(matcher, line, at)
    {
        at = if found.is_empty() { found.end + 1 } else { found.end };
        if !found.is_empty() {
            each(found);
        }
    }
}

fn find(matcher: &RegexMatcher, text: &[u8], at: usize) -> Option<Range<usize>> {
    let found = matcher.find_at(text, at).expect(NEVER_FAILS)?;
    Some(found.start()..found.end())
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

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
        for pattern in ["a(b", "(?i", "(?x) ( # a )"] {
            assert!(query(pattern).check().is_err(), "{pattern}");
        }
        let with = |query: Query| query.check().is_err();
        assert!(with(Query { word: true, ..query(")(") }) && with(Query { line: true, ..query("a)|(b") }));
        assert!(
            with(Query { null_data: true, ..query(")(") }) && !with(Query { fixed: true, ..query(")(") })
        );
        let mut company = query("x");
        company.patterns.extend([ByteBuf::from("("), ByteBuf::from(")")]);
        assert!(company.check().unwrap_err().to_string().contains('('));
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

    /// The library is asked to compile the patterns once, and not each of them: that would take
    /// minutes.
    #[test]
    fn thousands_of_patterns_are_compiled_at_once() {
        let words = (0..20_000).map(|n: u32| ByteBuf::from(format!("w{}", n.wrapping_mul(2_654_435_761))));
        for fixed in [true, false] {
            let query = Query { patterns: words.clone().collect(), fixed, ..Query::default() };
            let matcher = query.matcher().unwrap();
            assert!(matcher.is_match(b"a w2654435761 z").unwrap() && !matcher.is_match(b"w99x").unwrap());
        }
    }

    #[test]
    fn no_pattern_matches_nothing() {
        let query = Query::default();
        assert!(!query.matcher().unwrap().is_match(b"").unwrap());
        let query = Query { word: true, ..query };
        assert!(!query.matcher().unwrap().is_match(b"a").unwrap());
    }

    /// A task whose output is full ends before the NUL, so the file does not end with the task.
    #[test]
    fn a_binary_file_is_left_at_its_nul_and_not_before() {
        let query = Query { binary: BinaryFiles::WithoutMatch, ..query("e") };
        let content = Content::Bytes(ByteBuf::from("e1\ne2\ne3\ne4\ne5\n\0\ne6\n"));
        let piece = Piece { content, start: 200_000, ..Piece::file("f") };
        let mut search = Search::new(&query).unwrap();
        let full = search.task(&Task { pieces: vec![piece.clone()], limit: 40 });
        assert_eq!((full.found[0].selected, full.found[0].binary), (2, Binary::No));
        assert!(!full.found[0].ended && !full.remainder.is_empty());
        let whole = search.task(&Task { pieces: vec![piece], limit: 1 << 20 });
        assert_eq!((whole.found[0].selected, whole.found[0].binary), (5, Binary::Seen));
        assert!(whole.found[0].ended && whole.remainder.is_empty());
    }

    #[test]
    fn a_comment_ends_with_its_pattern() {
        let query = query("(?x) a b # and no more");
        let matcher = query.matcher().unwrap();
        assert!(matcher.is_match(b"ab").unwrap() && !matcher.is_match(b"a b").unwrap());
    }
}
