//! The commands that shards execute.

mod options;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::options::{copy, expire, flushdb, getex, mset, scan, set, setex};
use super::{
    Clock, Key, Reply, Value,
    resp::{Request, number},
    slots::slot,
    verb::Verb,
};

/// The keys of a command; usually one.
pub type Keys = SmallVec<[Key; 1]>;

/// A command on the data, or the part of it that is for one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// GET.
    Get(Key),
    /// SET, SETNX, SETEX, PSETEX, GETSET.
    Set {
        /// The key.
        key: Key,
        /// The value.
        value: Value,
        /// When the entry expires.
        expiry: Expiry,
        /// NX, XX: the condition.
        when: When,
        /// What it replies.
        reply: SetReply,
    },
    /// INCR, INCRBY, DECR, DECRBY: adds this number.
    Add(Key, i64),
    /// STRLEN.
    Strlen(Key),
    /// TYPE.
    Type(Key),
    /// TTL, PTTL, EXPIRETIME and PEXPIRETIME.
    Ttl {
        /// The key.
        key: Key,
        /// The unit of the reply.
        unit: TtlUnit,
    },
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT.
    Expire {
        /// The key.
        key: Key,
        /// When the entry expires: after some time, or at a date.
        expiry: Expiry,
        /// The condition.
        when: ExpireWhen,
    },
    /// PERSIST.
    Persist(Key),
    /// MGET.
    Mget(Keys),
    /// MSET.
    Mset(Vec<(Key, Value)>),
    /// DEL, UNLINK.
    Del(Keys),
    /// EXISTS, TOUCH.
    Exists(Keys),
    /// DBSIZE.
    Dbsize,
    /// FLUSHDB, FLUSHALL.
    Flushdb,
    /// For WATCH: the shard's epoch, and each key's version.
    Versions(Keys),
    /// For INFO: see [`Stats`](super::Stats).
    Stats,
    /// INCRBYFLOAT: adds this decimal number.
    AddFloat(Key, Value),
    /// GETDEL.
    Getdel(Key),
    /// GETEX.
    Getex(Key, Expiry),
    /// APPEND.
    Append(Key, Value),
    /// GETRANGE: the first and the last byte, from the end if negative.
    Getrange(Key, i64, i64),
    /// SETRANGE: the position of the first byte.
    Setrange(Key, u64, Value),
    /// MSETNX, of keys of one shard.
    Msetnx(Vec<(Key, Value)>),
    /// RENAME, RENAMENX and COPY, of keys of one shard.
    Move(Box<Move>),
    /// For a [`Move`] between two shards: the key's value, its time to live in milliseconds (-1 if
    /// it does not expire), the shard's epoch and the key's version. Nil if it is absent.
    Entry(Key),
    /// KEYS, with its pattern.
    Keys(Value),
    /// SCAN, or the part of it on one shard.
    Scan(Box<Scan>),
    /// RANDOMKEY: the number of the shard's keys, and one of them.
    Randomkey,
}

/// When an entry expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// It does not expire.
    #[default]
    Never,
    /// As before (KEEPTTL).
    Keep,
    /// After this many milliseconds; at once if that is not positive.
    After(i64),
    /// At this date, in milliseconds since 1970. Shards know no dates: see `Command::stamp`.
    At(i64),
}

/// What a SET replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetReply {
    /// OK, or nil if the condition does not hold.
    #[default]
    Status,
    /// The value before (GET, GETSET).
    Old,
    /// 1, or 0 if the condition does not hold (SETNX).
    Number,
}

/// The unit of a time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TtlUnit {
    /// Rounded to seconds (TTL).
    Seconds,
    /// Milliseconds (PTTL).
    Milliseconds,
    /// The date in seconds (EXPIRETIME), with the present date in milliseconds. A shard knows no
    /// dates: it replies milliseconds from now.
    Date(u64),
    /// The date in milliseconds (PEXPIRETIME); likewise.
    FineDate(u64),
}

/// The condition of an EXPIRE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireWhen {
    /// NX: false; XX: true. The entry must have an expiry, or must have none.
    pub expires: Option<bool>,
    /// GT: true; LT: false. The entry must expire later than before, or earlier.
    pub later: Option<bool>,
}

/// A RENAME, RENAMENX or COPY.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The source.
    pub from: Key,
    /// The target.
    pub to: Key,
    /// Which of them it is.
    pub kind: MoveKind,
}

/// The kinds of a [`Move`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveKind {
    /// RENAME.
    Rename,
    /// RENAMENX: nothing is done if the target exists.
    Renamenx,
    /// COPY: the same, and the source stays.
    Copy,
    /// COPY with REPLACE.
    Replace,
}

impl MoveKind {
    /// Whether the source stays.
    #[must_use]
    pub fn keeps_source(self) -> bool {
        matches!(self, Self::Copy | Self::Replace)
    }

    /// Whether the target must be absent.
    #[must_use]
    pub fn needs_absence(self) -> bool {
        matches!(self, Self::Renamenx | Self::Copy)
    }

    /// The reply if nothing is moved because the source is absent.
    #[must_use]
    pub fn missing(self) -> Reply {
        if self.keeps_source() { Reply::Int(0) } else { Reply::error("ERR no such key") }
    }

    /// The reply if the source was moved.
    #[must_use]
    pub fn moved(self) -> Reply {
        if self == Self::Rename { Reply::Ok } else { Reply::Int(1) }
    }
}

/// A SCAN of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Where to begin: the client's cursor, or the beginning of a shard.
    pub cursor: u64,
    /// COUNT: about how many keys to reply.
    pub count: u64,
    /// MATCH: the pattern.
    pub pattern: Option<Value>,
    /// TYPE has named a type of which there are no keys.
    pub is_void: bool,
    /// Replies no keys if the shard has more than `count`: see `Plan`.
    pub only_whole: bool,
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

pub(super) const SYNTAX: Reply = Reply::error("ERR syntax error");
/// The reply to a DECRBY whose number cannot be negated.
const TOO_SMALL: Reply = Reply::error("ERR decrement would overflow");
/// The reply to an argument that is not an integer, or out of range.
pub(super) const NOT_AN_INTEGER: Reply = Reply::error("ERR value is not an integer or out of range");

impl Command {
    /// A SET without options.
    #[must_use]
    pub fn set(key: Key, value: Value) -> Self {
        let (expiry, when, reply) = (Expiry::Never, When::Always, SetReply::Status);
        Self::Set { key, value, expiry, when, reply }
    }

    /// Parses a request whose number of arguments the verb [accepts](Verb::takes). `None` if the
    /// command is not one on the data.
    ///
    /// # Errors
    ///
    /// The error replies of Redis 7.0: for wrong syntax, invalid numbers and invalid expiry times.
    pub(super) fn parse(verb: Verb, request: &Request, clock: &Clock) -> Result<Option<Self>, Reply> {
        let key = || Key::from(request.argument(1));
        let keys = || request.from(1).map(Key::from).collect();
        let value = || Value::from(request.argument(2));
        let integer = |at| number(request.argument(at)).ok_or(NOT_AN_INTEGER);
        let ttl = |unit| Self::Ttl { key: key(), unit };
        let date = || clock.wall();
        Ok(Some(match verb {
            Verb::Get => Self::Get(key()),
            Verb::Set => set(request, date)?,
            Verb::Incr => Self::Add(key(), 1),
            Verb::Decr => Self::Add(key(), -1),
            Verb::Incrby => Self::Add(key(), integer(2)?),
            Verb::Decrby => Self::Add(key(), integer(2)?.checked_neg().ok_or(TOO_SMALL)?),
            Verb::Incrbyfloat => Self::AddFloat(key(), value()),
            Verb::Strlen => Self::Strlen(key()),
            Verb::Type => Self::Type(key()),
            Verb::Ttl => ttl(TtlUnit::Seconds),
            Verb::Pttl => ttl(TtlUnit::Milliseconds),
            Verb::Expiretime => ttl(TtlUnit::Date(0)),
            Verb::Pexpiretime => ttl(TtlUnit::FineDate(0)),
            Verb::Expire | Verb::Pexpire | Verb::Expireat | Verb::Pexpireat => expire(verb, request, date())?,
            Verb::Persist => Self::Persist(key()),
            Verb::Mget => Self::Mget(keys()),
            Verb::Mset => Self::Mset(mset(verb, request)?),
            Verb::Msetnx => Self::Msetnx(mset(verb, request)?),
            Verb::Del | Verb::Unlink => Self::Del(keys()),
            Verb::Exists | Verb::Touch => Self::Exists(keys()),
            Verb::Dbsize => Self::Dbsize,
            Verb::Flushdb | Verb::Flushall => flushdb(request)?,
            Verb::Setnx => {
                let (expiry, when, reply) = (Expiry::Never, When::Absent, SetReply::Number);
                Self::Set { key: key(), value: value(), expiry, when, reply }
            }
            Verb::Setex | Verb::Psetex => setex(verb, request, date())?,
            Verb::Getset => {
                let (expiry, when, reply) = (Expiry::Never, When::Always, SetReply::Old);
                Self::Set { key: key(), value: value(), expiry, when, reply }
            }
            Verb::Getdel => Self::Getdel(key()),
            Verb::Getex => getex(request, date)?,
            Verb::Append => Self::Append(key(), value()),
            Verb::Getrange => Self::Getrange(key(), integer(2)?, integer(3)?),
            Verb::Setrange => {
                let offset = u64::try_from(integer(2)?);
                let offset = offset.map_err(|_| Reply::error("ERR offset is out of range"))?;
                Self::Setrange(key(), offset, request.argument(3).into())
            }
            Verb::Rename | Verb::Renamenx => {
                let kind = if verb == Verb::Rename { MoveKind::Rename } else { MoveKind::Renamenx };
                Self::Move(Move { from: key(), to: request.argument(2).into(), kind }.into())
            }
            Verb::Copy => copy(request)?,
            Verb::Scan => scan(request)?,
            Verb::Keys => Self::Keys(request.argument(1).into()),
            Verb::Randomkey => Self::Randomkey,
            _ => return Ok(None),
        }))
    }

    /// Replaces dates by durations from now, when the command is about to run. `date` is the
    /// present date in milliseconds since 1970.
    pub(super) fn stamp(&mut self, date: impl Fn() -> u64) {
        match self {
            Self::Set { expiry, .. } | Self::Getex(_, expiry) | Self::Expire { expiry, .. } => {
                if let Expiry::At(at) = *expiry {
                    *expiry = Expiry::After(at.saturating_sub_unsigned(date()));
                }
            }
            Self::Ttl { unit: TtlUnit::Date(now) | TtlUnit::FineDate(now), .. } => *now = date(),
            _ => {}
        }
    }

    /// The number of steps of its plan on this many shards: one per key, or one per shard if it
    /// asks all of them.
    pub(super) fn steps(&self, shards: usize) -> usize {
        match self {
            Self::Mget(keys) | Self::Del(keys) | Self::Exists(keys) | Self::Versions(keys) => keys.len(),
            Self::Mset(pairs) | Self::Msetnx(pairs) => pairs.len(),
            Self::Dbsize | Self::Flushdb | Self::Keys(_) | Self::Randomkey => shards,
            Self::Scan(_) => shards.min(MAX_SCANNED_SHARDS),
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
                Self::Set { key, value, .. }
                | Self::Append(key, value)
                | Self::Setrange(key, _, value)
                | Self::AddFloat(key, value) => key.heap() + value.len(),
                Self::Mset(pairs) | Self::Msetnx(pairs) => {
                    pairs.iter().map(|(key, value)| 64 + key.heap() + value.len()).sum()
                }
                Self::Mget(some) | Self::Del(some) | Self::Exists(some) | Self::Versions(some) => keys(some),
                Self::Move(mover) => size_of::<Move>() + mover.from.heap() + mover.to.heap(),
                Self::Scan(scan) => {
                    size_of::<Scan>() + scan.pattern.as_ref().map_or(0, |pattern| pattern.len())
                }
                Self::Keys(pattern) => pattern.len(),
                _ => 0,
            }
    }

    /// Whether its keys are of one slot, if that matters in a transaction. (Alone, RENAME and COPY
    /// run in two steps if their keys are not of one shard, and MSETNX under a condition.)
    pub(super) fn is_of_one_slot(&self) -> bool {
        match self {
            Self::Move(mover) => slot(&mover.from) == slot(&mover.to),
            Self::Msetnx(pairs) => {
                let mut slots = pairs.iter().map(|(key, _)| slot(key));
                let first = slots.next();
                slots.all(|slot| Some(slot) == first)
            }
            _ => true,
        }
    }
}

/// Maximum shards that one SCAN asks.
pub(super) const MAX_SCANNED_SHARDS: usize = 64;

/// The reply to a wrong number of arguments.
pub(super) fn wrong_number(command: &str) -> Reply {
    Reply::Error(Cow::Owned(format!("ERR wrong number of arguments for '{command}' command")))
}
