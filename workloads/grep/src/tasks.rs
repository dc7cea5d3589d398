//! The source of tasks: files given as operands, files found in directories, and streams.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cc_core::{
    error::{Result, reason},
    failpoint,
    stop::{Bell, Stop},
    stream::{self, Portion, Stream},
    trace,
};
use memchr::memrchr;
use serde_bytes::ByteBuf;
use walkdir::{DirEntry, WalkDir};

use super::{Content, Grain, Job, Piece, Task};

/// The iterator of [`Job::tasks`].
pub struct Tasks<'a> {
    job: &'a Job,
    grain: Grain,
    stop: Stop,
    roots: slice::Iter<'a, PathBuf>,
    /// The root of a job without operands.
    implicit: Option<&'static str>,
    walk: Option<Walk>,
    lines: Option<Lines>,
    /// The number of calls of `next`.
    calls: u64,
}

/// The recursive traversal of a directory.
struct Walk {
    entries: walkdir::IntoIter,
    /// Whether names are printed without their leading `./`, since the root is implicit.
    strip_dot: bool,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(job: &'a Job, grain: Grain, stop: &Stop) -> Self {
        let implicit = job.roots.is_empty().then_some(if job.recursive { "" } else { "-" });
        let (roots, stop) = (job.roots.iter(), stop.clone());
        Self { job, grain, stop, roots, implicit, walk: None, lines: None, calls: 0 }
    }

    /// Opens an operand: returns the piece of a file, or begins to read a directory or a stream.
    fn open(&mut self, root: &Path) -> Option<Piece> {
        let name = || root.as_os_str().to_owned().into_vec();
        if root.as_os_str() == "-" {
            return self.open_stream(b"(standard input)".to_vec(), stream::stdin());
        }
        if root.as_os_str().is_empty() && self.implicit.is_some() {
            self.walk = Some(Walk::new(Path::new("."), true));
            return None;
        }
        match fs::metadata(root) {
            Err(error) => Some(Piece::missing(name(), reason(&error))),
            Ok(metadata) if metadata.is_file() => Some(Piece::file(name())),
            Ok(metadata) if metadata.is_dir() && self.job.recursive => {
                self.walk = Some(Walk::new(root, false));
                None
            }
            Ok(metadata) if metadata.is_dir() => Some(Piece::missing(name(), "Is a directory".to_owned())),
            // A pipe or a device. Opening it does not wait for the other end, since only `poll` is
            // interrupted by a stop.
            Ok(_) => self.open_stream(name(), stream::open(root)),
        }
    }

    fn open_stream(&mut self, path: Vec<u8>, file: io::Result<File>) -> Option<Piece> {
        let lines = |file| {
            Lines::new(self.job, path.clone(), file, self.grain.bytes, &self.stop).map_err(stream::of_input)
        };
        match file.and_then(lines) {
            Ok(lines) => {
                self.lines = Some(lines);
                None
            }
            Err(error) => Some(Piece::missing(path, reason(&error))),
        }
    }
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        failpoint::hit(b"source", self.calls);
        self.calls += 1;
        // No span while reading a stream, since most of that time may be waiting.
        let _span = self.lines.is_none().then(|| trace::serial("walk"));
        let mut pieces = Vec::new();
        while pieces.len() < self.grain.files && !self.stop.requested() {
            if let Some(lines) = &mut self.lines {
                if !pieces.is_empty() {
                    break; // the pieces so far are a task, since reading the stream may block
                }
                match lines.next() {
                    Some(piece) => return Some(Task { pieces: vec![piece], limit: self.grain.bytes }),
                    None => self.lines = None,
                }
            } else if let Some(walk) = &mut self.walk {
                match walk.next() {
                    Some(piece) => pieces.push(piece),
                    None => self.walk = None,
                }
            } else if let Some(root) = self.roots.next().map(PathBuf::as_path) {
                pieces.extend(self.open(root));
            } else if let Some(root) = self.implicit {
                pieces.extend(self.open(Path::new(root)));
                self.implicit = None;
            } else {
                break;
            }
        }
        (!pieces.is_empty() && !self.stop.requested()).then_some(Task { pieces, limit: self.grain.bytes })
    }
}

impl Walk {
    fn new(root: &Path, strip_dot: bool) -> Self {
        // Siblings have the same parent path, so comparing whole paths as bytes compares their
        // names. That is cheaper than extracting the names.
        let by_name = |a: &DirEntry, b: &DirEntry| a.path().as_os_str().cmp(b.path().as_os_str());
        let entries = WalkDir::new(root).min_depth(1).sort_by(by_name).into_iter();
        Self { entries, strip_dot }
    }

    fn name(&self, path: PathBuf) -> Vec<u8> {
        let mut name = path.into_os_string().into_vec();
        if self.strip_dot && name.starts_with(b"./") {
            name.drain(..2);
        }
        name
    }
}

impl Iterator for Walk {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            match self.entries.next()? {
                Ok(entry) if entry.file_type().is_file() => {
                    return Some(Piece::file(self.name(entry.into_path())));
                }
                Ok(_) => {} // a directory, which `entries` enters, or a kind of file that is skipped
                Err(error) => {
                    let path = self.name(error.path().map(Path::to_owned).unwrap_or_default());
                    let why = error.io_error().map_or_else(|| error.to_string(), reason);
                    return Some(Piece::missing(path, why));
                }
            }
        }
    }
}

/// A stream, which can only be read in order. It is cut into pieces of whole lines as it arrives.
struct Lines {
    path: Vec<u8>,
    stream: Stream,
    cutoff: Arc<SharedCutoff>,
}

impl Lines {
    fn new(job: &Job, path: Vec<u8>, file: File, limit: u64, stop: &Stop) -> Result<Self> {
        let stream = Stream::new(file, limit, |bytes| memrchr(b'\n', bytes).map(|at| at + 1), stop)?;
        job.cutoff.register_stream(&path, stream.bell().clone());
        Ok(Self { path, stream, cutoff: job.cutoff.clone() })
    }
}

impl Iterator for Lines {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (path, at) = (self.path.clone(), self.stream.at());
        Some(match self.stream.next()? {
            Ok(Portion { start, bytes, last }) => {
                let content = Content::Bytes(ByteBuf::from(bytes));
                Piece { path: ByteBuf::from(path), content, start, end: None, last }
            }
            Err(error) => Piece { start: at, ..Piece::missing(path, reason(&error)) },
        })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.cutoff.unregister_stream();
    }
}

/// The feedback of the printer to the source and the models, which run ahead of it: the file that
/// the printer has finished early, so that the rest of it need not be read or searched.
#[derive(Debug, Default)]
pub(super) struct SharedCutoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    finished: Option<ByteBuf>,
    /// The stream that the source reads, by name, and the bell that ends it.
    stream: Option<(Vec<u8>, Bell)>,
    /// All streams so far, by name. Several operands may have the same name, and the source may
    /// have reached a later one than the printer.
    streams: HashMap<Vec<u8>, StreamCounts>,
}

/// The number of streams of a name that the source and the printer have begun.
#[derive(Debug, Default)]
struct StreamCounts {
    read: usize,
    printed: usize,
}

impl SharedCutoff {
    /// Called by the printer when it needs nothing more of a file. Ends the stream if the source
    /// still reads it.
    pub(super) fn finish(&self, path: &ByteBuf) {
        let mut state = self.state();
        let is_read = state.streams.get(&**path).is_some_and(|counts| counts.read == counts.printed);
        if let Some((name, bell)) = &state.stream
            && is_read
            && *name == **path
        {
            bell.ring();
        }
        state.finished = Some(path.clone());
    }

    /// Called by the printer when it begins with a file.
    pub(super) fn begin(&self, path: &ByteBuf) {
        let mut state = self.state();
        state.finished = None;
        if let Some(counts) = state.streams.get_mut(&**path) {
            counts.printed += 1;
        }
    }

    /// Whether the printer needs nothing more of the file.
    pub(super) fn is_finished(&self, path: &ByteBuf) -> bool {
        self.state().finished.as_ref() == Some(path)
    }

    /// Called by the source when it begins to read a stream. [`finish`](Self::finish) rings the
    /// bell.
    fn register_stream(&self, path: &[u8], bell: Bell) {
        let mut state = self.state();
        state.streams.entry(path.to_vec()).or_default().read += 1;
        state.stream = Some((path.to_vec(), bell));
    }

    /// Called by the source when it has read a stream.
    fn unregister_stream(&self) {
        self.state().stream = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn only_the_stream_that_is_printed_is_told_that_it_is_enough() {
        let (stop, cutoff, name) = (Stop::new(), SharedCutoff::default(), ByteBuf::from(*b"-"));
        let bells = [stop.bell().unwrap(), stop.bell().unwrap()];
        let has_rung = |nth: usize| {
            let mut fds = [PollFd::new(&bells[nth].0, PollFlags::IN)];
            poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
        };
        cutoff.register_stream(&name, bells[0].0.clone());
        cutoff.begin(&name);
        // The first stream has ended, and the source reads the second one of the same name.
        cutoff.unregister_stream();
        cutoff.register_stream(&name, bells[1].0.clone());
        cutoff.finish(&name);
        assert!(!has_rung(0) && !has_rung(1));
        cutoff.begin(&name);
        cutoff.finish(&name);
        assert!(!has_rung(0) && has_rung(1));
    }
}
