//! Connections whose waits end with a stop: each wait is a `poll` of the socket and of the bell.

use std::{
    error, fmt,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::LazyLock,
    time::Instant,
};

use cc_core::{error::reason, stop::Bell};
use crossbeam_channel::{Receiver, Sender, at, bounded, select};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt::socket_error},
};
use rustls::{ClientConnection, StreamOwned};
use ureq::{
    Error, Timeout,
    config::Config,
    http::{Uri, uri::Scheme},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport},
    },
};

use super::super::{
    MAX_WAIT,
    failure::TransportError,
    lookup::{self, Refusals},
    tls::{self, Trust},
};
/// No connection could be established, for this reason.
#[derive(Debug)]
pub(super) struct NoConnection(pub(super) TransportError);

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl error::Error for NoConnection {}

fn no_connection(why: TransportError) -> Error {
    Error::Other(Box::new(NoConnection(why)))
}

/// Establishes connections.
#[derive(Debug)]
pub(super) struct Dialer {
    bell: Bell,
    trust: Trust,
}

impl Dialer {
    pub(super) fn new(bell: Bell, trust: Trust) -> Self {
        Self { bell, trust }
    }

    /// Connects to the first address that answers. The remaining time is divided among the
    /// remaining addresses.
    fn first(&self, addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, TransportError> {
        let mut refusals = Refusals::default();
        for (nth, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = lookup::share(left, addresses.len() - nth - 1);
            match self.connect(*address, Instant::now() + share) {
                Ok(stream) => return Ok(stream),
                Err(why) => refusals.push(*address, why),
            }
        }
        Err(refusals.into_error())
    }

    fn connect(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, TransportError> {
        let failed = |error: Errno| TransportError::Unreachable(reason(&error.into()));
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        match connect(&socket, &address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                let stream = PollFd::new(&socket, PollFlags::OUT);
                wait(stream, &self.bell, deadline, Timeout::Connect).map_err(|error| match error {
                    Error::Timeout(_) => TransportError::TimedOut,
                    // A stop: the result is meaningless.
                    _ => TransportError::Closed,
                })?;
                socket_error(&socket).map_err(failed)?.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        let stream = TcpStream::from(socket);
        // Best effort: disables Nagle's algorithm; otherwise a small request waits for an
        // acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Dialer {
    /// Connects to a host, and makes the handshake of TLS if the scheme is https.
    fn stream(&self, details: &ConnectionDetails) -> Result<Stream, Error> {
        let deadline = deadline(details.timeout);
        let stream = self.first(&details.addrs, deadline).map_err(no_connection)?;
        let socket = Socket { stream, bell: self.bell.clone(), deadline, reason: Timeout::Connect };
        if !details.needs_tls() {
            return Ok(Stream::Plain(socket));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        self.secured(socket, host)
    }

    fn secured(&self, mut socket: Socket, host: &str) -> Result<Stream, Error> {
        let config = self.trust.config().map_err(no_connection)?;
        let name = tls::server_name(host).map_err(no_connection)?;
        let mut conn = ClientConnection::new(config, name)
            .map_err(|error| no_connection(TransportError::Tls(error.to_string())))?;
        conn.complete_io(&mut socket).map_err(|error| match tls::error_of(&error, host) {
            Some(why) => no_connection(why),
            None => error.into(),
        })?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(conn, socket))))
    }
}

impl Connector for Dialer {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Connection>, Error> {
        let stream = self.stream(details)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { stream, buffers }))
    }
}

/// A socket. Its reads and writes wait until data or room is there, the deadline has passed, or a
/// stop is requested.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    bell: Bell,
    deadline: Instant,
    /// Which timeout the deadline is of.
    reason: Timeout,
}

impl Socket {
    fn wait_until(&mut self, timeout: NextTimeout) {
        (self.deadline, self.reason) = (deadline(timeout), timeout.reason);
    }

    /// Calls this until it would not block.
    fn ready<T>(
        &mut self,
        what: PollFlags,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let stream = PollFd::new(&self.stream, what);
                    wait(stream, &self.bell, self.deadline, self.reason).map_err(Error::into_io)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                called => return called,
            }
        }
    }

    /// Whether nothing has arrived, not even an end.
    fn is_silent(&self) -> bool {
        matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ready(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ready(PollFlags::OUT, |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connected stream. The state of TLS is boxed, because it is large and most connections have
/// none.
#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// The last connector of the chain: makes connections with and without TLS one type.
#[derive(Debug)]
pub(super) struct Boxing;

impl<T: Transport> Connector<T> for Boxing {
    type Out = Box<dyn Transport>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Box::new(inner) as Box<dyn Transport>))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    buffers: LazyBuffers,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.socket().wait_until(timeout.for_write());
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.socket().wait_until(timeout.for_read());
        let length = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    /// Whether the connection can be used again. Not if unexpected bytes have arrived.
    fn is_open(&mut self) -> bool {
        self.stream.socket().is_silent()
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

fn deadline(timeout: NextTimeout) -> Instant {
    let left = if timeout.after.is_not_happening() { MAX_WAIT } else { *timeout.after };
    Instant::now() + left.min(MAX_WAIT)
}

fn wait<'a>(what: PollFd<'a>, bell: &'a Bell, deadline: Instant, reason: Timeout) -> Result<(), Error> {
    let mut both = [what, PollFd::new(bell, PollFlags::IN)];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("MAX_WAIT limits the time");
        match poll(&mut both, Some(&left)) {
            Ok(0) => return Err(Error::Timeout(reason)),
            Ok(_) if !both[1].revents().is_empty() => return Err(stopped()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

fn stopped() -> Error {
    io::Error::other("stopped").into()
}

/// Permits for lookups, which belong to the process and not to a client. There may be a client for
/// each of hundreds of requests, and a lookup continues after its attempt has given up.
static PERMITS: LazyLock<(Sender<()>, Receiver<()>)> = LazyLock::new(|| {
    let (permits_tx, permits_rx) = bounded(lookup::LOOKUPS);
    (0..lookup::LOOKUPS).for_each(|_| permits_tx.send(()).expect("the channel has room for all permits"));
    (permits_tx, permits_rx)
});

/// Resolves host names. The receiver is disconnected when a stop is requested, which ends the
/// waits.
#[derive(Debug)]
pub(super) struct Lookup(pub(super) Receiver<()>);

impl Resolver for Lookup {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let missing = || Error::BadUri(uri.to_string());
        let (scheme, authority) = (uri.scheme().ok_or_else(missing)?, uri.authority().ok_or_else(missing)?);
        let host = authority.host();
        let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default);
        let found = lookup::known(host, port).map_or_else(|| self.look_up(host, port, timeout), Ok)?;
        let mut addresses = self.empty();
        found.into_iter().for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}

impl Lookup {
    fn look_up(&self, host: &str, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
        let (permits_tx, permits_rx) = &*PERMITS;
        let deadline = deadline(timeout);
        self.receive(permits_rx, deadline, timeout.reason)?;
        let permit = Permit(permits_tx);
        let (found_tx, found_rx) = bounded(1);
        let done = move |found| {
            drop(permit);
            // The receiver is gone if the attempt has ended.
            let _ = found_tx.send(found);
        };
        lookup::start(host, port, done).map_err(no_connection)?;
        self.receive(&found_rx, deadline, timeout.reason)?.map_err(no_connection)
    }

    fn receive<T>(&self, from: &Receiver<T>, deadline: Instant, reason: Timeout) -> Result<T, Error> {
        select! {
            recv(from) -> received => received.map_err(|_| lookup_failed()),
            recv(self.0) -> _ => Err(stopped()),
            recv(at(deadline)) -> _ => Err(Error::Timeout(reason)),
        }
    }
}

/// A permit for a lookup. Dropping it returns it.
struct Permit(&'static Sender<()>);

impl Drop for Permit {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

fn lookup_failed() -> Error {
    no_connection(TransportError::Unreachable("the lookup failed".to_owned()))
}
