//! Why a resource could not be fetched, and whether it is worth another try.

use serde::{Deserialize, Serialize};

use super::MAX_REDIRECTS;

/// Why a resource is not there. The text is the same in every model, whatever its client says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// What was given is no URL.
    #[error("{0}")]
    Url(String),
    /// Only http and https are spoken.
    #[error("{0} is neither http nor https")]
    Scheme(String),
    /// No connection could be made.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// TLS could not be agreed upon, or the certificate is not that of the host.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server said nothing for too long, or too little.
    #[error("timed out")]
    TimedOut,
    /// The run's time was up.
    #[error("not done by the deadline")]
    Deadline,
    /// The connection ended before an answer began.
    #[error("closed without an answer")]
    NoAnswer,
    /// What came is not HTTP, or its head is too large.
    #[error("the answer is not HTTP, or its head has no end")]
    Malformed,
    /// The server refused.
    #[error("{}", status_line(*.0))]
    Status(u16),
    /// The same address again.
    #[error("redirects lead in a circle")]
    RedirectLoop,
    /// No end of redirects.
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    /// A redirect without an address, or to something that is none.
    #[error("a redirect to nowhere")]
    NoLocation,
    /// The body ended early.
    #[error("the body ended early, after {received} bytes")]
    Short {
        /// So much had come, as it came.
        received: u64,
    },
    /// A part of the body came, but another than the one that was asked for.
    #[error("another part of the body than the one asked for")]
    WrongPart,
    /// An encoding that was not asked for.
    #[error("encoded as {0:?}, which was not asked for")]
    Encoding(String),
    /// The body is no gzip, or ends within.
    #[error("broken gzip")]
    Gzip,
    /// The body is more than it may be when it is not compressed any more.
    #[error("inflates to more than is allowed")]
    Bomb,
    /// The file could not be written.
    #[error("cannot be kept: {0}")]
    Keep(String),
    /// Who was fetching it is no more.
    #[error("{0}")]
    Worker(String),
}

fn status_line(status: u16) -> String {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

impl Failure {
    /// Whether another try may succeed: what a busy server, or a network, does to whoever asks.
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

/// What a client reports of a connection, in the words that all clients have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such host, or nobody listens there.
    Unreachable(String),
    /// See [`Failure::Tls`].
    Tls(String),
    /// Nothing came in time.
    TimedOut,
    /// The server has closed the connection in an orderly way. After a body whose length nothing
    /// says, that is its end.
    Eof,
    /// The connection was reset, or ended in any other way that may have cut something off.
    Closed,
    /// What came is not HTTP, or more than a head may have.
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
