//! Inputs that can only be read in order (standard input, a pipe, a device), divided into portions
//! as the bytes arrive.

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

/// An iterator over the portions of an input. It ends with the input, after an error, and when a
/// stop is requested, even while nothing arrives.
pub struct Stream {
    file: File,
    cut: Cut,
    limit: usize,
    /// The offset of `held` in the input.
    at: u64,
    /// Bytes that were read and not yet returned.
    held: Vec<u8>,
    /// The length of the part of `held` that ends with a whole line or word.
    whole: usize,
    ended: bool,
    finished: bool,
    /// Whether to wait until a portion is full.
    is_patient: bool,
    bell: Bell,
    _on_stop: OnRequest,
}

/// Finds where the bytes that were just read may be cut: after the last whole line or word, if
/// there is one.
pub type Cut = fn(&[u8]) -> Option<usize>;

/// The bytes that the iterator returns at once.
pub struct Portion {
    /// Its offset in the input.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the input ends here.
    pub last: bool,
}

/// Opens a file for reading, without waiting for the other end of a pipe and without acquiring a
/// controlling terminal.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Standard input, with its own descriptor.
pub fn stdin() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

impl Stream {
    const READ: usize = 64 << 10;

    /// A stream of portions of about `limit` bytes. A line or word that is longer makes a longer
    /// portion.
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

    /// The same stream, but it waits until each portion is full: for programs that print nothing
    /// before the end of the input.
    pub fn patient(self) -> Self {
        Self { is_patient: true, ..self }
    }

    /// The offset of the next portion, or of the one that could not be read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The bell that ends the stream, as a stop does.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Waits for a whole line or word, then reads what else is available, up to the limit. A full
    /// pipe gives large portions, and `tail -f log | grep` shows each line as it arrives.
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

    /// Whether there is something to read: immediately, or after waiting. False once the bell has
    /// rung.
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
                continue; // the bell has rung, or a signal interrupted the wait
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

/// Turns an error from creating a stream into an I/O error of its input.
pub fn of_input(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        error => io::Error::other(error.to_string()),
    }
}
