//! The server's replies about itself: INFO, COMMAND, CONFIG GET.

use std::fmt::Write;

use super::{
    Clock, Reply, Server, Stats, Tally,
    docs::doc,
    glob::matches,
    resp::{MAX_BULK, Request},
    verb::{SPECS, Spec, Verb},
};

/// The version of Redis whose behaviour this server has. Drivers check it before they use later
/// features.
pub(super) const VERSION: &str = "7.0.0";

/// An INFO request, with the figures that are known without the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Info {
    wanted: Vec<&'static str>,
    server: String,
    /// The figures of the process that replies.
    own: Tally,
    max_connections: usize,
    max_memory: u64,
    shares: usize,
}

const SECTIONS: [&str; 6] = ["Server", "Clients", "Memory", "Stats", "Shards", "Keyspace"];

/// The sections that need no shard if only one process serves clients.
const OF_PROCESS: [&str; 3] = ["Server", "Clients", "Stats"];

impl Info {
    /// Selects the sections that the request names, or all if it names none.
    pub(super) fn new(request: &Request, server: &Server) -> Self {
        let is_wanted = |name: &&str| {
            let is = |argument: &[u8]| {
                let any = [*name, "all", "default", "everything"];
                any.iter().any(|any| argument.eq_ignore_ascii_case(any.as_bytes()))
            };
            request.len() == 1 || request.from(1).any(is)
        };
        let (max_connections, max_memory) = whole(server);
        Self {
            wanted: SECTIONS.into_iter().filter(is_wanted).collect(),
            server: self::server(server),
            own: server.tally(),
            max_connections,
            max_memory,
            shares: server.config.shares,
        }
    }

    /// Whether the reply needs figures of the shards.
    pub(super) fn asks_shards(&self) -> bool {
        let is_local =
            |name: &&'static str| OF_PROCESS.contains(name) && (self.shares == 1 || *name == "Server");
        !self.wanted.iter().all(is_local)
    }

    /// The reply. `shards` has the figures of each shard, `None` if it is down.
    pub(super) fn reply(&self, shards: &[Option<Stats>]) -> Reply {
        let mut text = String::new();
        for name in &self.wanted {
            let between = if text.is_empty() { "" } else { "\r\n" };
            let lines = match *name {
                "Server" => self.server.clone(),
                "Clients" => self.clients(shards),
                "Memory" => self.memory(shards),
                "Stats" => self.stats(shards),
                "Shards" => self::shards(shards),
                _ => keyspace(shards),
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{between}# {name}\r\n{lines}");
        }
        Reply::Text(text.as_bytes().into())
    }

    /// The sum over all processes that serve clients and that have answered.
    fn tally(&self, shards: &[Option<Stats>]) -> Tally {
        let mut tallies = shards.iter().flatten().filter_map(|stats| stats.process).peekable();
        if tallies.peek().is_none() {
            return self.own;
        }
        let mut sum = Tally::default();
        tallies.for_each(|tally| sum += tally);
        sum
    }

    fn clients(&self, shards: &[Option<Stats>]) -> String {
        line("connected_clients", self.tally(shards).clients) + &line("maxclients", self.max_connections)
    }

    fn memory(&self, shards: &[Option<Stats>]) -> String {
        let used = sum(shards, |stats| stats.memory);
        // A shard in a process without clients takes memory there, which no process's tally
        // includes.
        let elsewhere = |stats: &Stats| if stats.process.is_some() { 0 } else { stats.memory };
        let is_elsewhere = self.shares > 1;
        let granted = self.tally(shards).granted + if is_elsewhere { sum(shards, elsewhere) } else { 0 };
        [
            line("used_memory", used),
            line("granted_memory", granted),
            line("maxmemory", self.max_memory),
            // A worker has only its part, even if the other workers have memory left.
            line("maxmemory_per_worker", self.max_memory / self.shares.max(1) as u64),
            line("maxmemory_policy", "noeviction"),
        ]
        .concat()
    }

    fn stats(&self, shards: &[Option<Stats>]) -> String {
        let tally = self.tally(shards);
        line("total_connections_received", tally.connections)
            + &line("total_commands_processed", tally.commands)
            + &line("rejected_connections", tally.refused)
    }
}

/// The maximum clients and bytes of all workers together; 0 bytes is without limit.
fn whole(server: &Server) -> (usize, u64) {
    let config = &server.config;
    let (connections, memory) = match &config.whole {
        Some(whole) => (whole.max_connections, whole.max_memory),
        None => (config.max_connections, config.max_memory),
    };
    (connections, memory.unwrap_or(0))
}

fn line(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name}:{value}\r\n")
}

fn sum(shards: &[Option<Stats>], of: impl Fn(&Stats) -> u64) -> u64 {
    shards.iter().flatten().map(of).sum()
}

fn server(server: &Server) -> String {
    let (process_id, uptime) = match &server.config.whole {
        Some(whole) => (whole.process_id, Clock::default().now().0.saturating_sub(whole.started.0) / 1000),
        None => (std::process::id(), server.started.elapsed().as_secs()),
    };
    [
        line("redis_version", VERSION),
        line("redis_mode", "standalone"),
        line("os", std::env::consts::OS),
        line("arch_bits", usize::BITS),
        line("process_id", process_id),
        line("tcp_port", server.port),
        line("uptime_in_seconds", uptime),
        line("uptime_in_days", uptime / 86400),
    ]
    .concat()
}

/// The epoch of each shard. A changed epoch means that the shard was replaced and its data lost.
fn shards(shards: &[Option<Stats>]) -> String {
    let epoch = |stats: &Option<Stats>| stats.map_or("down".to_owned(), |stats| stats.epoch.to_string());
    let epochs: Vec<_> = shards.iter().map(epoch).collect();
    line("shards", shards.len()) + &line("shard_epoch", epochs.join(","))
}

fn keyspace(shards: &[Option<Stats>]) -> String {
    let (keys, expires) = (sum(shards, |stats| stats.keys), sum(shards, |stats| stats.volatile));
    if keys == 0 {
        String::new()
    } else {
        line("db0", format_args!("keys={keys},expires={expires},avg_ttl=0"))
    }
}

/// CONFIG GET: the settings whose names match one of the patterns.
pub(super) fn config(request: &Request, server: &Server) -> Reply {
    let config = &server.config;
    let (max_connections, max_memory) = whole(server);
    let seconds = config.output_timeout.as_secs();
    let settings = [
        ("appendonly", "no".to_owned()),
        // A hard limit, a soft limit, and the seconds for which a client may be above that.
        ("client-output-buffer-limit", format!("normal 0 {} {seconds}", config.max_output)),
        ("databases", "1".to_owned()),
        ("maxclients", max_connections.to_string()),
        ("maxmemory", max_memory.to_string()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", server.port.to_string()),
        ("proto-max-bulk-len", MAX_BULK.to_string()),
        ("save", String::new()),
        ("timeout", config.idle_timeout.map_or(0, |timeout| timeout.as_secs()).to_string()),
    ];
    let is_wanted = |name: &str| request.from(2).any(|pattern| matches(pattern, name.as_bytes(), true));
    let wanted = settings.iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, value)| (*name, Reply::bulk(value))).collect()
}

/// COMMAND and its subcommands.
pub(super) fn command(request: &Request) -> Reply {
    if request.len() == 1 {
        return Reply::Array(SPECS.iter().map(command_info).collect());
    }
    match request.argument(1).to_ascii_lowercase().as_slice() {
        b"count" => Reply::Int(SPECS.len() as i64),
        b"docs" => docs(request),
        b"list" => Reply::Array(SPECS.iter().map(|spec| Reply::bulk(spec.name)).collect()),
        _ if request.len() == 2 => Reply::Array(SPECS.iter().map(command_info).collect()),
        _ => {
            let info = |name| Verb::of(name).map_or(Reply::Nil, |verb| command_info(verb.spec()));
            Reply::Array(request.from(2).map(info).collect())
        }
    }
}

/// COMMAND DOCS: of all commands, or of those that are named and exist.
fn docs(request: &Request) -> Reply {
    let named = request.from(2).filter_map(Verb::of).map(Verb::spec);
    let specs: Vec<_> = if request.len() == 2 { SPECS.iter().collect() } else { named.collect() };
    Reply::Map(specs.into_iter().flat_map(doc).collect())
}

fn command_info(spec: &Spec) -> Reply {
    let flags = Reply::Set(spec.flags.iter().map(|flag| Reply::simple(flag)).collect());
    let mut info = vec![Reply::bulk(spec.name), Reply::Int(spec.arity), flags];
    info.extend(spec.keys.map(Reply::Int));
    // ACL categories, hints, key specifications and subcommands: this server has none.
    info.push(Reply::Set(Vec::new()));
    info.extend([const { Reply::Array(Vec::new()) }; 3]);
    Reply::Array(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_down_is_seen() {
        let stats = Stats { epoch: 7, ..Stats::default() };
        assert_eq!(shards(&[Some(stats), None]), "shards:2\r\nshard_epoch:7,down\r\n");
    }
}
