//! The content of a small server of two shards, and its possible faults.

use std::collections::BTreeMap;

use super::super::resp::Frame;

/// A fault of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// `INCR` reads, lets another `INCR` read as well, and writes.
    LostUpdate,
    /// `GET` reads a replica that lacks the last write.
    StaleRead,
    /// `EXEC` lets an `MGET` pass between its first command and the others.
    TornTransaction,
    /// `MGET` lets a transaction pass between its first key and the others.
    TornRead,
    /// `EXEC` ignores the watched keys.
    WatchIgnored,
    /// `EXEC` compares a watched key's value and not its version (the ABA problem).
    WatchComparesValues,
    /// `SET` to an existing key is acknowledged and not done.
    LostWrite,
    /// A crash forgets only some of a shard's keys.
    HalfCrash,
    /// A crash takes the other shard's keys as well.
    DoubleCrash,
    /// `EXEC` does not notice that a shard with a watched key crashed.
    WatchAcrossCrash,
    /// An operation that was refused because the shard was down is done when it is up again.
    RefusedButDone,
    /// The operations of a pipeline are done in reverse order.
    Reordered,
    /// `GET` is answered with an error that is not a refusal.
    Errs,
    /// The connection is closed instead of an answer to a `SET` that was done.
    HangsUpAfterIt,
    /// The same with a `SET` that was not done.
    HangsUpBeforeIt,
}

/// The shard of a key, or of its hash tag.
pub(super) fn shard_of(key: &str) -> usize {
    let tag = key.strip_prefix('{').and_then(|key| key.split('}').next()).unwrap_or(key);
    (1 + tag.bytes().map(usize::from).sum::<usize>()) % 2
}

/// The epoch of a key's shard, and the number of the key's last write.
pub(super) type Version = (u64, u64);

/// The server's content.
#[derive(Default)]
pub(super) struct Store {
    pub(super) values: BTreeMap<String, i64>,
    /// The values before the last write.
    pub(super) replica: BTreeMap<String, i64>,
    versions: BTreeMap<String, u64>,
    pub(super) epochs: [u64; 2],
    pub(super) down: Option<usize>,
    pub(super) refused: Vec<Vec<String>>,
}

impl Store {
    pub(super) fn version(&self, key: &str) -> Version {
        (self.epochs[shard_of(key)], self.versions.get(key).copied().unwrap_or(0))
    }

    pub(super) fn set(&mut self, key: &str, value: Option<i64>) {
        self.replica = self.values.clone();
        *self.versions.entry(key.to_owned()).or_default() += 1;
        match value {
            Some(value) => {
                self.values.insert(key.to_owned(), value);
            }
            None => drop(self.values.remove(key)),
        }
    }

    fn add(&mut self, key: &str, by: i64) -> Frame {
        let sum = self.values.get(key).unwrap_or(&0) + by;
        self.set(key, Some(sum));
        Frame::Integer(sum)
    }

    pub(super) fn get(&self, key: &str) -> Frame {
        Frame::Bulk(self.values.get(key).map(i64::to_string))
    }

    fn delete(&mut self, key: &str) -> i64 {
        let is_there = self.values.contains_key(key);
        if is_there {
            self.set(key, None);
        }
        is_there.into()
    }

    pub(super) fn apply(&mut self, words: &[&str]) -> Frame {
        match words {
            ["GET", key] => self.get(key),
            ["SET", key, _, "NX"] if self.values.contains_key(*key) => Frame::Bulk(None),
            ["SET", key, value, ..] => {
                self.set(key, value.parse().ok());
                ok()
            }
            ["INCR", key] => self.add(key, 1),
            ["INCRBY", key, by] => self.add(key, by.parse().unwrap()),
            ["DEL", keys @ ..] => Frame::Integer(keys.iter().map(|key| self.delete(key)).sum()),
            ["MGET", keys @ ..] => Frame::Array(Some(keys.iter().map(|key| self.get(key)).collect())),
            ["MSET", pairs @ ..] => {
                pairs.chunks(2).for_each(|pair| self.set(pair[0], pair[1].parse().ok()));
                ok()
            }
            _ => Frame::Error("ERR unknown command".to_owned()),
        }
    }
}

/// `+OK`.
pub(super) fn ok() -> Frame {
    Frame::Simple("OK".to_owned())
}
