//! Reads the lines of an operand one after the other, for `-c` and `-m`.

use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::Path,
};

use cc_core::{
    error::{Error, Result, reason},
    printable::printable_path,
    stop::Stop,
    stream::{self, Stream},
};
use memchr::memchr;

use super::{
    Query,
    chunks::{is_stdin, size_of},
    reader::cannot_read,
};

/// Bytes per read: each operand of a merge has a buffer of this size.
const READ: usize = 64 << 10;

/// The lines of an operand.
pub(super) struct LineReader<'a> {
    name: &'a Path,
    source: Source,
    delimiter: u8,
    stop: Stop,
    text: Vec<u8>,
    /// The current line, without its delimiter.
    line: Range<usize>,
    /// The position of the next line.
    next: usize,
    /// The position up to which the next line has no delimiter.
    scanned: usize,
    has_ended: bool,
}

enum Source {
    /// A regular file: its reads do not wait for another process.
    File(File),
    Stream(Stream),
}

impl<'a> LineReader<'a> {
    /// Opens an operand. A stop ends its lines.
    pub(super) fn open(name: &'a Path, query: &Query, stop: &Stop) -> Result<Self> {
        let path = query.base().join(name);
        let failed = |error: io::Error| Error::Failed(cannot_read(name, &error));
        let is_file = !is_stdin(name) && {
            size_of(&path, name)?;
            fs::metadata(&path).map_err(failed)?.is_file()
        };
        let file = if is_stdin(name) { stream::stdin() } else { stream::open(&path) }.map_err(failed)?;
        let source = if is_file {
            Source::File(file)
        } else {
            Source::Stream(Stream::new(file, READ as u64, query.after_last_line(), stop)?)
        };
        Ok(Self {
            name,
            source,
            delimiter: query.delimiter(),
            stop: stop.clone(),
            text: vec![],
            line: 0..0,
            next: 0,
            scanned: 0,
            has_ended: false,
        })
    }

    /// The current line, without its delimiter.
    pub(super) fn line(&self) -> &[u8] {
        &self.text[self.line.clone()]
    }

    /// Goes to the next line. Returns false if there is none, or if a stop was requested.
    pub(super) fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(length) = memchr(self.delimiter, &self.text[self.scanned..]) {
                self.line = self.next..self.scanned + length;
                self.next = self.line.end + 1;
                self.scanned = self.next;
                return Ok(true);
            }
            self.scanned = self.text.len();
            if self.has_ended {
                self.line = self.next..self.text.len();
                self.next = self.text.len();
                return Ok(!self.line.is_empty());
            }
            self.refill().map_err(|error| {
                Error::Failed(format!("read failed: {}: {}", printable_path(self.name), reason(&error)))
            })?;
        }
    }

    /// Reads more text after what is left of the last one.
    fn refill(&mut self) -> io::Result<()> {
        self.text.drain(..self.next);
        self.scanned -= self.next;
        self.next = 0;
        let before = self.text.len();
        match &mut self.source {
            Source::Stream(stream) => {
                if let Some(portion) = stream.next() {
                    self.text.extend_from_slice(&portion?.bytes);
                }
            }
            Source::File(file) if !self.stop.requested() => {
                Read::by_ref(file).take(READ as u64).read_to_end(&mut self.text)?;
            }
            Source::File(_) => {}
        }
        self.has_ended = self.text.len() == before;
        Ok(())
    }
}
