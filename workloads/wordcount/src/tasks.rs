//! The source of tasks: files given as operands, files found in directories, and streams.

use std::{
    fs::{self, File},
    io, mem,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    slice,
};

use cc_core::{
    error::reason,
    failpoint,
    stop::Stop,
    stream::{self, Portion, Stream},
};
use serde_bytes::ByteBuf;
use walkdir::{DirEntry, WalkDir};

use super::{Content, Grain, Job, Piece, Task, words::is_word_byte};

/// Maximum bytes of a stream per piece. The bytes are part of the task, so each copy of it takes
/// that much memory.
const PORTION: u64 = 1 << 20;

/// The iterator of [`Job::tasks`].
pub struct Tasks<'a> {
    job: &'a Job,
    grain: Grain,
    stop: Stop,
    roots: slice::Iter<'a, PathBuf>,
    /// The root of a job without operands.
    implicit: Option<&'static str>,
    walk: Option<walkdir::IntoIter>,
    /// Whether only this process can open the files of the walk by their names.
    walk_is_local: bool,
    stream: Option<(Vec<u8>, Stream)>,
    /// The piece that was found last, if it is a whole file.
    found: Option<Piece>,
    /// The ranges that are left of the file that was found last, if it is large.
    ranges: Option<Ranges>,
    /// The task that is being assembled, and its bytes.
    task: Task,
    bytes: u64,
    /// The number of calls of `next`.
    calls: u64,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(job: &'a Job, grain: Grain, stop: &Stop) -> Self {
        let implicit = job.roots.is_empty().then_some(if job.recursive { "." } else { "-" });
        Self {
            job,
            grain,
            stop: stop.clone(),
            roots: job.roots.iter(),
            implicit,
            walk: None,
            walk_is_local: false,
            stream: None,
            found: None,
            ranges: None,
            task: Task::default(),
            bytes: 0,
            calls: 0,
        }
    }

    /// The next piece, of at most [`Grain::bytes`]; `None` if the task that is being assembled has
    /// no more.
    fn piece(&mut self) -> Option<Piece> {
        loop {
            if self.stop.requested() {
                return None;
            }
            if let Some(piece) = self.found.take().or_else(|| self.ranges.as_mut()?.next()) {
                return Some(piece);
            }
            if let Some((path, stream)) = &mut self.stream {
                if !self.task.pieces.is_empty() {
                    return None; // the pieces so far are a task, since reading the stream may block
                }
                match stream.next() {
                    Some(portion) => return Some(portion_of(path.clone(), portion)),
                    None => self.stream = None,
                }
            } else if let Some(walk) = &mut self.walk {
                match walk.next() {
                    Some(entry) => self.enter(entry),
                    None => self.walk = None,
                }
            } else if let Some(root) = self.roots.next() {
                self.open(root);
            } else {
                let root = self.implicit.take()?;
                self.open(Path::new(root));
            }
        }
    }

    /// Opens an operand: finds a file, or begins to read a directory or a stream.
    fn open(&mut self, root: &Path) {
        if root.as_os_str() == "-" {
            return self.stream(b"(standard input)".to_vec(), stream::stdin());
        }
        let missing = |why| Piece::missing(root.as_os_str().to_owned().into_vec(), why);
        match fs::metadata(root) {
            Err(error) => self.found = Some(missing(reason(&error))),
            Ok(metadata) if metadata.is_file() => {
                self.file(root.to_owned(), metadata.len(), stream::is_process_local(root));
            }
            Ok(metadata) if metadata.is_dir() && self.job.recursive => {
                let by_name = |a: &DirEntry, b: &DirEntry| a.path().as_os_str().cmp(b.path().as_os_str());
                self.walk = Some(WalkDir::new(root).min_depth(1).sort_by(by_name).into_iter());
                self.walk_is_local = stream::is_process_local(root);
            }
            Ok(metadata) if metadata.is_dir() => self.found = Some(missing("Is a directory".to_owned())),
            // A pipe or a device. Opening it does not wait for the other end, since only `poll` is
            // interrupted by a stop.
            Ok(_) => self.stream(root.as_os_str().to_owned().into_vec(), stream::open(root)),
        }
    }

    /// Handles an entry of a directory: finds a regular file, or reports an error.
    fn enter(&mut self, entry: walkdir::Result<DirEntry>) {
        let file = entry.and_then(|entry| {
            let size =
                entry.file_type().is_file().then(|| entry.metadata().map(|kind| kind.len())).transpose()?;
            Ok(size.map(|size| (entry.into_path(), size)))
        });
        match file {
            Ok(Some((path, size))) => self.file(path, size, self.walk_is_local),
            Ok(None) => {}
            Err(error) => {
                let path = error.path().map(Path::to_owned).unwrap_or_default();
                let why = error.io_error().map_or_else(|| error.to_string(), reason);
                self.found = Some(Piece::missing(path.into_os_string().into_vec(), why));
            }
        }
    }

    /// Finds a file, and cuts it into ranges if it is larger than a task. A file of size zero is
    /// read to its end: files in `/proc` have that size.
    fn file(&mut self, path: PathBuf, size: u64, is_process_local: bool) {
        if is_process_local {
            let file = stream::open(&path);
            return self.stream(path.into_os_string().into_vec(), file);
        }
        let is_large = size > self.grain.bytes;
        // Try to open a large file first: if that fails, there is one message instead of one for
        // each range.
        let opened = if is_large { stream::open(&path).map(drop) } else { Ok(()) };
        let path = path.into_os_string().into_vec();
        match opened {
            Err(error) => self.found = Some(Piece::missing(path, reason(&error))),
            Ok(()) if is_large => self.ranges = Some(Ranges::new(path, size, self.grain.bytes)),
            Ok(()) => self.found = Some(Piece { end: (size > 0).then_some(size), ..Piece::file(path) }),
        }
    }

    fn stream(&mut self, path: Vec<u8>, file: io::Result<File>) {
        let after_last_word: stream::Cut =
            |bytes| bytes.iter().rposition(|byte| !is_word_byte(*byte)).map(|gap| gap + 1);
        let limit = self.grain.bytes.min(PORTION);
        let stream = |file| Stream::new(file, limit, after_last_word, &self.stop).map_err(stream::of_input);
        match file.and_then(stream) {
            // Results are printed only at the end, so the stream can wait until a portion is full.
            Ok(stream) => self.stream = Some((path, stream.patient())),
            Err(error) => self.found = Some(Piece::missing(path, reason(&error))),
        }
    }
}

/// The ranges that are left of a large file. They are made on demand, since a sparse file can have
/// any size.
struct Ranges {
    path: Vec<u8>,
    at: u64,
    step: u64,
    size: u64,
}

impl Ranges {
    /// Cuts a file into the least number of ranges of at most `max` bytes, all about equally long.
    fn new(path: Vec<u8>, size: u64, max: u64) -> Self {
        Self { path, at: 0, step: size.div_ceil(size.div_ceil(max)), size }
    }
}

impl Iterator for Ranges {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let start = self.at;
        self.at = self.size.min(start.saturating_add(self.step));
        (start < self.size).then(|| Piece { start, end: Some(self.at), ..Piece::file(self.path.clone()) })
    }
}

fn portion_of(path: Vec<u8>, portion: io::Result<Portion>) -> Piece {
    match portion {
        Ok(Portion { start, bytes, .. }) => {
            let content = Content::Bytes(ByteBuf::from(bytes));
            Piece { content, start, ..Piece::file(path) }
        }
        Err(error) => Piece::missing(path, reason(&error)),
    }
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        failpoint::hit(b"source", self.calls);
        self.calls += 1;
        while self.bytes < self.grain.bytes && self.task.pieces.len() < self.grain.files {
            let Some(piece) = self.piece() else { break };
            self.bytes += piece.size();
            self.task.pieces.push(piece);
        }
        self.bytes = 0;
        let task = mem::take(&mut self.task);
        (!task.pieces.is_empty() && !self.stop.requested()).then_some(task)
    }
}

impl Piece {
    /// The bytes of the piece, or zero if they are unknown.
    fn size(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            _ => self.end.map_or(0, |end| end - self.start),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd, unix::fs::symlink};

    use super::*;
    use crate::Settings;

    fn job(roots: Vec<PathBuf>, recursive: bool) -> Job {
        Job { settings: Settings::default(), roots, recursive }
    }

    fn tasks(job: &Job, bytes: u64, files: usize) -> Vec<Task> {
        job.tasks(Grain { bytes, files }, &Stop::new()).collect()
    }

    #[test]
    fn large_files_are_cut_evenly_and_small_ones_travel_together() {
        let dir = tempfile::tempdir().unwrap();
        for (name, size) in [("a", 3), ("b", 25), ("c", 4), ("d", 0), ("e", 4)] {
            fs::write(dir.path().join(name), vec![b'x'; size]).unwrap();
        }
        symlink("a", dir.path().join("link")).unwrap();
        let tasks = tasks(&job(vec![dir.path().to_owned()], true), 10, 3);
        let shown: Vec<Vec<(char, u64, Option<u64>)>> = tasks
            .iter()
            .map(|task| {
                let shown = |piece: &Piece| (char::from(*piece.path.last().unwrap()), piece.start, piece.end);
                task.pieces.iter().map(shown).collect()
            })
            .collect();
        assert_eq!(
            shown,
            [
                vec![('a', 0, Some(3)), ('b', 0, Some(9))],
                vec![('b', 9, Some(18)), ('b', 18, Some(25))],
                vec![('c', 0, Some(4)), ('d', 0, None), ('e', 0, Some(4))],
            ]
        );
    }

    /// A worker may be another process, so it cannot open them.
    #[test]
    fn files_that_only_this_process_can_open_are_in_the_pieces() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "some text").unwrap();
        let (file, folder) = (File::open(dir.path().join("file")).unwrap(), File::open(&dir).unwrap());
        let roots = [
            format!("/dev/fd/{}", file.as_raw_fd()).into(),
            format!("/proc/self/fd/{}", folder.as_raw_fd()).into(),
            "/proc/self/status".into(),
            dir.path().join("file"),
        ];
        let tasks = tasks(&job(roots.to_vec(), true), 100, 9);
        let contents: Vec<_> =
            tasks.iter().flat_map(|task| &task.pieces).map(|piece| &piece.content).collect();
        let text = Content::Bytes(ByteBuf::from(*b"some text"));
        let [first, second, status, .., shared] = contents[..] else { panic!("{contents:?}") };
        assert!(*first == text && *second == text && *shared == Content::File, "{contents:?}");
        assert!(matches!(status, Content::Bytes(_)));
    }

    #[test]
    fn ranges_are_made_as_they_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let job = job(vec![path], false);
        let mut tasks = job.tasks(Grain { bytes: 1, files: 1 }, &Stop::new());
        for start in 0..3 {
            let Some(Task { pieces }) = tasks.next() else { panic!("there is more") };
            assert_eq!((pieces[0].start, pieces[0].end), (start, Some(start + 1)));
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_piece_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        // The second is a path and not standard input.
        let roots = vec![dir.path().join("none"), "-/".into(), dir.path().to_owned()];
        let [task] = &tasks(&job(roots, false), 10, 9)[..] else { panic!("one task") };
        let whys: Vec<_> = task.pieces.iter().map(|piece| &piece.content).collect();
        let missing = |why: &str| Content::Missing(why.to_owned());
        let none = missing("No such file or directory");
        assert_eq!(whys, [&none, &none, &missing("Is a directory")]);
    }

    #[test]
    fn a_large_file_that_cannot_be_opened_is_one_piece() {
        let (job, stop) = (job(Vec::new(), false), Stop::new());
        let mut tasks = job.tasks(Grain { bytes: 10, files: 9 }, &stop);
        // As if the file had existed when its size was read.
        tasks.file(tempfile::tempdir().unwrap().path().join("gone"), 100, false);
        let piece = tasks.piece().expect("the error is a piece");
        assert_eq!(piece.content, Content::Missing("No such file or directory".to_owned()));
        assert!(tasks.found.is_none() && tasks.ranges.is_none());
    }

    #[test]
    fn what_has_been_found_does_not_wait_for_a_stream() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        fs::write(&file, "x").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let _silent = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let job = job(vec![file, pipe], false);
        let task = job.tasks(Grain::default(), &Stop::new()).next().unwrap();
        assert_eq!(task.pieces.len(), 1);
    }

    #[test]
    fn nothing_is_begun_after_a_stop() {
        let stop = Stop::new();
        stop.request(cc_core::Cause::Test);
        let job = job(vec!["/proc/self/status".into()], false);
        assert_eq!(job.tasks(Grain::default(), &stop).next(), None);
    }
}
