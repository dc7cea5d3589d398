//! Connections between workers, one per pair of them, on which messages travel both ways in order.
//!
//! A `PeerLink` is one end of a pair of connected sockets. Each worker has one end per peer, so
//! there is one descriptor per peer to wait for. When a worker dies, the operating system closes
//! its ends, and its peers read the end of the stream after all that it had sent. (`ipc-channel`
//! would take a system call and an allocation per message. Here all messages of one turn of the
//! event loop are one write, and one read.)
//!
//! Nothing here waits: bytes that cannot be written stay in the worker's memory. So workers do not
//! wait for each other in a circle. To bound that memory, a sender must check [`Mesh::is_full`],
//! and must not send more requests than its peer can answer. A worker that does not read fills only
//! its own link.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    os::unix::net,
};

use mio::{Interest, Registry, Token, net::UnixStream};
use serde::{Serialize, de::DeserializeOwned};

/// Size above which no further message is encoded into a link's outbox, in bytes. Messages beyond
/// that are queued as they are; while there are any, the link is full.
const CHUNK: usize = 256 << 10;

/// Maximum reads from one link before other links have their turn. Messages stay in memory until
/// they are handled, and a peer may write as fast as this worker reads.
const READS: usize = 16;

/// Size of the header before each message, in bytes: the length of the message.
const HEADER: usize = size_of::<u64>();

/// A worker's links to all others.
pub struct Mesh<M> {
    registry: Registry,
    /// The token of the link to the first worker.
    first: Token,
    links: Vec<Option<PeerLink<M>>>,
    buffer: Box<[u8]>,
}

/// This worker's end of the connection to another.
struct PeerLink<M> {
    stream: UnixStream,
    /// Bytes that were read and are not a complete message yet.
    inbox: Vec<u8>,
    /// Encoded messages.
    outbox: Vec<u8>,
    /// Number of bytes of the outbox that are written.
    written: usize,
    /// Messages that wait until the outbox is written.
    queued: VecDeque<M>,
    /// There may be more to read, which no event will report: events are edge-triggered.
    has_more: bool,
}

impl<M: Serialize + DeserializeOwned> Mesh<M> {
    /// A mesh without links. Events of the link to a worker will have the token `first` plus the
    /// worker's number.
    #[must_use]
    pub fn new(registry: Registry, first: Token, workers: usize) -> Self {
        let links = (0..workers).map(|_| None).collect();
        Self { registry, first, links, buffer: vec![0; CHUNK].into() }
    }

    /// Adds a link to this worker. If there was one before, it must have been [read](Mesh::receive)
    /// to its end.
    ///
    /// # Errors
    ///
    /// If it cannot be registered for events.
    pub fn connect(&mut self, worker: usize, stream: net::UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream);
        let token = Token(self.first.0 + worker);
        self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.links[worker] = Some(PeerLink {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            written: 0,
            queued: VecDeque::new(),
            has_more: false,
        });
        Ok(())
    }

    /// The worker whose link has this token, if it is the token of a link.
    #[must_use]
    pub fn worker(&self, token: Token) -> Option<usize> {
        token.0.checked_sub(self.first.0).filter(|worker| *worker < self.links.len())
    }

    /// Whether there is a link to this worker.
    #[must_use]
    pub fn is_connected(&self, worker: usize) -> bool {
        self.links[worker].is_some()
    }

    /// Whether so much waits to be written to this worker that it should be sent no new request.
    #[must_use]
    pub fn is_full(&self, worker: usize) -> bool {
        self.links[worker].as_ref().is_some_and(|link| !link.queued.is_empty())
    }

    /// Whether this worker may have sent more than was [received](Mesh::receive).
    #[must_use]
    pub fn has_more(&self, worker: usize) -> bool {
        self.links[worker].as_ref().is_some_and(|link| link.has_more)
    }

    /// Queues a message for the next [`flush`](Mesh::flush). Returns whether there is a link. If
    /// there is, the message may be lost all the same: the worker may have died just now.
    pub fn send(&mut self, worker: usize, message: M) -> bool {
        let Some(link) = &mut self.links[worker] else { return false };
        link.queued.push_back(message);
        link.encode();
        true
    }

    /// Reads messages from a worker, perhaps not all: see [`has_more`](Mesh::has_more). Returns
    /// whether the link is still open; if not, it has been removed.
    pub fn receive(&mut self, worker: usize, received: &mut Vec<M>) -> bool {
        let Some(link) = &mut self.links[worker] else { return false };
        let is_open = link.read(&mut self.buffer, received);
        if !is_open && let Some(mut link) = self.links[worker].take() {
            // If this fails, closing the socket has the same effect.
            let _ = self.registry.deregister(&mut link.stream);
        }
        is_open
    }

    /// Writes as many queued bytes as the sockets take.
    pub fn flush(&mut self) {
        for link in self.links.iter_mut().flatten() {
            // An error means that the peer is dead, which the next read reports.
            let _ = link.write();
        }
    }
}

impl<M: Serialize + DeserializeOwned> PeerLink<M> {
    /// Encodes queued messages into the outbox while it has room.
    fn encode(&mut self) {
        while self.outbox.len() < CHUNK
            && let Some(message) = self.queued.pop_front()
        {
            let start = self.outbox.len();
            self.outbox.extend_from_slice(&[0; HEADER]);
            postcard::to_io(&message, &mut self.outbox).expect("plain data serializes");
            let length = (self.outbox.len() - start - HEADER) as u64;
            self.outbox[start..start + HEADER].copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// Writes the outbox, and what is queued after it, until the socket takes no more.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.outbox.len() {
            match self.stream.write(&self.outbox[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.written == self.outbox.len() {
                self.written = 0;
                self.outbox.clear();
                self.outbox.shrink_to(2 * CHUNK);
                self.encode();
            }
        }
        Ok(())
    }

    /// Reads until the socket has no more, or it is the turn of others. Returns whether it is open.
    fn read(&mut self, buffer: &mut [u8], received: &mut Vec<M>) -> bool {
        self.has_more = false;
        for _ in 0..READS {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(bytes) => self.inbox.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            self.decode(received);
        }
        self.has_more = true;
        true
    }

    /// Takes the complete messages out of the inbox.
    fn decode(&mut self, received: &mut Vec<M>) {
        let mut remaining = &self.inbox[..];
        while let Some((header, bytes)) = remaining.split_first_chunk::<HEADER>()
            && let Some((message, bytes)) = bytes.split_at_checked(u64::from_ne_bytes(*header) as usize)
        {
            received.push(postcard::from_bytes(message).expect("all workers are the same program"));
            remaining = bytes;
        }
        let decoded = self.inbox.len() - remaining.len();
        self.inbox.drain(..decoded);
        if self.inbox.is_empty() {
            self.inbox.shrink_to(2 * CHUNK);
        }
    }
}
