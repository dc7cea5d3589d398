//! The last versions of removed keys, so that EXEC notices a key that was created and removed since
//! WATCH.
//!
//! WATCH stores nothing in a shard, so nothing has to be removed when a client goes. To keep the
//! versions of all removed keys would take memory without bound. Therefore this is a
//! set-associative table: each set holds the versions of its [`WAYS`] most recently removed keys
//! exactly, and of all earlier ones the highest version. An EXEC that watches an absent key can
//! fail without reason only if more than [`WAYS`] other keys of its set were removed meanwhile; a
//! change is never missed. (Dice, Shalev and Shavit, Transactional Locking II, 2006, share
//! versioned locks among addresses in the same way.)

/// Number of sets. They are allocated when the first key is removed.
const SETS: usize = 128;
/// Keys per set whose versions are known exactly.
const WAYS: usize = 8;

/// The last versions of removed keys, by the hash of the key.
#[derive(Debug, Default)]
pub(super) struct Tombstones(Vec<Set>);

#[derive(Clone, Debug, Default)]
struct Set {
    /// Hashes of the most recently removed keys with their last versions; a version of 0 marks a
    /// free way.
    recent: [(u64, u64); WAYS],
    /// The highest version of all other removed keys of this set.
    max_older: u64,
}

impl Tombstones {
    /// The last version of the removed key with this hash, or a higher one. 0 if no key of its set
    /// was removed.
    pub(super) fn version(&self, hash: u64) -> u64 {
        let Some(set) = self.0.get(set_index(hash)) else { return 0 };
        set.recent.iter().find(|(key, _)| *key == hash).map_or(set.max_older, |(_, version)| *version)
    }

    /// Records the removal of a key. If it was removed before, its version is higher now.
    pub(super) fn record(&mut self, hash: u64, version: u64) {
        self.0.resize(SETS, Set::default());
        self.0[set_index(hash)].record(hash, version);
    }
}

impl Set {
    fn record(&mut self, hash: u64, version: u64) {
        let own = self.recent.iter().position(|(key, _)| *key == hash);
        let oldest = || (0..WAYS).min_by_key(|way| self.recent[*way].1).expect("WAYS is not zero");
        let way = &mut self.recent[own.unwrap_or_else(oldest)];
        if own.is_some() {
            way.1 = version;
        } else if way.1 < version {
            self.max_older = self.max_older.max(way.1);
            *way = (hash, version);
        } else {
            self.max_older = self.max_older.max(version);
        }
    }
}

fn set_index(hash: u64) -> usize {
    // Other bits than the hash table of the shard, which uses the lowest bits and the highest
    // seven.
    (hash >> 32) as usize % SETS
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A different hash for each key, all in the same set.
    fn hash(key: u64) -> u64 {
        key + 1
    }

    #[test]
    fn the_last_ones_are_known_and_of_the_others_no_less_than_they_were() {
        let (mut tombstones, mut rng) = (Tombstones::default(), fastrand::Rng::with_seed(1));
        let (mut present, mut removed) = (HashMap::new(), HashMap::new());
        for version in 1..4000 {
            let key = rng.u64(..40);
            if let Some(version) = present.remove(&key) {
                removed.insert(key, version);
                tombstones.record(hash(key), version);
            } else {
                present.insert(key, version);
            }
            assert!(removed.iter().all(|(key, version)| tombstones.version(hash(*key)) >= *version));
        }
        let mut last: Vec<_> = removed.into_iter().collect();
        last.sort_by_key(|(_, version)| std::cmp::Reverse(*version));
        assert!(last[..WAYS].iter().all(|(key, version)| tombstones.version(hash(*key)) == *version));
        assert!(
            tombstones.version(hash(99)) <= last[WAYS].1,
            "of the other keys at most the highest version"
        );
    }

    #[test]
    fn a_set_without_removed_keys_has_version_0() {
        let mut tombstones = Tombstones::default();
        assert_eq!(tombstones.version(hash(1)), 0);
        tombstones.record(hash(1), 7);
        assert_eq!([hash(1), hash(2)].map(|hash| tombstones.version(hash)), [7, 0]);
    }
}
