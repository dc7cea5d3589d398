//! The printer: turns the outputs, which arrive in order, into the text that the user sees.

use std::{mem, ops::ControlFlow};

use cc_core::{
    contract::{Block, Sink},
    printable::printable,
    trace,
};
use serde_bytes::ByteBuf;

use super::{
    Binary, FileError, Found, Job, Output, Query, Report, Totals, search::push_number, tasks::SharedCutoff,
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
    /// Whether later ranges of the file are not needed.
    is_finished: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(job: &'a Job, out: &'a mut dyn Sink<Block>) -> Self {
        let (query, cutoff) = (&job.query, &*job.cutoff);
        let (text, file, totals) = Default::default();
        Self { query, cutoff, out, text, file, totals, has_failed: false }
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
            self.cutoff.begin(&found.path);
            self.totals.files += u64::from(found.error.is_none());
        } else if self.file.is_finished {
            return ControlFlow::Continue(()); // searched in advance, and not needed
        }
        let path = found.path.clone();
        self.file.is_finished = found.ended;
        match &found.error {
            Some(error) => {
                self.cutoff.finish(&path);
                return self.error(&found, error);
            }
            None => self.lines(found)?,
        }
        if self.file.is_finished {
            self.cutoff.finish(&path);
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
        self.truncate(&mut found);
        self.file.selected += found.selected;
        self.file.newlines += found.newlines;
        self.file.is_finished |= self.query.max == Some(self.file.selected);
        self.totals.bytes += found.bytes;
        self.totals.lines += found.selected;
        self.totals.matches += found.matches;
        if !self.query.report.prints_text() {
            return ControlFlow::Continue(());
        }

        let was_binary = self.file.is_binary;
        self.file.is_binary |= found.binary != Binary::No;
        let matched = found.binary == Binary::Matched || (was_binary && found.selected > 0);
        let path = if matched { found.path.clone() } else { ByteBuf::new() };
        if !was_binary && !found.text.is_empty() {
            let mut text = self.numbered(found, newlines_before);
            if self.text.is_empty() {
                self.text = text;
            } else {
                self.text.append(&mut text);
            }
        }
        if matched {
            self.file.is_finished = true;
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
        found.selected = wanted;
        let last = usize::try_from(wanted - 1).ok().and_then(|nth| found.ends.get(nth));
        found.bytes = last.map_or(found.bytes, |end| u64::from(*end));
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
        let line = &mut self.text;
        match self.query.report {
            Report::Count => {
                if self.query.names {
                    line.extend_from_slice(path);
                    line.push(b':');
                }
                line.extend_from_slice(selected.to_string().as_bytes());
            }
            Report::FilesWith if selected > 0 => line.extend_from_slice(path),
            Report::FilesWithout if selected == 0 => line.extend_from_slice(path),
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

impl Sink<Output> for Printer<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        let _span = trace::serial("print");
        self.totals += output.others;
        let found = output.found.into_iter().try_for_each(|found| self.found(found));
        self.flush()?;
        found
    }
}
