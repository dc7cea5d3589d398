//! An HTTP client whose exchanges are futures, and nothing else.
//!
//! It is `hyper`, without a task of its own for each connection: an exchange polls its connection itself, and has it for as long
//! as it lasts. So nobody has to be told when an exchange is dropped; the connection goes with it.
//!
//! Redirects, retries and compression are the [`Download`]'s.

mod dial;
mod lines;

use std::{
    error::Error as _,
    io::{self, ErrorKind},
    pin::pin,
    time::{Duration, Instant, SystemTime},
};

use cc_core::error::reason;
use cc_fetch::{Attempted, Download, Settings, Trouble};
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
use tokio_rustls::rustls;

use self::{
    dial::{Dial, Peer},
    lines::{Connection, Line, Lines},
};

/// The largest head of an answer, and so much of a body is read at once.
const BUFFER: usize = 16 << 10;
/// A body that nobody wants is read nevertheless if it is no larger: that is cheaper than another connection.
const DRAIN: u64 = 16 << 10;
/// Maximum headers of an answer; the blocking client of the other models has the same limit.
const HEADERS: usize = 128;

/// A client, and the connections that it keeps for the next requests.
pub struct Client {
    timeout: Duration,
    dial: Dial,
    lines: Lines,
}

impl Client {
    /// A client without connections. Of those there will be as many as attempts are made at once, at most `at_once`.
    pub fn new(settings: &Settings, at_once: usize) -> Self {
        let timeout = settings.timeout();
        Self { timeout, dial: Dial::new(timeout), lines: Lines::new(at_once) }
    }

    /// Makes an attempt. If this is dropped, the connection is closed.
    pub async fn attempt(&self, mut download: Box<Download>) -> Attempted {
        let patience = download.patience(Instant::now());
        let exchange = timeout(patience, self.exchange(&mut download)).await;
        if let Err(trouble) = exchange.unwrap_or(Err(Trouble::TimedOut)) {
            download.broke(trouble);
        }
        download.finish(Instant::now())
    }

    async fn exchange(&self, download: &mut Download) -> Result<(), Trouble> {
        let (peer, request) = addressed(download.request());
        while let Some(line) = self.idle(&peer).await {
            // A server may close a connection that was kept while the request is on its way there:
            // GET is idempotent, so it is sent again (RFC 9112, 9.3.1).
            match self.exchange_on(line, peer.clone(), request.clone(), download).await {
                Err(Broken::BeforeAnswer(Trouble::Closed)) => {}
                done => return done.map_err(Broken::into_trouble),
            }
        }
        let line = self.open(&peer).await?;
        self.exchange_on(line, peer, request, download).await.map_err(Broken::into_trouble)
    }

    /// Makes the exchange on this connection, which is kept if it can be used again.
    async fn exchange_on(
        &self,
        mut line: Line,
        peer: Peer,
        request: Request<Empty<Bytes>>,
        download: &mut Download,
    ) -> Result<(), Broken> {
        let Line { sender, connection, .. } = &mut line;
        let (is_done, is_open) = beside(connection, self.converse(sender, request, download)).await;
        if is_done? && is_open {
            self.lines.keep(peer, line);
        }
        Ok(())
    }

    /// A connection that has been kept and is good for another request.
    async fn idle(&self, peer: &Peer) -> Option<Line> {
        loop {
            let mut line = self.lines.take(peer)?;
            // What has happened to it meanwhile is seen now: closed by the server, or something came that nobody asked for.
            let (ready, is_open) = beside(&mut line.connection, line.sender.ready()).await;
            if ready.is_ok() && is_open {
                return Some(line);
            }
        }
    }

    async fn open(&self, peer: &Peer) -> Result<Line, Trouble> {
        let room = self.lines.room();
        let stream = within(self.timeout, self.dial.stream(peer)).await?;
        Line::new(stream, room).map_err(trouble).await
    }

    /// Asks, and gives the download what comes. Whether nothing is left of the answer.
    async fn converse(
        &self,
        sender: &mut SendRequest<Empty<Bytes>>,
        request: Request<Empty<Bytes>>,
        download: &mut Download,
    ) -> Result<bool, Broken> {
        let answer = within(self.timeout, sender.send_request(request).map_err(trouble));
        let (head, body) = answer.await.map_err(Broken::BeforeAnswer)?.into_parts();
        if download.answered(&head, SystemTime::now()).is_break() {
            // If this fails, there is one connection less.
            return Ok(is_small(&body) && self.read(body, |_| true).await.unwrap_or(false));
        }
        let read = self.read(body, |bytes| download.received(bytes).is_continue());
        read.await.map_err(Broken::InAnswer)
    }

    /// Reads a body to its end, or until it is not wanted any more. Whether that was its end.
    async fn read(&self, body: Incoming, mut take: impl FnMut(&[u8]) -> bool) -> Result<bool, Trouble> {
        let mut chunks = body.into_data_stream().map_err(trouble);
        while let Some(bytes) = within(self.timeout, chunks.try_next()).await? {
            if !take(&bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Where an exchange broke off.
enum Broken {
    BeforeAnswer(Trouble),
    InAnswer(Trouble),
}

impl Broken {
    fn into_trouble(self) -> Trouble {
        let (Self::BeforeAnswer(trouble) | Self::InAnswer(trouble)) = self;
        trouble
    }
}

/// The same request as it is said to a server, and to which.
fn addressed(request: Request<()>) -> (Peer, Request<Empty<Bytes>>) {
    let (mut head, ()) = request.into_parts();
    let uri = head.uri.into_parts();
    let authority = uri.authority.expect("the URL of a download has a host");
    head.uri = uri.path_and_query.map(Uri::from).unwrap_or_default();
    head.headers.insert(HOST, HeaderValue::from_str(authority.as_str()).expect("a host is visible"));
    let peer = Peer { is_tls: uri.scheme == Some(Scheme::HTTPS), authority };
    (peer, Request::from_parts(head, Empty::new()))
}

fn is_small(body: &Incoming) -> bool {
    body.size_hint().exact().is_some_and(|length| length <= DRAIN)
}

/// Does this while the connection does its part; then also whether that may be polled again.
async fn beside<T>(connection: &mut Connection, exchange: impl Future<Output = T>) -> (T, bool) {
    match select(connection, pin!(exchange)).await {
        // What it failed of is told to the exchange, and what it has read is still there.
        Either::Left((_, exchange)) => (exchange.await, false),
        Either::Right((done, _)) => (done, true),
    }
}

async fn within<T>(
    patience: Duration,
    future: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    timeout(patience, future).await.unwrap_or(Err(Trouble::TimedOut))
}

/// The client's error in the words that all clients have in common.
fn trouble(error: hyper::Error) -> Trouble {
    if error.is_parse() {
        return Trouble::Malformed;
    }
    error.source().and_then(|source| source.downcast_ref()).map_or(Trouble::Closed, io_trouble)
}

fn io_trouble(error: &io::Error) -> Trouble {
    if let Some(inner) = error.get_ref()
        && inner.is::<rustls::Error>()
    {
        return Trouble::Tls(reason(error));
    }
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput => Trouble::Malformed,
        _ => Trouble::Closed,
    }
}

#[cfg(test)]
mod tests;
