//! An asynchronous HTTP client.
//!
//! It is `hyper`, without a separate task per connection: an exchange polls its connection itself
//! and owns it as long as the exchange lasts. If the exchange is dropped, the connection is dropped
//! with it, and no other task has to be notified.
//!
//! Redirects, retries and compression are handled by [`Download`].

mod dial;
mod pool;

use std::{
    error::Error as _,
    io::{self, ErrorKind},
    pin::pin,
    time::{Duration, Instant, SystemTime},
};

use cc_fetch::{Attempted, Download, Settings, TransportError, tls};
use futures::{
    TryFutureExt, TryStreamExt,
    future::{Either, select},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Uri,
    body::{Body, Bytes, Incoming},
    client::conn::http1::SendRequest,
    header::{HOST, HeaderValue},
    http::uri::Scheme,
};
use tokio::time::timeout;

use self::{
    dial::{Dialer, Peer},
    pool::{Connection, Driver, Pool},
};

/// Maximum bytes of the head of an answer, and size of the reads of a body.
const BUFFER: usize = 16 << 10;
/// An unneeded body of at most this size is read to its end: that is cheaper than another
/// connection.
const MAX_DRAIN: u64 = 16 << 10;
/// Maximum headers of an answer, as in the blocking client of the other models.
const MAX_HEADERS: usize = 128;

/// A client and its idle connections.
pub struct Client {
    timeout: Duration,
    dialer: Dialer,
    pool: Pool,
}

impl Client {
    /// A client without connections. It opens at most `at_once` of them, the maximum number of
    /// concurrent attempts.
    pub fn new(settings: &Settings, at_once: usize) -> Self {
        let timeout = settings.timeout();
        Self { timeout, dialer: Dialer::new(settings), pool: Pool::new(at_once) }
    }

    /// Makes an attempt. Cancel safe: dropping the future closes the connection.
    pub async fn attempt(&self, mut download: Box<Download>) -> Attempted {
        let time_left = download.time_left(Instant::now());
        let exchange = timeout(time_left, self.exchange(&mut download)).await;
        if let Err(error) = exchange.unwrap_or(Err(TransportError::TimedOut)) {
            download.on_error(error);
        }
        download.finish(Instant::now())
    }

    async fn exchange(&self, download: &mut Download) -> Result<(), TransportError> {
        let (peer, request) = addressed(download.request());
        while let Some(connection) = self.idle(&peer).await {
            // A server may close an idle connection while the request is on its way. GET is
            // idempotent, so the request is sent again (RFC 9112, 9.3.1).
            match self.exchange_on(connection, peer.clone(), request.clone(), download).await {
                Err(Broken::BeforeAnswer(TransportError::Closed)) => {}
                done => return done.map_err(Broken::into_transport_error),
            }
        }
        let connection = self.open(&peer).await?;
        self.exchange_on(connection, peer, request, download).await.map_err(Broken::into_transport_error)
    }

    /// Makes the exchange on this connection, and returns it to the pool if it can be used again.
    async fn exchange_on(
        &self,
        mut connection: Connection,
        peer: Peer,
        request: Request<Empty<Bytes>>,
        download: &mut Download,
    ) -> Result<(), Broken> {
        let Connection { sender, driver, .. } = &mut connection;
        let (is_done, is_open) = drive(driver, self.converse(sender, request, download)).await;
        if is_done? && is_open {
            self.pool.keep(peer, connection);
        }
        Ok(())
    }

    /// Takes an idle connection that can be used.
    async fn idle(&self, peer: &Peer) -> Option<Connection> {
        loop {
            let mut connection = self.pool.take(peer)?;
            // Polling it now shows whether the server has closed it or has sent unexpected bytes.
            let (ready, is_open) = drive(&mut connection.driver, connection.sender.ready()).await;
            if ready.is_ok() && is_open {
                return Some(connection);
            }
        }
    }

    async fn open(&self, peer: &Peer) -> Result<Connection, TransportError> {
        let permit = self.pool.permit();
        let stream = self.dialer.stream(peer).await?;
        Connection::new(stream, permit).map_err(transport_error).await
    }

    /// Sends the request and passes the answer to the download. Returns whether the answer was read
    /// to its end.
    async fn converse(
        &self,
        sender: &mut SendRequest<Empty<Bytes>>,
        request: Request<Empty<Bytes>>,
        download: &mut Download,
    ) -> Result<bool, Broken> {
        let answer = within(self.timeout, sender.send_request(request).map_err(transport_error));
        let (head, body) = answer.await.map_err(Broken::BeforeAnswer)?.into_parts();
        if download.on_head(&head, SystemTime::now()).is_break() {
            // Best effort: if this fails, the connection is closed.
            return Ok(is_small(&body) && self.read(body, |_| true).await.unwrap_or(false));
        }
        let read = self.read(body, |bytes| download.on_body(bytes).is_continue());
        read.await.map_err(Broken::InAnswer)
    }

    /// Reads a body until its end or until no more of it is needed. Returns whether it was the end.
    async fn read(
        &self,
        body: Incoming,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, TransportError> {
        let mut chunks = body.into_data_stream().map_err(transport_error);
        while let Some(bytes) = within(self.timeout, chunks.try_next()).await? {
            if !take(&bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// When an exchange failed.
enum Broken {
    BeforeAnswer(TransportError),
    InAnswer(TransportError),
}

impl Broken {
    fn into_transport_error(self) -> TransportError {
        let (Self::BeforeAnswer(error) | Self::InAnswer(error)) = self;
        error
    }
}

/// The request in the form that is sent to a server, and the server.
fn addressed(request: Request<()>) -> (Peer, Request<Empty<Bytes>>) {
    let (mut head, ()) = request.into_parts();
    let uri = head.uri.into_parts();
    let authority = uri.authority.expect("the URL of a download has a host");
    head.uri = uri.path_and_query.map(Uri::from).unwrap_or_default();
    let host = || HeaderValue::from_str(authority.as_str()).expect("a host is visible");
    head.headers.entry(HOST).or_insert_with(host);
    let peer = Peer { is_tls: uri.scheme == Some(Scheme::HTTPS), authority };
    (peer, Request::from_parts(head, Empty::new()))
}

fn is_small(body: &Incoming) -> bool {
    body.size_hint().exact().is_some_and(|length| length <= MAX_DRAIN)
}

/// Runs the exchange while polling its connection. Also returns whether the connection may be
/// polled again.
async fn drive<T>(driver: &mut Driver, exchange: impl Future<Output = T>) -> (T, bool) {
    match select(driver, pin!(exchange)).await {
        // The exchange sees the connection's error, too, and can still use what was read.
        Either::Left((_, exchange)) => (exchange.await, false),
        Either::Right((done, _)) => (done, true),
    }
}

async fn within<T>(
    time_left: Duration,
    future: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    timeout(time_left, future).await.unwrap_or(Err(TransportError::TimedOut))
}

/// Maps an error of the client to a [`TransportError`].
fn transport_error(error: hyper::Error) -> TransportError {
    if error.is_parse() {
        return TransportError::Malformed;
    }
    error.source().and_then(|source| source.downcast_ref()).map_or(TransportError::Closed, io_error)
}

fn io_error(error: &io::Error) -> TransportError {
    // The name of the host was checked before.
    if let Some(error) = tls::error_of(error, "the host") {
        return error;
    }
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput => TransportError::Malformed,
        _ => TransportError::Closed,
    }
}

#[cfg(test)]
mod tests;
