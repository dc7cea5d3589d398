//! Standard output and standard error for all programs of this project.
//!
//! `println!` is not used: it panics when a write fails. It also cannot detect a closed descriptor,
//! because std replaces that with `/dev/null` before `main`, and all writes then succeed. Therefore
//! this module checks the descriptors before std does: a result that cannot be written is an error,
//! as it is for GNU's programs.
//!
//! Nothing is buffered here: what [`write_out`] and [`write_err`] have accepted is written.

use std::{
    io::{self, IsTerminal},
    os::fd::BorrowedFd,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, fcntl_getfd, write},
    process::Signal,
    stdio::{stderr, stdout},
};

use crate::{background, printable::printable_lines};

/// Standard output and standard error.
static STREAMS: [Stream; 2] = [const { Stream::new() }; 2];

struct Stream {
    /// Whether it was closed when the process began.
    was_closed: AtomicBool,
    is_terminal: OnceLock<bool>,
}

impl Stream {
    const fn new() -> Self {
        Self { was_closed: AtomicBool::new(false), is_terminal: OnceLock::new() }
    }
}

ctor::declarative::ctor! {
    /// Runs before std's own start-up. After that, a closed descriptor looks the same as
    /// `/dev/null` opened for reading and writing, which is what Python's `subprocess.DEVNULL` is.
    /// The function makes two system calls and uses nothing of std that needs initialization.
    #[ctor(unsafe)]
    fn note_closed() {
        for (stream, fd) in STREAMS.iter().zip([stdout(), stderr()]) {
            stream.was_closed.store(fcntl_getfd(fd) == Err(Errno::BADF), Relaxed);
        }
    }
}

/// Writes all of `text` to standard output. If it is a non-blocking pipe that is full, waits for
/// room.
///
/// # Errors
///
/// Those of `write(2)`, and `EBADF` if standard output was closed when the process began.
pub fn write_out(text: &[u8]) -> io::Result<()> {
    write_all(stdout(), &STREAMS[0], text)
}

/// Writes all of `text` to standard error. If it is a non-blocking pipe that is full, waits for
/// room.
///
/// # Errors
///
/// Those of `write(2)`, and `EBADF` if standard error was closed when the process began.
pub fn write_err(text: &[u8]) -> io::Result<()> {
    write_all(stderr(), &STREAMS[1], text)
}

/// Writes a message of one or more lines, without characters that control a terminal. Returns
/// whether it was written: if not, only the exit status can show that.
#[must_use = "a message that is lost shows in the exit status"]
pub fn say(message: &str) -> bool {
    write_err(&printable_lines(message.as_bytes())).is_ok()
}

fn write_all(fd: BorrowedFd<'_>, stream: &Stream, mut text: &[u8]) -> io::Result<()> {
    if stream.was_closed.load(Relaxed) && !text.is_empty() {
        return Err(Errno::BADF.into());
    }
    let is_terminal = *stream.is_terminal.get_or_init(|| fd.is_terminal());
    while !text.is_empty() {
        if is_terminal && background::stops_writers(fd) && background::is_in_background(fd) {
            match background::stop_process(Signal::TTOU, None) {
                background::Outcome::NotStopped => {} // then the write has the kernel's own result
                _ => continue,
            }
        }
        match write(fd, text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for_room(fd)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits for room in a descriptor that another process has made non-blocking.
fn wait_for_room(fd: BorrowedFd<'_>) -> io::Result<()> {
    match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
