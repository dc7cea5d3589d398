//! Where tasks come from: operands, directory walks, and inputs that can only be read in order.

use std::{
    fs::{self, File},
    io::{self, Read},
    mem,
    os::{
        fd::AsFd,
        unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use memchr::memrchr;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::Errno,
};
use serde_bytes::ByteBuf;
use walkdir::{DirEntry, WalkDir};

use super::{Content, Grain, Job, Piece, Task};
use crate::{
    error::{Error, Result, reason},
    stop::{Bell, OnRequest, Stop},
};

/// The iterator of [`Job::tasks`].
pub struct Tasks<'a> {
    job: &'a Job,
    grain: Grain,
    stop: Stop,
    roots: slice::Iter<'a, PathBuf>,
    /// The one root of a job without operands.
    implicit: Option<&'static str>,
    walk: Option<Walk>,
    stream: Option<Stream>,
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
        Self { job, grain, stop, roots, implicit, walk: None, stream: None }
    }

    /// Begins with an operand. Operands are few, so they may be asked what they are.
    fn open(&mut self, root: &Path) -> Option<Piece> {
        let name = || root.as_os_str().to_owned().into_vec();
        if root == Path::new("-") {
            let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            return self.open_stream(b"(standard input)".to_vec(), stdin);
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
            Ok(_) => self.open_stream(name(), open(root)),
        }
    }

    fn open_stream(&mut self, path: Vec<u8>, file: io::Result<File>) -> Option<Piece> {
        let opened = file.map_err(Error::io("open"));
        match opened.and_then(|file| Stream::new(self.job, path.clone(), file, self.grain.bytes, &self.stop))
        {
            Ok(stream) => {
                self.stream = Some(stream);
                None
            }
            Err(Error::Io { source, .. }) => Some(Piece::missing(path, reason(&source))),
            Err(error) => Some(Piece::missing(path, error.to_string())),
        }
    }
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let mut pieces = Vec::new();
        while pieces.len() < self.grain.files && !self.stop.requested() {
            if let Some(stream) = &mut self.stream {
                if !pieces.is_empty() {
                    break; // they need not wait for a stream
                }
                match stream.next() {
                    Some(piece) => return Some(Task { pieces: vec![piece], limit: self.grain.bytes }),
                    None => self.stream = None,
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

/// Opens for reading without waiting for the other end of a pipe, or becoming the owner of a terminal.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// An input that can only be read in order: cut into pieces of whole lines as it arrives.
struct Stream {
    path: Vec<u8>,
    file: File,
    /// Where in the input `held` begins.
    at: u64,
    limit: usize,
    /// Read, and not yet handed out.
    held: Vec<u8>,
    /// How much of `held` is whole lines.
    whole: usize,
    ended: bool,
    finished: bool,
    enough: Arc<Enough>,
    bell: Bell,
    _on_stop: OnRequest,
}

impl Stream {
    const READ: usize = 64 << 10;

    fn new(job: &Job, path: Vec<u8>, file: File, limit: u64, stop: &Stop) -> Result<Self> {
        let (bell, on_stop) = stop.bell()?;
        job.enough.ring_for(&path, bell.clone());
        Ok(Self {
            path,
            file,
            at: 0,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            held: Vec::new(),
            whole: 0,
            ended: false,
            finished: false,
            enough: job.enough.clone(),
            bell,
            _on_stop: on_stop,
        })
    }

    /// Waits for a line, then takes what else is there already, up to the limit: a full pipe comes in large
    /// pieces, and whoever waits in `tail -f log | grep` sees each line as it arrives.
    fn fill(&mut self) -> io::Result<()> {
        while !self.ended && (self.whole == 0 || self.held.len() < self.limit) {
            if !self.readable(self.whole == 0)? {
                break;
            }
            let old = self.held.len();
            self.held.resize(old + Self::READ, 0);
            let read = self.file.read(&mut self.held[old..]);
            self.held.truncate(old + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                self.ended = true;
                self.whole = old;
            } else if let Some(at) = memrchr(b'\n', &self.held[old..]) {
                self.whole = old + at + 1;
            }
        }
        Ok(())
    }

    /// Whether there is something to read: at once, or after waiting for it. Not if nobody wants it any more.
    fn readable(&mut self, wait: bool) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
        let now = rustix::event::Timespec::default();
        match poll(&mut fds, if wait { None } else { Some(&now) }) {
            Err(Errno::INTR) => return Ok(false),
            polled => polled?,
        };
        let [input, bell] = fds.map(|fd| !fd.revents().is_empty());
        if bell {
            (self.ended, self.finished) = (true, true);
        }
        Ok(input && !bell)
    }
}

impl Iterator for Stream {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while !self.finished {
            if let Err(error) = self.fill() {
                self.finished = true;
                return Some(Piece { start: self.at, ..Piece::missing(self.path.clone(), reason(&error)) });
            }
            if self.finished || (self.whole == 0 && !self.ended) {
                continue; // nobody wants it any more, or the wait was interrupted
            }
            let carried = self.held.split_off(self.whole);
            let bytes = mem::replace(&mut self.held, carried);
            let start = self.at;
            self.at += bytes.len() as u64;
            self.whole = 0;
            self.finished = self.ended;
            let (path, content) = (ByteBuf::from(self.path.clone()), Content::Bytes(ByteBuf::from(bytes)));
            return Some(Piece { path, content, start, end: None, last: self.ended });
        }
        None
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.enough.forget();
    }
}

/// What the printer tells those who read ahead of it: of this file, nothing more is wanted.
#[derive(Debug, Default)]
pub(super) struct Enough(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    settled: Option<ByteBuf>,
    stream: Option<(Vec<u8>, Bell)>,
}

impl Enough {
    /// The printer is done with this file.
    pub(super) fn settle(&self, path: &ByteBuf) {
        let mut state = self.state();
        if let Some((_, bell)) = state.stream.as_ref().filter(|(stream, _)| *stream == **path) {
            bell.ring();
        }
        state.settled = Some(path.clone());
    }

    /// The printer has begun with another file.
    pub(super) fn begin(&self) {
        self.state().settled = None;
    }

    pub(super) fn of(&self, path: &ByteBuf) -> bool {
        self.state().settled.as_ref() == Some(path)
    }

    fn ring_for(&self, path: &[u8], bell: Bell) {
        self.state().stream = Some((path.to_vec(), bell));
    }

    fn forget(&self) {
        self.state().stream = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
