//! Reading the lines of a piece into a buffer.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use memchr::{memchr, memrchr};
use serde_bytes::ByteBuf;

use super::{Content, Part, Piece, Query, Rest, Task, tasks};
use crate::error::reason;

/// A reused buffer. Its bytes beyond what was read last are stale, never cleared: clearing a mebibyte for every
/// small file would cost more than the search.
#[derive(Clone, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
}

/// The whole lines that were read of a piece.
pub(super) struct Lines {
    /// Where they are in the buffer.
    pub(super) start: usize,
    /// The byte behind them in the buffer.
    pub(super) end: usize,
    /// Where they are in the file.
    pub(super) at: u64,
    /// What follows them in the piece, and was not read.
    pub(super) more: Option<Part>,
    /// Whether the file ends with them.
    pub(super) ended: bool,
}

impl Buffer {
    pub(super) fn lines(&mut self, lines: &Lines) -> &mut [u8] {
        &mut self.bytes[lines.start..lines.end]
    }

    /// Fills the buffer with the piece's lines, about `limit` bytes of them.
    pub(super) fn fill(&mut self, piece: &Piece, base: &Path, limit: u64) -> io::Result<Lines> {
        let usual = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(Self::STEP);
        if self.bytes.len() > usual.saturating_mul(2) {
            self.bytes = Vec::new(); // a long line has passed
        }
        if self.bytes.len() < usual {
            self.bytes.resize(usual, 0);
        }
        match &piece.content {
            Content::File => self.read(piece, &base.join(piece.os_path()), limit),
            Content::Bytes(bytes) => {
                if self.bytes.len() < bytes.len() {
                    self.bytes.resize(bytes.len(), 0);
                }
                self.bytes[..bytes.len()].copy_from_slice(bytes);
                Ok(Lines { start: 0, end: bytes.len(), at: piece.start, more: None, ended: piece.last })
            }
            Content::Missing(why) => Err(io::Error::other(why.clone())),
        }
    }

    const STEP: usize = 64 << 10;

    fn read(&mut self, piece: &Piece, path: &Path, limit: u64) -> io::Result<Lines> {
        let file = tasks::open(path)?;
        // One byte before the range tells whether a line begins with it.
        let from = piece.start.saturating_sub(1);
        let want = piece.end.map_or(limit, |end| end - from);
        let want = usize::try_from(want).unwrap_or(usize::MAX);
        if self.bytes.len() < want {
            self.bytes.resize(want, 0);
        }
        let read = self.read_to(&file, from, 0, want)?;
        let mut eof = read < want;

        // The first line that begins in the range.
        let last_start = if piece.end.is_some() { read.min(want - 1) } else { read };
        let start = match memchr(b'\n', &self.bytes[..last_start]) {
            _ if piece.start == 0 => Some(0),
            newline => newline.map(|at| at + 1),
        };
        // The end of the last one: of a range with an end, the line that its last byte belongs to.
        let (start, end) = match (start, piece.end) {
            (None, _) => (read, read),
            (Some(start), _) if eof => (start, read),
            (Some(start), Some(_)) => (start, self.line_end(&file, from, want - 1, want, &mut eof)?),
            (Some(start), None) => match memrchr(b'\n', &self.bytes[start..read]) {
                Some(newline) => (start, start + newline + 1),
                None => (start, self.line_end(&file, from, read, read, &mut eof)?),
            },
        };
        let at = from + start as u64;
        let next = from + end as u64;
        let mut more = None;
        if piece.end.is_none() && !eof {
            // What is appended from now on is left out: it may be our own output.
            let size = file.metadata()?.len();
            if size != next {
                let (path, last) = (piece.path.clone(), piece.last);
                more = Some(Part::Range { path, next, end: size, last, step: limit, limit });
            }
        }
        let ended = piece.last && more.is_none();
        Ok(Lines { start, end, at, more, ended })
    }

    /// The end of the line that the byte at `inside` belongs to, reading on beyond `read` where necessary.
    fn line_end(
        &mut self,
        file: &File,
        from: u64,
        inside: usize,
        read: usize,
        eof: &mut bool,
    ) -> io::Result<usize> {
        let (mut scanned, mut read) = (inside, read);
        loop {
            if let Some(newline) = memchr(b'\n', &self.bytes[scanned..read]) {
                let end = scanned + newline + 1;
                *eof &= end == read; // what was read behind the line is not handed out
                return Ok(end);
            }
            if *eof {
                return Ok(read);
            }
            scanned = read;
            // Doubling, so that a line of a hundred megabytes is not copied a thousand times.
            let want = read + read.max(Self::STEP);
            let want = if read < self.bytes.len() { want.min(self.bytes.len()) } else { want };
            if self.bytes.len() < want {
                self.bytes.resize(want, 0);
            }
            read = self.read_to(file, from, read, want)?;
            *eof = read < want;
        }
    }

    /// Reads the file from `from` on, of which `have` bytes are there, until there are `want` or it ends.
    fn read_to(&mut self, mut file: &File, from: u64, have: usize, want: usize) -> io::Result<usize> {
        let mut have = have;
        while have < want {
            let room = &mut self.bytes[have..want];
            // A file is read from its beginning as a stream, so that one without a position (in /proc, say) can be.
            let read = if from == 0 { file.read(room) } else { file.read_at(room, from + have as u64) };
            match read {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(have)
    }
}

/// Reads files for those who do not share a file system with them. One per loading thread.
pub struct Loader {
    base: PathBuf,
    buffer: Buffer,
}

impl Loader {
    /// A loader for the tasks of this query.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        Self { base: query.base().to_owned(), buffer: Buffer::default() }
    }

    /// Puts the contents of its files into the task, and returns it with what was too large for one go, which
    /// belongs behind the [`Output::rest`] of the task. A file that cannot be read is reported by whoever does
    /// the task.
    #[must_use]
    pub fn load(&mut self, task: Task) -> (Task, Rest) {
        let limit = task.limit;
        let mut loaded = Task { pieces: Vec::with_capacity(task.pieces.len()), limit };
        let (mut rest, mut size) = (Rest::default(), 0);
        let mut pieces = task.pieces.into_iter();
        for piece in pieces.by_ref() {
            if piece.content != Content::File {
                loaded.pieces.push(piece);
                continue;
            }
            match self.buffer.fill(&piece, &self.base, limit) {
                Ok(lines) => {
                    let bytes = ByteBuf::from(self.buffer.lines(&lines).to_vec());
                    size += bytes.len() as u64;
                    let (path, content) = (piece.path, Content::Bytes(bytes));
                    loaded.pieces.push(Piece {
                        path,
                        content,
                        start: lines.at,
                        end: None,
                        last: lines.ended,
                    });
                    if let Some(more) = lines.more {
                        rest.push(more);
                        break;
                    }
                }
                Err(error) => {
                    loaded.pieces.push(Piece { content: Content::Missing(reason(&error)), ..piece })
                }
            }
            if size >= limit {
                break;
            }
        }
        let left: Vec<_> = pieces.collect();
        if !left.is_empty() {
            rest.push(Part::Task(Task { pieces: left, limit }));
        }
        (loaded, rest)
    }
}
