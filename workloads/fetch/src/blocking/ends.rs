//! How a connection ends: in an orderly way, or cut off.
//!
//! `ureq` takes a reset in a body without a length for its end, and the first line of a last chunk
//! for all of it. Here every end is an error that says which it was, and the
//! [`Download`](super::Download) decides what it means.

use std::{cell::Cell, error, fmt, io, io::ErrorKind};

use ureq::{
    Error,
    unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport},
};

/// Maximum bytes of chunk sizes and trailers without any content among them, as `hyper` has it for
/// trailers.
const MOST_FRAMING: usize = 16 << 10;

/// Why a connection brings nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server has closed it: FIN, or `close_notify` of TLS.
    Orderly,
    /// It was reset, or TLS ended without `close_notify`: anyone on the way can do that.
    Cut,
    /// It had been kept since the last answer, and ended before a byte came for this request.
    Stale,
    /// A head, or the framing of a body, is longer than it may be.
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
    /// The end that an error of the client tells of, if it does.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// The last link of the chain of connectors.
#[derive(Debug)]
pub(super) struct Checker;

impl<T: Transport> Connector<T> for Checker {
    type Out = Checked<T>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Checked<T>>, Error> {
        Ok(chained.map(|inner| Checked { inner, is_kept: false }))
    }
}

/// A connection, with TLS if there is any, whose end is an [`End`].
#[derive(Debug)]
pub(super) struct Checked<T> {
    inner: T,
    /// Nothing has come since it was kept for another request.
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
        // A full buffer would read nothing, which looks like an end.
        let is_full = self.inner.buffers().input_append_buf().is_empty();
        if is_full || FRAMING.get().is_some_and(|framing| framing > MOST_FRAMING) {
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
    /// Bytes that the read of a body on this thread has received, and that were no content so far.
    /// The reader of a body and its connection share no other value: `ureq` is between them, and
    /// calls one from the other on the same thread.
    static FRAMING: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A read of a body, which ends when there is content or [`MOST_FRAMING`] bytes have brought none.
pub(super) fn content<T>(read: impl FnOnce() -> T) -> T {
    FRAMING.set(Some(0));
    let content = read();
    FRAMING.set(None);
    content
}
