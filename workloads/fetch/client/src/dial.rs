//! Establishes connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cc_core::error::reason;
use cc_fetch::{
    Settings, TransportError, Trust,
    lookup::{self, LOOKUPS, Refusals},
    tls,
};
use http::uri::Authority;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use crate::io_error;

/// The server of a connection.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) is_tls: bool,
    pub(super) authority: Authority,
}

/// A transport for HTTP. The state of TLS is boxed, because it is large and most connections have
/// none.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Establishes connections.
pub(super) struct Dialer {
    timeout: Duration,
    trust: Trust,
    /// Permits for lookups.
    lookups: Arc<Semaphore>,
}

impl Dialer {
    /// A dialer without connections.
    pub(super) fn new(settings: &Settings) -> Self {
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Self { timeout: settings.timeout(), trust: settings.trust.clone(), lookups }
    }

    /// Looks the host up within the timeout. Then connects, and makes the handshake of TLS if it is
    /// used, within the timeout.
    pub(super) async fn stream(&self, peer: &Peer) -> Result<Stream, TransportError> {
        let host = peer.authority.host().trim_matches(['[', ']']);
        let port = peer.authority.port_u16().unwrap_or(if peer.is_tls { 443 } else { 80 });
        let addresses = match lookup::known(host, port) {
            Some(addresses) => addresses,
            None => by(self.deadline(), self.look_up(host, port)).await??,
        };
        let deadline = self.deadline();
        let stream = Self::first(&addresses, deadline).await?;
        // Best effort: disables Nagle's algorithm; otherwise a small request waits for an
        // acknowledgement.
        let _ = stream.set_nodelay(true);
        if !peer.is_tls {
            return Ok(Either::Left(stream));
        }
        let connector = TlsConnector::from(self.trust.config()?);
        let secured = by(deadline, connector.connect(tls::server_name(host)?, stream)).await?;
        let error_of = |error| tls::error_of(&error, host).unwrap_or_else(|| io_error(&error));
        Ok(Either::Right(Box::new(secured.map_err(error_of)?)))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Looks up a name on a separate thread, because `getaddrinfo` blocks. If the future is
    /// dropped, the thread is not waited for.
    async fn look_up(&self, host: &str, port: u16) -> lookup::Found {
        let permit = self.lookups.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (found_tx, found_rx) = oneshot::channel();
        let done = move |found| {
            drop(permit);
            // The receiver is gone if the attempt has ended.
            let _ = found_tx.send(found);
        };
        lookup::start(host, port, done)?;
        found_rx.await.unwrap_or_else(|_| Err(TransportError::Unreachable("the lookup failed".to_owned())))
    }

    /// Connects to the first address that answers. The remaining time is divided among the
    /// remaining addresses.
    async fn first(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, TransportError> {
        let mut refusals = Refusals::default();
        for (nth, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            let share = lookup::share(left, addresses.len() - nth - 1);
            match by(now + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => refusals.push(*address, TransportError::Unreachable(reason(&error))),
                Err(late) => refusals.push(*address, late),
            }
        }
        Err(refusals.into_error())
    }
}

async fn by<T>(deadline: Instant, future: impl Future<Output = T>) -> Result<T, TransportError> {
    timeout_at(deadline, future).await.map_err(|_| TransportError::TimedOut)
}
