//! What can end a run. A bad file or a failed task does not: it is reported by name, and the run goes on.

use std::{any::Any, io};

/// The result of a run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pattern is not in the language of patterns.
    #[error("pattern {pattern:?}: {reason}")]
    Pattern {
        /// The pattern, as given.
        pattern: String,
        /// What the regular-expression library says of it.
        reason: String,
    },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A worker (thread, process or host) could not be started, or all of them are lost.
    #[error("{who}: {reason}")]
    Worker {
        /// Which one.
        who: String,
        /// What became of it.
        reason: String,
    },
    /// A part of the work failed, without which the rest is worth nothing.
    #[error("{0}")]
    Failed(String),
    /// An operation of the coordinator's own failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] that says what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    /// An [`Error::Worker`].
    pub fn worker(who: impl Into<String>, reason: impl ToString) -> Self {
        Self::Worker { who: who.into(), reason: reason.to_string() }
    }

    /// An [`Error::Worker`] for a thread or a task that has ended with this panic.
    pub fn panicked(who: impl Into<String>, panic: &(dyn Any + Send)) -> Self {
        Self::worker(who, panic_reason(panic))
    }
}

/// An I/O error's text as the C library gives it, without Rust's ` (os error 2)`, as users of `grep` know it. What a library
/// adds behind that, which is where it happened, is left to whoever asks.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    text
}

/// What a panic's payload says.
#[must_use]
pub fn panic_reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no message)"))
}
