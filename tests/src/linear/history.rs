//! A history: the operations of clients of a server, with the answers and the times that a client
//! can know.

use std::fmt::{self, Display, Formatter};

/// A key: its index in [`History::keys`].
pub type Key = usize;

/// The name and the shard of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The name: with a hash tag if it has one, and without a space.
    pub name: String,
    /// The shard that holds it.
    pub shard: usize,
}

/// An operation. Values are numbers, so that one history can write, count, and transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `GET`.
    Get(Key),
    /// `SET`.
    Set(Key, i64),
    /// `SET … NX`: only if the key is missing.
    SetNx(Key, i64),
    /// `INCRBY`, and `INCR` where it is 1.
    Add(Key, i64),
    /// `DEL`.
    Del(Vec<Key>),
    /// `MGET`.
    Mget(Vec<Key>),
    /// `MSET`.
    Mset(Vec<(Key, i64)>),
    /// `WATCH`: until this connection's next `EXEC`.
    Watch(Vec<Key>),
    /// `MULTI … EXEC`.
    Exec {
        /// The keys that the connection has watched since its last `EXEC`.
        watched: Vec<Key>,
        /// The queued operations.
        ops: Vec<Self>,
    },
    /// Not an operation of a client: a shard lost all its keys at once.
    Crash(usize),
}

impl Op {
    /// The keys that the operation touches. A crash touches those of its shard.
    #[must_use]
    pub fn keys(&self, all: &[KeyInfo]) -> Vec<Key> {
        match self {
            Self::Get(key) | Self::Set(key, _) | Self::SetNx(key, _) | Self::Add(key, _) => vec![*key],
            Self::Del(keys) | Self::Mget(keys) | Self::Watch(keys) => keys.clone(),
            Self::Mset(pairs) => pairs.iter().map(|(key, _)| *key).collect(),
            Self::Exec { watched, ops } => {
                watched.iter().copied().chain(ops.iter().flat_map(|op| op.keys(all))).collect()
            }
            Self::Crash(shard) => (0..all.len()).filter(|key| all[*key].shard == *shard).collect(),
        }
    }

    /// Whether the operation changes no key and no connection, independent of the answer.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Get(_) | Self::Mget(_) => true,
            Self::Exec { watched, ops } => watched.is_empty() && ops.iter().all(Self::only_reads),
            _ => false,
        }
    }

    /// Whether the operation, with this answer, changed no key and no connection.
    #[must_use]
    pub fn changed_nothing(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::SetNx(..), Answer::Nil) | (Self::Del(_), Answer::Integer(0)) => true,
            (Self::Exec { watched, ops }, Answer::List(answers)) => {
                watched.is_empty() && ops.iter().zip(answers).all(|(op, answer)| op.changed_nothing(answer))
            }
            _ => self.only_reads(),
        }
    }

    /// The operation as a user would type it.
    #[must_use]
    pub fn text(&self, keys: &[KeyInfo]) -> String {
        let name = |key: &Key| keys[*key].name.clone();
        let names = |keys: &[Key]| keys.iter().map(name).collect::<Vec<_>>().join(" ");
        match self {
            Self::Get(key) => format!("GET {}", name(key)),
            Self::Set(key, value) => format!("SET {} {value}", name(key)),
            Self::SetNx(key, value) => format!("SET {} {value} NX", name(key)),
            Self::Add(key, 1) => format!("INCR {}", name(key)),
            Self::Add(key, by) => format!("INCRBY {} {by}", name(key)),
            Self::Del(keys) => format!("DEL {}", names(keys)),
            Self::Mget(keys) => format!("MGET {}", names(keys)),
            Self::Mset(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| format!(" {} {value}", name(key)));
                format!("MSET{}", pairs.collect::<String>())
            }
            Self::Watch(keys) => format!("WATCH {}", names(keys)),
            Self::Exec { ops, .. } => {
                let ops = ops.iter().map(|op| format!("{}; ", op.text(keys)));
                format!("MULTI; {}EXEC", ops.collect::<String>())
            }
            Self::Crash(shard) => format!("crash of shard {shard}"),
        }
    }
}

/// An answer of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `+OK`, and the answer of a crash.
    Done,
    /// No value, a condition that was not met, or a transaction that was not done because a watched
    /// key was written.
    Nil,
    /// An integer.
    Integer(i64),
    /// A value.
    Value(i64),
    /// A list of answers.
    List(Vec<Self>),
    /// An answer that no operation of a history may have, and so a violation.
    Other(String),
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("OK"),
            Self::Nil => f.write_str("nil"),
            Self::Integer(number) => write!(f, "(integer) {number}"),
            Self::Value(value) => write!(f, "\"{value}\""),
            Self::List(answers) => {
                let answers = answers.iter().map(Self::to_string).collect::<Vec<_>>();
                write!(f, "[{}]", answers.join(", "))
            }
            Self::Other(text) => write!(f, "{text:?}"),
        }
    }
}

/// What a client knows of its operation at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done once, between call and answer.
    Ok(Answer),
    /// It was certainly not done.
    Failed,
    /// It may have been done, at any time after the call, or not at all.
    Unknown,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(answer) => answer.fmt(f),
            Self::Failed => f.write_str("refused"),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// The completion time of an operation that had no answer.
pub const NEVER: u64 = u64::MAX;

/// An operation with its times. The clock only counts: the later of two readings is the larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The number of the connection. A client that reconnects gets another number.
    pub client: usize,
    /// The operation.
    pub op: Op,
    /// A time before the first byte of the request was sent.
    pub invoked: u64,
    /// A time after the last byte of the answer was received, or [`NEVER`].
    pub completed: u64,
    /// The outcome.
    pub outcome: Outcome,
}

impl Operation {
    /// An operation that was answered.
    #[must_use]
    pub fn ok(client: usize, op: Op, times: (u64, u64), answer: Answer) -> Self {
        Self { client, op, invoked: times.0, completed: times.1, outcome: Outcome::Ok(answer) }
    }

    /// An operation that had no answer.
    #[must_use]
    pub fn unknown(client: usize, op: Op, invoked: u64) -> Self {
        Self { client, op, invoked, completed: NEVER, outcome: Outcome::Unknown }
    }
}

/// A recorded history. Every key is missing at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The keys.
    pub keys: Vec<KeyInfo>,
    /// The operations, in any order. Operations of one client do not overlap, unless it sent them
    /// in one pipeline. Those stand in the order in which it sent them, and are done in that order
    /// if all are answered.
    pub operations: Vec<Operation>,
}

impl History {
    /// The number of operations that were answered, were refused, and are unknown. A history
    /// without answered operations proves nothing.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Outcome) -> bool| self.operations.iter().filter(|o| is(&o.outcome)).count();
        (
            count(|outcome| matches!(outcome, Outcome::Ok(_))),
            count(|outcome| *outcome == Outcome::Failed),
            count(|outcome| *outcome == Outcome::Unknown),
        )
    }

    /// The number of operations that were called while another was open. Without any, the history
    /// is only a sequence.
    #[must_use]
    pub fn overlapping(&self) -> usize {
        let is_open = |one: &Operation, time| one.invoked < time && time < one.completed;
        let overlaps = |one: &&Operation| self.operations.iter().any(|other| is_open(other, one.invoked));
        self.operations.iter().filter(overlaps).count()
    }
}
