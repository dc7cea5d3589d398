//! Why a session with a worker has ended, or could not be begun.

use std::error::Error;

use cc_workloads::printable::printable;
use tonic::{Code, Status};

use super::status::{describe, root_cause};

/// Why a session has ended, or could not be begun.
pub(super) enum Lost {
    /// The worker is dead, or may be.
    Gone(String),
    /// It is alive, and refuses to work for this coordinator.
    Refused(String),
    /// Its process could not be started.
    NotStarted(String),
    /// It has sent an answer that a correct worker cannot send. It gets no more tasks.
    Distrusted(String),
}

impl Lost {
    /// Why a stream has ended. A message that cannot be decoded, or is too large, is a wrong
    /// answer, and no sign that the worker is dead.
    pub(super) fn unreadable(status: Status) -> Self {
        let is_about_message =
            matches!(status.code(), Code::Internal | Code::OutOfRange | Code::Unimplemented);
        if is_about_message && status.source().is_none() {
            return Self::Distrusted(printable(status.message()).to_string());
        }
        status.into()
    }
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unauthenticated | Code::FailedPrecondition => {
                Self::Refused(printable(status.message()).to_string())
            }
            _ => Self::Gone(describe(&status)),
        }
    }
}

impl From<tonic::transport::Error> for Lost {
    fn from(error: tonic::transport::Error) -> Self {
        Self::Gone(root_cause(&error))
    }
}
