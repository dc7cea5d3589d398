//! The mapping of keys to slots and shards.

use std::num::NonZeroUsize;

use cc_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Number of hash slots, as in Redis Cluster.
pub const SLOTS: usize = 16384;

/// Divides the slots among shards: each shard has a contiguous range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    shards: usize,
}

impl Slots {
    /// The mapping for this many shards.
    ///
    /// # Panics
    ///
    /// If `shards` is zero or more than [`SLOTS`].
    #[must_use]
    pub fn new(shards: usize) -> Self {
        assert!((1..=SLOTS).contains(&shards), "{shards} shards");
        Self { shards }
    }

    /// The number of shards of a server whose workers own `each` shards.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if that is more than [`SLOTS`]: there are too many workers.
    pub fn shards_of(workers: NonZeroUsize, each: usize) -> Result<usize> {
        let most = SLOTS / each.max(1);
        if workers.get() > most {
            let what = format!("--workers {workers}: kv has at most {most} workers in this model");
            return Err(Error::Usage(what));
        }
        Ok(workers.get() * each)
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(self) -> usize {
        self.shards
    }

    /// The key's shard.
    #[must_use]
    pub fn shard(self, key: &[u8]) -> usize {
        // With one shard, the hash is not needed.
        if self.shards == 1 { 0 } else { usize::from(slot(key)) * self.shards / SLOTS }
    }
}

/// The key's slot: the CRC-16/XMODEM of the text between the first `{` and the next `}` if it is
/// not empty, otherwise of the whole key (Redis Cluster specification, "hash tags").
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    crc16(tag(key).unwrap_or(key)) % SLOTS as u16
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let rest = &key[memchr::memchr(b'{', key)? + 1..];
    let length = memchr::memchr(b'}', rest)?;
    (length > 0).then(|| &rest[..length])
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // The check value of the CRC, and replies of `CLUSTER KEYSLOT`.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!([slot(b"foo"), slot(b"bar"), slot(b"hello"), slot(b"")], [12182, 5061, 866, 0]);
    }

    #[test]
    fn too_many_workers_are_a_usage_error() {
        let workers = |n| NonZeroUsize::new(n).unwrap();
        assert_eq!(Slots::shards_of(workers(2048), 8).unwrap(), SLOTS);
        for (n, each) in [(2049, 8), (SLOTS + 1, 1), (usize::MAX, 8)] {
            assert!(matches!(Slots::shards_of(workers(n), each), Err(Error::Usage(_))));
        }
    }

    #[test]
    fn a_tag_decides() {
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(tag(b"foo{}{bar}"), None);
        assert_eq!(tag(b"foo{{bar}}zap"), Some(&b"{bar"[..]));
        assert_eq!(tag(b"foo{bar}{zap}"), Some(&b"bar"[..]));
        assert_eq!(tag(b"}{"), None);
    }

    #[test]
    fn shards_have_about_as_many_keys_each() {
        for shards in [1, 2, 3, 16, 1000] {
            let (slots, mut keys) = (Slots::new(shards), vec![0; shards]);
            (0..100 * shards).for_each(|n| keys[slots.shard(format!("key:{n:012}").as_bytes())] += 1);
            assert!(keys.iter().all(|keys| (40..200).contains(keys)), "{keys:?}");
        }
    }
}
