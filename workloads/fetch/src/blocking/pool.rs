//! The idle connections of a client.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use ureq::{
    http::{
        Uri,
        uri::{Authority, Scheme},
    },
    unversioned::transport::Transport,
};

use crate::Settings;

/// The server of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer(Option<Scheme>, Option<Authority>);

impl Peer {
    pub(super) fn of(uri: &Uri) -> Self {
        Self(uri.scheme().cloned(), uri.authority().cloned())
    }
}

/// The idle connections. A linear search suffices, because few are idle while there is work.
pub(super) struct Pool {
    /// The longest idle one first.
    idle: Mutex<VecDeque<(Peer, Box<dyn Transport>)>>,
    max: usize,
    max_per_host: usize,
}

impl Pool {
    /// Without connections. At most as many are kept as there can be requests in flight.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { idle: Mutex::default(), max: settings.concurrency, max_per_host: settings.per_host }
    }

    /// Takes a connection to this server that can be used. Those on which unexpected bytes have
    /// arrived, and those that the server has closed, are closed.
    pub(super) fn take(&self, peer: &Peer) -> Option<Box<dyn Transport>> {
        loop {
            let mut connection = self.remove(peer)?;
            if connection.is_open() {
                return Some(connection);
            }
        }
    }

    fn remove(&self, peer: &Peer) -> Option<Box<dyn Transport>> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|(to, _)| to == peer)?;
        idle.remove(at).map(|(_, connection)| connection)
    }

    /// Keeps a connection, and closes the oldest one if there are too many.
    pub(super) fn keep(&self, peer: Peer, connection: Box<dyn Transport>) {
        let mut idle = self.idle();
        let same = idle.iter().filter(|(to, _)| *to == peer).count();
        let surplus = if same >= self.max_per_host {
            idle.iter().position(|(to, _)| *to == peer)
        } else {
            (idle.len() >= self.max).then_some(0)
        };
        let closed = surplus.and_then(|at| idle.remove(at));
        idle.push_back((peer, connection));
        drop(idle);
        drop(closed);
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Peer, Box<dyn Transport>)>> {
        self.idle.lock().expect("nothing panics under the lock")
    }
}
