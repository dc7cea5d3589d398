//! What a connection is in the middle of: who it is, what it watches, what it has queued.

pub(super) mod local;

use std::{borrow::Cow, time::Duration};

use self::local::{unknown, unknown_subcommand};
use super::{
    Check, Command, Keys, Now, Plan, Reply, Server,
    budget::Charge,
    command::wrong_number,
    plan::{Planner, Queued},
    resp::{Kept, Request},
    text::Info,
    verb::Verb,
};

/// What a request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This answer, and nothing else.
    Reply(Reply),
    /// The shards are to be asked.
    Ask(Plan),
    /// The same; and what is replied goes through [`Session::answered`] before the next step.
    Watch(Plan),
    /// This answer is the last one.
    Close(Reply),
    /// The connection is closed without an answer.
    HangUp,
}

/// A connection's state, apart from its bytes.
#[derive(Debug)]
pub struct Session {
    id: u64,
    is_stranger: bool,
    /// Wrong passwords so far.
    wrong: u32,
    /// The last request had one.
    was_wrong: bool,
    name: Option<Box<[u8]>>,
    transaction: Option<Box<Transaction>>,
    watched: Vec<Check>,
    /// What these take.
    watched_bytes: usize,
    /// What a WATCH that is under way will watch.
    watching: Keys,
    /// For what is queued and watched.
    charge: Charge,
}

/// Since MULTI.
#[derive(Debug, Default)]
struct Transaction {
    queue: Vec<Queue>,
    /// What it takes, its plan and the frame of its reply included.
    bytes: usize,
    /// What its plan will have.
    steps: usize,
    /// Something could not be queued, so nothing will be run.
    is_broken: bool,
}

#[derive(Debug)]
enum Queue {
    Ask(Command),
    Error(Reply),
    /// It is answered when its turn comes.
    Local(Verb, Kept),
}

impl Session {
    /// A new one; if there is a password, a stranger's.
    #[must_use]
    pub fn new(id: u64, server: &Server) -> Self {
        Self {
            id,
            is_stranger: server.config.password.is_some(),
            wrong: 0,
            was_wrong: false,
            name: None,
            transaction: None,
            watched: Vec::new(),
            watched_bytes: 0,
            watching: Keys::new(),
            charge: Charge::of_connection(server.budget.clone()),
        }
    }

    /// Whether it is of one who has yet to give the password.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.is_stranger
    }

    /// What comes of a request.
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
                return Step::Reply(self.exec_is_refused(&reply));
            }
            Err(reply) => {
                self.break_off();
                return Step::Reply(reply);
            }
        };
        match verb {
            Verb::Quit => Step::Close(Reply::Ok),
            Verb::Multi => Step::Reply(self.multi()),
            Verb::Exec => self.exec(now, server),
            Verb::Discard => Step::Reply(self.discard()),
            Verb::Watch => self.watch(request, now, server),
            _ if self.transaction.is_some() => Step::Reply(self.queue(verb, request, server)),
            _ => self.alone(verb, request, now, server),
        }
    }

    /// How long nothing more is to be done for a client that has just given a wrong password:
    /// longer with every one.
    #[must_use]
    pub fn take_penalty(&mut self) -> Duration {
        match std::mem::take(&mut self.was_wrong) {
            false => Duration::ZERO,
            true => PENALTY.saturating_mul(1 << (self.wrong - 1).min(16)).min(LONGEST_PENALTY),
        }
    }

    /// The WATCH that was just asked for is not asked: there is no room.
    pub fn forget_watch(&mut self) {
        self.watching = Keys::new();
    }

    /// A request was refused before it was read: there was no room for it.
    #[must_use]
    pub fn refused(&mut self) -> Reply {
        self.break_off();
        Reply::out_of_memory()
    }

    /// What the client is told when what a WATCH asked is answered.
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

    /// The command that is asked for, if it may be.
    fn verb(&self, request: &Request) -> Result<Verb, Reply> {
        let verb = Verb::of(request.argument(0)).ok_or_else(|| unknown(request))?;
        if !verb.takes(request.len()) {
            return Err(wrong_number(verb.spec().name));
        }
        if self.is_stranger && !verb.is_for_strangers() {
            return Err(Reply::error("NOAUTH Authentication required."));
        }
        unknown_subcommand(verb, request).map_or(Ok(verb), Err)
    }

    fn alone(&mut self, verb: Verb, request: &Request, now: Now, server: &Server) -> Step {
        match Command::parse(verb, request, &server.config.clock) {
            Err(reply) => Step::Reply(reply),
            Ok(Some(command)) => Step::Ask(Plan::new(command, server.slots, now)),
            Ok(None) if verb == Verb::Info => {
                let info = Info::new(request, server);
                ask(Planner::new(server.slots, now).info(Box::new(info)))
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
            Ok(Some(command)) => {
                let (bytes, steps) = (command.weight(shards), command.steps(shards));
                (Queue::Ask(command), bytes, steps)
            }
            Ok(None) => {
                let kept = Kept::from(request);
                let (bytes, steps) = local_weight(verb, shards);
                let bytes = bytes + 2 * kept.heap();
                (Queue::Local(verb, kept), bytes, steps)
            }
            Err(reply) => (Queue::Error(reply), 128, 1),
        };
        let transaction = self.transaction.as_mut().expect("a transaction is under way");
        if transaction.is_broken {
            return Reply::simple("QUEUED");
        }
        transaction.bytes += bytes + size_of::<Queue>();
        transaction.steps += steps;
        if transaction.steps > MAX_STEPS {
            self.break_off();
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
        let checks = self.forget();
        if transaction.is_broken {
            return Step::Reply(Reply::error("EXECABORT Transaction discarded because of previous errors."));
        }
        let Transaction { queue, bytes, .. } = *transaction;
        let queue = queue.into_iter().map(|queue| self.queued(queue, server)).collect();
        ask(Planner::new(server.slots, now).exec(checks, queue, bytes))
    }

    /// What is refused of an EXEC itself ends the transaction.
    fn exec_is_refused(&mut self, why: &Reply) -> Reply {
        self.transaction = None;
        self.forget();
        let Reply::Error(why) = why else { return why.clone() };
        let why = why.strip_prefix("ERR ").unwrap_or(why);
        Reply::Error(Cow::Owned(format!("EXECABORT Transaction discarded because of: {why}")))
    }

    fn queued(&mut self, queue: Queue, server: &Server) -> Queued {
        match queue {
            Queue::Ask(command) => Queued::Ask(command),
            Queue::Error(reply) => Queued::Is(reply),
            Queue::Local(Verb::Info, kept) => Queued::Info(Box::new(Info::new(&kept.request(), server))),
            Queue::Local(verb, kept) => Queued::Is(self.local(verb, &kept.request(), server)),
        }
    }

    fn discard(&mut self) -> Reply {
        if self.transaction.take().is_none() {
            return Reply::error("ERR DISCARD without MULTI");
        }
        self.forget();
        Reply::Ok
    }

    fn watch(&mut self, request: &Request, now: Now, server: &Server) -> Step {
        if self.transaction.is_some() {
            return Step::Reply(Reply::error("ERR WATCH inside MULTI is not allowed"));
        }
        // What is watched already stays as it was then.
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

    /// Nothing is watched and queued any more.
    fn forget(&mut self) -> Vec<Check> {
        let _ = self.charge.is(0);
        self.watched_bytes = 0;
        std::mem::take(&mut self.watched)
    }

    /// Nothing of a transaction will be run, so nothing of it need be kept.
    fn break_off(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            **transaction = Transaction { is_broken: true, ..Transaction::default() };
            let _ = self.charge.is(self.watched_bytes);
        }
    }
}

/// Most steps of a transaction, each on one key or one shard. All its shards are held while it is
/// run: this many steps take a few tenths of a second at most, and others wait no longer.
const MAX_STEPS: usize = 1 << 20;

const TOO_LONG: Reply = Reply::error(
    "ERR the transaction is too long: more than 1048576 keys, counting each shard that \
                                      a command asks",
);

/// After the first wrong password; doubled with every further one.
const PENALTY: Duration = Duration::from_millis(50);
const LONGEST_PENALTY: Duration = Duration::from_secs(5);

/// Bytes and steps of what a session answers by itself when a transaction is run: see
/// [`Command::weight`].
fn local_weight(verb: Verb, shards: usize) -> (usize, usize) {
    match verb {
        Verb::Info => (Command::Stats.weight(shards) + 4096, Command::Stats.steps(shards)),
        // It tells of every command.
        Verb::Command => (32 << 10, 64),
        Verb::Config => (2048, 8),
        _ => (256, 1),
    }
}

/// Whether it is a word by which every HTTP request is known: POST, whose body a web page chooses,
/// or the header that all others have. Redis and Valkey know the same two.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Whether it is the first line of an HTTP request (RFC 9112, 3), whose method may be the name of a
/// command: `SET /path HTTP/1.1`.
fn is_request_line(request: &Request) -> bool {
    request.is_inline() && request.len() == 3 && request.argument(2).starts_with(b"HTTP/")
}

/// A plan that asks nobody is answered.
fn ask(plan: Plan) -> Step {
    if plan.parts().is_empty() { Step::Reply(plan.reply([])) } else { Step::Ask(plan) }
}
