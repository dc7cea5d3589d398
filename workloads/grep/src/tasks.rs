//! Where tasks come from: operands, directory walks, and inputs that can only be read in order.

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
    /// The one root of a job without operands.
    implicit: Option<&'static str>,
    walk: Option<Walk>,
    lines: Option<Lines>,
    /// How often the next task was asked for.
    asked: u64,
}

struct Walk {
    entries: walkdir::IntoIter,
    /// Names are printed without the `./` of a root that nobody named.
    strip_dot: bool,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(job: &'a Job, grain: Grain, stop: &Stop) -> Self {
        let implicit = job.roots.is_empty().then_some(if job.recursive { "" } else { "-" });
        let (roots, stop) = (job.roots.iter(), stop.clone());
        Self { job, grain, stop, roots, implicit, walk: None, lines: None, asked: 0 }
    }

    /// Begins with an operand. Operands are few, so they may be asked what they are.
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
            Ok(kind) if kind.is_file() => Some(Piece::file(name())),
            Ok(kind) if kind.is_dir() && self.job.recursive => {
                self.walk = Some(Walk::new(root, false));
                None
            }
            Ok(kind) if kind.is_dir() => Some(Piece::missing(name(), "Is a directory".to_owned())),
            // A pipe or a device. Opening one must not wait for its other end: that happens in `poll`.
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
        failpoint::hit(b"source", self.asked);
        self.asked += 1;
        // Not while it may wait for a stream.
        let _span = self.lines.is_none().then(|| trace::serial("walk"));
        let mut pieces = Vec::new();
        while pieces.len() < self.grain.files && !self.stop.requested() {
            if let Some(lines) = &mut self.lines {
                if !pieces.is_empty() {
                    break; // they need not wait for a stream
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
        // Siblings share their parent's path, so comparing whole paths as bytes compares their names, and costs
        // less than taking the names out of the paths.
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
                Ok(_) => {} // a directory, which the walk enters, or what a recursive search leaves out
                Err(error) => {
                    let path = self.name(error.path().map(Path::to_owned).unwrap_or_default());
                    let why = error.io_error().map_or_else(|| error.to_string(), reason);
                    return Some(Piece::missing(path, why));
                }
            }
        }
    }
}

/// An input that can only be read in order: cut into pieces of whole lines as it arrives.
struct Lines {
    path: Vec<u8>,
    stream: Stream,
    cutoff: Arc<SharedCutoff>,
}

impl Lines {
    fn new(job: &Job, path: Vec<u8>, file: File, limit: u64, stop: &Stop) -> Result<Self> {
        let stream = Stream::new(file, limit, |bytes| memrchr(b'\n', bytes).map(|at| at + 1), stop)?;
        job.cutoff.ring_for(&path, stream.bell().clone());
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
        self.cutoff.forget();
    }
}

/// What the printer tells those who read ahead of it: of this file, nothing more is wanted.
#[derive(Debug, Default)]
pub(super) struct SharedCutoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    settled: Option<ByteBuf>,
    stream: Option<(Vec<u8>, Bell)>,
    /// The streams, by name. There may be several of one name, and what is read ahead may be of a later one.
    streams: HashMap<Vec<u8>, Times>,
}

/// How often a stream of some name was begun.
#[derive(Debug, Default)]
struct Times {
    read: usize,
    printed: usize,
}

impl SharedCutoff {
    /// The printer is done with this file.
    pub(super) fn settle(&self, path: &ByteBuf) {
        let mut state = self.state();
        let is_the_same = state.streams.get(&**path).is_some_and(|times| times.read == times.printed);
        if let Some((_, bell)) = state.stream.as_ref().filter(|(stream, _)| is_the_same && *stream == **path)
        {
            bell.ring();
        }
        state.settled = Some(path.clone());
    }

    /// The printer has begun with another file.
    pub(super) fn begin(&self, path: &ByteBuf) {
        let mut state = self.state();
        state.settled = None;
        if let Some(times) = state.streams.get_mut(&**path) {
            times.printed += 1;
        }
    }

    pub(super) fn of(&self, path: &ByteBuf) -> bool {
        self.state().settled.as_ref() == Some(path)
    }

    fn ring_for(&self, path: &[u8], bell: Bell) {
        let mut state = self.state();
        state.streams.entry(path.to_vec()).or_default().read += 1;
        state.stream = Some((path.to_vec(), bell));
    }

    fn forget(&self) {
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
        cutoff.ring_for(&name, bells[0].0.clone());
        cutoff.begin(&name);
        // It has ended, and the next one of its name is being read.
        cutoff.forget();
        cutoff.ring_for(&name, bells[1].0.clone());
        cutoff.settle(&name);
        assert!(!has_rung(0) && !has_rung(1));
        cutoff.begin(&name);
        cutoff.settle(&name);
        assert!(!has_rung(0) && has_rung(1));
    }
}
