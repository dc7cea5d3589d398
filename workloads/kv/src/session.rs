//! The state of a connection's dialogue: authentication, watched keys, queued commands.

mod client;
pub(super) mod local;
mod moving;

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use self::{
    client::Driver,
    local::{unknown, unknown_subcommand},
    moving::Moving,
};
use super::{
    Check, Command, Keys, Now, Plan, Protocol, Reply, Server,
    budget::Charge,
    command::wrong_number,
    plan::{Planner, Queued},
    resp::{OwnedRequest, Request},
    text::Info,
    verb::Verb,
};

/// What a request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This reply.
    Reply(Reply),
    /// This plan must run.
    Run(Plan),
    /// The same, for a WATCH: pass its reply to [`Session::answered`] before the next step.
    Watch(Plan),
    /// The same, for a RENAME or COPY between two shards: pass its reply to `Session::moved`,
    /// which may return another plan.
    Move(Plan),
    /// This reply, and then the connection closes.
    Close(Reply),
    /// The connection closes without a reply.
    HangUp,
}

/// A connection's state, without its buffers.
#[derive(Debug)]
pub struct Session {
    id: u64,
    is_unauthenticated: bool,
    /// Number of wrong passwords so far.
    wrong_passwords: u32,
    /// The last request contained a wrong password.
    last_was_wrong: bool,
    name: Option<Box<[u8]>>,
    /// What CLIENT SETINFO has set.
    driver: Option<Box<Driver>>,
    /// When the client connected.
    connected: Instant,
    /// The protocol that the last HELLO has chosen.
    protocol: Protocol,
    transaction: Option<Box<Transaction>>,
    watched: Vec<Check>,
    /// The memory that the watched keys take.
    watched_bytes: usize,
    /// The keys of a WATCH whose plan is not answered yet.
    watching: Keys,
    /// A RENAME or COPY between two shards that has begun.
    moving: Option<Box<Moving>>,
    /// The charge for queued commands and watched keys.
    charge: Charge,
}

/// The state since MULTI.
#[derive(Debug, Default)]
struct Transaction {
    queue: Vec<Queue>,
    /// The memory that the queue takes, including its plan and the array of its reply.
    bytes: usize,
    /// The number of steps of its plan.
    steps: usize,
    /// A command could not be queued, so EXEC will run nothing.
    is_aborted: bool,
}

#[derive(Debug)]
enum Queue {
    Command(Command),
    Error(Reply),
    /// Answered by the session when EXEC runs.
    Local(Verb, OwnedRequest),
}

impl Session {
    /// The session of a new client. It is unauthenticated if the server has a password.
    #[must_use]
    pub fn new(id: u64, server: &Server) -> Self {
        Self {
            id,
            is_unauthenticated: server.config.password.is_some(),
            wrong_passwords: 0,
            last_was_wrong: false,
            name: None,
            driver: None,
            connected: Instant::now(),
            protocol: Protocol::default(),
            transaction: None,
            watched: Vec::new(),
            watched_bytes: 0,
            watching: Keys::new(),
            moving: None,
            charge: Charge::of_connection(server.budget.clone()),
        }
    }

    /// Whether the client must still give the password.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        self.is_unauthenticated
    }

    /// Processes a request.
    #[must_use]
    pub fn step(&mut self, request: &Request, now: Now, server: &Server) -> Step {
        if is_request_line(request) {
            server.warn_of_http();
            return Step::HangUp;
        }
        let verb = match self.verb(request) {
            Ok(verb) => verb,
            Err(_) if is_http(request.argument(0)) => {
                server.warn_of_http();
                return Step::HangUp;
            }
            Err(reply) if request.argument(0).eq_ignore_ascii_case(b"exec") => {
                return Step::Reply(self.abort_exec(&reply));
            }
            Err(reply) => {
                self.abort_transaction();
                return Step::Reply(reply);
            }
        };
        match verb {
            Verb::Quit => Step::Close(Reply::Ok),
            Verb::Multi => Step::Reply(self.multi()),
            Verb::Exec => self.exec(now, server),
            Verb::Discard => Step::Reply(self.discard()),
            Verb::Reset => Step::Reply(self.reset(server)),
            Verb::Watch => self.watch(request, now, server),
            _ if self.transaction.is_some() => Step::Reply(self.queue(verb, request, server)),
            _ => self.run_command(verb, request, now, server),
        }
    }

    /// How long to pause after the last request, if it contained a wrong password. The pause
    /// doubles with each one.
    #[must_use]
    pub fn take_penalty(&mut self) -> Duration {
        match std::mem::take(&mut self.last_was_wrong) {
            false => Duration::ZERO,
            true => FIRST_PENALTY.saturating_mul(1 << (self.wrong_passwords - 1).min(16)).min(MAX_PENALTY),
        }
    }

    /// Forgets the WATCH or the move that `step` has just returned: it does not run, because there
    /// is no memory.
    pub fn forget_step(&mut self) {
        self.watching = Keys::new();
        self.moving = None;
    }

    /// The reply to a request that was discarded because there is no memory for it.
    #[must_use]
    pub fn refused(&mut self) -> Reply {
        self.abort_transaction();
        Reply::out_of_memory()
    }

    /// Turns the reply to the plan of a WATCH into the reply to the client.
    #[must_use]
    pub fn answered(&mut self, reply: Reply) -> Reply {
        let keys = std::mem::take(&mut self.watching);
        let Reply::Array(numbers) = &reply else { return reply };
        for (key, version) in keys.into_iter().zip(numbers.chunks(2)) {
            if let &[Reply::Int(epoch), Reply::Int(number)] = version {
                self.watched.push(Check { key, epoch: epoch as u64, number: number as u64 });
            }
        }
        Reply::Ok
    }

    /// The request's command, if the client may call it with these arguments.
    fn verb(&self, request: &Request) -> Result<Verb, Reply> {
        let verb = Verb::of(request.argument(0)).ok_or_else(|| unknown(request))?;
        if !verb.takes(request.len()) {
            return Err(wrong_number(verb.spec().name));
        }
        if self.is_unauthenticated && !verb.is_allowed_before_auth() {
            return Err(Reply::error("NOAUTH Authentication required."));
        }
        unknown_subcommand(verb, request).map_or(Ok(verb), Err)
    }

    fn run_command(&mut self, verb: Verb, request: &Request, now: Now, server: &Server) -> Step {
        match Command::parse(verb, request, &server.config.clock) {
            Err(reply) => Step::Reply(reply),
            Ok(Some(mut command)) => {
                command.stamp(|| server.config.clock.date(now));
                match command {
                    Command::Move(what) if server.slots.shard(&what.from) != server.slots.shard(&what.to) => {
                        self.begin_move(*what, server.slots, now)
                    }
                    command => ask_or_reply(Plan::new(command, server.slots, now)),
                }
            }
            Ok(None) if verb == Verb::Info => {
                let info = Info::new(request, server);
                ask_or_reply(Planner::new(server.slots, now).info(Box::new(info)))
            }
            Ok(None) => Step::Reply(self.local(verb, request, server)),
        }
    }

    fn multi(&mut self) -> Reply {
        if self.transaction.is_some() {
            return Reply::error("ERR MULTI calls can not be nested");
        }
        self.transaction = Some(Box::default());
        Reply::Ok
    }

    fn queue(&mut self, verb: Verb, request: &Request, server: &Server) -> Reply {
        let shards = server.slots.shards();
        let (queue, bytes, steps) = match Command::parse(verb, request, &server.config.clock) {
            Ok(Some(command)) if !command.is_of_one_slot() => {
                self.abort_transaction();
                return Reply::error(CROSS_SLOT);
            }
            Ok(Some(command)) => {
                let (bytes, steps) = (command.weight(shards), command.steps(shards));
                (Queue::Command(command), bytes, steps)
            }
            Ok(None) => {
                let kept = OwnedRequest::from(request);
                let (bytes, steps) = local_weight(verb, shards);
                let bytes = bytes + 2 * kept.heap();
                (Queue::Local(verb, kept), bytes, steps)
            }
            Err(reply) => (Queue::Error(reply), 128, 1),
        };
        let transaction = self.transaction.as_mut().expect("MULTI has begun a transaction");
        if transaction.is_aborted {
            return Reply::simple("QUEUED");
        }
        transaction.bytes += bytes + size_of::<Queue>();
        transaction.steps += steps;
        if transaction.steps > MAX_STEPS {
            self.abort_transaction();
            return TOO_LONG;
        }
        let bytes = transaction.bytes + self.watched_bytes;
        transaction.queue.push(queue);
        if self.charge.is(bytes) { Reply::simple("QUEUED") } else { self.refused() }
    }

    fn exec(&mut self, now: Now, server: &Server) -> Step {
        let Some(transaction) = self.transaction.take() else {
            return Step::Reply(Reply::error("ERR EXEC without MULTI"));
        };
        let checks = self.clear_watched();
        if transaction.is_aborted {
            return Step::Reply(Reply::error("EXECABORT Transaction discarded because of previous errors."));
        }
        let Transaction { queue, bytes, .. } = *transaction;
        let queue = queue.into_iter().map(|queue| self.queued(queue, now, server)).collect();
        ask_or_reply(Planner::new(server.slots, now).exec(checks, queue, bytes))
    }

    /// Ends the transaction when an EXEC itself is refused.
    fn abort_exec(&mut self, why: &Reply) -> Reply {
        self.transaction = None;
        self.clear_watched();
        let Reply::Error(why) = why else { return why.clone() };
        let why = why.strip_prefix("ERR ").unwrap_or(why);
        Reply::Error(Cow::Owned(format!("EXECABORT Transaction discarded because of: {why}")))
    }

    fn queued(&mut self, queue: Queue, now: Now, server: &Server) -> Queued {
        match queue {
            Queue::Command(mut command) => {
                command.stamp(|| server.config.clock.date(now));
                Queued::Command(command)
            }
            Queue::Error(reply) => Queued::Ready(reply),
            Queue::Local(Verb::Info, kept) => Queued::Info(Box::new(Info::new(&kept.request(), server))),
            Queue::Local(verb, kept) => Queued::Ready(self.local(verb, &kept.request(), server)),
        }
    }

    fn discard(&mut self) -> Reply {
        if self.transaction.take().is_none() {
            return Reply::error("ERR DISCARD without MULTI");
        }
        self.clear_watched();
        Reply::Ok
    }

    /// Makes the session what it was when the client connected.
    fn reset(&mut self, server: &Server) -> Reply {
        self.transaction = None;
        self.clear_watched();
        self.name = None;
        self.protocol = Protocol::Resp2;
        self.is_unauthenticated = server.config.password.is_some();
        Reply::Switch(Protocol::Resp2, Reply::simple("RESET").into())
    }

    fn watch(&mut self, request: &Request, now: Now, server: &Server) -> Step {
        if self.transaction.is_some() {
            return Step::Reply(Reply::error("ERR WATCH inside MULTI is not allowed"));
        }
        // A key that is watched already keeps its first version.
        let is_new = |key: &&[u8]| !self.watched.iter().any(|check| *check.key == **key);
        let keys: Keys = match request.len() {
            2 => request.from(1).filter(is_new).map(From::from).collect(),
            _ => request.from(1).map(From::from).collect(),
        };
        if keys.is_empty() {
            return Step::Reply(Reply::Ok);
        }
        let bytes: usize = keys.iter().map(|key| size_of::<Check>() + key.heap()).sum();
        if !self.charge.is(self.watched_bytes + bytes) {
            return Step::Reply(Reply::out_of_memory());
        }
        self.watched_bytes += bytes;
        self.watching = keys.clone();
        Step::Watch(Plan::new(Command::Versions(keys), server.slots, now))
    }

    /// Removes all watches and returns them. The queue must be empty.
    fn clear_watched(&mut self) -> Vec<Check> {
        let _ = self.charge.is(0);
        self.watched_bytes = 0;
        std::mem::take(&mut self.watched)
    }

    /// Marks the transaction as failed and drops its queue, since nothing of it will run.
    fn abort_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            **transaction = Transaction { is_aborted: true, ..Transaction::default() };
            let _ = self.charge.is(self.watched_bytes);
        }
    }
}

/// Maximum steps of a transaction, each on one key or one shard. EXEC holds all its shards while it
/// runs, so this limits how long other clients wait.
const MAX_STEPS: usize = 1 << 20;

/// The reply to a command in a transaction whose keys are of different slots: it would need the
/// value of one shard to run on another, where all shards must run at once. As in Redis Cluster.
const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

const TOO_LONG: Reply = Reply::error(
    "ERR the transaction is too long: more than 1048576 keys, counting each shard that \
                                      a command asks",
);

/// The pause after the first wrong password; it doubles with each further one.
const FIRST_PENALTY: Duration = Duration::from_millis(50);
const MAX_PENALTY: Duration = Duration::from_secs(5);

/// Bytes and steps of a queued command that the session answers itself: see [`Command::weight`].
fn local_weight(verb: Verb, shards: usize) -> (usize, usize) {
    match verb {
        Verb::Info => (Command::Stats.weight(shards) + 4096, Command::Stats.steps(shards)),
        // The reply lists every command.
        Verb::Command => (256 << 10, 64),
        Verb::Config => (2048, 8),
        _ => (256, 1),
    }
}

/// Whether it is a word that occurs in every HTTP request: POST, whose body a web page can choose,
/// or the Host header of all others. Redis and Valkey check for the same two.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Whether it is the first line of an HTTP request (RFC 9112, 3). The method may be the name of a
/// command: `SET /path HTTP/1.1`.
fn is_request_line(request: &Request) -> bool {
    request.is_inline() && request.len() == 3 && request.argument(2).starts_with(b"HTTP/")
}

/// Replies immediately to a plan without parts.
fn ask_or_reply(plan: Plan) -> Step {
    if plan.parts().is_empty() { Step::Reply(plan.reply([])) } else { Step::Run(plan) }
}
