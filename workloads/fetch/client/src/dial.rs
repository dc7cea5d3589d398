//! How a connection is made.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cc_core::error::reason;
use cc_fetch::{
    Trouble,
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

use crate::io_trouble;

/// Whom a connection is with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) is_tls: bool,
    pub(super) authority: Authority,
}

/// A connection below HTTP. What TLS keeps is large, and most have none.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Makes connections.
pub(super) struct Dial {
    timeout: Duration,
    tls: TlsConnector,
    /// The lookups that may still begin.
    lookups: Arc<Semaphore>,
}

impl Dial {
    /// With the root certificates that are compiled in. All addresses of a host together have this time.
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

    pub(super) async fn stream(&self, peer: &Peer) -> Result<Stream, Trouble> {
        let host = peer.authority.host().trim_matches(['[', ']']);
        let port = peer.authority.port_u16().unwrap_or(if peer.is_tls { 443 } else { 80 });
        let addresses = match lookup::known(host, port) {
            Some(addresses) => addresses,
            None => self.look_up(host, port).await?,
        };
        let stream = self.first(&addresses).await?;
        // Without it, it is slower.
        let _ = stream.set_nodelay(true);
        if !peer.is_tls {
            return Ok(Either::Left(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Trouble::Tls(error.to_string()))?;
        let tls = self.tls.connect(name, stream).await.map_err(|error| io_trouble(&error))?;
        Ok(Either::Right(Box::new(tls)))
    }

    /// The addresses of a name, found by a thread, as the system has no call that does not block.
    /// If this is dropped, the thread is not waited for.
    async fn look_up(&self, host: &str, port: u16) -> lookup::Found {
        let permit = self.lookups.clone().acquire_owned().await.expect("it is never closed");
        let (found_tx, found_rx) = oneshot::channel();
        let done = move |found| {
            drop(permit);
            // The receiver is gone if the attempt has ended meanwhile.
            let _ = found_tx.send(found);
        };
        lookup::start(host, port, done)?;
        found_rx.await.unwrap_or_else(|_| Err(Trouble::Unreachable("the lookup failed".to_owned())))
    }

    /// A connection to the first of the addresses that answers. Each has its share of the time.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
        let mut failed = None;
        for address in addresses {
            let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
            let why = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => Trouble::Unreachable(reason(&error)),
                Err(_) => Trouble::TimedOut,
            };
            // Of several addresses, the first is the one that the host prefers.
            failed.get_or_insert(why);
        }
        Err(failed.expect("a host has an address"))
    }
}
