//! Why the coordinator has no session with a worker any more.

use std::error::Error;

use cc_workloads::printable::printable;
use tonic::{Code, Status};

use super::status::{innermost, said};

/// Why there is no session any more.
pub(super) enum Lost {
    /// The worker is dead, or might be.
    Gone(String),
    /// It is alive and will not work for us, now or later.
    Refused(String),
    /// Its process could not be started.
    NotStarted(String),
    /// It has answered what it was not asked, or otherwise than it could: nothing that it says is
    /// believed any more.
    Distrusted(String),
}

impl Lost {
    /// What a stream has ended with. A message that is none, or is too large, is the worker's fault
    /// and not its death.
    pub(super) fn unreadable(status: Status) -> Self {
        let is_of_message = matches!(status.code(), Code::Internal | Code::OutOfRange | Code::Unimplemented);
        if is_of_message && status.source().is_none() {
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
            _ => Self::Gone(said(&status)),
        }
    }
}

impl From<tonic::transport::Error> for Lost {
    fn from(error: tonic::transport::Error) -> Self {
        Self::Gone(innermost(&error))
    }
}
