//! Accepts a worker's connections: limits how many there are, and how long they may be without the
//! token.
//!
//! Every peer that reaches the port can connect, which costs a descriptor and some memory. It must
//! not keep a coordinator out. So a connection is closed unless one of its calls has the token in
//! time. When there are too many connections without it, each new one closes the oldest of them.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use cc_workloads::kv::accept_again;
use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::server::Connected};

use super::log::Log;

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Maximum connections. A coordinator has two, another worker one. Further connections wait in
    /// the kernel's backlog.
    pub(super) connections: usize,
    /// Maximum of these that are not authenticated. A correct peer sends the token within a round
    /// trip, so there are few at a time.
    pub(super) unauthenticated: usize,
    /// When a connection that is not authenticated is closed.
    pub(super) authenticate_within: Duration,
}

impl Default for Limits {
    /// Together with the files of the maximum of sessions, fewer than the usual limit of 1024
    /// descriptors.
    fn default() -> Self {
        Self { connections: 512, unauthenticated: 64, authenticate_within: Duration::from_secs(5) }
    }
}

/// Accepts connections within limits.
pub(super) struct Acceptor {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    registry: Arc<Registry>,
}

struct Registry {
    limits: Limits,
    log: Log,
    /// The peers that are not authenticated, the oldest first. A plain lock: it is held for a few
    /// operations.
    unauthenticated: Mutex<VecDeque<Peer>>,
    /// Notified when a connection was closed, so that a descriptor is free again.
    closed: Notify,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, limits: Limits, log: Log) -> Self {
        let permits = Arc::new(Semaphore::new(limits.connections));
        let registry = Registry { limits, log, unauthenticated: Mutex::default(), closed: Notify::new() };
        Self { listener, permits, registry: Arc::new(registry) }
    }

    /// The connections that are accepted, until the listener fails.
    pub(super) fn connections(self) -> impl Stream<Item = io::Result<Connection>> {
        stream::unfold(self, async |acceptor| Some((acceptor.accept().await, acceptor)))
    }

    async fn accept(&self) -> io::Result<Connection> {
        let permit = self.permits.clone().acquire_owned().await.expect("it is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return Ok(self.registry.enter(stream, address, permit)),
                Err(error) => {
                    let pause = accept_again(&error).ok_or(error)?;
                    if !pause.is_zero() {
                        self.registry.make_room(pause).await;
                    }
                }
            }
        }
    }
}

impl Registry {
    fn enter(
        self: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> Connection {
        // Disables Nagle's algorithm: otherwise a small reply waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let identity = Identity {
            address,
            is_authenticated: AtomicBool::new(false),
            close: CancellationToken::new(),
            registry: self.clone(),
        };
        let peer = Peer(Arc::new(identity));
        let mut unauthenticated = self.unauthenticated();
        if unauthenticated.len() >= self.limits.unauthenticated {
            unauthenticated.pop_front().inspect(Peer::close);
        }
        unauthenticated.push_back(peer.clone());
        drop(unauthenticated);
        let expiry = timeout(self.limits.authenticate_within, peer.0.close.clone().cancelled_owned());
        let expiry: Expiry = Box::pin(async move { _ = expiry.await });
        Connection { stream, peer, expiry: Some(expiry), _permit: permit }
    }

    /// Called when no descriptor is left. Closes the oldest connection without the token, and waits
    /// until any connection is closed, at most for this pause: files, whose end is not notified,
    /// free descriptors too.
    async fn make_room(&self, pause: Duration) {
        self.unauthenticated().pop_front().inspect(Peer::close);
        let _ = timeout(pause, self.closed.notified()).await;
    }

    fn forget(&self, peer: &Peer) {
        self.unauthenticated().retain(|other| !Arc::ptr_eq(&other.0, &peer.0));
    }

    fn unauthenticated(&self) -> MutexGuard<'_, VecDeque<Peer>> {
        // No foreign code runs under the lock, so a panic cannot leave the queue half-changed.
        self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end of a connection. It is in the extensions of each of its requests. Clones are the
/// same peer.
#[derive(Clone)]
pub(super) struct Peer(Arc<Identity>);

struct Identity {
    address: SocketAddr,
    /// Whether a call had the token. An atomic only because a peer must be `Sync`: one thread uses
    /// it, so relaxed ordering suffices.
    is_authenticated: AtomicBool,
    /// Cancelled to close the connection.
    close: CancellationToken,
    registry: Arc<Registry>,
}

impl Peer {
    /// The peer that has sent this request.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().expect("the acceptor adds it to every connection")
    }

    /// Records that a call had the token.
    pub(super) fn authenticate(&self) {
        if !self.0.is_authenticated.swap(true, Ordering::Relaxed) {
            self.0.registry.forget(self);
        }
    }

    /// Records that a call had a wrong token, or none.
    pub(super) fn refuse(&self) {
        self.0.registry.log.refused(self.0.address);
    }

    /// Reports an event of this peer.
    pub(super) fn report(&self, what: impl std::fmt::Display) {
        self.0.registry.log.report(self.0.address, what);
    }

    fn is_authenticated(&self) -> bool {
        self.0.is_authenticated.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.0.close.cancel();
    }
}

/// Completes when a connection without the token must be closed.
type Expiry = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An accepted connection. Reading from it fails if its peer is not authenticated in time.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Dropped by the first read after the peer was authenticated.
    expiry: Option<Expiry>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let registry = &self.peer.0.registry;
        registry.forget(&self.peer);
        // The stream is closed after this. But the acceptor is a task of the same thread, so it
        // runs only when that has happened.
        registry.closed.notify_one();
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.peer.is_authenticated() {
            self.expiry = None;
        }
        if let Some(expiry) = &mut self.expiry
            && expiry.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::cluster::runtime::current_thread;

    const LIMITS: Limits =
        Limits { connections: 3, unauthenticated: 2, authenticate_within: Duration::from_millis(50) };

    struct TestAcceptor {
        address: SocketAddr,
        acceptor: Acceptor,
    }

    impl TestAcceptor {
        async fn open(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            Self { address, acceptor: Acceptor::new(listener, limits, Log::silent()) }
        }

        /// Both ends of a connection.
        async fn connect(&self) -> (TcpStream, Connection) {
            let client = TcpStream::connect(self.address).await.unwrap();
            (client, self.acceptor.accept().await.unwrap())
        }
    }

    async fn read(connection: &mut Connection) -> io::Result<u8> {
        connection.read_u8().await
    }

    #[test]
    fn a_connection_is_closed_in_time_unless_it_is_authenticated() {
        current_thread().unwrap().block_on(async {
            let server = TestAcceptor::open(LIMITS).await;
            let (_client, mut silent) = server.connect().await;
            assert_eq!(read(&mut silent).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            drop(silent);
            let (mut client, mut authenticated) = server.connect().await;
            authenticated.peer.authenticate();
            assert!(
                timeout(LIMITS.authenticate_within * 3, read(&mut authenticated)).await.is_err(),
                "it stays open"
            );
            client.write_u8(7).await.unwrap();
            assert_eq!(read(&mut authenticated).await.unwrap(), 7);
            assert!(server.acceptor.registry.unauthenticated().is_empty());
        });
    }

    #[test]
    fn the_oldest_without_the_token_makes_room_and_no_other() {
        current_thread().unwrap().block_on(async {
            let server =
                TestAcceptor::open(Limits { authenticate_within: Duration::from_secs(600), ..LIMITS }).await;
            let (mut client, authenticated) = server.connect().await;
            authenticated.peer.authenticate();
            let (_one, mut first) = server.connect().await;
            let (_two, second) = server.connect().await;
            // The maximum of connections is reached, and the next one waits.
            let mut next = TcpStream::connect(server.address).await.unwrap();
            let mut next_accepted = pin!(server.acceptor.accept());
            assert!(futures::poll!(next_accepted.as_mut()).is_pending());
            drop(second);
            let mut third = next_accepted.await.unwrap();
            drop(authenticated);
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            let (_three, _fourth) = server.connect().await;
            assert_eq!(read(&mut first).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            next.write_u8(7).await.unwrap();
            assert_eq!(read(&mut third).await.unwrap(), 7);
        });
    }

    #[test]
    fn the_stream_ends_with_the_listener_only() {
        current_thread().unwrap().block_on(async {
            let TestAcceptor { address, acceptor } = TestAcceptor::open(LIMITS).await;
            let mut connections = pin!(acceptor.connections());
            for _ in 0..2 * LIMITS.connections {
                let _client = TcpStream::connect(address).await.unwrap();
                drop(connections.next().await.unwrap().unwrap());
            }
        });
    }
}
