//! What the status of a call says, in words.

use std::{error::Error, io};

use cc_workloads::{error::reason, printable::printable};
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

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

/// The next message of a coordinator, or if there is none, why its session has ended.
pub(super) async fn next<M>(messages: &mut Streaming<M>) -> Result<M, String> {
    match messages.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err("the coordinator has ended it".to_owned()),
        Err(status) => Err(said(&status)),
    }
}

/// Tells a coordinator why its session has ended, unless it has ended it itself.
pub(super) async fn tell_end<M>(ended: Result<String, Status>, answers: &Sender<Result<M, Status>>) {
    if let Err(status) = ended {
        let _ = answers.send(Err(status)).await;
    }
}

/// Why a session has ended, in words.
pub(super) fn why(ended: &Result<String, Status>) -> &str {
    ended.as_ref().map_or_else(Status::message, String::as_str)
}
