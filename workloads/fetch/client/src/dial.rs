//! Establishes connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cc_core::error::reason;
use cc_fetch::{
    TransportError,
    lookup::{self, LOOKUPS},
};
use hyper::http::uri::Authority;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
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
    tls: TlsConnector,
    /// Permits for lookups.
    lookups: Arc<Semaphore>,
}

impl Dialer {
    /// With the compiled-in root certificates. The addresses of a host share the timeout.
    pub(super) fn new(timeout: Duration) -> Self {
        let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what these take")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Self { timeout, tls: Arc::new(config).into(), lookups }
    }

    pub(super) async fn stream(&self, peer: &Peer) -> Result<Stream, TransportError> {
        let host = peer.authority.host().trim_matches(['[', ']']);
        let port = peer.authority.port_u16().unwrap_or(if peer.is_tls { 443 } else { 80 });
        let addresses = match lookup::known(host, port) {
            Some(addresses) => addresses,
            None => self.look_up(host, port).await?,
        };
        let stream = self.first(&addresses).await?;
        // Best effort: disables Nagle's algorithm; otherwise a small request waits for an
        // acknowledgement.
        let _ = stream.set_nodelay(true);
        if !peer.is_tls {
            return Ok(Either::Left(stream));
        }
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| TransportError::Tls(error.to_string()))?;
        let tls = self.tls.connect(name, stream).await.map_err(|error| io_error(&error))?;
        Ok(Either::Right(Box::new(tls)))
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

    /// Connects to the first address that answers. The timeout is divided among the addresses.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<TcpStream, TransportError> {
        let mut failed = None;
        for address in addresses {
            let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
            let why = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => TransportError::Unreachable(reason(&error)),
                Err(_) => TransportError::TimedOut,
            };
            // Report the error of the first address, which the host prefers.
            failed.get_or_insert(why);
        }
        Err(failed.expect("a host has an address"))
    }
}
