//! Why a resource could not be fetched, and whether a retry may help.

use serde::{Deserialize, Serialize};

use super::MAX_REDIRECTS;

/// Why a resource could not be fetched. All models report it with the same text, independent of
/// their client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The URL is invalid.
    #[error("{0}")]
    Url(String),
    /// The scheme is neither http nor https.
    #[error("{0} is neither http nor https")]
    Scheme(String),
    /// No connection could be established.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// The TLS handshake failed, or the certificate is not valid for the host.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server sent nothing for too long, or the attempt took too long.
    #[error("timed out")]
    TimedOut,
    /// The deadline of the run has passed.
    #[error("not done by the deadline")]
    Deadline,
    /// The server closed the connection before an answer began.
    #[error("closed without an answer")]
    NoAnswer,
    /// The answer is not HTTP, or its head is too large.
    #[error("the answer is not HTTP, or its head has no end")]
    Malformed,
    /// The server replied with an error.
    #[error("{}", status_line(*.0))]
    Status(u16),
    /// A redirect leads to a URL that was requested before.
    #[error("redirect loop")]
    RedirectLoop,
    /// There were too many redirects.
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    /// A redirect has no location, or an invalid one.
    #[error("a redirect without a valid address")]
    NoLocation,
    /// The body is incomplete.
    #[error("the body ended early, after {received} bytes")]
    Short {
        /// Bytes that have arrived, before decompression.
        received: u64,
    },
    /// The answer to a range request has another range.
    #[error("the answer has another part of the body than requested")]
    WrongPart,
    /// The body has an encoding that was not requested.
    #[error("encoded as {0:?}, which was not requested")]
    Encoding(String),
    /// The body is invalid or incomplete gzip.
    #[error("broken gzip")]
    Gzip,
    /// The decompressed body is too large.
    #[error("decompresses to more than is allowed")]
    Bomb,
    /// The body is larger than [`Settings::max_size`](super::Settings::max_size).
    #[error("larger than {max} bytes (--max-size)")]
    TooLarge {
        /// The maximum.
        max: u64,
    },
    /// The body could not be saved.
    #[error("cannot be saved: {0}")]
    Keep(String),
    /// The worker that was fetching it is lost.
    #[error("{0}")]
    Worker(String),
}

fn status_line(status: u16) -> String {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

impl Failure {
    /// Whether a retry may succeed: for failures of a busy server or of the network.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Unreachable(_)
            | Self::TimedOut
            | Self::NoAnswer
            | Self::Malformed
            | Self::Short { .. }
            | Self::WrongPart => true,
            _ => false,
        }
    }
}

/// An error of a connection. Each client maps its own errors to these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The host does not exist, or does not accept connections.
    Unreachable(String),
    /// See [`Failure::Tls`].
    Tls(String),
    /// No bytes arrived in time.
    TimedOut,
    /// The server has closed the connection in an orderly way. If the body has no length, it is
    /// complete.
    Eof,
    /// The connection was reset, or ended in another way that may have truncated the answer.
    Closed,
    /// The answer is not HTTP, or its head is too large.
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_reason() {
        assert_eq!(Failure::Status(404).to_string(), "404 Not Found");
        assert_eq!(Failure::Status(299).to_string(), "299");
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        assert!(
            [Failure::Status(503), Failure::TimedOut, Failure::Short { received: 0 }]
                .iter()
                .all(Failure::is_transient)
        );
        assert!(
            ![Failure::Status(404), Failure::RedirectLoop, Failure::Bomb].iter().any(Failure::is_transient)
        );
    }
}
