//! The lines of a chunk, as one text: of each piece those that begin in its range, each with a newline.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, slice};

use cc_core::{
    error::reason,
    printable::printable_path,
    root::Files,
    shelf::{Shelf, Slice},
};
use memchr::memchr;

use super::{Content, Piece, Query, Totals};
/// What is read at once.
pub(super) const READ: usize = 1 << 20;
/// What is read at once to find the end of a line.
pub(super) const STEP: usize = 16 << 10;

/// The text of a chunk.
pub(super) struct Source<'a> {
    query: &'a Query,
    shelf: &'a dyn Shelf,
    files: &'a Files,
    pieces: slice::Iter<'a, Piece>,
    open: Option<Open<'a>>,
    /// How much has been read; of lines it says nothing.
    pub(super) read: Totals,
}

/// A piece that is being read.
struct Open<'a> {
    piece: &'a Piece,
    input: Input<'a>,
    next: u64,
    place: Place,
    /// Whether what has been read so far ends in the middle of a line.
    within_line: bool,
}

enum Input<'a> {
    File(File),
    Shelf(&'a str),
    Bytes(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first line that begins in the range.
    Before,
    Within,
    /// Behind the range, in the last line that begins in it.
    Behind,
    End,
}

impl<'a> Source<'a> {
    pub(super) fn new(query: &'a Query, pieces: &'a [Piece], shelf: &'a dyn Shelf) -> Self {
        let (pieces, files) = (pieces.iter(), &Files::All);
        Self { query, shelf, files, pieces, open: None, read: Totals::default() }
    }

    /// The same, but it opens these files only.
    pub(super) fn within(self, files: &'a Files) -> Self {
        Self { files, ..self }
    }

    /// Reads the next bytes: some, unless there are none left.
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
            let read = open.read(self.shelf, room);
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
            Content::Shelf(name) => Input::Shelf(name),
            Content::Bytes(bytes) => Input::Bytes(bytes),
            Content::Missing(why) => return Err(why.clone()),
        };
        // The byte before the range tells whether a line begins with it.
        let is_cut = piece.start > 0 && matches!(input, Input::File(_));
        let (next, place) =
            if is_cut { (piece.start - 1, Place::Before) } else { (piece.start, Place::Within) };
        Ok(Open { piece, input, next, place, within_line: false })
    }
}

impl Open<'_> {
    fn read(&mut self, shelf: &dyn Shelf, room: &mut [u8]) -> io::Result<usize> {
        while self.place == Place::Before {
            self.find_first_line(shelf, room)?;
        }
        if self.place == Place::Within && self.next >= self.piece.end {
            self.place = if self.within_line { Place::Behind } else { Place::End };
        }
        let read = match self.place {
            Place::Within => {
                let left = usize::try_from(self.piece.end - self.next).unwrap_or(usize::MAX);
                let most = room.len().min(left);
                let read = self.read_at(shelf, &mut room[..most])?;
                if read == 0 {
                    return Err(io::Error::other("it has become shorter"));
                }
                read
            }
            Place::Behind => {
                let most = room.len().min(STEP);
                let read = self.read_at(shelf, &mut room[..most])?;
                let newline = memchr(b'\n', &room[..read]).map(|newline| newline + 1);
                if newline.is_some() || read == 0 {
                    self.place = Place::End;
                }
                newline.unwrap_or(read)
            }
            _ => 0,
        };
        self.next += read as u64;
        if read > 0 {
            self.within_line = room[read - 1] != b'\n';
        } else if self.within_line {
            // The file ends without a newline.
            self.within_line = false;
            room[0] = b'\n';
            return Ok(1);
        }
        Ok(read)
    }

    fn find_first_line(&mut self, shelf: &dyn Shelf, room: &mut [u8]) -> io::Result<()> {
        let most = room.len().min(STEP);
        let read = self.read_at(shelf, &mut room[..most])?;
        if let Some(newline) = memchr(b'\n', &room[..read]) {
            self.next += newline as u64 + 1;
            self.place = Place::Within;
        } else {
            self.next += read as u64;
        }
        if read == 0 || self.next >= self.piece.end {
            self.place = Place::End;
        }
        Ok(())
    }

    fn read_at(&mut self, shelf: &dyn Shelf, room: &mut [u8]) -> io::Result<usize> {
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
            Input::Shelf(name) => {
                let end = (next + room.len() as u64).min(self.piece.end);
                let slice = Slice { name: (*name).to_owned(), start: next - start, end: end - start };
                let mut bytes = Vec::new();
                shelf.read(&slice, &mut bytes)?;
                room[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
    }
}

/// What is said of a file that cannot be read.
pub(super) fn cannot_read(name: &Path, error: &io::Error) -> String {
    format!("cannot read: {}: {}", printable_path(name), reason(error))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt};

    use super::*;
    use cc_core::shelf::Memory;

    fn piece(path: &Path, start: u64, end: u64) -> Piece {
        let path = path.as_os_str().as_bytes().to_vec().into();
        Piece { path, content: Content::File, start, end }
    }

    fn text(pieces: Vec<Piece>, at_once: usize) -> Result<String, String> {
        let (query, shelf) = (Query::default(), Memory::default());
        let mut source = Source::new(&query, &pieces, &shelf);
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
    fn bytes_and_shelves_are_read_from_their_beginning() {
        let (query, shelf) = (Query::default(), Memory::default());
        let mut draft = shelf.create("x").unwrap();
        draft.write_all(b"c\nd").unwrap();
        draft.finish().unwrap();
        let piece = |content, start, end| Piece { path: b"-".to_vec().into(), content, start, end };
        let pieces = vec![
            piece(Content::Bytes(b"a\nb\n".to_vec().into()), 100, 104),
            piece(Content::Shelf("x".to_owned()), 104, 107),
        ];
        let mut source = Source::new(&query, &pieces, &shelf);
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
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        fs::write(&path, "a\nb").unwrap();
        assert!(text(vec![piece(&path, 0, 9)], 9).unwrap_err().ends_with("/a: it has become shorter"));
    }
}
