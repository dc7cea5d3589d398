//! The commands that shards execute.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    Clock, Key, Reply, Value,
    resp::{Request, number},
    verb::Verb,
};

/// The keys of a command; usually one.
pub type Keys = SmallVec<[Key; 1]>;

/// A command on the data, or the part of it that is for one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// GET.
    Get(Key),
    /// SET.
    Set {
        /// The key.
        key: Key,
        /// The value.
        value: Value,
        /// EX, PX: the entry expires after this many milliseconds.
        after: Option<i64>,
        /// NX, XX: the condition.
        when: When,
    },
    /// INCR, INCRBY, DECR: adds this number.
    Add(Key, i64),
    /// STRLEN.
    Strlen(Key),
    /// TYPE.
    Type(Key),
    /// TTL and PTTL.
    Ttl {
        /// The key.
        key: Key,
        /// Whether the reply is in milliseconds (PTTL), not in seconds.
        is_fine: bool,
    },
    /// EXPIRE, PEXPIRE: the entry expires after this many milliseconds.
    Expire(Key, i64),
    /// PERSIST.
    Persist(Key),
    /// MGET.
    Mget(Keys),
    /// MSET.
    Mset(Vec<(Key, Value)>),
    /// DEL.
    Del(Keys),
    /// EXISTS.
    Exists(Keys),
    /// DBSIZE.
    Dbsize,
    /// FLUSHDB.
    Flushdb,
    /// For WATCH: the shard's epoch, and each key's version.
    Versions(Keys),
    /// For INFO: see [`Stats`](super::Stats).
    Stats,
}

/// Approximate bytes of a step of a plan: a command for a shard, its reply, and bookkeeping.
const STEP_BYTES: usize = 256;
/// The work of a `Stats` command on one shard, in steps.
const STATS_STEPS: usize = 8;

/// The condition of a SET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// No condition.
    #[default]
    Always,
    /// NX: the key is absent.
    Absent,
    /// XX: the key is present.
    Present,
}

const SYNTAX: Reply = Reply::error("ERR syntax error");
/// The reply to an argument that is not an integer, or out of range.
pub(super) const NOT_AN_INTEGER: Reply = Reply::error("ERR value is not an integer or out of range");

impl Command {
    /// Parses a request whose number of arguments the verb [accepts](Verb::takes). `None` if the
    /// command is not one on the data.
    ///
    /// # Errors
    ///
    /// The error replies of Redis 7.0: for wrong syntax, invalid numbers and invalid expiry times.
    pub(super) fn parse(verb: Verb, request: &Request, clock: &Clock) -> Result<Option<Self>, Reply> {
        let key = || Key::from(request.argument(1));
        let keys = || request.from(1).map(Key::from).collect();
        Ok(Some(match verb {
            Verb::Get => Self::Get(key()),
            Verb::Set => set(request, clock)?,
            Verb::Incr => Self::Add(key(), 1),
            Verb::Decr => Self::Add(key(), -1),
            Verb::Incrby => Self::Add(key(), number(request.argument(2)).ok_or(NOT_AN_INTEGER)?),
            Verb::Strlen => Self::Strlen(key()),
            Verb::Type => Self::Type(key()),
            Verb::Ttl | Verb::Pttl => Self::Ttl { key: key(), is_fine: verb == Verb::Pttl },
            Verb::Expire | Verb::Pexpire => Self::Expire(key(), expiry(verb, request, clock)?),
            Verb::Persist => Self::Persist(key()),
            Verb::Mget => Self::Mget(keys()),
            Verb::Mset => mset(request)?,
            Verb::Del => Self::Del(keys()),
            Verb::Exists => Self::Exists(keys()),
            Verb::Dbsize => Self::Dbsize,
            Verb::Flushdb => flushdb(request)?,
            _ => return Ok(None),
        }))
    }

    /// The number of steps of its plan on this many shards: one per key, or one per shard if it
    /// asks all of them.
    pub(super) fn steps(&self, shards: usize) -> usize {
        match self {
            Self::Mget(keys) | Self::Del(keys) | Self::Exists(keys) | Self::Versions(keys) => keys.len(),
            Self::Mset(pairs) => pairs.len(),
            Self::Dbsize | Self::Flushdb => shards,
            Self::Stats => shards * STATS_STEPS,
            _ => 1,
        }
    }

    /// Approximate bytes while it is in flight: the command, its plan on this many shards, and its
    /// reply without the values.
    pub(super) fn weight(&self, shards: usize) -> usize {
        self.heap() + self.steps(shards) * STEP_BYTES
    }

    /// Approximate bytes of the command itself.
    pub(super) fn heap(&self) -> usize {
        let keys = |keys: &Keys| keys.iter().map(|key| size_of::<Key>() + key.heap()).sum();
        size_of::<Self>()
            + match self {
                Self::Set { key, value, .. } => key.heap() + value.len(),
                Self::Mset(pairs) => pairs.iter().map(|(key, value)| 64 + key.heap() + value.len()).sum(),
                Self::Mget(some) | Self::Del(some) | Self::Exists(some) | Self::Versions(some) => keys(some),
                _ => 0,
            }
    }
}

fn set(request: &Request, clock: &Clock) -> Result<Command, Reply> {
    let (mut when, mut timing) = (None, None);
    let mut options = request.from(3);
    while let Some(option) = options.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" => flag(&mut when, When::Absent)?,
            b"xx" => flag(&mut when, When::Present)?,
            unit @ (b"ex" | b"px") => {
                let (time, unit) = (options.next().ok_or(SYNTAX)?, if unit == b"ex" { 1000 } else { 1 });
                if timing.replace((time, unit)).is_some_and(|(_, was)| was != unit) {
                    return Err(SYNTAX);
                }
            }
            _ => return Err(SYNTAX),
        }
    }
    let after = timing.map(|(time, unit)| milliseconds(time, unit, clock, "set")).transpose()?;
    if after.is_some_and(|after| after <= 0) {
        return Err(invalid_expiry("set"));
    }
    let (key, value) = (request.argument(1).into(), request.argument(2).into());
    Ok(Command::Set { key, value, after, when: when.unwrap_or_default() })
}

/// Sets NX or XX. Repeating the same one is allowed, both together are a syntax error.
fn flag(when: &mut Option<When>, is: When) -> Result<(), Reply> {
    if when.replace(is).is_none_or(|was| was == is) { Ok(()) } else { Err(SYNTAX) }
}

fn expiry(verb: Verb, request: &Request, clock: &Clock) -> Result<i64, Reply> {
    if let Some(option) = request.from(3).next() {
        let option = String::from_utf8_lossy(option);
        return Err(Reply::Error(Cow::Owned(format!("ERR Unsupported option {option}"))));
    }
    milliseconds(request.argument(2), if verb == Verb::Expire { 1000 } else { 1 }, clock, verb.spec().name)
}

/// Milliseconds until the expiry. As in Redis, the date of the expiry must be representable; only
/// the duration is kept.
fn milliseconds(time: &[u8], unit: i64, clock: &Clock, command: &str) -> Result<i64, Reply> {
    let time = number(time).ok_or(NOT_AN_INTEGER)?.checked_mul(unit);
    let time = time.filter(|time| time.checked_add_unsigned(clock.wall()).is_some());
    time.ok_or_else(|| invalid_expiry(command))
}

fn invalid_expiry(command: &str) -> Reply {
    Reply::Error(Cow::Owned(format!("ERR invalid expire time in '{command}' command")))
}

/// The reply to a command with a wrong number of arguments.
pub(super) fn wrong_number(command: &str) -> Reply {
    Reply::Error(Cow::Owned(format!("ERR wrong number of arguments for '{command}' command")))
}

fn mset(request: &Request) -> Result<Command, Reply> {
    if request.len().is_multiple_of(2) {
        return Err(wrong_number("mset"));
    }
    let pair = |at| (request.argument(at).into(), request.argument(at + 1).into());
    Ok(Command::Mset((1..request.len()).step_by(2).map(pair).collect()))
}

fn flushdb(request: &Request) -> Result<Command, Reply> {
    let is_option = |option: &[u8]| [&b"sync"[..], b"async"].iter().any(|it| option.eq_ignore_ascii_case(it));
    let mut options = request.from(1);
    let is_one = options.len() <= 1 && options.all(is_option);
    if is_one { Ok(Command::Flushdb) } else { Err(SYNTAX) }
}
