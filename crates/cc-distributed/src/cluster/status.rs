//! The statuses of calls as text, and the end of a session as a status.

use std::{error::Error, io};

use cc_workloads::{error::reason, printable::printable};
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

/// A status as text: the cause of a failed connection, or else what the other side has sent.
pub(super) fn describe(status: &Status) -> String {
    if status.source().is_some() { root_cause(status) } else { printable(status.message()).to_string() }
}

/// The innermost error: the layers around it only say that there was one.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), reason)
}

/// The next message of a coordinator. If there is none, the reason why its session has ended.
pub(super) async fn next_message<M>(messages: &mut Streaming<M>) -> Result<M, String> {
    match messages.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err("the coordinator has ended it".to_owned()),
        Err(status) => Err(describe(&status)),
    }
}

/// Sends a coordinator the error that has ended its session. If the coordinator itself has ended
/// it, sends nothing.
pub(super) async fn send_end<M>(ended: Result<String, Status>, events_tx: &Sender<Result<M, Status>>) {
    if let Err(status) = ended {
        let _ = events_tx.send(Err(status)).await;
    }
}

/// Why a session has ended, as text.
pub(super) fn end_reason(ended: &Result<String, Status>) -> &str {
    ended.as_ref().map_or_else(Status::message, String::as_str)
}
