//! Inputs that can only be read in order (standard input, a pipe, a device), cut into portions as they arrive.

use std::{
    fs::{self, File},
    io::{self, Read},
    mem,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::Errno,
};

use crate::{
    error::{Error, Result},
    stop::{Bell, OnRequest, Stop},
};

/// A stream, as an iterator over its portions. It ends with the input, after an error, and once a stop is requested,
/// even while there is nothing to read.
pub struct Stream {
    file: File,
    cut: Cut,
    limit: usize,
    /// Where in the input `held` begins.
    at: u64,
    /// Read, and not yet handed out.
    held: Vec<u8>,
    /// How much of `held` is whole.
    whole: usize,
    ended: bool,
    finished: bool,
    /// Whether portions are worth waiting for until they are full.
    is_patient: bool,
    bell: Bell,
    _on_stop: OnRequest,
}

/// Where bytes that have just been read may be cut: behind the last line or word that is whole, if one is.
pub type Cut = fn(&[u8]) -> Option<usize>;

/// What is handed out at once.
pub struct Portion {
    /// Where in the input it begins.
    pub start: u64,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether the input ends with it.
    pub last: bool,
}

/// Opens for reading without waiting for the other end of a pipe, or becoming the owner of a terminal.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Standard input, as a file of its own.
pub fn stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

impl Stream {
    const READ: usize = 64 << 10;

    /// A stream of portions of about `limit` bytes, or one longer line or word.
    pub fn new(file: File, limit: u64, cut: Cut, stop: &Stop) -> Result<Self> {
        let (bell, on_stop) = stop.bell()?;
        Ok(Self {
            file,
            cut,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            at: 0,
            held: Vec::new(),
            whole: 0,
            ended: false,
            finished: false,
            is_patient: false,
            bell,
            _on_stop: on_stop,
        })
    }

    /// The same, but it waits until a portion is full, however slowly it comes: for those who print nothing before the
    /// end.
    pub fn patient(self) -> Self {
        Self { is_patient: true, ..self }
    }

    /// Where the next portion begins, or failed to.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Ringing it ends the stream, as a stop does.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Waits for something whole, then takes what else is there already, up to the limit: a full pipe comes in large
    /// portions, and whoever waits in `tail -f log | grep` sees each line as it arrives.
    fn fill(&mut self) -> io::Result<()> {
        while !self.ended && (self.whole == 0 || self.held.len() < self.limit) {
            if !self.readable(self.is_patient || self.whole == 0)? {
                break;
            }
            let old = self.held.len();
            self.held.resize(old + Self::READ, 0);
            let read = self.file.read(&mut self.held[old..]);
            self.held.truncate(old + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                self.ended = true;
                self.whole = old;
            } else if let Some(end) = (self.cut)(&self.held[old..]) {
                self.whole = old + end;
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
    type Item = Result<Portion, io::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.finished {
            if let Err(error) = self.fill() {
                self.finished = true;
                return Some(Err(error));
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
            return Some(Ok(Portion { start, bytes, last: self.ended }));
        }
        None
    }
}

/// Turns an error of the run, which a stream cannot begin without, into one of its input.
pub fn of_input(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        error => io::Error::other(error.to_string()),
    }
}
