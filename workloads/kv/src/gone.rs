//! The versions of keys that are not there any more, so that EXEC sees that one has come and gone since WATCH.
//!
//! Who watches leaves nothing in a shard, and so need not take it away. All versions for ever would be memory without
//! bound: the last ones are known exactly, and of those before them the highest. So an EXEC that watches a key that is not
//! there may fail for the sake of others only if more than [`WAYS`] of them have gone meanwhile from its place. (Versioned
//! locks are shared by places in the same way in Dice, Shalev and Shavit, Transactional Locking II, 2006.)

/// So many places, which are there once the first key has gone.
const PLACES: usize = 128;
/// Keys that are known at each.
const WAYS: usize = 8;

/// Versions by the hash of a key.
#[derive(Debug, Default)]
pub(super) struct Gone(Vec<Place>);

#[derive(Clone, Debug, Default)]
struct Place {
    /// Hashes, and their keys' last versions; none is 0.
    last: [(u64, u64); WAYS],
    /// The highest of all others that were here.
    before: u64,
}

impl Gone {
    /// The last version that a key of this hash had, or a higher one. 0 if none has gone.
    pub(super) fn version(&self, hash: u64) -> u64 {
        let Some(place) = self.0.get(place(hash)) else { return 0 };
        place.last.iter().find(|(own, _)| *own == hash).map_or(place.before, |(_, version)| *version)
    }

    /// A key goes that had this version, which is higher than when it went before.
    pub(super) fn leaves(&mut self, hash: u64, version: u64) {
        self.0.resize(PLACES, Place::default());
        self.0[place(hash)].leaves(hash, version);
    }
}

impl Place {
    fn leaves(&mut self, hash: u64, version: u64) {
        let own = self.last.iter().position(|(own, _)| *own == hash);
        let oldest = || (0..WAYS).min_by_key(|way| self.last[*way].1).expect("there are some");
        let way = &mut self.last[own.unwrap_or_else(oldest)];
        if own.is_some() {
            way.1 = version;
        } else if way.1 < version {
            self.before = self.before.max(way.1);
            *way = (hash, version);
        } else {
            self.before = self.before.max(version);
        }
    }
}

fn place(hash: u64) -> usize {
    // Tables use the lowest bits, and the highest seven.
    (hash >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// One of its own for each key, all at the same place.
    fn hash(key: u64) -> u64 {
        key + 1
    }

    #[test]
    fn the_last_ones_are_known_and_of_the_others_no_less_than_they_were() {
        let (mut gone, mut rng) = (Gone::default(), fastrand::Rng::with_seed(1));
        let (mut there, mut all) = (HashMap::new(), HashMap::new());
        for version in 1..4000 {
            let key = rng.u64(..40);
            if let Some(version) = there.remove(&key) {
                all.insert(key, version);
                gone.leaves(hash(key), version);
            } else {
                there.insert(key, version);
            }
            assert!(all.iter().all(|(key, version)| gone.version(hash(*key)) >= *version));
        }
        let mut last: Vec<_> = all.into_iter().collect();
        last.sort_by_key(|(_, version)| std::cmp::Reverse(*version));
        assert!(last[..WAYS].iter().all(|(key, version)| gone.version(hash(*key)) == *version));
        assert!(gone.version(hash(99)) <= last[WAYS].1, "of all others the highest");
    }

    #[test]
    fn where_nobody_has_gone_there_is_none() {
        let mut gone = Gone::default();
        assert_eq!(gone.version(hash(1)), 0);
        gone.leaves(hash(1), 7);
        assert_eq!([hash(1), hash(2)].map(|hash| gone.version(hash)), [7, 0]);
    }
}
