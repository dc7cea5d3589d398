//! What is asked of shards.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    Clock, Key, Reply, Value,
    resp::{Request, number},
    verb::Verb,
};

/// Some keys; mostly one.
pub type Keys = SmallVec<[Key; 1]>;

/// A command on the data, or the part of it that concerns one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// GET.
    Get(Key),
    /// SET.
    Set {
        /// What is set.
        key: Key,
        /// To what.
        value: Value,
        /// EX, PX: it expires after so many milliseconds.
        after: Option<i64>,
        /// NX, XX.
        when: When,
    },
    /// INCR, INCRBY, DECR: adds a number.
    Add(Key, i64),
    /// STRLEN.
    Strlen(Key),
    /// TYPE.
    Type(Key),
    /// TTL, or PTTL if in milliseconds.
    Ttl {
        /// Whose time.
        key: Key,
        /// In milliseconds, not seconds.
        is_fine: bool,
    },
    /// EXPIRE, PEXPIRE: after so many milliseconds.
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
    /// What WATCH asks: the shard's epoch, and each key's version.
    Versions(Keys),
    /// What INFO asks: see [`Stats`](super::Stats).
    Stats,
}

/// Bytes that a step of a plan takes, about: a command for a shard, its reply, and where that goes.
const STEP: usize = 256;
/// What a shard tells of itself is as much work as this many replies.
const STATS: usize = 8;

/// Under which condition a SET sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Under none.
    #[default]
    Always,
    /// NX.
    Absent,
    /// XX.
    Present,
}

const SYNTAX: Reply = Reply::error("ERR syntax error");
/// What is no number, or too large a one.
pub(super) const NO_NUMBER: Reply = Reply::error("ERR value is not an integer or out of range");

impl Command {
    /// The command that a request is, whose number of arguments is one that the verb [takes](Verb::takes).
    /// None if it is not one on data.
    ///
    /// # Errors
    ///
    /// What Redis 7.0 answers: of the syntax, of numbers, of a time of expiry that is none.
    pub(super) fn parse(verb: Verb, request: &Request, clock: &Clock) -> Result<Option<Self>, Reply> {
        let key = || Key::from(request.argument(1));
        let keys = || request.from(1).map(Key::from).collect();
        Ok(Some(match verb {
            Verb::Get => Self::Get(key()),
            Verb::Set => set(request, clock)?,
            Verb::Incr => Self::Add(key(), 1),
            Verb::Decr => Self::Add(key(), -1),
            Verb::Incrby => Self::Add(key(), number(request.argument(2)).ok_or(NO_NUMBER)?),
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

    /// How many steps its plan has on this many shards: one for each key, or for each shard if it
    /// asks all of them.
    pub(super) fn steps(&self, shards: usize) -> usize {
        match self {
            Self::Mget(keys) | Self::Del(keys) | Self::Exists(keys) | Self::Versions(keys) => keys.len(),
            Self::Mset(pairs) => pairs.len(),
            Self::Dbsize | Self::Flushdb => shards,
            Self::Stats => shards * STATS,
            _ => 1,
        }
    }

    /// The bytes that it takes while it is under way, about: itself, its plan on this many shards,
    /// and its reply, but not the values in that.
    pub(super) fn weight(&self, shards: usize) -> usize {
        self.heap() + self.steps(shards) * STEP
    }

    /// What keeps it in memory, about: while it is in a queue.
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
        return Err(no_time("set"));
    }
    let (key, value) = (request.argument(1).into(), request.argument(2).into());
    Ok(Command::Set { key, value, after, when: when.unwrap_or_default() })
}

/// Said twice it is the same; the other one contradicts it.
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

/// A time from now. Its date must fit the calendar, too, as in Redis; the date is not kept.
fn milliseconds(time: &[u8], unit: i64, clock: &Clock, command: &str) -> Result<i64, Reply> {
    let time = number(time).ok_or(NO_NUMBER)?.checked_mul(unit);
    let time = time.filter(|time| time.checked_add_unsigned(clock.wall()).is_some());
    time.ok_or_else(|| no_time(command))
}

fn no_time(command: &str) -> Reply {
    Reply::Error(Cow::Owned(format!("ERR invalid expire time in '{command}' command")))
}

/// What a command with too few or too many arguments is answered; its name as Redis knows it.
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
