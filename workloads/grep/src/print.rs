//! The printer: turns the outputs, which arrive in order, into the text that the user sees.

use std::{collections::VecDeque, io::Write, mem, ops::ControlFlow};

use cc_core::{
    contract::{Block, Sink},
    printable::printable,
    trace,
};
use serde_bytes::ByteBuf;

use super::{
    Binary, BinaryFiles, Context, FileError, Found, Job, Mark, Output, Query, Report, Totals,
    search::{push_digits, push_number},
    tasks::SharedCutoff,
};

/// The sink for the outputs of every model. See [`Job::printer`].
pub struct Printer<'a> {
    query: &'a Query,
    cutoff: &'a SharedCutoff,
    out: &'a mut dyn Sink<Block>,
    /// The text of the current output. It is written as one block: a block for each file would wake
    /// the writer for a single line.
    text: Vec<u8>,
    file: File,
    totals: Totals,
    /// Whether a line was printed, so that a separator comes before the next group.
    has_groups: bool,
    /// Whether a file could not be searched.
    has_failed: bool,
}

/// The state of the file whose ranges are being printed.
#[derive(Default)]
struct File {
    /// Selected lines in the ranges so far.
    selected: u64,
    /// Line terminators in the ranges so far.
    newlines: u64,
    is_binary: bool,
    /// The position after the line that `-m` allows as the last one, once it is known.
    max_at: Option<u64>,
    /// The position after the line that was formatted last.
    printed_to: Option<u64>,
    /// The next lines that are context of the selected line before.
    after: u64,
    /// The last lines that are not printed, adjacent and at most as many as `-B` allows.
    held: VecDeque<HeldLine>,
    /// Whether later ranges of the file are not needed.
    is_finished: bool,
}

/// A line that the printer formats.
#[derive(Clone, Copy)]
struct Row<'a> {
    /// The position of the line in its file.
    start: u64,
    /// The position after it.
    end: u64,
    /// Its number, from 1 on.
    number: u64,
    /// The whole line.
    text: &'a [u8],
    /// The matches in it.
    marks: &'a [Mark],
    /// The position of `text` to which `marks` refer.
    at: u32,
    is_selected: bool,
}

/// A row that is context if one of the next lines is selected.
struct HeldLine {
    start: u64,
    end: u64,
    number: u64,
    text: Vec<u8>,
    marks: Vec<Mark>,
    at: u32,
}

impl HeldLine {
    fn new(row: Row) -> Self {
        let Row { start, end, number, text, marks, at, .. } = row;
        Self { start, end, number, text: text.to_vec(), marks: marks.to_vec(), at }
    }

    fn row(&self) -> Row<'_> {
        let Self { start, end, number, ref text, ref marks, at } = *self;
        Row { start, end, number, text, marks, at, is_selected: false }
    }
}

/// The rows of a range.
fn rows(found: &Found, newlines_before: u64) -> impl Iterator<Item = Row<'_>> {
    let mut marks = &found.marks[..];
    found.lines.iter().enumerate().map(move |(nth, line)| {
        let end = found.lines.get(nth + 1).map_or(found.text.len(), |next| next.at as usize);
        let text = &found.text[line.at as usize..end];
        let (of_line, later) = marks.split_at(marks.partition_point(|mark| (mark.start as usize) < end));
        marks = later;
        let start = found.at + u64::from(line.start);
        Row {
            start,
            end: start + text.len() as u64,
            number: newlines_before + u64::from(line.line) + 1,
            text,
            marks: of_line,
            at: line.at,
            is_selected: line.is_selected,
        }
    })
}

/// The colours of GNU grep's default, as the numbers of a terminal's SGR command.
mod colour {
    pub(super) const MATCH: &str = "01;31";
    pub(super) const NAME: &str = "35";
    pub(super) const NUMBER: &str = "32";
    pub(super) const SEPARATOR: &str = "36";
}

impl<'a> Printer<'a> {
    pub(super) fn new(job: &'a Job, out: &'a mut dyn Sink<Block>) -> Self {
        let (query, cutoff) = (&job.query, &*job.cutoff);
        let (text, file, totals) = Default::default();
        Self { query, cutoff, out, text, file, totals, has_groups: false, has_failed: false }
    }

    /// The totals of everything that was printed.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// `grep`'s exit status: 0 if a line was selected, 1 if not, 2 if a file could not be searched;
    /// `-q` ignores that if a line was selected.
    #[must_use]
    pub fn status(&self) -> u8 {
        let selected = self.totals.lines > 0;
        match (self.has_failed, selected) {
            (true, true) if self.query.report == Report::Status => 0,
            (true, _) => 2,
            (false, selected) => u8::from(!selected),
        }
    }

    fn found(&mut self, found: Found) -> ControlFlow<()> {
        if found.at == 0 {
            self.file = File::default();
            self.cutoff.begin(&found.path, found.is_stream);
            self.totals.files += u64::from(found.error.is_none());
        } else if self.file.is_finished {
            return ControlFlow::Continue(()); // searched in advance, and not needed
        }
        let (path, is_stream) = (found.path.clone(), found.is_stream);
        self.file.is_finished = found.ended;
        match &found.error {
            Some(error) => {
                self.cutoff.finish(&path, is_stream, None);
                return self.error(&found, error);
            }
            None => self.lines(found)?,
        }
        if self.file.is_finished {
            self.cutoff.finish(&path, is_stream, self.file.max_at);
            self.summary(&path);
        }
        if self.query.report == Report::Status && self.totals.lines > 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Prints the selected lines of a range, or the message that a binary file matches.
    fn lines(&mut self, mut found: Found) -> ControlFlow<()> {
        let newlines_before = self.file.newlines;
        let was_binary = self.file.is_binary;
        let is_formatted = self.query.is_formatted_by_printer() && !was_binary;
        if is_formatted {
            self.format(&mut found);
        } else {
            self.truncate(&mut found);
        }
        self.file.selected += found.selected;
        self.file.newlines += found.newlines;
        if self.query.max == Some(self.file.selected) {
            self.file.max_at.get_or_insert(found.at + found.bytes);
            self.file.is_finished |= self.file.after == 0;
        }
        self.totals.bytes += found.bytes;
        self.totals.lines += found.selected;
        self.totals.matches += found.matches;
        if self.query.binary == BinaryFiles::WithoutMatch && found.binary != Binary::No {
            // As in GNU grep, the lines before the NUL are printed, but do not count.
            (self.file.selected, self.file.is_finished) = (0, true);
        }
        if !self.query.report.prints_text() {
            return ControlFlow::Continue(());
        }

        self.file.is_binary |= found.binary != Binary::No;
        let matched = found.binary == Binary::Matched || (was_binary && found.selected > 0);
        let path = if matched { found.path.clone() } else { ByteBuf::new() };
        if !was_binary && !is_formatted && !found.text.is_empty() {
            let mut text = self.numbered(found, newlines_before);
            if self.text.is_empty() {
                self.text = text;
            } else {
                self.text.append(&mut text);
            }
        }
        if matched {
            self.file.is_finished = true;
            self.has_groups = true; // as in GNU grep, its lines are a group, too
            return self.message(&path, ": binary file matches");
        }
        ControlFlow::Continue(())
    }

    /// Removes all that follows the line that finishes the file, as if the search had ended there:
    /// the last line that `-m` allows, or the first selected line if the file is known to be
    /// binary.
    fn truncate(&self, found: &mut Found) {
        let prints_text = self.query.report.prints_text();
        let wanted = match self.query.max {
            _ if self.file.is_binary && prints_text => 1,
            Some(max) => max - self.file.selected,
            None => u64::MAX,
        };
        if found.selected < wanted || found.ends.is_empty() {
            return;
        }
        let rows = found.rows.partition_point(|row| u64::from(row.nth) < wanted);
        found.matches = if prints_text && !self.file.is_binary { rows as u64 } else { wanted };
        if let Some(row) = found.rows.get(rows) {
            found.text.truncate(row.at as usize);
        }
        found.rows.truncate(rows);
        if found.selected > wanted && found.binary == Binary::Matched {
            found.binary = Binary::Seen; // its last line is the one that matches in the binary part
        }
        found.selected = wanted;
        let last = usize::try_from(wanted - 1).ok().and_then(|nth| found.ends.get(nth));
        found.bytes = last.map_or(found.bytes, |end| u64::from(*end));
    }

    /// Formats the lines of a range: those that are selected, and those around them as `-A` and
    /// `-B` allow. Sets the numbers of the range to those of the lines that count.
    fn format(&mut self, found: &mut Found) {
        let max = self.query.max.unwrap_or(u64::MAX);
        let is_matched = found.binary == Binary::Matched;
        let (mut selected, mut matches) = (0, 0);
        let mut bytes = if self.file.selected == max { 0 } else { found.bytes };
        for row in rows(found, self.file.newlines) {
            if row.is_selected && self.file.selected + selected < max {
                selected += 1;
                matches += match self.query.report {
                    Report::Matches if self.query.invert => 0,
                    Report::Matches => row.marks.len() as u64,
                    _ => 1,
                };
                self.selected(&found.path, row);
                if self.file.selected + selected == max {
                    bytes = (row.end - found.at).min(found.bytes);
                    self.file.max_at = Some(found.at + bytes);
                }
            } else {
                self.unselected(&found.path, Row { is_selected: false, ..row });
            }
        }
        if is_matched && self.file.selected + selected < max {
            (selected, matches) = (selected + 1, matches + 1);
        } else if is_matched {
            found.binary = Binary::Seen;
        }
        if found.binary != Binary::No {
            self.file.after = 0; // the lines of the binary part are not printed
        }
        (found.selected, found.matches, found.bytes) = (selected, matches, bytes);
    }

    /// Formats a selected line, and before it the lines of its context.
    fn selected(&mut self, path: &[u8], row: Row) {
        self.drop_unless_adjacent(row.start);
        let held = mem::take(&mut self.file.held);
        let start = held.front().map_or(row.start, |line| line.start);
        let is_new_group = self.file.printed_to != Some(start);
        if let (Some(_), Some(separator)) = (self.query.context, &self.query.separator)
            && is_new_group
            && self.has_groups
        {
            paint(&mut self.text, self.query.color, colour::SEPARATOR, separator);
            self.text.push(b'\n');
        }
        self.has_groups = true;
        for line in &held {
            self.row(path, line.row());
        }
        self.row(path, row);
        self.file.after = self.query.context.unwrap_or_default().after;
    }

    /// Formats a line after a selected one, or holds it, since the next line may be selected.
    fn unselected(&mut self, path: &[u8], row: Row) {
        if self.file.after > 0 {
            self.file.after -= 1;
            return self.row(path, row);
        }
        self.drop_unless_adjacent(row.start);
        let Context { before, .. } = self.query.context.unwrap_or_default();
        if self.file.held.len() as u64 == before {
            self.file.held.pop_front();
        }
        if before > 0 {
            self.file.held.push_back(HeldLine::new(row));
        }
    }

    fn drop_unless_adjacent(&mut self, start: u64) {
        if self.file.held.back().is_some_and(|line| line.end != start) {
            self.file.held.clear();
        }
    }

    /// Formats a line, or each match in it.
    fn row(&mut self, path: &[u8], row: Row) {
        self.file.printed_to = Some(row.end);
        let is_matching = row.is_selected != self.query.invert;
        let marks = if is_matching { row.marks } else { &[] };
        let ranges = marks.iter().map(|mark| (mark.start - row.at) as usize..(mark.end - row.at) as usize);
        let color = self.query.color;
        if self.query.report == Report::Matches {
            for range in ranges {
                self.head(path, row);
                paint(&mut self.text, color, colour::MATCH, &row.text[range]);
                self.text.push(self.query.terminator());
            }
            return;
        }
        self.head(path, row);
        let mut copied = 0;
        if color {
            for range in ranges {
                self.text.extend_from_slice(&row.text[copied..range.start]);
                paint(&mut self.text, color, colour::MATCH, &row.text[range.clone()]);
                copied = range.end;
            }
        }
        self.text.extend_from_slice(&row.text[copied..]);
    }

    /// Formats what comes before a line or a match: the file's name and the line's number.
    fn head(&mut self, path: &[u8], row: Row) {
        let separator: &[u8] = if row.is_selected { b":" } else { b"-" };
        let color = self.query.color;
        if self.query.names {
            paint(&mut self.text, color, colour::NAME, path);
            paint(&mut self.text, color, colour::SEPARATOR, separator);
        }
        if self.query.line_numbers {
            let mut number = Vec::with_capacity(20);
            push_digits(&mut number, row.number);
            paint(&mut self.text, color, colour::NUMBER, &number);
            paint(&mut self.text, color, colour::SEPARATOR, separator);
        }
    }

    /// The text, with the line numbers that depend on earlier ranges.
    fn numbered(&self, found: Found, newlines_before: u64) -> Vec<u8> {
        if !self.query.line_numbers || found.rows.is_empty() {
            return found.text.into_vec();
        }
        let prefix = if self.query.names { found.path.len() + 1 } else { 0 };
        let mut text = Vec::with_capacity(found.text.len() + found.rows.len() * 8);
        let mut copied = 0;
        for row in &found.rows {
            let at = row.at as usize + prefix;
            text.extend_from_slice(&found.text[copied..at]);
            push_number(&mut text, newlines_before + u64::from(row.line) + 1);
            copied = at;
        }
        text.extend_from_slice(&found.text[copied..]);
        text
    }

    /// Prints the line about a file that has ended, for the reports that have one.
    fn summary(&mut self, path: &[u8]) {
        let selected = self.file.selected;
        let (line, color) = (&mut self.text, self.query.color);
        match self.query.report {
            Report::Count => {
                if self.query.names {
                    paint(line, color, colour::NAME, path);
                    paint(line, color, colour::SEPARATOR, b":");
                }
                push_digits(line, selected);
            }
            Report::FilesWith if selected > 0 => paint(line, color, colour::NAME, path),
            Report::FilesWithout if selected == 0 => paint(line, color, colour::NAME, path),
            _ => return,
        }
        line.push(b'\n');
    }

    fn error(&mut self, found: &Found, error: &FileError) -> ControlFlow<()> {
        self.has_failed = true;
        match error {
            FileError::Unreadable(_) if self.query.no_messages => ControlFlow::Continue(()),
            FileError::Unreadable(why) => self.message(&found.path, &format!(": {}", printable(why))),
            FileError::Failed(why) => {
                self.message(&found.path, &format!(" failed at byte {}: {}", found.at, printable(why)))
            }
        }
    }

    fn message(&mut self, path: &[u8], what: &str) -> ControlFlow<()> {
        self.flush()?;
        let message = format!("grep: {}{what}\n", printable(path));
        self.out.push(Block::Err(message.into_bytes()))
    }

    fn flush(&mut self) -> ControlFlow<()> {
        if self.text.is_empty() {
            return ControlFlow::Continue(());
        }
        self.out.push(Block::Out(mem::take(&mut self.text)))
    }
}

/// Writes a text, in a colour if the output has colours. As in GNU grep, the terminal also erases
/// the rest of the line: a background colour would otherwise fill it after a line break.
fn paint(out: &mut Vec<u8>, has_colours: bool, colour: &str, text: &[u8]) {
    if !has_colours {
        return out.extend_from_slice(text);
    }
    write!(out, "\x1b[{colour}m\x1b[K").expect("writing to memory does not fail");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\x1b[m\x1b[K");
}

impl Sink<Output> for Printer<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        let _span = trace::serial("print");
        self.totals += output.others;
        let found = output.found.into_iter().try_for_each(|found| self.found(found));
        self.flush()?;
        found
    }
}
