//! The hash table of a shard.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use hashbrown::{HashTable, hash_table::Entry as Slot};

use super::{Key, Value};

/// A key with its value, expiry and version.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Value,
    /// The time at which it expires; [`NEVER`] if it does not.
    pub(super) expires: u64,
    /// Each change assigns another version, which is unique among all entries of the shard.
    pub(super) version: u64,
}

/// The `expires` of an entry that does not expire.
pub(super) const NEVER: u64 = u64::MAX;

/// Approximate memory of an entry without the bytes of its key and value: its bucket, at a load of
/// three quarters, and 32 bytes for the allocator and the reference counts of the value.
const ENTRY_OVERHEAD: usize = size_of::<Entry>() * 4 / 3 + 1 + 32;

/// Approximate memory of an entry.
pub(super) fn cost(key: &[u8], value: usize) -> u64 {
    let key = if key.len() > 16 { key.len() } else { 0 };
    (ENTRY_OVERHEAD + key + value) as u64
}

impl Entry {
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.expires > now
    }

    pub(super) fn cost(&self) -> u64 {
        cost(&self.key, self.value.len())
    }
}

/// Entries by key. The hash has random keys, so clients cannot choose keys that collide.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashTable<Entry>,
    hasher: RandomState,
    /// How often entries have moved to other buckets.
    generation: u64,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The key's hash, which is only valid for this table.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.find(self.hasher.hash_one(key), |entry| *entry.key == *key)
    }

    pub(super) fn slot(&mut self, key: &[u8]) -> Slot<'_, Entry> {
        let Self { entries, hasher, generation } = self;
        // The table asks for the hash of another entry only when it moves all entries.
        let is_moved = Cell::new(false);
        let rehash = |entry: &Entry| {
            is_moved.set(true);
            hasher.hash_one(&*entry.key)
        };
        let slot = entries.entry(hasher.hash_one(key), |entry| *entry.key == *key, rehash);
        *generation += u64::from(is_moved.get());
        slot
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.entries.find_mut(self.hasher.hash_one(key), |entry| *entry.key == *key)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.find_entry(self.hasher.hash_one(key), |entry| *entry.key == *key).ok()?;
        let entry = entry.remove().0;
        // Shrink after many removals; a hash table does not do that on its own.
        if self.entries.len() < self.entries.capacity() / 8 && self.entries.capacity() > 1024 {
            self.generation += 1;
            let hasher = &self.hasher;
            self.entries.shrink_to(self.entries.len() * 2, |entry| hasher.hash_one(&*entry.key));
        }
        Some(entry)
    }

    /// Changes whenever entries move to other buckets. Until then an entry stays in its bucket.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of buckets, occupied or not.
    pub(super) fn buckets(&self) -> usize {
        self.entries.num_buckets()
    }

    /// The entry in a bucket.
    pub(super) fn get_bucket(&self, bucket: usize) -> Option<&Entry> {
        self.entries.get_bucket(bucket)
    }

    pub(super) fn remove_bucket(&mut self, bucket: usize) -> Option<Entry> {
        Some(self.entries.get_bucket_entry(bucket).ok()?.remove().0)
    }

    pub(super) fn clear(&mut self) {
        self.entries = HashTable::new();
        self.generation += 1;
    }
}
