//! The numbers of keys that are not there, so that WATCH sees that one has come and gone meanwhile.
//!
//! Who watches leaves nothing in a shard, and so need not take it away. A key that is not there has the number of the last
//! one that went of those that share its place here: a number for each would be memory without bound. So an EXEC may fail
//! for the sake of another key, as in transactional memory with striped version locks (Dice, Shalev and Shavit,
//! Transactional Locking II, 2006).

/// So many places: of a thousand keys that go while one that is not there is watched, about one has its place.
const PLACES: usize = 1024;

/// Numbers by the hash of a key.
#[derive(Debug, Default)]
pub(super) struct Gone(Vec<u64>);

impl Gone {
    /// None, if no key has gone from there.
    pub(super) fn number(&self, hash: u64) -> u64 {
        self.0.get(place(hash)).copied().unwrap_or(0)
    }

    /// A key goes, and leaves this number.
    pub(super) fn leaves(&mut self, hash: u64, number: u64) {
        self.0.resize(PLACES, 0);
        self.0[place(hash)] = number;
    }
}

fn place(hash: u64) -> usize {
    // Tables use the lowest bits, and the highest seven.
    (hash >> 32) as usize % PLACES
}
