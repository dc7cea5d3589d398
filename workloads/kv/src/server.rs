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

use cc_core::{
    error::{Error, Result},
    report, stdio,
};
use serde::{Deserialize, Serialize};

use super::{Clock, Now, SharedBudget, Slots};
/// How a server is to behave. Plain data, so that worker processes can be told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Config {
    /// What a client must say to AUTH before anything else is answered.
    pub password: Option<String>,
    /// More clients than this at a time are turned away.
    pub max_connections: usize,
    /// What keys, values and requests may take, in bytes; none is no limit. Nothing is evicted.
    pub max_memory: Option<u64>,
    /// A client that has not sent a whole request for so long, and has not taken a reply either, is
    /// hung up on.
    pub idle_timeout: Option<Duration>,
    /// How long a client has to give the password, if there is one; a tenth of it while more than
    /// half of all clients have not given it.
    pub auth_timeout: Duration,
    /// How long a server that is asked to stop waits for clients to take their replies.
    pub drain: Duration,
    /// Among how many workers the memory is divided, each of which has its part and no more.
    pub shares: usize,
    /// In a worker's [share](Config::share): the clients and the bytes that all workers have, which
    /// INFO tells.
    pub whole: Option<(usize, Option<u64>)>,
    /// Where the time is read. A manual clock is one process's: a worker in another reads the
    /// system's.
    #[serde(skip)]
    pub clock: Clock,
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
            auth_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(2),
            shares: 1,
            whole: None,
            clock: Clock::default(),
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
            .field("auth_timeout", &self.auth_timeout)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
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

    /// How often a loop that serves many connections has to look for those whose
    /// [patience](super::Connection::patience) has ended; `None` is never.
    #[must_use]
    pub fn patience_interval(&self) -> Option<Duration> {
        let until_auth = self.password.as_ref().map(|_| self.auth_timeout / HURRY);
        let shortest = [self.idle_timeout, until_auth].into_iter().flatten().min()?;
        Some((shortest / 4).clamp(Duration::from_millis(1), LONGEST_INTERVAL))
    }

    /// The part of one of several workers that have its clients and its memory between them.
    #[must_use]
    pub fn share(&self, workers: usize) -> Self {
        let workers = workers.max(1);
        let max_memory = self.max_memory.map(|bytes| bytes / workers as u64);
        let (max_connections, whole) =
            (self.max_connections.div_ceil(workers), Some((self.max_connections, self.max_memory)));
        Self { max_connections, max_memory, shares: workers, whole, ..self.clone() }
    }
}

/// A crowd of clients without the password has this part of the time each.
const HURRY: u32 = 10;
/// Conversions of the interval to other units stay far from an overflow.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// What the connections of a process have in common, beside the data.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Config,
    pub(super) slots: Slots,
    pub(super) budget: SharedBudget,
    /// For what is under way on behalf of clients and not yet written to them; as much again as the
    /// other budget, so that reading works when memory is full of data.
    in_flight: SharedBudget,
    pub(super) started: Instant,
    pub(super) port: u16,
    clients: AtomicUsize,
    connections: AtomicU64,
    refused: AtomicU64,
    commands: AtomicU64,
    /// Clients that have yet to give the password.
    strangers: AtomicUsize,
    /// When it was last said that a client speaks HTTP, in milliseconds of the clock, plus one.
    warned: AtomicU64,
}

/// Milliseconds in which a client that speaks HTTP is mentioned once: the clients must not fill the
/// log.
const WARNING_INTERVAL: u64 = 60_000;

impl Server {
    /// Nobody is connected yet. The port is what INFO tells.
    #[must_use]
    pub fn new(config: Config, shards: usize, port: u16) -> Arc<Self> {
        let [budget, in_flight] = [(); 2].map(|()| SharedBudget::new(config.max_memory));
        let [clients, strangers] = [const { AtomicUsize::new(0) }; 2];
        let [connections, refused, commands, warned] = [const { AtomicU64::new(0) }; 4];
        Arc::new(Self {
            config,
            slots: Slots::new(shards),
            budget,
            in_flight,
            started: Instant::now(),
            port,
            clients,
            connections,
            refused,
            commands,
            strangers,
            warned,
        })
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
    pub fn budget(&self) -> &SharedBudget {
        &self.budget
    }

    /// What plans and replies have of memory between them until clients have taken the replies.
    #[must_use]
    pub fn in_flight(&self) -> &SharedBudget {
        &self.in_flight
    }

    /// What time it is, by the clock that keys expire by.
    #[must_use]
    pub fn now(&self) -> Now {
        self.config.clock.now()
    }

    /// How many are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    /// What INFO tells of this process.
    pub(super) fn tally(&self) -> Tally {
        let Totals { connections, refused, commands } = self.totals();
        let (clients, granted) = (self.clients() as u64, self.budget.granted());
        Tally { clients, granted, connections, refused, commands }
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

    /// A client has come that has to give the password, and has this much time for it.
    pub(super) fn stranger_enters(&self) -> Duration {
        let strangers = self.strangers.fetch_add(1, Relaxed) + 1;
        let is_crowd = strangers > self.config.max_connections / 2;
        self.config.auth_timeout / if is_crowd { HURRY } else { 1 }
    }

    /// It has given the password, or gone.
    pub(super) fn stranger_leaves(&self) {
        self.strangers.fetch_sub(1, Relaxed);
    }

    /// Says that a client speaks HTTP, unless that was said a short time ago.
    pub(super) fn warn_of_http(&self) {
        let now = self.now().0.saturating_add(1);
        let is_due = |last| (last == 0 || now.saturating_sub(last) >= WARNING_INTERVAL).then_some(now);
        if self.warned.fetch_update(Relaxed, Relaxed, is_due).is_ok() {
            // There may be no standard error.
            let _ = stdio::say(&format!("kv: {HTTP}\n"));
        }
    }

    pub(super) fn count(&self, commands: u64) {
        self.commands.fetch_add(commands, Relaxed);
    }
}

const HTTP: &str = "possible attack: a client speaks HTTP, as a web page would that tries to command \
                    this server; the connection is closed, and nothing that follows is run";

/// What one process of a server has at the moment, and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clients that are connected.
    pub clients: u64,
    /// Bytes that are granted of the budget.
    pub granted: u64,
    /// Clients that were let in.
    pub connections: u64,
    /// Clients that were turned away.
    pub refused: u64,
    /// Requests.
    pub commands: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.clients += more.clients;
        self.granted += more.granted;
        self.connections += more.connections;
        self.refused += more.refused;
        self.commands += more.commands;
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
