//! The source of chunks: ranges of files, and streams.

use std::{
    fs, io, iter,
    ops::Range,
    option,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    slice,
};

use cc_core::{
    blobs::BlobStore,
    error::{Error, Result, reason},
    failpoint,
    printable::printable_path,
    stop::Stop,
    stream::{self, Stream},
    temporary,
};
use serde_bytes::ByteBuf;

use super::{Chunk, Content, Job, NO_TEMPORARY_DIR, Piece, Plan, Task, reader::cannot_read};

/// Bytes of a stream that are read before they are written to the blob store.
const PORTION: u64 = 256 << 10;

const STDIN: &str = "-";

/// The operands: standard input if there are none.
pub(super) fn files(job: &Job) -> Files<'_> {
    let implicit = job.files.is_empty().then_some(Path::new(STDIN));
    job.files.iter().map(as_path as fn(&PathBuf) -> &Path).chain(implicit)
}

pub(super) type Files<'a> =
    iter::Chain<iter::Map<slice::Iter<'a, PathBuf>, fn(&PathBuf) -> &Path>, option::IntoIter<&'a Path>>;

fn as_path(path: &PathBuf) -> &Path {
    path
}

pub(super) fn is_stdin(file: &Path) -> bool {
    file == Path::new(STDIN)
}

/// The number of bytes of all files together; `None` if it is unknown. Fails if a file cannot be
/// read.
pub(super) fn size(job: &Job) -> Result<Option<u64>> {
    let mut sum = Some(0);
    for file in files(job) {
        let size = if is_stdin(file) { None } else { size_of(&job.query.base().join(file), file)? };
        sum = sum.zip(size).map(|(sum, size)| sum + size);
    }
    Ok(sum)
}

pub(super) fn size_of(path: &Path, name: &Path) -> Result<Option<u64>> {
    let to_error = |error: io::Error| Error::Failed(cannot_read(name, &error));
    let metadata = fs::metadata(path).map_err(to_error)?;
    if metadata.is_dir() {
        return Err(Error::Failed(format!("read failed: {}: Is a directory", printable_path(name))));
    }
    if metadata.is_file() {
        stream::open(path).map_err(to_error)?;
    }
    Ok(metadata.is_file().then_some(metadata.len()))
}

/// The iterator of [`Job::chunks`].
pub struct Chunks<'a> {
    job: &'a Job,
    files: Files<'a>,
    blobs: &'a dyn BlobStore,
    stop: Stop,
    plan: Plan,
    number: u64,
    /// The file that is being cut, and the range that is left of it.
    file: Option<(&'a Path, Range<u64>)>,
    stream: Option<(&'a Path, Stream)>,
    /// Bytes that were read from streams.
    streamed: u64,
    /// Whether the job's directory for temporary files is known to be usable.
    has_temporary_dir: bool,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(job: &'a Job, plan: &Plan, blobs: &'a dyn BlobStore, stop: &Stop) -> Self {
        let stop = stop.clone();
        Self {
            job,
            files: files(job),
            blobs,
            stop,
            plan: *plan,
            number: 0,
            file: None,
            stream: None,
            streamed: 0,
            has_temporary_dir: false,
        }
    }

    /// Opens an operand. Returns a piece only if the operand cannot be read.
    fn open(&mut self, file: &'a Path) -> Option<Piece> {
        let path = self.job.query.base().join(file);
        match fs::metadata(&path) {
            _ if is_stdin(file) => self.open_stream(file, stream::stdin()),
            Err(error) => Some(missing(file, &error)),
            // A file of size zero is read as a stream: files in /proc have that size.
            Ok(metadata) if metadata.is_file() && metadata.len() > 0 && !stream::is_process_local(&path) => {
                self.file = Some((file, 0..metadata.len()));
                None
            }
            Ok(_) => self.open_stream(file, stream::open(&path)),
        }
    }

    fn open_stream(&mut self, name: &'a Path, file: io::Result<fs::File>) -> Option<Piece> {
        let stream = file.and_then(|file| {
            Stream::new(file, PORTION, self.job.query.after_last_line(), &self.stop).map_err(stream::of_input)
        });
        match stream {
            Ok(stream) => {
                self.stream = Some((name, stream));
                None
            }
            Err(error) => Some(missing(name, &error)),
        }
    }

    /// Copies enough of the stream for a chunk to the blob store. Returns `None` if the stream has
    /// ended.
    fn spill(&mut self, name: &Path, stream: &mut Stream) -> Option<Piece> {
        let blob_name = format!("input-{}", self.number);
        let start = stream.at();
        let streamed = &mut self.streamed;
        let mut write = || {
            let mut blob = self.blobs.create(&blob_name)?;
            while let Some(portion) = stream.next() {
                let portion = portion?;
                blob.write_all(&portion.bytes)?;
                *streamed += portion.bytes.len() as u64;
                if stream.at() - start >= self.plan.chunk {
                    break;
                }
            }
            blob.finish()
        };
        let written = write();
        if let Some(why) = self.missing_temporary_dir() {
            return Some(Piece { path: bytes(name), content: Content::Missing(why), start: 0, end: 0 });
        }
        match written {
            Err(error) => Some(missing(name, &error)),
            Ok(()) if stream.at() == start && start > 0 => None,
            Ok(()) => {
                let content = Content::Blob(blob_name);
                Some(Piece { path: bytes(name), content, start, end: stream.at() })
            }
        }
    }

    /// The message about the job's directory for temporary files, if it cannot be used and the
    /// streams do not fit into memory.
    fn missing_temporary_dir(&mut self) -> Option<String> {
        if self.has_temporary_dir || self.streamed <= self.job.usable_memory() {
            return None;
        }
        let dir = &self.job.temporary;
        let error = temporary::try_dir(dir).err();
        self.has_temporary_dir = error.is_none();
        error.map(|error| format!("{NO_TEMPORARY_DIR} {}: {}", printable_path(dir), reason(&error)))
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
                    break; // the pieces so far are a chunk, since reading the stream may block
                }
                let piece = self.spill(name, &mut stream);
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
    /// The names of the blobs that the chunk is read from. They are not needed when it is done.
    pub(super) fn spent(&self) -> Vec<String> {
        let names = self.pieces.iter().filter_map(|piece| match &piece.content {
            Content::Blob(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
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
    use std::{num::NonZeroUsize, os::fd::AsRawFd};

    use super::*;
    use cc_core::{blobs::MemStore, stop::Cause};

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

    /// A worker may be another process, so it cannot open the file.
    #[test]
    fn a_file_that_only_this_process_can_open_is_read_here() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        fs::write(&path, "b\na\n").unwrap();
        let file = fs::File::open(&path).unwrap();
        let local = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
        assert_eq!(chunks(&job(&[&local]), 100), ["s0-4"]);
        assert_eq!(chunks(&job(&[&path]), 100), ["f0-4"]);
    }

    fn plan(chunk: u64) -> Plan {
        Plan { chunk, ..Plan::new(0, NonZeroUsize::MIN, NonZeroUsize::MIN, None) }
    }

    /// The pieces of each chunk: the kind of the content and the range.
    fn chunks(job: &Job, chunk: u64) -> Vec<String> {
        let (blobs, stop) = (MemStore::default(), Stop::new());
        let describe_piece = |piece: &Piece| {
            let kind = match &piece.content {
                Content::File => 'f',
                Content::Blob(_) => 's',
                Content::Bytes(_) => 'b',
                Content::Missing(_) => '!',
            };
            format!("{kind}{}-{}", piece.start, piece.end)
        };
        let describe = |task| match task {
            Task::Chunk(chunk) => chunk.pieces.iter().map(describe_piece).collect::<Vec<_>>().join(" "),
            Task::Merge(_) => panic!("a merge in the first phase"),
        };
        job.chunks(&plan(chunk), &blobs, &stop).map(describe).collect()
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
    fn a_directory_for_temporary_files_is_missing_only_if_it_is_needed() {
        let scratch = tempfile::tempdir().unwrap();
        let (file, none) = (scratch.path().join("file"), scratch.path().join("none"));
        fs::File::create(&file).unwrap().set_len(3 << 20).unwrap();
        let (blobs, stop) = (MemStore::default(), Stop::new());
        for (memory, is_needed) in [(0, true), (2 << 20, true), (3 << 20, false)] {
            let job = Job { temporary: none.clone(), memory, ..job(&[&file]) };
            assert_eq!(job.temporary_dir() == none, is_needed, "{memory}");
            let mut chunks = job.chunks(&plan(10), &blobs, &stop);
            chunks.streamed = 3 << 20;
            let why = chunks.missing_temporary_dir().unwrap_or_default();
            assert_eq!(why.ends_with("/none: No such file or directory"), is_needed, "{why}");
        }
        let job = Job { temporary: scratch.path().to_owned(), ..job(&[&file]) };
        assert_eq!(job.temporary_dir(), scratch.path());
        let mut chunks = job.chunks(&plan(10), &blobs, &stop);
        chunks.streamed = 3 << 20;
        assert_eq!(chunks.missing_temporary_dir(), None);
    }

    #[test]
    fn a_stop_ends_the_chunks() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, [b'x'; 25]).unwrap();
        let (job, blobs, stop) = (job(&[&file]), MemStore::default(), Stop::new());
        let mut chunks = job.chunks(&plan(10), &blobs, &stop);
        assert!(chunks.next().is_some());
        stop.request(Cause::Test);
        assert!(chunks.next().is_none());
    }
}
