//! Connections, and the pool of idle ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dial::{Peer, Stream};

/// A connection.
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Returned when the connection is closed.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Closes the connection.
    fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

/// The idle connections, and the permits for all connections.
pub(super) struct Pool {
    /// The longest idle one first. A linear search suffices, because few are idle while there is
    /// work.
    idle: Mutex<VecDeque<(Peer, Connection)>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(max_connections: usize) -> Self {
        Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub(super) fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|(to, _)| to == peer)?;
        idle.remove(at).map(|(_, connection)| connection)
    }

    pub(super) fn keep(&self, peer: Peer, connection: Connection) {
        self.idle().push_back((peer, connection));
    }

    /// A permit for another connection. The caller makes one of the concurrent attempts and has no
    /// connection yet. So if no permit is free, at least one connection is idle; the oldest is
    /// closed, and its permit is passed on. Both steps happen under one lock. If the permit were
    /// released first, another caller could take it, and this one would find neither a permit nor
    /// an idle connection.
    pub(super) fn permit(&self) -> OwnedSemaphorePermit {
        let mut idle = self.idle();
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return permit;
        }
        let oldest = idle.pop_front();
        drop(idle);
        let (_, oldest) =
            oldest.expect("if no permit is free, a connection is idle: the other attempts hold fewer");
        oldest.into_permit()
    }

    /// Waits for a permit. Only a test does this, to compete for permits.
    #[cfg(test)]
    pub(super) async fn wait_for_permit(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Peer, Connection)>> {
        self.idle.lock().expect("nothing panics under the lock")
    }
}
