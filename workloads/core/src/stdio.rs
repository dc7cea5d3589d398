//! Standard output and standard error for all programs of this project.
//!
//! `println!` is not used: it panics when a write fails. It also cannot detect a closed descriptor,
//! because std replaces that with `/dev/null` before `main`, and all writes then succeed. Therefore
//! this module checks the descriptors before std does: a result that cannot be written is an error,
//! as it is for GNU's programs.
//!
//! Nothing is buffered here: what [`write_out`] and [`write_err`] have accepted is written.

use std::{
    io,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, fcntl_getfd, write},
    stdio::{stderr, stdout},
};

use crate::printable::printable_lines;

/// Whether standard output and standard error were closed when the process began.
static CLOSED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

ctor::declarative::ctor! {
    /// Runs before std's own start-up. After that, a closed descriptor looks the same as
    /// `/dev/null` opened for reading and writing, which is what Python's `subprocess.DEVNULL` is.
    /// The function makes two system calls and uses nothing of std that needs initialization.
    #[ctor(unsafe)]
    fn note_closed() {
        for (closed, fd) in CLOSED.iter().zip([stdout(), stderr()]) {
            closed.store(fcntl_getfd(fd) == Err(Errno::BADF), Relaxed);
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
    write_all(stdout(), &CLOSED[0], text)
}

/// Writes all of `text` to standard error. If it is a non-blocking pipe that is full, waits for
/// room.
///
/// # Errors
///
/// Those of `write(2)`, and `EBADF` if standard error was closed when the process began.
pub fn write_err(text: &[u8]) -> io::Result<()> {
    write_all(stderr(), &CLOSED[1], text)
}

/// Writes a message of one or more lines, without characters that control a terminal. Returns
/// whether it was written: if not, only the exit status can show that.
#[must_use = "a message that is lost shows in the exit status"]
pub fn say(message: &str) -> bool {
    write_err(&printable_lines(message.as_bytes())).is_ok()
}

fn write_all(fd: BorrowedFd<'_>, was_closed: &AtomicBool, mut text: &[u8]) -> io::Result<()> {
    if was_closed.load(Relaxed) && !text.is_empty() {
        return Err(Errno::BADF.into());
    }
    while !text.is_empty() {
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
