//! Inputs that can only be read in order (standard input, a pipe, a device), divided into portions
//! as the bytes arrive.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Read},
    mem,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    process,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat2},
    io::Errno,
    process::Signal,
};

use crate::{
    background,
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
    is_terminal: bool,
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

/// Reads an input to its end. If it is a non-blocking pipe that is empty, waits for more.
///
/// # Errors
///
/// Those of `read(2)`.
pub fn read_to_end(mut file: impl Read + AsFd, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        match file.read_to_end(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(&file, PollFlags::IN)], None).map(drop).or_else(
                    |error| match error {
                        Errno::INTR => Ok(()),
                        error => Err(error),
                    },
                )?;
            }
            read => return read.map(drop),
        }
    }
}

/// Whether a name leads to something else in another process: `/dev/stdin`, `/dev/fd/3`, all below
/// `/proc/self`, and every link to such a name. The program itself reads such a file, as a stream,
/// since a worker may be another process.
#[must_use]
pub fn is_process_local(path: &Path) -> bool {
    match openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        // The name leads through a link that the kernel resolves for each process separately.
        Err(Errno::LOOP) => true,
        Ok(file) => {
            let is_proc = fstatfs(&file).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC);
            is_proc && is_of_this_process(&file)
        }
        // Kernels before 5.6 do not have the call, and some containers forbid it.
        Err(Errno::NOSYS | Errno::PERM) => {
            ["/proc", "/dev/fd", "/dev/stdin"].iter().any(|local| path.starts_with(local))
        }
        Err(_) => false,
    }
}

/// Whether a file of `/proc` is in the directory of this process, which `self` leads to.
fn is_of_this_process(file: &OwnedFd) -> bool {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    let this = process::id().to_string();
    path.components().any(|part| part.as_os_str() == this.as_str())
}

/// The name of a directory that is valid in other processes, too: for a directory that workers
/// create files in.
#[must_use]
pub fn shared_name(dir: PathBuf) -> PathBuf {
    // If the name cannot be resolved, using the directory fails with the reason.
    if is_process_local(&dir) { fs::canonicalize(&dir).unwrap_or(dir) } else { dir }
}

impl Stream {
    const READ: usize = 64 << 10;

    /// A stream of portions of about `limit` bytes. A line or word that is longer makes a longer
    /// portion.
    pub fn new(file: File, limit: u64, cut: Cut, stop: &Stop) -> Result<Self> {
        let (bell, on_stop) = stop.bell()?;
        Ok(Self {
            is_terminal: file.is_terminal(),
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
            if !self.readable(self.is_patient || self.whole == 0)? || !self.may_read()? {
                break;
            }
            let old = self.held.len();
            self.held.resize(old + Self::READ, 0);
            let read = self.file.read(&mut self.held[old..]);
            self.held.truncate(old + *read.as_ref().unwrap_or(&0));
            // Another process that has the same non-blocking pipe was faster.
            if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                continue;
            }
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
        let now = Timespec::default();
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

    /// Whether the terminal lets this process read. If the process is in the background, it is
    /// stopped first, and the answer is false when it has been continued.
    fn may_read(&mut self) -> io::Result<bool> {
        if !self.is_terminal || !background::is_in_background(&self.file) {
            return Ok(true);
        }
        match background::stop_process(Signal::TTIN, Some(&self.bell)) {
            background::Outcome::Rung => (self.ended, self.finished) = (true, true),
            background::Outcome::Continued => {}
            background::Outcome::NotStopped => return Err(Errno::IO.into()),
        }
        Ok(false)
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

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::{fd::BorrowedFd, unix::fs::symlink},
        sync::mpsc::{SyncSender, sync_channel},
        thread,
    };

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn names_that_mean_something_else_in_another_process() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("dir/file"), "text").unwrap();
        let (file, dir) = (File::open(at("dir/file")).unwrap(), File::open(at("dir")).unwrap());
        let (file_fd, dir_fd) = (file.as_raw_fd(), dir.as_raw_fd());
        for (link, target) in [
            ("shared", "dir/file".to_owned()),
            ("dangling", "none".to_owned()),
            ("local", format!("/dev/fd/{file_fd}")),
            ("link-to-local", "local".to_owned()),
            ("local-dir", format!("/proc/self/fd/{dir_fd}")),
        ] {
            symlink(target, at(link)).unwrap();
        }
        for local in [
            format!("/dev/fd/{file_fd}"),
            format!("/proc/self/fd/{file_fd}"),
            format!("/proc/thread-self/fd/{file_fd}"),
            format!("/dev/fd/../fd/{file_fd}"),
            format!("/dev/fd/{dir_fd}/file"),
            "/proc/self/status".to_owned(),
            "/proc/self/cwd/Cargo.toml".to_owned(),
        ] {
            assert!(is_process_local(Path::new(&local)), "{local}");
        }
        for (name, is_local) in [
            ("dir/file", false),
            ("shared", false),
            ("dangling", false),
            ("none", false),
            ("dir", false),
            ("/proc/version", false),
            ("/proc/net/dev", true),
            ("local", true),
            ("link-to-local", true),
            ("local-dir", true),
            ("local-dir/file", true),
        ] {
            assert_eq!(is_process_local(&at(name)), is_local, "{name}");
        }
        assert_eq!(shared_name(at("local-dir")), at("dir").canonicalize().unwrap());
        for name in ["dir", "none"].map(at) {
            assert_eq!(shared_name(name.clone()), name);
        }
    }

    #[test]
    fn a_pipe_that_does_not_block_is_read_to_its_end() {
        /// Says when a read would have blocked.
        struct Observed(File, SyncSender<()>);
        impl Read for Observed {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.0.read(room).inspect_err(|error| {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    self.1.try_send(()).ok();
                })
            }
        }
        impl AsFd for Observed {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let (blocked_tx, blocked_rx) = sync_channel(1);
        let mut bytes = Vec::new();
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut writer = File::from(writer);
                for part in [b"one ", b"two "] {
                    if blocked_rx.recv().is_ok() {
                        writer.write_all(part).unwrap();
                    }
                }
            });
            read_to_end(Observed(reader.into(), blocked_tx), &mut bytes).unwrap();
        });
        assert_eq!(bytes, b"one two ");
    }
}
