//! Reads the words of a piece, block by block, into a buffer.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use cc_core::{error::reason, root::Files, trace};
use serde_bytes::ByteBuf;

use super::{Content, Piece, Settings, Task, words::is_word_byte};

/// A reused buffer. Bytes after those that were read last are stale.
#[derive(Clone, Default)]
pub(super) struct Buffer(Vec<u8>);

/// Bytes per read: few enough to stay in the cache while their words are counted.
const BLOCK: usize = 128 << 10;

/// Bytes per read when looking for the end of a word at the bounds of a range.
const WORD_BLOCK: usize = 256;

/// The open file of a piece.
struct Source {
    file: File,
    /// Whether the piece begins within the file.
    is_cut: bool,
}

impl Source {
    /// Reads from position `at` on. A piece that begins with its file is read as a stream: some
    /// files, in `/proc` for example, do not support reads at a position.
    fn read(&self, room: &mut [u8], at: u64) -> io::Result<usize> {
        if self.is_cut { self.file.read_at(room, at) } else { (&self.file).read(room) }
    }
}

impl Buffer {
    /// Calls `text` with the words that begin in the piece's range, in portions that never cut a
    /// word. Returns the number of bytes of the range.
    pub(super) fn read(
        &mut self,
        piece: &Piece,
        base: &Path,
        files: &Files,
        mut text: impl FnMut(&[u8]),
    ) -> io::Result<u64> {
        match &piece.content {
            Content::Bytes(bytes) => {
                text(bytes);
                Ok(piece.end.map_or(bytes.len() as u64, |end| end - piece.start))
            }
            Content::File => {
                let file = files.open(&base.join(piece.os_path()))?;
                self.file(piece, &Source { file, is_cut: piece.start > 0 }, text)
            }
            Content::Missing(why) => Err(io::Error::other(why.clone())),
        }
    }

    fn file(&mut self, piece: &Piece, file: &Source, mut text: impl FnMut(&[u8])) -> io::Result<u64> {
        let end = piece.end.unwrap_or(u64::MAX);
        // A word that begins before the range belongs to the range before.
        let mut at = if piece.start == 0 { 0 } else { self.first_gap(file, piece.start - 1, end)? };
        // Bytes at the front of the buffer: the beginning of a word whose end has not been read.
        let mut held = 0;
        while at < end || held > 0 {
            let is_within = at < end;
            // Read at least as much as is held, so that the bytes of a long word are copied only a
            // few times.
            let want = if is_within { BLOCK.max(held) } else { WORD_BLOCK.max(held) };
            let want = if is_within { (want as u64).min(end - at) as usize } else { want };
            let read = self.fill(file, at, held, want)?;
            let filled = held + read;
            let mut added = self.0[held..filled].iter();
            let cut = if is_within && read == want {
                added.rposition(|byte| !is_word_byte(*byte)).map(|gap| held + gap + 1)
            } else if is_within {
                Some(filled)
            } else {
                // After the range, only the end of its last word is needed.
                added.position(|byte| !is_word_byte(*byte)).map(|gap| held + gap)
            };
            let is_last = read < want || (!is_within && cut.is_some());
            let cut = cut.unwrap_or(if is_last { filled } else { 0 });
            text(&self.0[..cut]);
            at += read as u64;
            if is_last {
                break;
            }
            self.0.copy_within(cut..filled, 0);
            held = filled - cut;
        }
        self.shrink();
        Ok(at.min(end) - piece.start.min(at))
    }

    /// The position of the first byte from `at` on that belongs to no word; at most `end`.
    fn first_gap(&mut self, file: &Source, mut at: u64, end: u64) -> io::Result<u64> {
        let mut want = WORD_BLOCK;
        while at < end {
            let some = usize::try_from(end - at).map_or(want, |left| left.min(want));
            let read = self.fill(file, at, 0, some)?;
            match self.0[..read].iter().position(|byte| !is_word_byte(*byte)) {
                Some(gap) => return Ok(at + gap as u64),
                None if read < some => return Ok(at + read as u64),
                None => at += read as u64,
            }
            want = BLOCK;
        }
        Ok(end)
    }

    /// Reads `want` bytes into the buffer after its first `held` ones; fewer only at the end of the
    /// file.
    fn fill(&mut self, file: &Source, at: u64, held: usize, want: usize) -> io::Result<usize> {
        if self.0.len() < held + want {
            self.0.resize(held + want, 0);
        }
        let mut read = 0;
        while read < want {
            match file.read(&mut self.0[held + read..held + want], at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// Frees the buffer if it was enlarged for a long word.
    fn shrink(&mut self) {
        if self.0.len() > 4 * BLOCK {
            self.0 = Vec::new();
        }
    }
}

/// Reads files into tasks, for workers that do not share a file system with this process. Each
/// thread that loads files has its own.
pub struct Loader {
    base: PathBuf,
    buffer: Buffer,
}

impl Loader {
    /// A loader for the tasks of a job with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { base: settings.base().to_owned(), buffer: Buffer::default() }
    }

    /// Puts the contents of its files into the task. If a file cannot be read, the task gets the
    /// reason, and the worker that does the task reports it.
    #[must_use]
    pub fn load(&mut self, mut task: Task) -> Task {
        let _span = trace::serial("read");
        for piece in task.pieces.iter_mut().filter(|piece| piece.content == Content::File) {
            // The range, and the end of its last word.
            let range = piece.end.map_or(0, |end| end - piece.start) as usize;
            let mut words = Vec::with_capacity(range + WORD_BLOCK);
            let read = self.buffer.read(piece, &self.base, &Files::All, |text| words.extend_from_slice(text));
            match read {
                Ok(bytes) => {
                    piece.end = Some(piece.start + bytes);
                    piece.content = Content::Bytes(ByteBuf::from(words));
                }
                Err(error) => piece.content = Content::Missing(reason(&error)),
            }
        }
        task
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pieces(size: u64, step: u64) -> impl Iterator<Item = Piece> {
        let cut = move |start| Piece { start, end: Some((start + step).min(size)), ..Piece::file("t") };
        (0..size).step_by(step as usize).map(cut)
    }

    fn words(text: &[u8]) -> Vec<Vec<u8>> {
        text.split(|byte| !is_word_byte(*byte)).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    }

    fn file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("t")).unwrap().write_all(text).unwrap();
        let path = dir.path().to_owned();
        (dir, path)
    }

    /// Checks that every word is read exactly once, in ranges of this size.
    fn check(text: &[u8], step: u64) {
        let (_dir, base) = file(text);
        let mut loader = Loader { base: base.clone(), buffer: Buffer::default() };
        let (mut found, mut loaded, mut bytes) = (Vec::new(), Vec::new(), 0);
        for piece in pieces(text.len() as u64, step) {
            let mut buffer = Buffer::default();
            bytes += buffer.read(&piece, &base, &Files::All, |text| found.extend(words(text))).unwrap();
            let task = loader.load(Task { pieces: vec![piece] });
            let Content::Bytes(text) = &task.pieces[0].content else { panic!("it can be read") };
            loaded.extend(words(text));
        }
        let expected = words(text);
        assert!(found == expected, "{} words of {} in steps of {step}", found.len(), expected.len());
        assert!(loaded == expected, "loaded {} words of {} in steps of {step}", loaded.len(), expected.len());
        assert_eq!(bytes, text.len() as u64);
    }

    #[test]
    fn words_belong_to_the_range_they_begin_in() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..200 {
            let length = rng.usize(..300);
            let text: Vec<u8> = (0..length).map(|_| *rng.choice(b"abcdefgh  ").unwrap()).collect();
            check(&text, rng.u64(1..40));
        }
    }

    #[test]
    fn words_and_gaps_may_be_longer_than_blocks_and_ranges() {
        let long = BLOCK * 3 + 17;
        for text in [
            [&vec![b'x'; long][..], b" y"].concat(),
            [b"y ", &vec![b'x'; long][..]].concat(),
            [b"a b", &vec![b' '; long][..], b"c ", &vec![b'x'; long][..], b" d"].concat(),
        ] {
            for step in [1000, BLOCK as u64 - 1, BLOCK as u64, 5 * BLOCK as u64] {
                check(&text, step);
            }
        }
    }

    #[test]
    fn a_file_whose_size_is_not_known_is_read_to_its_end() {
        let (_dir, base) = file(b"one two");
        let mut found = Vec::new();
        let bytes =
            Buffer::default().read(&Piece::file("t"), &base, &Files::All, |text| found.extend(words(text)));
        assert_eq!((bytes.unwrap(), found), (7, words(b"one two")));
    }

    #[test]
    fn a_file_that_has_shrunk_counts_as_far_as_it_goes() {
        let (_dir, base) = file(b"one two");
        for (start, expected) in [(0, 7), (4, 3), (7, 0), (20, 0)] {
            let piece = Piece { start, end: Some(30), ..Piece::file("t") };
            let bytes = Buffer::default().read(&piece, &base, &Files::All, |_| ()).unwrap();
            assert_eq!(bytes, expected, "from {start}");
        }
    }
}
