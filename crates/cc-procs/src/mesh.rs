//! Ways between workers: one for each two of them, on which messages go in their order, both ways.
//!
//! A way is a pair of connected sockets. Each worker has one end, so one descriptor per neighbour is all that there is to wait for;
//! and when a worker dies, the kernel closes its ends, and all its neighbours read the end of what it said.
//! (`ipc-channel` would take a system call and an allocation for each message. Here everything that was said in one turn of
//! a loop is one write, and one read.)
//!
//! Nothing here waits: what cannot be written stays in the worker's memory. So nobody waits in a
//! circle; but whoever sends must ask [`Mesh::is_full`] before, and send no more than the other can
//! answer. A worker that does not read fills its own way, and no other.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    os::unix::net,
};

use mio::{Interest, Registry, Token, net::UnixStream};
use serde::{Serialize, de::DeserializeOwned};

/// So many bytes are encoded ahead. What is said beyond that stays as it is until these are written.
const CHUNK: usize = 256 << 10;

/// Most buffers that are read from one way before others have their turn: what is read is in memory
/// until it is seen to, and the other end may write as fast as this one reads.
const READS: usize = 16;

/// Before each message: how many bytes it has.
const HEADER: usize = size_of::<u64>();

/// A worker's ends of the ways to all others.
pub struct Mesh<M> {
    registry: Registry,
    /// The token of the way to the first worker.
    first: Token,
    ways: Vec<Option<Way<M>>>,
    buffer: Box<[u8]>,
}

struct Way<M> {
    stream: UnixStream,
    /// What was read and is not a whole message yet.
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// So much of the outbox is written.
    written: usize,
    behind: VecDeque<M>,
    /// There may be more to be read, of which no event will tell.
    has_more: bool,
}

impl<M: Serialize + DeserializeOwned> Mesh<M> {
    /// No way to anybody yet. Events at the way to a worker will have this token, plus the worker's number.
    #[must_use]
    pub fn new(registry: Registry, first: Token, workers: usize) -> Self {
        let ways = (0..workers).map(|_| None).collect();
        Self { registry, first, ways, buffer: vec![0; CHUNK].into() }
    }

    /// There is a new way to this worker. The old one has been [heard](Mesh::hear) to its end.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub fn connect(&mut self, worker: usize, stream: net::UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream);
        let token = Token(self.first.0 + worker);
        self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let (inbox, outbox, behind) = (Vec::new(), Vec::new(), VecDeque::new());
        self.ways[worker] = Some(Way { stream, inbox, outbox, written: 0, behind, has_more: false });
        Ok(())
    }

    /// The worker at whose way something has happened, if it is one.
    #[must_use]
    pub fn worker(&self, token: Token) -> Option<usize> {
        token.0.checked_sub(self.first.0).filter(|worker| *worker < self.ways.len())
    }

    /// Whether there is a way to this worker.
    #[must_use]
    pub fn is_up(&self, worker: usize) -> bool {
        self.ways[worker].is_some()
    }

    /// Whether so much waits for this worker that it should be asked nothing new.
    #[must_use]
    pub fn is_full(&self, worker: usize) -> bool {
        self.ways[worker].as_ref().is_some_and(|way| !way.behind.is_empty())
    }

    /// Whether this worker may have said more than was [heard](Mesh::hear) of it.
    #[must_use]
    pub fn has_more(&self, worker: usize) -> bool {
        self.ways[worker].as_ref().is_some_and(|way| way.has_more)
    }

    /// Says something, at the next [`flush`](Mesh::flush). Whether there is a way: nobody will hear it otherwise. (If there is,
    /// that is no promise: the other may have died just now.)
    pub fn send(&mut self, worker: usize, message: M) -> bool {
        let Some(way) = &mut self.ways[worker] else { return false };
        way.behind.push_back(message);
        way.encode();
        true
    }

    /// Takes what the other has said, or a part of it: see [`has_more`](Mesh::has_more). Whether
    /// the way goes on; if not, it has been removed.
    pub fn hear(&mut self, worker: usize, heard: &mut Vec<M>) -> bool {
        let Some(way) = &mut self.ways[worker] else { return false };
        let goes_on = way.read(&mut self.buffer, heard);
        if !goes_on && let Some(mut way) = self.ways[worker].take() {
            // Closing it does the same, if this fails.
            let _ = self.registry.deregister(&mut way.stream);
        }
        goes_on
    }

    /// Writes as much as can be of all that was said.
    pub fn flush(&mut self) {
        // That a way has ended is noticed where it is read.
        self.ways.iter_mut().flatten().for_each(|way| _ = way.write());
    }
}

impl<M: Serialize + DeserializeOwned> Way<M> {
    fn encode(&mut self) {
        while self.outbox.len() < CHUNK
            && let Some(message) = self.behind.pop_front()
        {
            let start = self.outbox.len();
            self.outbox.extend_from_slice(&[0; HEADER]);
            postcard::to_io(&message, &mut self.outbox).expect("plain data serializes");
            let length = (self.outbox.len() - start - HEADER) as u64;
            self.outbox[start..start + HEADER].copy_from_slice(&length.to_ne_bytes());
        }
    }

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

    fn read(&mut self, buffer: &mut [u8], heard: &mut Vec<M>) -> bool {
        self.has_more = false;
        for _ in 0..READS {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(bytes) => self.inbox.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            self.decode(heard);
        }
        self.has_more = true;
        true
    }

    fn decode(&mut self, heard: &mut Vec<M>) {
        let mut rest = &self.inbox[..];
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER>()
            && let Some((message, behind)) = behind.split_at_checked(u64::from_ne_bytes(*header) as usize)
        {
            heard.push(postcard::from_bytes(message).expect("neighbours are the same program"));
            rest = behind;
        }
        let done = self.inbox.len() - rest.len();
        self.inbox.drain(..done);
        if self.inbox.is_empty() {
            self.inbox.shrink_to(2 * CHUNK);
        }
    }
}
