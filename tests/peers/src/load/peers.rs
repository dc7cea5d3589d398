//! The connections, and the event loop's wait for any of them.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{self, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token, event::Source, net::TcpStream};

use crate::{
    connect::SILENCE_LIMIT,
    replies::{Replies, Tally},
    requests::Drawn,
};

/// Size of a read, in bytes.
const READ: usize = 64 * 1024;

pub(super) struct Peers {
    poll: Poll,
    peers: Vec<Peer>,
    /// The server's address, for messages.
    address: SocketAddr,
    buffer: Vec<u8>,
    pub(super) tally: Tally,
    /// Reads among the requests that were sent.
    pub(super) reads: u64,
    pub(super) sent: u64,
}

struct Peer {
    stream: TcpStream,
    replies: Replies,
    /// Bytes that the socket has not taken yet.
    unsent: Vec<u8>,
}

/// What a poll event says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) at: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Nothing follows the bytes that can be read now.
    pub(super) closed: bool,
}

impl Peers {
    pub(super) fn new(streams: Vec<net::TcpStream>, address: SocketAddr) -> Result<Self> {
        let poll = Poll::new()?;
        let mut peers = Vec::with_capacity(streams.len());
        for (at, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            peers.push(Peer { stream, replies: Replies::default(), unsent: Vec::new() });
        }
        let (buffer, tally) = (vec![0; READ], Tally::default());
        Ok(Self { poll, peers, address, buffer, tally, reads: 0, sent: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Registers another source of events. Its number is that after the last connection.
    pub(super) fn register(&self, source: &mut impl Source) -> io::Result<()> {
        self.poll.registry().register(source, Token(self.peers.len()), Interest::READABLE)
    }

    /// Waits for events.
    ///
    /// # Errors
    ///
    /// There was no event for [`SILENCE_LIMIT`].
    pub(super) fn wait(&mut self, events: &mut Events) -> Result<()> {
        match self.poll.poll(events, Some(SILENCE_LIMIT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            Err(error) => return Err(error.into()),
            Ok(()) if events.is_empty() => {
                bail!("{} has said nothing for {} s", self.address, SILENCE_LIMIT.as_secs())
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Sends the drawn requests. Bytes that the socket does not take are sent when it is writable.
    pub(super) fn send(&mut self, at: usize, count: u64, Drawn { bytes, reads }: Drawn<'_>) -> Result<()> {
        let peer = &mut self.peers[at];
        debug_assert!(peer.unsent.is_empty(), "unsent bytes come first");
        let taken = write(&mut peer.stream, bytes).with_context(|| self.address.to_string())?;
        peer.unsent.extend_from_slice(&bytes[taken..]);
        self.reads += reads;
        self.sent += count;
        Ok(())
    }

    /// Tries to send the unsent bytes again, and returns whether the socket has taken all.
    pub(super) fn is_sent(&mut self, at: usize) -> Result<bool> {
        let peer = &mut self.peers[at];
        if !peer.unsent.is_empty() {
            let taken = write(&mut peer.stream, &peer.unsent).with_context(|| self.address.to_string())?;
            peer.unsent.drain(..taken);
        }
        Ok(peer.unsent.is_empty())
    }

    /// Reads all available bytes, and returns how many replies were completed.
    ///
    /// # Errors
    ///
    /// The server has closed the connection, or sent something that is not a reply.
    pub(super) fn receive(&mut self, Readiness { at, closed, .. }: Readiness) -> Result<usize> {
        let peer = &mut self.peers[at];
        let mut ended = 0;
        loop {
            let read = match peer.stream.read(&mut self.buffer) {
                Ok(0) => bail!("{} hung up", self.address),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(ended),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).with_context(|| format!("{} hung up", self.address)),
            };
            let fed = peer.replies.feed(&self.buffer[..read], &mut self.tally);
            ended += fed.with_context(|| self.address.to_string())?;
            // A short read has emptied the socket; bytes that arrive later are another event.
            if read < self.buffer.len() && !closed {
                return Ok(ended);
            }
        }
    }
}

fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(some) => taken += some,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Reads a poll event. A closed connection counts as readable, so that the next read finds out.
pub(super) fn readiness(event: &mio::event::Event) -> Readiness {
    let closed = event.is_read_closed() || event.is_error();
    let readable = event.is_readable() || closed;
    Readiness { at: event.token().0, readable, writable: event.is_writable(), closed }
}

/// Nanoseconds as a `u64`, which is enough for centuries.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
