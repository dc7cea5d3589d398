//! Reads the lines of a chunk as one text: from each piece the lines that begin in its range, each
//! with a newline.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, slice};

use cc_core::{
    blobs::{BlobRange, BlobStore},
    error::reason,
    printable::printable_path,
    root::Files,
};
use memchr::memchr;

use super::{Content, Piece, Query, Totals};

/// Bytes per read.
pub(super) const READ: usize = 1 << 20;
/// Bytes per read when looking for the end of a line.
pub(super) const LINE_READ: usize = 16 << 10;

/// Reads the text of a chunk.
pub(super) struct ChunkReader<'a> {
    query: &'a Query,
    blobs: &'a dyn BlobStore,
    files: &'a Files,
    pieces: slice::Iter<'a, Piece>,
    open: Option<Open<'a>>,
    /// How much has been read, except for the number of lines.
    pub(super) read: Totals,
}

/// A piece that is being read.
struct Open<'a> {
    piece: &'a Piece,
    input: Input<'a>,
    /// The position of the next byte in the file.
    next: u64,
    position: Position,
    /// Whether the bytes read so far end in the middle of a line.
    within_line: bool,
    /// The byte that ends each line.
    delimiter: u8,
}

enum Input<'a> {
    File(File),
    Blob(&'a str),
    Bytes(&'a [u8]),
}

/// The position of the next byte in relation to the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the first line that begins in the range.
    Before,
    Within,
    /// After the range, in the last line that begins in it.
    After,
    /// The piece has been read.
    End,
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(query: &'a Query, pieces: &'a [Piece], blobs: &'a dyn BlobStore) -> Self {
        let (pieces, files) = (pieces.iter(), &Files::All);
        Self { query, blobs, files, pieces, open: None, read: Totals::default() }
    }

    /// Restricts the files that the reader opens.
    pub(super) fn within(self, files: &'a Files) -> Self {
        Self { files, ..self }
    }

    /// Reads the next bytes. Returns their number, which is zero only at the end.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Result<usize, String> {
        loop {
            if self.open.is_none() {
                let Some(piece) = self.pieces.next() else { return Ok(0) };
                self.open = Some(self.open(piece)?);
                self.read.files += u64::from(piece.start == 0);
            }
            let Some(open) = &mut self.open else { continue };
            let failed =
                |error| format!("read failed: {}: {}", printable_path(open.piece.os_path()), reason(&error));
            let read = open.read(self.blobs, room);
            match read {
                Ok(0) => self.open = None,
                Ok(read) => {
                    self.read.bytes += read as u64;
                    return Ok(read);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn open(&self, piece: &'a Piece) -> Result<Open<'a>, String> {
        let input = match &piece.content {
            Content::File => {
                let file = self.files.open(&self.query.base().join(piece.os_path()));
                Input::File(file.map_err(|error| cannot_read(piece.os_path(), &error))?)
            }
            Content::Blob(name) => Input::Blob(name),
            Content::Bytes(bytes) => Input::Bytes(bytes),
            Content::Missing(why) => return Err(why.clone()),
        };
        // Read from the byte before the range on: if it is a newline, a line begins with the range.
        let is_cut = piece.start > 0 && matches!(input, Input::File(_));
        let (next, position) =
            if is_cut { (piece.start - 1, Position::Before) } else { (piece.start, Position::Within) };
        let delimiter = self.query.delimiter();
        Ok(Open { piece, input, next, position, within_line: false, delimiter })
    }
}

impl Open<'_> {
    fn read(&mut self, blobs: &dyn BlobStore, room: &mut [u8]) -> io::Result<usize> {
        while self.position == Position::Before {
            self.find_first_line(blobs, room)?;
        }
        if self.position == Position::Within && self.next >= self.piece.end {
            self.position = if self.within_line { Position::After } else { Position::End };
        }
        let read = match self.position {
            Position::Within => {
                let left = usize::try_from(self.piece.end - self.next).unwrap_or(usize::MAX);
                let max = room.len().min(left);
                let read = self.read_at(blobs, &mut room[..max])?;
                if read == 0 {
                    // The file has become shorter, or is one of those in /sys, which claim a page.
                    self.position = Position::End;
                }
                read
            }
            Position::After => {
                let max = room.len().min(LINE_READ);
                let read = self.read_at(blobs, &mut room[..max])?;
                let newline = memchr(self.delimiter, &room[..read]).map(|newline| newline + 1);
                if newline.is_some() || read == 0 {
                    self.position = Position::End;
                }
                newline.unwrap_or(read)
            }
            _ => 0,
        };
        self.next += read as u64;
        if read > 0 {
            self.within_line = room[read - 1] != self.delimiter;
        } else if self.within_line {
            // The file ends without a newline.
            self.within_line = false;
            room[0] = self.delimiter;
            return Ok(1);
        }
        Ok(read)
    }

    fn find_first_line(&mut self, blobs: &dyn BlobStore, room: &mut [u8]) -> io::Result<()> {
        let max = room.len().min(LINE_READ);
        let read = self.read_at(blobs, &mut room[..max])?;
        if let Some(newline) = memchr(self.delimiter, &room[..read]) {
            self.next += newline as u64 + 1;
            self.position = Position::Within;
        } else {
            self.next += read as u64;
        }
        if read == 0 || self.next >= self.piece.end {
            self.position = Position::End;
        }
        Ok(())
    }

    fn read_at(&mut self, blobs: &dyn BlobStore, room: &mut [u8]) -> io::Result<usize> {
        let (start, next) = (self.piece.start, self.next);
        match &mut self.input {
            Input::File(file) => loop {
                match file.read_at(room, next) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return read,
                }
            },
            Input::Bytes(bytes) => {
                let bytes =
                    usize::try_from(next - start).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let read = bytes.len().min(room.len());
                room[..read].copy_from_slice(&bytes[..read]);
                Ok(read)
            }
            Input::Blob(name) => {
                let end = (next + room.len() as u64).min(self.piece.end);
                let slice = BlobRange { name: (*name).to_owned(), start: next - start, end: end - start };
                let mut bytes = Vec::new();
                blobs.read(&slice, &mut bytes)?;
                room[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
    }
}

/// The message about a file that cannot be read.
pub(super) fn cannot_read(name: &Path, error: &io::Error) -> String {
    format!("cannot read: {}: {}", printable_path(name), reason(error))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt};

    use super::*;
    use cc_core::blobs::MemStore;

    fn piece(path: &Path, start: u64, end: u64) -> Piece {
        let path = path.as_os_str().as_bytes().to_vec().into();
        Piece { path, content: Content::File, start, end }
    }

    fn text(pieces: Vec<Piece>, at_once: usize) -> Result<String, String> {
        let (query, blobs) = (Query::default(), MemStore::default());
        let mut source = ChunkReader::new(&query, &pieces, &blobs);
        let (mut text, mut room) = (vec![], vec![0; at_once]);
        loop {
            match source.read(&mut room)? {
                0 => return Ok(String::from_utf8(text).unwrap()),
                read => text.extend_from_slice(&room[..read]),
            }
        }
    }

    #[test]
    fn wherever_a_file_is_cut_each_line_is_in_one_part() {
        let scratch = tempfile::tempdir().unwrap();
        for (n, content) in
            ["", "\n", "a", "a\n", "a\nbc\n\nd", "\n\nabc\n", "abcdefghij\nk\n"].iter().enumerate()
        {
            let path = scratch.path().join(n.to_string());
            fs::write(&path, content).unwrap();
            let end = content.len() as u64;
            let whole = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
            let whole = format!("{content}{whole}");
            for (one, other) in (0..=end).flat_map(|one| (one..=end).map(move |other| (one, other))) {
                for at_once in [1, 2, 100] {
                    let part = |start, end| text(vec![piece(&path, start, end)], at_once).unwrap();
                    assert_eq!(part(0, one) + &part(one, other) + &part(other, end), whole, "{one} {other}");
                    let pieces =
                        vec![piece(&path, 0, one), piece(&path, one, other), piece(&path, other, end)];
                    assert_eq!(text(pieces, at_once).unwrap(), whole);
                }
            }
        }
    }

    #[test]
    fn a_line_that_a_file_ends_without_is_ended() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        fs::write(&path, "a\nb").unwrap();
        assert_eq!(text(vec![piece(&path, 0, 3), piece(&path, 0, 3)], 3).unwrap(), "a\nb\na\nb\n");
    }

    #[test]
    fn bytes_and_blobs_are_read_from_their_beginning() {
        let (query, blobs) = (Query::default(), MemStore::default());
        let mut blob = blobs.create("x").unwrap();
        blob.write_all(b"c\nd").unwrap();
        blob.finish().unwrap();
        let piece = |content, start, end| Piece { path: b"-".to_vec().into(), content, start, end };
        let pieces = vec![
            piece(Content::Bytes(b"a\nb\n".to_vec().into()), 100, 104),
            piece(Content::Blob("x".to_owned()), 104, 107),
        ];
        let mut source = ChunkReader::new(&query, &pieces, &blobs);
        let (mut room, mut text) = ([0; 3], vec![]);
        while let read @ 1.. = source.read(&mut room).unwrap() {
            text.extend_from_slice(&room[..read]);
        }
        assert_eq!(text, b"a\nb\nc\nd\n");
        assert_eq!(source.read, Totals { files: 0, bytes: 8, lines: 0, sorted: 0 });
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(
            text(vec![piece(Path::new("/gone"), 0, 3)], 9).unwrap_err(),
            "cannot read: /gone: No such file or directory"
        );
    }

    #[test]
    fn a_file_that_is_shorter_than_it_claims_is_read_to_its_end() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        fs::write(&path, "a\nb").unwrap();
        for at_once in [1, 3, 9] {
            let pieces = vec![piece(&path, 0, 2), piece(&path, 2, 9), piece(&path, 9, 20)];
            assert_eq!(text(pieces, at_once).unwrap(), "a\nb\n");
            assert_eq!(text(vec![piece(&path, 0, 9), piece(&path, 0, 2)], at_once).unwrap(), "a\nb\na\n");
        }
    }
}
