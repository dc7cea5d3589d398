//! A history: what clients asked of a server, what it answered, and when, as far as a client can know.

use std::fmt::{self, Display, Formatter};

/// A key: its place in [`History::keys`].
pub type Key = usize;

/// How a key is called, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name, with a hash tag if it has one, and without a space.
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
    /// `SET … NX`: only where there is nothing yet.
    SetNx(Key, i64),
    /// `INCRBY`, and `INCR` where it is 1.
    Add(Key, i64),
    /// `DEL`.
    Del(Vec<Key>),
    /// `MGET`.
    Mget(Vec<Key>),
    /// `MSET`.
    Mset(Vec<(Key, i64)>),
    /// `WATCH`: from now on until this connection's next `EXEC`.
    Watch(Vec<Key>),
    /// `MULTI … EXEC`.
    Exec {
        /// What the connection has watched since its last `EXEC`.
        watched: Vec<Key>,
        /// The queue.
        ops: Vec<Self>,
    },
    /// No client's operation: a shard lost all its keys at once.
    Crash(usize),
}

impl Op {
    /// The keys it is about. A crash is about those of its shard.
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

    /// Whether it leaves every key and every connection as it is, whatever the answer.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Get(_) | Self::Mget(_) => true,
            Self::Exec { watched, ops } => watched.is_empty() && ops.iter().all(Self::only_reads),
            _ => false,
        }
    }

    /// Whether it left every key and every connection as it was, since it answered so.
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

    /// As one would type it.
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

/// An answer, as the protocol has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `+OK`, and what a crash answers.
    Done,
    /// No value, a condition that was not met, or a transaction that was not done because of a watched key.
    Nil,
    /// An integer.
    Integer(i64),
    /// A value.
    Value(i64),
    /// Several.
    List(Vec<Self>),
    /// What no operation of a history answers, and is a violation therefore.
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

/// What a client knows of its operation in the end.
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

/// When an operation ended whose end nobody saw.
pub const NEVER: u64 = u64::MAX;

/// An operation with its times, on a clock that only counts: of two readings the later one is the larger one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The connection. A client that connects anew is another one.
    pub client: usize,
    /// What was asked.
    pub op: Op,
    /// A time before the first byte of the request was sent.
    pub invoked: u64,
    /// A time after the last byte of the answer was received, or [`NEVER`].
    pub completed: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// An operation that was answered.
    #[must_use]
    pub fn ok(client: usize, op: Op, times: (u64, u64), answer: Answer) -> Self {
        Self { client, op, invoked: times.0, completed: times.1, outcome: Outcome::Ok(answer) }
    }

    /// An operation of which nothing more was heard.
    #[must_use]
    pub fn unknown(client: usize, op: Op, invoked: u64) -> Self {
        Self { client, op, invoked, completed: NEVER, outcome: Outcome::Unknown }
    }
}

/// What was recorded. Every key is missing at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The keys.
    pub keys: Vec<KeyInfo>,
    /// The operations, in any order. Those of one client do not overlap, unless it sent them in one go; then they
    /// are in the order in which it sent them, and are done in that order if all are answered.
    pub operations: Vec<Operation>,
}

impl History {
    /// How many operations were answered, were refused, and are unknown: a history that says nothing is no evidence.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Outcome) -> bool| self.operations.iter().filter(|o| is(&o.outcome)).count();
        (
            count(|outcome| matches!(outcome, Outcome::Ok(_))),
            count(|outcome| *outcome == Outcome::Failed),
            count(|outcome| *outcome == Outcome::Unknown),
        )
    }

    /// How many operations were called while another one was open: without one, a history shows nothing but a sequence.
    #[must_use]
    pub fn overlapping(&self) -> usize {
        let is_open = |one: &Operation, time| one.invoked < time && time < one.completed;
        let overlaps = |one: &&Operation| self.operations.iter().any(|other| is_open(other, one.invoked));
        self.operations.iter().filter(overlaps).count()
    }
}
