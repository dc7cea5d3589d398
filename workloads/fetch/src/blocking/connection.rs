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
use ureq::{
    Error, Timeout,
    config::Config,
    http::{Uri, uri::Scheme},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport},
    },
};

use super::super::{MAX_WAIT, failure::TransportError, lookup};
/// No connection could be established, for this reason.
#[derive(Debug)]
pub(super) struct Unreachable(pub(super) String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Unreachable {}

fn unreachable(why: impl Into<String>) -> Error {
    Error::Other(Box::new(Unreachable(why.into())))
}

/// Establishes connections.
#[derive(Debug)]
pub(super) struct Dialer {
    bell: Bell,
}

impl Dialer {
    pub(super) fn new(bell: Bell) -> Self {
        Self { bell }
    }

    /// Connects to the first address that answers. The remaining time is divided among the
    /// remaining addresses.
    fn first(&self, addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
        let deadline = deadline(timeout);
        let mut failed = None;
        for (nth, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - nth).unwrap_or(u32::MAX);
            match self.connect(*address, Instant::now() + share) {
                Ok(stream) => return Ok(stream),
                Err(error) => _ = failed.get_or_insert(error),
            }
        }
        Err(failed.unwrap_or(Error::HostNotFound))
    }

    fn connect(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, Error> {
        let failed = |error: Errno| unreachable(reason(&error.into()));
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        match connect(&socket, &address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                let stream = PollFd::new(&socket, PollFlags::OUT);
                wait(stream, &self.bell, deadline, Timeout::Connect)?;
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

impl Connector for Dialer {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Connection>, Error> {
        let stream = self.first(&details.addrs, details.timeout)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { stream, bell: self.bell.clone(), buffers }))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    bell: Bell,
    buffers: LazyBuffers,
}

impl Connection {
    /// Waits for a poll event of the stream.
    fn wait(&self, what: PollFlags, deadline: Instant, reason: Timeout) -> Result<(), Error> {
        wait(PollFd::new(&self.stream, what), &self.bell, deadline, reason)
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let (deadline, mut sent) = (deadline(timeout), 0);
        while sent < amount {
            match self.stream.write(&self.buffers.output()[sent..amount]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, deadline, timeout.reason)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let deadline = deadline(timeout);
        loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(length) => {
                    self.buffers.input_appended(length);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN, deadline, timeout.reason)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the connection can be used again. Not if unexpected bytes have arrived.
    fn is_open(&mut self) -> bool {
        matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
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
        lookup::start(host, port, done).map_err(not_found)?;
        self.receive(&found_rx, deadline, timeout.reason)?.map_err(not_found)
    }

    fn receive<T>(&self, from: &Receiver<T>, deadline: Instant, reason: Timeout) -> Result<T, Error> {
        select! {
            recv(from) -> received => received.map_err(|_| unreachable("the lookup failed")),
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

fn not_found(error: TransportError) -> Error {
    match error {
        TransportError::Unreachable(why) => unreachable(why),
        _ => Error::HostNotFound,
    }
}
