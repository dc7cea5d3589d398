//! Standard output and standard error, as every program here writes them.
//!
//! `println!` is not used, because it panics where a write fails. What it does not see at all is a
//! descriptor that was closed: before `main`, std opens `/dev/null` in place of it, which takes
//! everything. So the descriptors are looked at before std is: a result that nothing can take is an
//! error, as it is for GNU's programs.
//!
//! Nothing is kept in a buffer here: what [`write_out`] and [`write_err`] have accepted is written.

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
    /// Runs before std's own start, after which a closed descriptor cannot be told from `/dev/null`
    /// opened for reading and writing, which is what Python's `subprocess.DEVNULL` is. It makes two
    /// system calls and touches nothing of std's that has to be set up.
    #[ctor(unsafe)]
    fn note_closed() {
        for (closed, fd) in CLOSED.iter().zip([stdout(), stderr()]) {
            closed.store(fcntl_getfd(fd) == Err(Errno::BADF), Relaxed);
        }
    }
}

/// Writes all of `text` to standard output; waits while a pipe that does not block has no room.
///
/// # Errors
///
/// Those of `write(2)`, and `EBADF` if standard output was closed when the process began.
pub fn write_out(text: &[u8]) -> io::Result<()> {
    write_all(stdout(), &CLOSED[0], text)
}

/// Writes all of `text` to standard error; waits while a pipe that does not block has no room.
///
/// # Errors
///
/// Those of `write(2)`, and `EBADF` if standard error was closed when the process began.
pub fn write_err(text: &[u8]) -> io::Result<()> {
    write_all(stderr(), &CLOSED[1], text)
}

/// Writes a message of the program, a line or several, with nothing in it that a terminal obeys.
/// Returns whether standard error has taken it: the exit status of a program is all that can tell
/// of a message that is lost.
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

/// Waits until a descriptor that another process has set to not block can be written again.
fn wait_for_room(fd: BorrowedFd<'_>) -> io::Result<()> {
    match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
