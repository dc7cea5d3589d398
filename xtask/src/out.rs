//! What the commands print. A line that could not be written shows in the exit status, and never
//! ends the command.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use cc_core::stdio;

/// Whether something could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line, or several, of the result.
pub(crate) fn print(text: impl Display) {
    // A reader that has seen enough is no error.
    let is_lost = |error: io::Error| error.kind() != io::ErrorKind::BrokenPipe;
    if stdio::write_out(format!("{text}\n").as_bytes()).is_err_and(is_lost) {
        LOST.store(true, Relaxed);
    }
}

/// Says something to the user on standard error.
pub fn say(message: impl Display) {
    if !stdio::say(&format!("{message}\n")) {
        LOST.store(true, Relaxed);
    }
}

/// Says what takes a while, to a user who watches.
pub(crate) fn progress(what: &str) {
    if io::stderr().is_terminal() {
        say(format_args!("{what} …"));
    }
}

/// The exit status of a command, or that of one that could not do what it is asked for if something
/// could not be written.
pub(crate) fn checked(status: ExitCode) -> ExitCode {
    if LOST.load(Relaxed) { ExitCode::from(super::USAGE) } else { status }
}
