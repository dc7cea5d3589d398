//! How a connection is made.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cc_workloads::{error::reason, fetch::Trouble};
use hyper::http::uri::Authority;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::either::Either;

use super::io_trouble;

/// A host may have more addresses, but so many are tried.
const MOST_ADDRESSES: usize = 16;

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
        Self { timeout, tls: Arc::new(config).into() }
    }

    pub(super) async fn stream(&self, peer: &Peer) -> Result<Stream, Trouble> {
        let host = peer.authority.host().trim_matches(['[', ']']);
        let port = peer.authority.port_u16().unwrap_or(if peer.is_tls { 443 } else { 80 });
        let stream = self.first(&lookup(host, port).await?).await?;
        // Without it, it is slower.
        let _ = stream.set_nodelay(true);
        if !peer.is_tls {
            return Ok(Either::Left(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Trouble::Tls(error.to_string()))?;
        let tls = self.tls.connect(name, stream).await.map_err(|error| io_trouble(&error))?;
        Ok(Either::Right(Box::new(tls)))
    }

    /// A connection to the first of the addresses that answers. Each has its share of the time.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
        let mut failed = Trouble::Unreachable(NO_SUCH_HOST.to_owned());
        for address in addresses {
            let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = Trouble::Unreachable(reason(&error)),
                Err(_) => failed = Trouble::TimedOut,
            }
        }
        Err(failed)
    }
}

const NO_SUCH_HOST: &str = "no such host";

/// The addresses of a host. Those of a name have to be looked up by a thread of the blocking pool, as the system has no call that
/// does not block.
async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
    // This machine, whatever anybody says (RFC 6761).
    let host = if host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
    let found = lookup_host((host, port)).await.map_err(|_| Trouble::Unreachable(NO_SUCH_HOST.to_owned()))?;
    Ok(found.take(MOST_ADDRESSES).collect())
}
