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
/// A server's configuration. It is plain data that can be sent to worker processes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Config {
    /// The password that clients must give with AUTH.
    pub password: Option<String>,
    /// Maximum connected clients; further ones are refused.
    pub max_connections: usize,
    /// Maximum bytes of keys, values and requests; `None` is without limit. Nothing is evicted.
    pub max_memory: Option<u64>,
    /// Approximate maximum bytes of replies that wait for one client. Beyond that, no request of
    /// the client is processed until it takes replies.
    pub max_output: u64,
    /// A client is disconnected if it takes no reply for this time, while its requests wait for
    /// that.
    pub output_timeout: Duration,
    /// A client is disconnected if for this time it has neither completed a request nor taken a
    /// reply.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take to give the password, if there is one. A tenth of it while more
    /// than half of the maximum number of clients have not given it.
    pub auth_timeout: Duration,
    /// After a stop: how long to wait until clients have taken their replies.
    pub drain: Duration,
    /// Number of workers that the memory is divided among. A worker has its part and no more.
    pub shares: usize,
    /// In a worker's [share](Config::share): the server of which it is a part, for INFO.
    pub whole: Option<Whole>,
    /// The clock. A manual clock belongs to one process: a worker in another process reads the
    /// system's clock.
    #[serde(skip)]
    pub clock: Clock,
}

/// A server of several workers, as its clients see it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Whole {
    /// Maximum clients of all workers together.
    pub max_connections: usize,
    /// Maximum bytes of all workers together.
    pub max_memory: Option<u64>,
    /// The process that has started the workers, and ends them if it is stopped.
    pub process_id: u32,
    /// When that was. All workers are on one machine, so they share its clock.
    pub started: Now,
}

impl Default for Config {
    /// As in Redis: 10,000 clients, and no limit of memory or idle time. 256 MB of replies may wait
    /// for a client, which has 10 seconds to take some of them. Two seconds to drain.
    fn default() -> Self {
        let (max_memory, idle_timeout) = (None, None);
        Self {
            password: None,
            max_connections: 10_000,
            max_memory,
            max_output: 256 << 20,
            output_timeout: Duration::from_secs(10),
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
            // Whether there is a password, but not its text.
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("max_connections", &self.max_connections)
            .field("max_memory", &self.max_memory)
            .field("max_output", &self.max_output)
            .field("output_timeout", &self.output_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("auth_timeout", &self.auth_timeout)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Checks whether the server may listen on this address.
    ///
    /// # Errors
    ///
    /// If other machines can reach it and there is no password.
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

    /// The configuration of one of several workers that divide the clients and the memory.
    #[must_use]
    pub fn share(&self, workers: usize) -> Self {
        let workers = workers.max(1);
        let max_memory = self.max_memory.map(|bytes| bytes / workers as u64);
        let max_connections = self.max_connections.div_ceil(workers);
        let whole = Some(Whole {
            max_connections: self.max_connections,
            max_memory: self.max_memory,
            process_id: std::process::id(),
            started: Clock::default().now(),
        });
        Self { max_connections, max_memory, shares: workers, whole, ..self.clone() }
    }
}

/// Divides the time to give the password while too many clients have not given it.
const CROWD_FACTOR: u32 = 10;
/// Upper limit of the interval, so that conversions to other units cannot overflow.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// What the connections of a process have in common, except for the data.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Config,
    pub(super) slots: Slots,
    pub(super) budget: SharedBudget,
    /// The budget for plans and replies until they are written to clients. It is as large as the
    /// other one, so that reads work when memory is full of data.
    in_flight: SharedBudget,
    pub(super) started: Instant,
    pub(super) port: u16,
    clients: AtomicUsize,
    connections: AtomicU64,
    refused: AtomicU64,
    commands: AtomicU64,
    /// Number of clients that must still give the password.
    unauthenticated: AtomicUsize,
    /// Number of clients whose requests wait until they take replies.
    blocked: AtomicUsize,
    /// When the warning about HTTP, and that about a client that takes no replies, were last
    /// printed: milliseconds of the clock plus one; zero is never.
    warned: [AtomicU64; 2],
}

/// Milliseconds between two warnings of a kind, so that clients cannot fill the log.
const WARNING_INTERVAL: u64 = 60_000;

impl Server {
    /// A server without clients. `port` is for INFO.
    #[must_use]
    pub fn new(config: Config, shards: usize, port: u16) -> Arc<Self> {
        let [budget, in_flight] = [(); 2].map(|()| SharedBudget::new(config.max_memory));
        let [clients, unauthenticated, blocked] = [const { AtomicUsize::new(0) }; 3];
        let [connections, refused, commands] = [const { AtomicU64::new(0) }; 3];
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
            unauthenticated,
            blocked,
            warned: [const { AtomicU64::new(0) }; 2],
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The mapping of keys to shards.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// The budget for the data and the buffers of connections.
    #[must_use]
    pub fn budget(&self) -> &SharedBudget {
        &self.budget
    }

    /// The budget for plans and replies, until clients have taken the replies.
    #[must_use]
    pub fn in_flight(&self) -> &SharedBudget {
        &self.in_flight
    }

    /// The time by which keys expire.
    #[must_use]
    pub fn now(&self) -> Now {
        self.config.clock.now()
    }

    /// The number of connected clients.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    /// The figures of this process for INFO.
    pub(super) fn tally(&self) -> Tally {
        let Totals { connections, refused, commands } = self.totals();
        let (clients, granted) = (self.clients() as u64, self.budget.granted());
        Tally { clients, granted, connections, refused, commands }
    }

    /// What the process has done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let [connections, refused, commands] =
            [&self.connections, &self.refused, &self.commands].map(|count| count.load(Relaxed));
        Totals { connections, refused, commands }
    }

    /// Counts a new client and returns its number. `None` if there are too many.
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

    /// Counts a client that must give the password. Returns how much time it has.
    pub(super) fn unauthenticated_enters(&self) -> Duration {
        let count = self.unauthenticated.fetch_add(1, Relaxed) + 1;
        let is_crowd = count > self.config.max_connections / 2;
        self.config.auth_timeout / if is_crowd { CROWD_FACTOR } else { 1 }
    }

    /// Counts down, after a client has given the password or gone.
    pub(super) fn unauthenticated_leaves(&self) {
        self.unauthenticated.fetch_sub(1, Relaxed);
    }

    /// The interval at which an event loop should look for clients whose
    /// [`time_left`](super::Connection::time_left) has ended. `None` if no client has one at
    /// present.
    #[must_use]
    pub fn idle_check_interval(&self) -> Option<Duration> {
        let config = &self.config;
        let until_auth = config.password.as_ref().map(|_| config.auth_timeout / CROWD_FACTOR);
        let has_blocked = self.blocked.load(Relaxed) > 0;
        let until_blocked = has_blocked.then_some(config.output_timeout);
        let shortest = [config.idle_timeout, until_auth, until_blocked].into_iter().flatten().min()?;
        Some((shortest / 4).clamp(Duration::from_millis(1), MAX_INTERVAL))
    }

    /// Whether a client for which this many bytes of replies wait must take some first. Waiting
    /// replies of all clients take at most half of the memory for plans and replies, so that
    /// clients that take theirs are served.
    pub(super) fn is_output_full(&self, backlog: usize) -> bool {
        backlog as u64 >= self.config.max_output || self.in_flight.is_half_granted()
    }

    /// Counts a client whose requests wait until it takes replies.
    pub(super) fn blocked_enters(&self) {
        self.blocked.fetch_add(1, Relaxed);
    }

    /// Counts down, after a client has taken replies or gone.
    pub(super) fn blocked_leaves(&self) {
        self.blocked.fetch_sub(1, Relaxed);
    }

    /// Prints a warning that a client speaks HTTP.
    pub(super) fn warn_of_http(&self) {
        self.warn(0, HTTP);
    }

    /// Prints why a client is disconnected for which this many bytes of replies wait.
    pub(super) fn warn_of_blocked(&self, backlog: usize) {
        let Config { max_output, output_timeout, .. } = self.config;
        self.warn(
            1,
            &format!(
                "a client has sent more requests and taken no reply for {} s, while about {backlog} bytes of \
                 replies wait for it (--max-output is {max_output}); its connection is closed",
                output_timeout.as_secs()
            ),
        );
    }

    /// Prints a warning of this kind, at most once per `WARNING_INTERVAL`.
    fn warn(&self, kind: usize, what: &str) {
        let now = self.now().0.saturating_add(1);
        let is_due = |last| (last == 0 || now.saturating_sub(last) >= WARNING_INTERVAL).then_some(now);
        if self.warned[kind].fetch_update(Relaxed, Relaxed, is_due).is_ok() {
            // Standard error may be closed.
            let _ = stdio::say(&format!("kv: {what}\n"));
        }
    }

    pub(super) fn count(&self, commands: u64) {
        self.commands.fetch_add(commands, Relaxed);
    }
}

const HTTP: &str = "possible attack: a client speaks HTTP, as a web page would that tries to command \
                    this server; the connection is closed, and nothing that follows is run";

/// The current state and the counters of one process of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connected clients.
    pub clients: u64,
    /// Bytes of the budget that are granted.
    pub granted: u64,
    /// Clients that were accepted.
    pub connections: u64,
    /// Clients that were refused because there were too many.
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

/// The counters of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Clients that were accepted.
    pub connections: u64,
    /// Clients that were refused because there were too many.
    pub refused: u64,
    /// Requests, including those that were answered with an error.
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
    fn other_machines_need_a_password() {
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
