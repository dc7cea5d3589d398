//! The sequential specification: how a server that does one operation at a time answers.

use std::collections::BTreeMap;

use super::history::{Answer, Key, KeyInfo, Op};

/// The values of the keys, and the keys that connections watch.
///
/// `WATCH` is [as in Redis](https://redis.io/docs/latest/develop/using-commands/transactions/): a
/// write to a key marks each connection that watches it, and `EXEC` does nothing on a marked
/// connection. So a history shows a transaction that was done although a watched key was written,
/// and one that was refused although none was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    values: Vec<Option<i64>>,
    watches: BTreeMap<usize, Watch>,
}

/// The keys that a connection watches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Watch {
    /// One bit per key.
    keys: u64,
    is_marked: bool,
}

impl State {
    /// The state in which all `keys` keys are missing.
    pub(super) fn new(keys: usize) -> Self {
        Self { values: vec![None; keys], watches: BTreeMap::new() }
    }

    /// Does an operation, and returns the answer.
    pub(super) fn apply(&mut self, client: usize, op: &Op, keys: &[KeyInfo]) -> Answer {
        match op {
            Op::Get(key) => self.get(*key),
            Op::Set(key, value) => self.set(*key, *value),
            Op::SetNx(key, value) if self.values[*key].is_none() => self.set(*key, *value),
            Op::SetNx(..) => Answer::Nil,
            Op::Add(key, by) => self.add(*key, *by),
            Op::Del(keys) => Answer::Integer(keys.iter().map(|key| i64::from(self.remove(*key))).sum()),
            Op::Mget(keys) => Answer::List(keys.iter().map(|key| self.get(*key)).collect()),
            Op::Mset(pairs) => {
                pairs.iter().for_each(|(key, value)| drop(self.set(*key, *value)));
                Answer::Done
            }
            Op::Watch(keys) => self.watch(client, keys),
            Op::Exec { ops, .. } => self.exec(client, ops, keys),
            Op::Crash(_) => self.crash(&op.keys(keys)),
        }
    }

    fn get(&self, key: Key) -> Answer {
        self.values[key].map_or(Answer::Nil, Answer::Value)
    }

    fn set(&mut self, key: Key, value: i64) -> Answer {
        self.values[key] = Some(value);
        self.mark(key);
        Answer::Done
    }

    fn add(&mut self, key: Key, by: i64) -> Answer {
        let sum = self.values[key].unwrap_or(0).wrapping_add(by);
        self.set(key, sum);
        Answer::Integer(sum)
    }

    fn remove(&mut self, key: Key) -> bool {
        let was_there = self.values[key].take().is_some();
        if was_there {
            self.mark(key);
        }
        was_there
    }

    fn watch(&mut self, client: usize, keys: &[Key]) -> Answer {
        let watch = self.watches.entry(client).or_default();
        keys.iter().for_each(|key| watch.keys |= 1 << key);
        Answer::Done
    }

    fn exec(&mut self, client: usize, ops: &[Op], keys: &[KeyInfo]) -> Answer {
        match self.watches.remove(&client) {
            Some(watch) if watch.is_marked => Answer::Nil,
            _ => Answer::List(ops.iter().map(|op| self.apply(client, op, keys)).collect()),
        }
    }

    /// Versions belong to an epoch, which ends with a crash. So even a watched key that was missing
    /// counts as written.
    fn crash(&mut self, keys: &[Key]) -> Answer {
        for key in keys {
            self.values[*key] = None;
            self.mark(*key);
        }
        Answer::Done
    }

    fn mark(&mut self, key: Key) {
        for watch in self.watches.values_mut().filter(|watch| watch.keys >> key & 1 == 1) {
            watch.is_marked = true;
        }
    }
}
