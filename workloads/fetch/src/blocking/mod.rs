//! A blocking HTTP client, for models whose workers may block: it makes a request on the calling
//! thread.
//!
//! An exchange is read by [`Answer`]. The connections are our own, because each wait for a server
//! must also end when a stop is requested.

mod connection;
mod pool;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use cc_core::{
    error::Result,
    stop::{OnRequest, Stop},
};
use crossbeam_channel::bounded;
use ureq::{
    Agent, Timeout,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::Resolver,
        transport::{ConnectionDetails, Connector, NextTimeout, Transport, time::Instant as UreqInstant},
    },
};

use self::{
    connection::{Boxing, Dialer, Lookup, NoConnection},
    pool::{Peer, Pool},
};
use super::{
    Settings,
    attempt::Attempted,
    download::Download,
    failure::TransportError,
    http1::{Answer, encode},
    tls,
};
/// Size of the reads of an answer.
const READ_SIZE: usize = 16 << 10;
/// Size of the writes of a request.
const WRITE_SIZE: usize = 4 << 10;

/// What connects, with TLS if the URL asks for it.
type Connect = Arc<dyn Connector<(), Out = Box<dyn Transport>>>;

/// A client and its idle connections. Threads may share it.
pub struct Client {
    config: Config,
    connector: Connect,
    lookup: Lookup,
    pool: Pool,
    timeout: Duration,
    stop: Stop,
    _on_stop: [OnRequest; 2],
}

impl Client {
    /// A client without connections. Its waits end when the stop is requested.
    pub fn new(settings: &Settings, stop: &Stop) -> Result<Self> {
        let (bell, rings) = stop.bell()?;
        let (stopped_tx, stopped_rx) = bounded(0);
        let ends_lookups = stop.on_request(move || drop(stopped_tx));
        let config = Agent::config_builder()
            .proxy(None)
            .input_buffer_size(READ_SIZE)
            .output_buffer_size(WRITE_SIZE)
            .build();
        let connector = Dialer::new(bell, settings.trust.clone()).chain(Boxing);
        Ok(Self {
            config,
            connector: Arc::new(connector),
            lookup: Lookup(stopped_rx),
            pool: Pool::new(settings),
            timeout: settings.timeout(),
            stop: stop.clone(),
            _on_stop: [rings, ends_lookups],
        })
    }

    /// Makes an attempt. It ends early when the stop is requested; its result is then meaningless.
    #[must_use]
    pub fn attempt(&self, mut download: Box<Download>) -> Attempted {
        self.exchange(&mut download);
        download.finish(Instant::now())
    }

    /// Sends the request and receives the answer. A server may close an idle connection while the
    /// request is on its way. GET is idempotent, so the request is sent again (RFC 9112, 9.3.1).
    /// Each iteration uses up one idle connection.
    fn exchange(&self, download: &mut Download) {
        let deadline = Instant::now() + download.time_left(Instant::now());
        let request = download.request();
        let (peer, bytes) = (Peer::of(request.uri()), encode(&request));
        loop {
            let mut answer = Answer::default();
            let kept = self.pool.take(&peer);
            let is_kept = kept.is_some();
            let mut connection = match kept.map_or_else(|| self.open(request.uri(), deadline), Ok) {
                Ok(connection) => connection,
                Err(error) => return answer.fail(transport_error(error), download),
            };
            match self.converse(&mut *connection, &bytes, &mut answer, download, deadline) {
                Ok(()) if answer.is_reusable() => return self.pool.keep(peer, connection),
                Ok(()) => return,
                Err(TransportError::Eof | TransportError::Closed) if is_kept && !answer.is_begun() => {}
                Err(error) => return answer.fail(error, download),
            }
        }
    }

    /// Connects to the server of this URL. The lookup has the timeout, and so have the addresses
    /// and the TLS handshake together.
    fn open(&self, uri: &Uri, deadline: Instant) -> Result<Box<dyn Transport>, ureq::Error> {
        let timeout = |reason| {
            let left = deadline.saturating_duration_since(Instant::now());
            NextTimeout { after: left.min(self.timeout).into(), reason, ..NextTimeout::default() }
        };
        let addrs = self.lookup.resolve(uri, &self.config, timeout(Timeout::Resolve))?;
        let connector = self.connector.clone();
        let connect = move |details: &ConnectionDetails| {
            connector.connect(details, None)?.ok_or(ureq::Error::ConnectionFailed)
        };
        let details = ConnectionDetails {
            uri,
            addrs,
            config: &self.config,
            request_level: false,
            resolver: &self.lookup,
            now: UreqInstant::now(),
            timeout: timeout(Timeout::Connect),
            current_time: Arc::new(UreqInstant::now),
            run_connector: Arc::new(connect.clone()),
            register_shutdown: Arc::new(|_| Ok(())),
        };
        connect(&details)
    }

    /// Sends the request and passes what arrives to the answer, to its end or until no more of it
    /// is needed.
    fn converse(
        &self,
        connection: &mut dyn Transport,
        request: &[u8],
        answer: &mut Answer,
        download: &mut Download,
        deadline: Instant,
    ) -> Result<(), TransportError> {
        for bytes in request.chunks(WRITE_SIZE) {
            connection.buffers().output()[..bytes.len()].copy_from_slice(bytes);
            connection.transmit_output(bytes.len(), self.left(deadline)?).map_err(transport_error)?;
        }
        while !self.stop.requested() {
            if !connection.await_input(self.left(deadline)?).map_err(transport_error)? {
                return Err(TransportError::Eof);
            }
            let bytes = connection.buffers().input();
            let (length, flow) = (bytes.len(), answer.receive(bytes, download, SystemTime::now())?);
            connection.buffers().input_consume(length);
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The time for a read or a write of an attempt that ends at the deadline.
    fn left(&self, deadline: Instant) -> Result<NextTimeout, TransportError> {
        let left = deadline.saturating_duration_since(Instant::now()).min(self.timeout);
        if left.is_zero() {
            return Err(TransportError::TimedOut);
        }
        Ok(NextTimeout { after: left.into(), ..NextTimeout::default() })
    }
}

/// Maps an error of a connection to a [`TransportError`].
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
    // The name of the host was checked before. Other ends, such as a reset, and TLS that ends
    // without `close_notify`, may have truncated the answer: an attacker on the network can cause
    // them.
    tls::error_of(error, "the host").unwrap_or(TransportError::Closed)
}

#[cfg(test)]
mod tests;
