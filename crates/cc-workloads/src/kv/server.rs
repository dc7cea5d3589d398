//! What the connections of a process have in common.

use std::{
    fmt,
    net::SocketAddr,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Budget, Slots};
use crate::{
    error::{Error, Result},
    report,
};

/// How a server is to behave. Plain data, so that worker processes can be told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What a client must say to AUTH before anything else is answered.
    pub password: Option<String>,
    /// More clients than this at a time are turned away.
    pub max_connections: usize,
    /// What keys, values and requests may take, in bytes; none is no limit. Nothing is evicted.
    pub max_memory: Option<u64>,
    /// A client that has not sent anything for so long is hung up on.
    pub idle_timeout: Option<Duration>,
    /// How long a server that is asked to stop waits for clients to take their replies.
    pub drain: Duration,
}

impl Default for Config {
    /// As Redis: 10,000 clients, and no other limit. Two seconds to drain.
    fn default() -> Self {
        let (max_memory, idle_timeout) = (None, None);
        Self {
            password: None,
            max_connections: 10_000,
            max_memory,
            idle_timeout,
            drain: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            // Not what it is.
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("max_connections", &self.max_connections)
            .field("max_memory", &self.max_memory)
            .field("idle_timeout", &self.idle_timeout)
            .field("drain", &self.drain)
            .finish()
    }
}

impl Config {
    /// Whether it may listen there.
    ///
    /// # Errors
    ///
    /// If other machines could reach it and there is no password.
    pub fn may_listen(&self, address: SocketAddr) -> Result<()> {
        let is_own = address.ip().to_canonical().is_loopback();
        let has_password = self.password.as_ref().is_some_and(|password| !password.is_empty());
        if is_own || has_password {
            return Ok(());
        }
        let what =
            format!("{address} can be reached by other machines, which needs a password (--password-file)");
        Err(Error::Usage(what))
    }

    /// The part of one of several workers that have its clients and its memory between them.
    #[must_use]
    pub fn share(&self, workers: usize) -> Self {
        let workers = workers.max(1);
        let max_memory = self.max_memory.map(|bytes| bytes / workers as u64);
        Self { max_connections: self.max_connections.div_ceil(workers), max_memory, ..self.clone() }
    }
}

/// What the connections of a process have in common, beside the data.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Config,
    pub(super) slots: Slots,
    pub(super) budget: Budget,
    pub(super) started: Instant,
    pub(super) port: u16,
    clients: AtomicUsize,
    connections: AtomicU64,
    refused: AtomicU64,
    commands: AtomicU64,
}

impl Server {
    /// Nobody is connected yet. The port is what INFO tells.
    #[must_use]
    pub fn new(config: Config, shards: usize, port: u16) -> Arc<Self> {
        let (slots, budget) = (Slots::new(shards), Budget::new(config.max_memory));
        let (clients, started) = (AtomicUsize::new(0), Instant::now());
        let [connections, refused, commands] = [const { AtomicU64::new(0) }; 3];
        Arc::new(Self { config, slots, budget, started, port, clients, connections, refused, commands })
    }

    /// How it is to behave.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which shard a key belongs to.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// What shards and connections have of memory between them.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How many are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    /// What it has done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let [connections, refused, commands] =
            [&self.connections, &self.refused, &self.commands].map(|count| count.load(Relaxed));
        Totals { connections, refused, commands }
    }

    /// Counts a client in, and gives him a number; none if there are too many.
    pub(super) fn enter(&self) -> Option<u64> {
        let more = |clients| (clients < self.config.max_connections).then_some(clients + 1);
        if self.clients.fetch_update(Relaxed, Relaxed, more).is_err() {
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.connections.fetch_add(1, Relaxed) + 1)
    }

    pub(super) fn leave(&self) {
        self.clients.fetch_sub(1, Relaxed);
    }

    pub(super) fn count(&self, commands: u64) {
        self.commands.fetch_add(commands, Relaxed);
    }
}

/// What a server has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Clients that were let in.
    pub connections: u64,
    /// Clients that were turned away, since there were too many.
    pub refused: u64,
    /// Requests, whatever they were answered.
    pub commands: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.connections += more.connections;
        self.refused += more.refused;
        self.commands += more.commands;
    }
}

impl From<Totals> for report::Totals {
    fn from(Totals { connections, refused, commands }: Totals) -> Self {
        let counts = [("connections", connections), ("refused", refused), ("commands", commands)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_gets_in_without_a_password() {
        let (open, closed) =
            (Config::default(), Config { password: Some("secret".into()), ..Config::default() });
        for own in ["127.0.0.1:6379", "127.8.8.8:1", "[::1]:6379", "[::ffff:127.0.0.1]:6379"] {
            assert!(open.may_listen(own.parse().unwrap()).is_ok(), "{own}");
        }
        for others in ["0.0.0.0:6379", "10.0.0.1:6379", "[::]:6379", "[fe80::1]:6379", "[::ffff:10.0.0.1]:1"]
        {
            let others = others.parse().unwrap();
            assert!(matches!(open.may_listen(others), Err(Error::Usage(_))), "{others}");
            assert!(closed.may_listen(others).is_ok(), "{others}");
        }
        let empty = Config { password: Some(String::new()), ..Config::default() };
        assert!(empty.may_listen("0.0.0.0:6379".parse().unwrap()).is_err());
    }

    #[test]
    fn the_password_is_not_shown() {
        let config = Config { password: Some("secret".into()), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn no_more_clients_than_allowed() {
        let server = Server::new(Config { max_connections: 2, ..Config::default() }, 1, 0);
        assert_eq!([server.enter(), server.enter(), server.enter()], [Some(1), Some(2), None]);
        server.leave();
        assert_eq!(server.enter(), Some(3));
        assert_eq!(server.totals(), Totals { connections: 3, refused: 1, commands: 0 });
    }
}
