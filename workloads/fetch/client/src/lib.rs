//! An asynchronous HTTP client.
//!
//! An exchange is read by [`Answer`]. There is no separate task per connection: an exchange owns
//! its connection as long as the exchange lasts. If the exchange is dropped, the connection is
//! dropped with it, and no other task has to be notified.
//!
//! Redirects, retries and compression are handled by [`Download`].

mod dial;
mod pool;

use std::{
    io::{self, ErrorKind},
    pin::pin,
    time::{Duration, Instant, SystemTime},
};

use cc_fetch::{
    Attempted, Download, Settings, TransportError,
    http1::{Answer, encode},
    tls,
};
use http::{Request, uri::Scheme};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use self::{
    dial::{Dialer, Peer},
    pool::{Connection, Pool},
};

/// Size of the first read of an answer. Many requests wait for it at the same time, and each has a
/// buffer of this size.
const FIRST_READ: usize = 4 << 10;
/// Size of the reads after one that was full.
const READ_SIZE: usize = 16 << 10;

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
        let mut answer = Answer::default();
        let exchange = timeout(time_left, self.exchange(&mut answer, &mut download)).await;
        if let Err(error) = exchange.unwrap_or(Err(TransportError::TimedOut)) {
            answer.fail(error, &mut download);
        }
        download.finish(Instant::now())
    }

    async fn exchange(&self, answer: &mut Answer, download: &mut Download) -> Result<(), TransportError> {
        let (peer, request) = addressed(&download.request());
        while let Some(connection) = self.idle(&peer).await {
            // A server may close an idle connection while the request is on its way. GET is
            // idempotent, so the request is sent again (RFC 9112, 9.3.1).
            match self.exchange_on(connection, &peer, &request, answer, download).await {
                Err(TransportError::Eof | TransportError::Closed) if !answer.is_begun() => {}
                done => return done,
            }
        }
        let connection = self.open(&peer).await?;
        self.exchange_on(connection, &peer, &request, answer, download).await
    }

    /// Makes the exchange on this connection, and returns it to the pool if it can be used again.
    async fn exchange_on(
        &self,
        mut connection: Connection,
        peer: &Peer,
        request: &[u8],
        answer: &mut Answer,
        download: &mut Download,
    ) -> Result<(), TransportError> {
        self.converse(&mut connection, request, answer, download).await?;
        if answer.is_reusable() {
            self.pool.keep(peer.clone(), connection);
        }
        Ok(())
    }

    /// Takes an idle connection that can be used.
    async fn idle(&self, peer: &Peer) -> Option<Connection> {
        loop {
            let mut connection = self.pool.take(peer)?;
            // Reading from it now shows whether the server has closed it or has sent unexpected
            // bytes.
            let mut byte = [0];
            let is_silent = futures::poll!(pin!(connection.stream.read(&mut byte))).is_pending();
            if is_silent {
                return Some(connection);
            }
        }
    }

    async fn open(&self, peer: &Peer) -> Result<Connection, TransportError> {
        let permit = self.pool.permit();
        let stream = self.dialer.stream(peer).await?;
        Ok(Connection { stream, permit })
    }

    /// Sends the request and passes what arrives to the answer, to its end or until no more of it
    /// is needed.
    async fn converse(
        &self,
        Connection { stream, .. }: &mut Connection,
        request: &[u8],
        answer: &mut Answer,
        download: &mut Download,
    ) -> Result<(), TransportError> {
        let send = async {
            stream.write_all(request).await.map_err(|error| io_error(&error))?;
            stream.flush().await.map_err(|error| io_error(&error))
        };
        within(self.timeout, send).await?;
        let mut buffer = vec![0; FIRST_READ];
        loop {
            let read = async { stream.read(&mut buffer).await.map_err(|error| io_error(&error)) };
            let length = within(self.timeout, read).await?;
            if length == 0 {
                return Err(TransportError::Eof);
            }
            if answer.receive(&buffer[..length], download, SystemTime::now())?.is_break() {
                return Ok(());
            }
            if length == buffer.len() {
                buffer.resize(READ_SIZE, 0);
            }
        }
    }
}

/// The server of a request, and the bytes that are sent to it.
fn addressed(request: &Request<()>) -> (Peer, Vec<u8>) {
    let uri = request.uri();
    let authority = uri.authority().expect("the URL of a download has a host").clone();
    (Peer { is_tls: uri.scheme() == Some(&Scheme::HTTPS), authority }, encode(request))
}

async fn within<T>(
    time_left: Duration,
    future: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    timeout(time_left, future).await.unwrap_or(Err(TransportError::TimedOut))
}

/// Maps an error of a connection to a [`TransportError`].
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
