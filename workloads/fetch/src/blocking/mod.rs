//! A blocking HTTP client, for models whose workers may block: it makes a request on the calling
//! thread.
//!
//! The client is `ureq`, which implements HTTP, with our own connections: each wait for a server
//! also ends when a stop is requested. Redirects, retries and compression are handled by
//! [`Download`] instead of `ureq`.

mod connection;
mod ends;

use std::{
    io::{self, ErrorKind, Read},
    time::{Instant, SystemTime},
};

use cc_core::{
    error::Result,
    stop::{OnRequest, Stop},
};
use crossbeam_channel::bounded;
use ureq::{Agent, Body, config::AutoHeaderValue, http::Response, unversioned::transport::Connector};

use self::{
    connection::{Dialer, Lookup, NoConnection},
    ends::{Checker, End, content},
};
use super::{RequestHeader, Settings, attempt::Attempted, download::Download, failure::TransportError, tls};
/// Size of the reads of a body.
const READ_SIZE: usize = 16 << 10;
/// Maximum bytes of the head of an answer.
const MAX_HEAD: usize = 16 << 10;
/// Maximum bytes of a request, without the headers of the settings.
const MAX_REQUEST: usize = 16 << 10;
/// An unneeded body of at most this size is read to its end: that is cheaper than another
/// connection.
const MAX_DRAIN: u64 = 16 << 10;

/// A client and its idle connections. Threads may share it.
pub struct Client {
    agent: Agent,
    stop: Stop,
    _on_stop: [OnRequest; 2],
}

impl Client {
    /// A client without connections. Its waits end when the stop is requested.
    pub fn new(settings: &Settings, stop: &Stop) -> Result<Self> {
        let (bell, rings) = stop.bell()?;
        let (stopped_tx, stopped_rx) = bounded(0);
        let ends_lookups = stop.on_request(move || drop(stopped_tx));
        let timeout = settings.timeout();
        let headers: usize = settings.headers.iter().map(RequestHeader::size).sum();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(MAX_HEAD)
            .input_buffer_size(MAX_HEAD)
            .output_buffer_size(MAX_REQUEST + headers)
            .max_idle_connections(settings.concurrency)
            .max_idle_connections_per_host(settings.per_host)
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout))
            .build();
        let connector = Dialer::new(bell, settings.trust.clone()).chain(Checker);
        let agent = Agent::with_parts(config, connector, Lookup(stopped_rx));
        Ok(Self { agent, stop: stop.clone(), _on_stop: [rings, ends_lookups] })
    }

    /// Makes an attempt. It ends early when the stop is requested; its result is then meaningless.
    #[must_use]
    pub fn attempt(&self, mut download: Box<Download>) -> Attempted {
        if let Err(error) = self.exchange(&mut download) {
            download.on_error(error);
        }
        download.finish(Instant::now())
    }

    fn exchange(&self, download: &mut Download) -> Result<(), TransportError> {
        let (head, body) = self.ask(download)?.into_parts();
        if download.on_head(&head, SystemTime::now()).is_break() {
            drain(body);
            return Ok(());
        }
        self.read(body, |bytes| download.on_body(bytes).is_continue())
    }

    /// Sends the request and waits for the head of the answer. A server may close an idle
    /// connection while the request is on its way. GET is idempotent, so the request is sent again
    /// (RFC 9112, 9.3.1). Each iteration uses up one idle connection.
    fn ask(&self, download: &Download) -> Result<Response<Body>, TransportError> {
        let (began, time_left) = (Instant::now(), download.time_left(Instant::now()));
        let request = download.request();
        loop {
            let left = time_left.saturating_sub(began.elapsed());
            let request = self.agent.configure_request(request.clone()).timeout_global(Some(left)).build();
            match self.agent.run(request) {
                Err(ureq::Error::Io(error)) if End::of(&error) == Some(End::Stale) => {}
                answered => return answered.map_err(transport_error),
            }
        }
    }

    /// Reads the body to its end, or until no more of it is needed.
    fn read(&self, body: Body, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), TransportError> {
        let (mut reader, mut buffer) = (body.into_reader(), [0; READ_SIZE]);
        while !self.stop.requested() {
            match content(|| reader.read(&mut buffer)) {
                Ok(0) => break,
                Ok(length) if take(&buffer[..length]) => {}
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(transport_error(error.into())),
            }
        }
        Ok(())
    }
}

/// Reads a small body to its end, so that the connection can be used again.
fn drain(body: Body) {
    if body.content_length().is_some_and(|length| length <= MAX_DRAIN) {
        // Best effort: otherwise the connection is closed.
        let _ = io::copy(&mut body.into_reader(), &mut io::sink());
    }
}

/// Maps an error of the client to a [`TransportError`].
fn transport_error(error: ureq::Error) -> TransportError {
    match error {
        ureq::Error::Timeout(_) => TransportError::TimedOut,
        ureq::Error::HostNotFound => TransportError::Unreachable("no such host".to_owned()),
        ureq::Error::Other(error) => match error.downcast::<NoConnection>() {
            Ok(why) => why.0,
            Err(error) => TransportError::Unreachable(error.to_string()),
        },
        ureq::Error::Io(error) => io_error(&error),
        _ => TransportError::Malformed,
    }
}

fn io_error(error: &io::Error) -> TransportError {
    match End::of(error) {
        Some(End::Orderly) => TransportError::Eof,
        Some(End::TooLong) => TransportError::Malformed,
        // The name of the host was checked before.
        None => tls::error_of(error, "the host").unwrap_or(TransportError::Closed),
        Some(End::Cut | End::Stale) => TransportError::Closed,
    }
}

#[cfg(test)]
mod tests;
