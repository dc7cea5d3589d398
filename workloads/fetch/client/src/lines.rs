//! Connections, and which of them wait for another request.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use http_body_util::Empty;
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    BUFFER, HEADERS,
    dial::{Peer, Stream},
};

/// What reads and writes, when it is polled. Boxed: a future has room for a value in each place that it may be moved to.
pub(super) type Connection = Box<http1::Connection<TokioIo<Stream>, Empty<Bytes>>>;

/// A connection, and what asks on it.
pub(super) struct Line {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    pub(super) connection: Connection,
    /// Given back when it is closed.
    room: OwnedSemaphorePermit,
}

impl Line {
    pub(super) async fn new(stream: Stream, room: OwnedSemaphorePermit) -> hyper::Result<Self> {
        let mut http = http1::Builder::new();
        let http = http.max_buf_size(BUFFER).max_headers(HEADERS).handshake(TokioIo::new(stream));
        let (sender, connection) = http.await?;
        Ok(Self { sender, connection: Box::new(connection), room })
    }

    /// Closes it.
    fn into_room(self) -> OwnedSemaphorePermit {
        self.room
    }
}

/// Those that wait for another request, and how many there may be in all.
pub(super) struct Lines {
    /// The one that has waited longest first. Searched to its end, which is short as long as there is something to do.
    idle: Mutex<VecDeque<(Peer, Line)>>,
    room: Arc<Semaphore>,
}

impl Lines {
    pub(super) fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), room: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }

    pub(super) fn take(&self, peer: &Peer) -> Option<Line> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|(to, _)| to == peer)?;
        idle.remove(at).map(|(_, line)| line)
    }

    pub(super) fn keep(&self, peer: Peer, line: Line) {
        self.idle().push_back((peer, line));
    }

    /// Room for another connection. Whoever asks makes one of the attempts that there may be, and has none: if all room is
    /// taken, one is idle, and goes. Its room is handed on, and both is done under one lock: if it were given back first,
    /// somebody else could take it, and nobody would give back another.
    pub(super) fn room(&self) -> OwnedSemaphorePermit {
        let mut idle = self.idle();
        if let Ok(room) = self.room.clone().try_acquire_owned() {
            return room;
        }
        let oldest = idle.pop_front();
        drop(idle);
        let (_, oldest) = oldest.expect("no more are in use than there are other attempts");
        oldest.into_room()
    }

    /// What nobody does here: somebody else who wants room.
    #[cfg(test)]
    pub(super) async fn wait_for_room(&self) -> OwnedSemaphorePermit {
        self.room.clone().acquire_owned().await.expect("it is never closed")
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Peer, Line)>> {
        self.idle.lock().expect("nothing panics under the lock")
    }
}
