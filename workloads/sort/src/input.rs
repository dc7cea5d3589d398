//! Where chunks come from: ranges of files, and inputs that can only be read in order.

use std::{
    fs, io, iter,
    ops::Range,
    option,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    slice,
};

use cc_core::{
    error::{Error, Result},
    failpoint,
    printable::printable_path,
    shelf::Shelf,
    stop::Stop,
    stream::{self, Stream},
};
use memchr::memrchr;
use serde_bytes::ByteBuf;

use super::{Chunk, Content, Job, Piece, Plan, Task, source::cannot_read};
/// What is read of a stream before it is written.
const PORTION: u64 = 256 << 10;

const STDIN: &str = "-";

/// The operands: standard input if there are none.
fn files(job: &Job) -> Files<'_> {
    let implicit = job.files.is_empty().then_some(Path::new(STDIN));
    job.files.iter().map(as_path as fn(&PathBuf) -> &Path).chain(implicit)
}

type Files<'a> =
    iter::Chain<iter::Map<slice::Iter<'a, PathBuf>, fn(&PathBuf) -> &Path>, option::IntoIter<&'a Path>>;

fn as_path(path: &PathBuf) -> &Path {
    path
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new(STDIN)
}

/// How many bytes all files have together, if that can be known. Fails if one of them cannot be read: operands are
/// few, so they may be asked.
pub(super) fn size(job: &Job) -> Result<Option<u64>> {
    let mut sum = Some(0);
    for file in files(job) {
        let size = if is_stdin(file) { None } else { size_of(&job.query.base().join(file), file)? };
        sum = sum.zip(size).map(|(sum, size)| sum + size);
    }
    Ok(sum)
}

fn size_of(path: &Path, name: &Path) -> Result<Option<u64>> {
    let cannot = |error: io::Error| Error::Failed(cannot_read(name, &error));
    let kind = fs::metadata(path).map_err(cannot)?;
    if kind.is_dir() {
        return Err(Error::Failed(format!("read failed: {}: Is a directory", printable_path(name))));
    }
    if kind.is_file() {
        stream::open(path).map_err(cannot)?;
    }
    Ok(kind.is_file().then_some(kind.len()))
}

/// The iterator of [`Job::chunks`].
pub struct Chunks<'a> {
    job: &'a Job,
    files: Files<'a>,
    shelf: &'a dyn Shelf,
    stop: Stop,
    plan: Plan,
    number: u64,
    /// What is left of the file that is being cut.
    file: Option<(&'a Path, Range<u64>)>,
    stream: Option<(&'a Path, Stream)>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(job: &'a Job, plan: &Plan, shelf: &'a dyn Shelf, stop: &Stop) -> Self {
        let stop = stop.clone();
        Self { job, files: files(job), shelf, stop, plan: *plan, number: 0, file: None, stream: None }
    }

    /// Begins with an operand. Returns what there is of it if there is nothing to cut.
    fn open(&mut self, file: &'a Path) -> Option<Piece> {
        let path = self.job.query.base().join(file);
        match fs::metadata(&path) {
            _ if is_stdin(file) => self.open_stream(file, stream::stdin()),
            Err(error) => Some(missing(file, &error)),
            // One without a size may have content all the same, as in /proc.
            Ok(kind) if kind.is_file() && kind.len() > 0 => {
                self.file = Some((file, 0..kind.len()));
                None
            }
            Ok(_) => self.open_stream(file, stream::open(&path)),
        }
    }

    fn open_stream(&mut self, name: &'a Path, file: io::Result<fs::File>) -> Option<Piece> {
        let behind_a_line = |bytes: &[u8]| memrchr(b'\n', bytes).map(|newline| newline + 1);
        let stream = file
            .and_then(|file| Stream::new(file, PORTION, behind_a_line, &self.stop).map_err(stream::of_input));
        match stream {
            Ok(stream) => {
                self.stream = Some((name, stream));
                None
            }
            Err(error) => Some(missing(name, &error)),
        }
    }

    /// Puts a chunk's worth of the stream on the shelf. There is nothing if it has ended.
    fn spool(&mut self, name: &Path, stream: &mut Stream) -> Option<Piece> {
        let item = format!("input-{}", self.number);
        let start = stream.at();
        let mut write = || {
            let mut draft = self.shelf.create(&item)?;
            while let Some(portion) = stream.next() {
                draft.write_all(&portion?.bytes)?;
                if stream.at() - start >= self.plan.chunk {
                    break;
                }
            }
            draft.finish()
        };
        match write() {
            Err(error) => Some(missing(name, &error)),
            Ok(()) if stream.at() == start && start > 0 => None,
            Ok(()) => {
                Some(Piece { path: bytes(name), content: Content::Shelf(item), start, end: stream.at() })
            }
        }
    }

    fn chunk(&mut self, pieces: Vec<Piece>) -> Task {
        let Plan { room, block, .. } = self.plan;
        self.number += 1;
        Task::Chunk(Chunk { number: self.number - 1, pieces, room, block })
    }
}

impl Iterator for Chunks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        failpoint::hit(b"source", self.number);
        let (mut pieces, mut left) = (Vec::new(), self.plan.chunk);
        while left > 0 && !self.stop.requested() {
            if let Some((path, range)) = &mut self.file {
                let (start, end) = (range.start, range.end.min(range.start + left));
                pieces.push(Piece { path: bytes(path), content: Content::File, start, end });
                left -= end - start;
                range.start = end;
                if range.is_empty() {
                    self.file = None;
                }
            } else if let Some((name, mut stream)) = self.stream.take() {
                if !pieces.is_empty() {
                    self.stream = Some((name, stream));
                    break; // they need not wait for a stream
                }
                let piece = self.spool(name, &mut stream);
                if piece.as_ref().is_some_and(|piece| piece.end > piece.start) {
                    self.stream = Some((name, stream));
                }
                if let Some(piece) = piece {
                    return (!self.stop.requested()).then(|| self.chunk(vec![piece]));
                }
            } else if let Some(file) = self.files.next() {
                pieces.extend(self.open(file));
            } else {
                break;
            }
        }
        (!pieces.is_empty() && !self.stop.requested()).then(|| self.chunk(pieces))
    }
}

impl Chunk {
    /// What of it is on the shelf, and not needed when it is done.
    pub(super) fn spent(&self) -> Vec<String> {
        let shelved = self.pieces.iter().filter_map(|piece| match &piece.content {
            Content::Shelf(name) => Some(name.clone()),
            _ => None,
        });
        shelved.collect()
    }
}

fn missing(name: &Path, error: &io::Error) -> Piece {
    Piece { path: bytes(name), content: Content::Missing(cannot_read(name, error)), start: 0, end: 0 }
}

fn bytes(path: &Path) -> ByteBuf {
    ByteBuf::from(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use cc_core::{shelf::Memory, stop::Cause};

    use crate::Query;

    fn job(files: &[&Path]) -> Job {
        Job {
            query: Query::default(),
            files: files.iter().map(|file| file.to_path_buf()).collect(),
            memory: 0,
            temporary: std::env::temp_dir(),
            output: None,
        }
    }

    fn plan(chunk: u64) -> Plan {
        Plan { chunk, ..Plan::new(0, NonZeroUsize::MIN, NonZeroUsize::MIN, None) }
    }

    /// Of each chunk its pieces: the content's kind and the range.
    fn chunks(job: &Job, chunk: u64) -> Vec<String> {
        let (shelf, stop) = (Memory::default(), Stop::new());
        let tell = |piece: &Piece| {
            let kind = match &piece.content {
                Content::File => 'f',
                Content::Shelf(_) => 's',
                Content::Bytes(_) => 'b',
                Content::Missing(_) => '!',
            };
            format!("{kind}{}-{}", piece.start, piece.end)
        };
        let tell = |task| match task {
            Task::Chunk(chunk) => chunk.pieces.iter().map(tell).collect::<Vec<_>>().join(" "),
            Task::Merge(_) => panic!("not of this phase"),
        };
        job.chunks(&plan(chunk), &shelf, &stop).map(tell).collect()
    }

    #[test]
    fn large_files_are_cut_and_small_ones_put_together() {
        let scratch = tempfile::tempdir().unwrap();
        let (large, small) = (scratch.path().join("large"), scratch.path().join("small"));
        fs::write(&large, [b'x'; 25]).unwrap();
        fs::write(&small, [b'x'; 3]).unwrap();
        let all = chunks(&job(&[&small, &large, &small, &small]), 10);
        assert_eq!(all, ["f0-3 f0-7", "f7-17", "f17-25 f0-2", "f2-3 f0-3"]);
        assert_eq!(size(&job(&[&small, &large])).unwrap(), Some(28));
    }

    #[test]
    fn what_has_no_size_is_read_as_a_stream() {
        let scratch = tempfile::tempdir().unwrap();
        let empty = scratch.path().join("empty");
        fs::write(&empty, "").unwrap();
        assert_eq!(chunks(&job(&[&empty, &empty]), 10), ["s0-0", "s0-0"]);
        assert_eq!(size(&job(&[&empty])).unwrap(), Some(0));
        assert_eq!(size(&job(&[&empty, Path::new("-")])).unwrap(), None);
        let stat = Path::new("/proc/self/stat");
        let all = chunks(&job(&[stat, &empty]), 10);
        assert!(all.len() >= 2 && all[0].starts_with("s0-") && all[0] != "s0-0", "{all:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let failed = |file: &str| size(&job(&[Path::new(file)])).unwrap_err().to_string();
        assert_eq!(failed("/gone"), "cannot read: /gone: No such file or directory");
        assert_eq!(failed("/tmp"), "read failed: /tmp: Is a directory");
        assert_eq!(chunks(&job(&[Path::new("/gone")]), 10), ["!0-0"]);
    }

    #[test]
    fn a_stop_ends_the_chunks() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, [b'x'; 25]).unwrap();
        let (job, shelf, stop) = (job(&[&file]), Memory::default(), Stop::new());
        let mut chunks = job.chunks(&plan(10), &shelf, &stop);
        assert!(chunks.next().is_some());
        stop.request(Cause::Test);
        assert!(chunks.next().is_none());
    }
}
