//! A worker's connections: how many there may be, and for how long without the token.
//!
//! Every peer that reaches the port can connect. It costs a descriptor and a little memory, and
//! must not keep a coordinator out: a connection is closed unless one of its calls brings the token
//! in time, and of those that have brought none the oldest is closed for each that comes when there
//! are too many.

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
    /// Connections at once. A coordinator has two, another worker one; the kernel's queue holds
    /// those that come beyond.
    pub(super) connections: usize,
    /// Of these, connections that have not brought the token: a sound peer brings it within a round
    /// trip.
    pub(super) unauthenticated: usize,
    /// When a connection that has not brought the token is closed.
    pub(super) patience: Duration,
}

impl Default for Limits {
    /// Together with the files of as many sessions as there may be, less than the usual limit of
    /// 1024 descriptors.
    fn default() -> Self {
        Self { connections: 512, unauthenticated: 64, patience: Duration::from_secs(5) }
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
    /// Those that have not brought the token, the oldest first. A plain lock: it is held for a few
    /// operations.
    unauthenticated: Mutex<VecDeque<Peer>>,
    /// A connection has been closed, so there is a descriptor again.
    closed: Notify,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, limits: Limits, log: Log) -> Self {
        let permits = Arc::new(Semaphore::new(limits.connections));
        let registry = Registry { limits, log, unauthenticated: Mutex::default(), closed: Notify::new() };
        Self { listener, permits, registry: Arc::new(registry) }
    }

    /// The connections, as they come. It ends with an error of the listener.
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
        let expiry = timeout(self.limits.patience, peer.0.close.clone().cancelled_owned());
        let expiry: Expiry = Box::pin(async move { _ = expiry.await });
        Connection { stream, peer, expiry: Some(expiry), _permit: permit }
    }

    /// There is no descriptor left: closes the oldest connection without the token, and waits until
    /// any is closed. Files are closed, too, which this cannot see, so it waits for this long at
    /// most.
    async fn make_room(&self, pause: Duration) {
        self.unauthenticated().pop_front().inspect(Peer::close);
        let _ = timeout(pause, self.closed.notified()).await;
    }

    fn forget(&self, peer: &Peer) {
        self.unauthenticated().retain(|other| !Arc::ptr_eq(&other.0, &peer.0));
    }

    fn unauthenticated(&self) -> MutexGuard<'_, VecDeque<Peer>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end of a connection. A service finds it in the extensions of each request. Clones are
/// the same peer.
#[derive(Clone)]
pub(super) struct Peer(Arc<Identity>);

struct Identity {
    address: SocketAddr,
    /// Whether it has brought the token.
    is_authenticated: AtomicBool,
    /// Cancelled to close the connection.
    close: CancellationToken,
    registry: Arc<Registry>,
}

impl Peer {
    /// Who has sent this request.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().expect("every connection of the acceptor has it")
    }

    /// A call has brought the token.
    pub(super) fn authenticate(&self) {
        if !self.0.is_authenticated.swap(true, Ordering::Relaxed) {
            self.0.registry.forget(self);
        }
    }

    /// A call has brought a wrong token, or none.
    pub(super) fn refuse(&self) {
        self.0.registry.log.refused(self.0.address);
    }

    /// Reports what has happened to it.
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

/// Ready when a connection without the token is to be closed.
type Expiry = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An accepted connection. Reading from it fails when its peer has not brought the token in time.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// None from the first read on that finds the peer authenticated.
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
        // The acceptor is a task of the same thread: it runs when the stream has been closed, too.
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

    const LIMITS: Limits = Limits { connections: 3, unauthenticated: 2, patience: Duration::from_millis(50) };

    struct Door {
        address: SocketAddr,
        acceptor: Acceptor,
    }

    impl Door {
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
    fn a_connection_is_closed_in_time_unless_it_brings_the_token() {
        current_thread().unwrap().block_on(async {
            let door = Door::open(LIMITS).await;
            let (_client, mut silent) = door.connect().await;
            assert_eq!(read(&mut silent).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            drop(silent);
            let (mut client, mut authenticated) = door.connect().await;
            authenticated.peer.authenticate();
            assert!(timeout(LIMITS.patience * 3, read(&mut authenticated)).await.is_err(), "it stays open");
            client.write_u8(7).await.unwrap();
            assert_eq!(read(&mut authenticated).await.unwrap(), 7);
            assert!(door.acceptor.registry.unauthenticated().is_empty());
        });
    }

    #[test]
    fn the_oldest_without_the_token_makes_room_and_no_other() {
        current_thread().unwrap().block_on(async {
            let door = Door::open(Limits { patience: Duration::from_secs(600), ..LIMITS }).await;
            let (mut client, authenticated) = door.connect().await;
            authenticated.peer.authenticate();
            let (_one, mut first) = door.connect().await;
            let (_two, second) = door.connect().await;
            // All places are taken, and the next waits for one.
            let mut next = TcpStream::connect(door.address).await.unwrap();
            let mut accepting = pin!(door.acceptor.accept());
            assert!(futures::poll!(accepting.as_mut()).is_pending());
            drop(second);
            let mut third = accepting.await.unwrap();
            drop(authenticated);
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            let (_three, _fourth) = door.connect().await;
            assert_eq!(read(&mut first).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            next.write_u8(7).await.unwrap();
            assert_eq!(read(&mut third).await.unwrap(), 7);
        });
    }

    #[test]
    fn the_stream_ends_with_the_listener_only() {
        current_thread().unwrap().block_on(async {
            let Door { address, acceptor } = Door::open(LIMITS).await;
            let mut connections = pin!(acceptor.connections());
            for _ in 0..2 * LIMITS.connections {
                let _client = TcpStream::connect(address).await.unwrap();
                drop(connections.next().await.unwrap().unwrap());
            }
        });
    }
}
