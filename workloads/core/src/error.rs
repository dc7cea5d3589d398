//! Errors that end a run. An unreadable file or a failed task does not: the program reports it by
//! name, and the run continues.

use std::{any::Any, io};

/// The result of a run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pattern is invalid.
    #[error("pattern {pattern:?}: {reason}")]
    Pattern {
        /// The pattern, as given.
        pattern: String,
        /// The message of the regular-expression library.
        reason: String,
    },
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// A worker (thread, process or host) could not be started or has panicked, all are lost, or
    /// what they exchange cannot be decoded.
    #[error("{name}: {reason}")]
    Worker {
        /// The worker, or the data.
        name: String,
        /// What happened to it.
        reason: String,
    },
    /// A part of the work failed without which the other results are useless.
    #[error("{0}")]
    Failed(String),
    /// An I/O operation of the coordinator failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation, or the file.
        what: String,
        /// The error.
        source: io::Error,
    },
}

impl Error {
    /// Turns an I/O error into an [`Error::Io`] for this operation. For `map_err`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    /// An [`Error::Worker`].
    pub fn worker(name: impl Into<String>, reason: impl ToString) -> Self {
        Self::Worker { name: name.into(), reason: reason.to_string() }
    }

    /// An [`Error::Worker`] for a thread or a task that has panicked.
    pub fn panicked(name: impl Into<String>, panic: &(dyn Any + Send)) -> Self {
        Self::worker(name, panic_reason(panic))
    }
}

/// An I/O error's text as the C library gives it, without Rust's ` (os error 2)`: users of `grep`
/// know these texts. Text that a library has added after that (a path, for example) is removed,
/// too; a caller that needs it adds it.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    text
}

/// The message in a panic's payload.
#[must_use]
pub fn panic_reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no message)"))
}
