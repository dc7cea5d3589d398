//! Output of the commands. A failed write does not end the command, but changes its exit status.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use cc_core::stdio;

/// Whether a write has failed. `Relaxed`, because the flag guards no other data.
static WRITE_FAILED: AtomicBool = AtomicBool::new(false);

/// Prints one or more lines of the result to standard output.
pub(crate) fn print(text: impl Display) {
    // A closed pipe is not an error: the reader, such as `head`, needs no more.
    let is_failure = |error: io::Error| error.kind() != io::ErrorKind::BrokenPipe;
    if stdio::write_out(format!("{text}\n").as_bytes()).is_err_and(is_failure) {
        WRITE_FAILED.store(true, Relaxed);
    }
}

/// Prints a message to standard error.
pub fn say(message: impl Display) {
    if !stdio::say(&format!("{message}\n")) {
        WRITE_FAILED.store(true, Relaxed);
    }
}

/// Prints what the command is busy with, if standard error is a terminal.
pub(crate) fn progress(what: &str) {
    if io::stderr().is_terminal() {
        say(format_args!("{what} …"));
    }
}

/// The given exit status, or [`USAGE`](super::USAGE) if a write has failed.
pub(crate) fn checked(status: ExitCode) -> ExitCode {
    if WRITE_FAILED.load(Relaxed) { ExitCode::from(super::USAGE) } else { status }
}
