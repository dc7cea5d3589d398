//! Distinguishes the ways in which a connection ends: in an orderly way, or truncated.
//!
//! `ureq` accepts a reset as the end of a body without a length, and a last chunk without its
//! trailers. Here each end is an error of its own kind, and [`Download`](super::Download) decides
//! what it means.

use std::{cell::Cell, error, fmt, io, io::ErrorKind};

use ureq::{
    Error,
    unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport},
};

/// Maximum bytes of chunk sizes and trailers that arrive without any content between them. `hyper`
/// has the same limit for trailers.
const MAX_FRAMING: usize = 16 << 10;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server has closed it: FIN, or `close_notify` with TLS.
    Orderly,
    /// It was reset, or TLS ended without `close_notify`, which an attacker on the network can
    /// cause.
    Cut,
    /// It was idle before, and ended before a byte of this answer arrived.
    Stale,
    /// A head, or the framing of a body, is too long.
    TooLong,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl error::Error for End {}

impl From<End> for Error {
    fn from(end: End) -> Self {
        io::Error::other(end).into()
    }
}

impl End {
    /// The end that caused an error of the client, if it was one.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// The last connector of the chain.
#[derive(Debug)]
pub(super) struct Checker;

impl<T: Transport> Connector<T> for Checker {
    type Out = Checked<T>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Checked<T>>, Error> {
        Ok(chained.map(|inner| Checked { inner, is_kept: false }))
    }
}

/// A connection, with or without TLS, that reports each end as an [`End`].
#[derive(Debug)]
pub(super) struct Checked<T> {
    inner: T,
    /// Nothing has arrived since it was taken from the idle connections.
    is_kept: bool,
}

impl<T: Transport> Checked<T> {
    fn ended(&self, end: End) -> Error {
        if self.is_kept { End::Stale } else { end }.into()
    }

    fn failed(&self, error: Error) -> Error {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match &error {
            Error::Io(cause)
                if matches!(
                    cause.kind(),
                    BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
                ) =>
            {
                self.ended(End::Cut)
            }
            _ => error,
        }
    }
}

impl<T: Transport> Transport for Checked<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout).map_err(|error| self.failed(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        // Reading into a full buffer would return 0 bytes, like an end.
        let is_full = self.inner.buffers().input_append_buf().is_empty();
        if is_full || FRAMING.get().is_some_and(|framing| framing > MAX_FRAMING) {
            return Err(End::TooLong.into());
        }
        let before = self.inner.buffers().input().len();
        if !self.inner.await_input(timeout).map_err(|error| self.failed(error))? {
            return Err(self.ended(End::Orderly));
        }
        self.is_kept = false;
        let came = self.inner.buffers().input().len().saturating_sub(before);
        FRAMING.set(FRAMING.get().map(|framing| framing + came));
        Ok(true)
    }

    fn is_open(&mut self) -> bool {
        self.is_kept = self.inner.is_open();
        self.is_kept
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

thread_local! {
    /// Bytes that the current read of a body on this thread has received without any content. The
    /// body's reader and the connection have `ureq` between them and share no value; but one calls
    /// the other on the same thread.
    static FRAMING: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Runs a read of a body. It fails if [`MAX_FRAMING`] bytes arrive without content.
pub(super) fn content<T>(read: impl FnOnce() -> T) -> T {
    FRAMING.set(Some(0));
    let content = read();
    FRAMING.set(None);
    content
}
