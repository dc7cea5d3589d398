//! What the status of a call says, in words.

use std::{error::Error, io};

use cc_workloads::{error::reason, printable::printable};
use tonic::Status;

/// What a worker has said, or if it could not, what lies behind that.
pub(super) fn said(status: &Status) -> String {
    if status.source().is_some() { innermost(status) } else { printable(status.message()).to_string() }
}

/// What lies behind an error: the layers above only say that something does.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), reason)
}

/// Why a session has ended, in words.
pub(super) fn why(ended: &Result<String, Status>) -> &str {
    ended.as_ref().map_or_else(Status::message, String::as_str)
}
