//! The entries of a shard.

use std::hash::{BuildHasher, RandomState};

use hashbrown::{HashTable, hash_table::Entry as Place};

use super::{Key, Value};

/// A key and what belongs to it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Value,
    /// When it expires; `u64::MAX` is never.
    pub(super) expires: u64,
    /// Changes with every change, and no two entries of a shard ever have the same.
    pub(super) version: u64,
}

/// It does not expire.
pub(super) const NEVER: u64 = u64::MAX;

/// What an entry takes beside the bytes of key and value: its place, with the table three quarters full, and the
/// allocator's and the reference counts of the value.
const OVERHEAD: usize = size_of::<Entry>() * 4 / 3 + 1 + 32;

/// What an entry takes, about.
pub(super) fn cost(key: &[u8], value: usize) -> u64 {
    let key = if key.len() > 16 { key.len() } else { 0 };
    (OVERHEAD + key + value) as u64
}

impl Entry {
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.expires > now
    }

    pub(super) fn cost(&self) -> u64 {
        cost(&self.key, self.value.len())
    }
}

/// Entries by key. The hash is keyed at random, so that nobody can choose keys that collide.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashTable<Entry>,
    hasher: RandomState,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The key's hash, among the keys of this table.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.find(self.hasher.hash_one(key), |entry| *entry.key == *key)
    }

    pub(super) fn place(&mut self, key: &[u8]) -> Place<'_, Entry> {
        let Self { entries, hasher } = self;
        entries.entry(hasher.hash_one(key), |entry| *entry.key == *key, |entry| hasher.hash_one(&*entry.key))
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.entries.find_mut(self.hasher.hash_one(key), |entry| *entry.key == *key)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.find_entry(self.hasher.hash_one(key), |entry| *entry.key == *key).ok()?;
        let entry = entry.remove().0;
        // Otherwise it would be as large for good as it once was.
        if self.entries.len() < self.entries.capacity() / 8 && self.entries.capacity() > 1024 {
            let hasher = &self.hasher;
            self.entries.shrink_to(self.entries.len() * 2, |entry| hasher.hash_one(&*entry.key));
        }
        Some(entry)
    }

    /// How many places there are, taken or not.
    pub(super) fn places(&self) -> usize {
        self.entries.num_buckets()
    }

    /// What is in a place.
    pub(super) fn at(&self, place: usize) -> Option<&Entry> {
        self.entries.get_bucket(place)
    }

    pub(super) fn remove_at(&mut self, place: usize) -> Option<Entry> {
        Some(self.entries.get_bucket_entry(place).ok()?.remove().0)
    }

    pub(super) fn clear(&mut self) {
        self.entries = HashTable::new();
    }
}
