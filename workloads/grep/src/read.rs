//! Reads the lines of a piece, block by block, into a buffer.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use cc_core::{error::reason, root::Files, trace};

use super::{Content, LineEnds, Part, Piece, Query, Remainder, Task};

/// A reused buffer. Bytes after those that were read last are stale. They are never cleared: for a
/// small file, that would cost more than the search.
#[derive(Clone, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
}

/// A piece that is being read.
pub(super) struct Source<'a> {
    piece: &'a Piece,
    input: Input<'a>,
    line_ends: LineEnds,
    /// The position of the next block.
    next: u64,
    /// Whether a line is known to begin at `next`.
    at_line: bool,
    /// Whether there are no more blocks.
    done: bool,
}

enum Input<'a> {
    File(File),
    Bytes(&'a [u8]),
}

/// A block of whole lines.
pub(super) struct Lines {
    /// The position of the first line in the buffer.
    start: usize,
    /// The position after the last line in the buffer.
    end: usize,
    /// The position of the first line in the file.
    pub(super) at: u64,
    /// Whether the file ends with the last line.
    pub(super) ended: bool,
}

impl<'a> Source<'a> {
    pub(super) fn open(piece: &'a Piece, query: &Query, files: &Files) -> io::Result<Self> {
        let input = match &piece.content {
            Content::File => Input::File(files.open(&query.base().join(piece.os_path()))?),
            Content::Bytes(bytes) | Content::Stream(bytes) => Input::Bytes(bytes),
            Content::Missing(why) => return Err(io::Error::other(why.clone())),
        };
        let at_line = piece.start == 0 || matches!(input, Input::Bytes(_));
        Ok(Self { piece, input, line_ends: query.line_ends(), next: piece.start, at_line, done: false })
    }

    /// The position of the next block.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The part of the piece that has not been read, as tasks of `limit` bytes.
    pub(super) fn remainder(&self, limit: u64) -> io::Result<Part> {
        let (path, next, last) = (self.piece.path.clone(), self.next, self.piece.last);
        let end = match (&self.input, self.piece.end) {
            (Input::Bytes(bytes), _) => {
                let content = self.piece.content.with(&bytes[self.offset(next)..]);
                let piece = Piece { path, content, start: next, end: None, last };
                return Ok(Part::Task(Task { pieces: vec![piece], limit }));
            }
            (_, Some(end)) => end,
            // Bytes that are appended to the file from now on are not searched: they may be the
            // output of this program.
            (Input::File(file), None) => file.metadata()?.len(),
        };
        Ok(Part::Range { path, next, end, last, step: limit, limit })
    }

    /// The lines of a block from `next` on, which were read and not searched, as tasks of `step`
    /// bytes.
    pub(super) fn unsearched(&self, next: u64, block: &Lines, step: u64, limit: u64) -> Part {
        let (path, end, last) = (self.piece.path.clone(), block.file_end(), block.ended);
        match self.input {
            // A line belongs to the range in which it begins, so the last line may end after the
            // range. `next` may be within that line, since NULs end lines of a binary file, too.
            Input::File(_) => {
                let range = self.piece.end.filter(|range| next < *range);
                let end = range.map_or(end, |range| end.min(range));
                Part::Range { path, next, end, last, step, limit }
            }
            Input::Bytes(bytes) => {
                let content = self.piece.content.with(&bytes[self.offset(next)..self.offset(end)]);
                let piece = Piece { path, content, start: next, end: None, last };
                Part::Task(Task { pieces: vec![piece], limit })
            }
        }
    }

    fn offset(&self, at: u64) -> usize {
        usize::try_from(at - self.piece.start).expect("the position is in the bytes of the piece")
    }

    /// Reads from position `at` on until `room` is full or the input ends. Returns the number of
    /// bytes.
    fn read(&mut self, at: u64, room: &mut [u8]) -> io::Result<usize> {
        if let Input::Bytes(bytes) = self.input {
            let bytes = &bytes[self.offset(at)..];
            let read = bytes.len().min(room.len());
            room[..read].copy_from_slice(&bytes[..read]);
            return Ok(read);
        }
        let Input::File(file) = &mut self.input else { unreachable!("bytes are handled above") };
        let mut read = 0;
        while read < room.len() {
            // The beginning of a file is read as a stream: some files, in /proc for example, do not
            // support reads at a position.
            let more = if at == 0 {
                file.read(&mut room[read..])
            } else {
                file.read_at(&mut room[read..], at + read as u64)
            };
            match more {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    fn file_end(&self) -> u64 {
        self.at + self.len() as u64
    }
}

impl Buffer {
    /// Bytes of the buffer in addition to a block, for the end of its last line.
    const LINE_ROOM: usize = 8 << 10;

    pub(super) fn lines(&mut self, lines: &Lines) -> &mut [u8] {
        &mut self.bytes[lines.start..lines.end]
    }

    /// Reads the next block of a source: about `size` bytes, or one longer line.
    pub(super) fn fill(&mut self, source: &mut Source, size: usize) -> io::Result<Lines> {
        let size = size.max(64);
        let usual = size + Self::LINE_ROOM;
        if self.bytes.len() > usual.saturating_mul(2) {
            self.bytes = Vec::new(); // it was enlarged for a long line
        }
        self.reserve(usual);

        // Read the byte before the range as well: if it is a newline, a line begins with the range.
        let from = if source.at_line { source.next } else { source.next - 1 };
        let left = source.piece.end.map(|end| end.saturating_sub(from));
        // The last block of a range includes the byte before it.
        let is_last = left.is_some_and(|left| left <= size as u64 + 1);
        let want =
            left.filter(|_| is_last).map_or(size, |left| usize::try_from(left).expect("a block at most"));
        let read = source.read(from, &mut self.bytes[..want])?;
        let mut eof = read < want;

        // The first line that begins in the block. A newline at the end of a range does not count:
        // the line after it belongs to the next range.
        let line_starts = if is_last { read.min(want.saturating_sub(1)) } else { read };
        let newline = source.line_ends.first(&self.bytes[..line_starts]);
        let start = if source.at_line { Some(0) } else { newline.map(|newline| newline + 1) };
        let (start, end) = match start {
            None => (read, read),
            Some(start) if eof => (start, read),
            // The last line of a range is the one that contains the last byte of the range.
            Some(start) if is_last => {
                (start, self.line_end(source, from, want.saturating_sub(1), want, &mut eof)?)
            }
            Some(start) => match source.line_ends.last(&self.bytes[start..read]) {
                Some(newline) => (start, start + newline + 1),
                None => (start, self.line_end(source, from, read, read, &mut eof)?),
            },
        };
        source.next = from + end as u64;
        source.at_line |= newline.is_some();
        source.done = eof || is_last || source.piece.end.is_some_and(|end| source.next >= end);
        let ended = source.done && source.piece.last;
        Ok(Lines { start, end, at: from + start as u64, ended })
    }

    /// The end of the line that contains the byte at `inside`. Reads more than `read` bytes if
    /// necessary.
    fn line_end(
        &mut self,
        source: &mut Source,
        from: u64,
        inside: usize,
        read: usize,
        eof: &mut bool,
    ) -> io::Result<usize> {
        let (mut scanned, mut read) = (inside, read);
        loop {
            if let Some(newline) = source.line_ends.first(&self.bytes[scanned..read]) {
                let end = scanned + newline + 1;
                *eof &= end == read; // bytes that were read after the line are for the next block
                return Ok(end);
            }
            if *eof {
                return Ok(read);
            }
            scanned = read;
            // Double the buffer, so that the bytes of a long line are copied only a few times.
            let want = if read < self.bytes.len() { self.bytes.len() } else { read * 2 };
            self.reserve(want);
            read += source.read(from + read as u64, &mut self.bytes[read..want])?;
            *eof = read < want;
        }
    }

    fn reserve(&mut self, size: usize) {
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
    }
}

/// Reads files into tasks, for workers that do not share a file system with this process. Each
/// thread that loads files has its own.
pub struct Loader {
    query: Query,
    buffer: Buffer,
}

impl Loader {
    /// A loader for the tasks of this query.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        Self { query: query.clone(), buffer: Buffer::default() }
    }

    /// Puts the contents of its files into the task. If they exceed the limit, the other return
    /// value has the tasks that are left, which follow those of the task's
    /// [`Output::remainder`](super::Output::remainder). If a file cannot be read, the task gets the
    /// reason, and the worker that does the task reports it.
    #[must_use]
    pub fn load(&mut self, task: Task) -> (Task, Remainder) {
        let _span = trace::serial("read");
        let limit = task.limit;
        let mut loaded = Task { pieces: Vec::with_capacity(task.pieces.len()), limit };
        let (mut remainder, mut size) = (Remainder::default(), 0);
        let mut pieces = task.pieces.into_iter();
        for piece in pieces.by_ref() {
            if piece.content != Content::File {
                loaded.pieces.push(piece);
                continue;
            }
            match self.piece(&piece, limit, &mut remainder) {
                Ok((piece, lines)) => {
                    size += lines;
                    loaded.pieces.push(piece);
                }
                Err(error) => {
                    loaded.pieces.push(Piece { content: Content::Missing(reason(&error)), ..piece });
                }
            }
            if size >= limit || !remainder.is_empty() {
                break;
            }
        }
        let left: Vec<_> = pieces.collect();
        if !left.is_empty() {
            remainder.push(Part::Task(Task { pieces: left, limit }));
        }
        (loaded, remainder)
    }

    fn piece(&mut self, piece: &Piece, limit: u64, remainder: &mut Remainder) -> io::Result<(Piece, u64)> {
        let mut source = Source::open(piece, &self.query, &Files::All)?;
        let lines = self.buffer.fill(&mut source, usize::try_from(limit).unwrap_or(usize::MAX / 4))?;
        let content = piece.content.with(self.buffer.lines(&lines));
        if !source.is_done() {
            remainder.push(source.remainder(limit)?);
        }
        let loaded =
            Piece { path: piece.path.clone(), content, start: lines.at, end: None, last: lines.ended };
        Ok((loaded, lines.len() as u64))
    }
}
