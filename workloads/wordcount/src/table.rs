//! A hash table from words to counts, optimized for short words.
//!
//! It uses open addressing with linear probing, and three kinds of slots. A slot holds a word of up
//! to eight bytes itself, padded with zeros, which no word contains. Four such slots fit in a cache
//! line, and most words are found with one comparison in the first slot. A word of up to sixteen
//! bytes is two numbers in its slot. A longer word is in an arena, and its slot holds the position.

use std::{cmp::Reverse, iter, mem};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Counts by word.
#[derive(Clone, Debug)]
pub(super) struct Table {
    seed: u64,
    eights: Slots<u64>,
    sixteens: Slots<[u64; 2]>,
    longs: Slots<LongKey>,
    arena: Vec<u8>,
}

/// Words and their counts, in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    eights: Vec<Slot<u64>>,
    sixteens: Vec<Slot<[u64; 2]>>,
    longs: Vec<Slot<LongKey>>,
    arena: Vec<u8>,
}

/// A word as a key: a short one is the little-endian number of its bytes, padded with zeros.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    /// Up to [`EIGHT`] bytes.
    Eight(u64),
    /// More bytes, up to [`SIXTEEN`].
    Sixteen([u64; 2]),
    /// More than [`SIXTEEN`] bytes.
    Long(&'a [u8]),
}

pub(super) const EIGHT: usize = 8;
pub(super) const SIXTEEN: usize = 16;

impl<'a> Word<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        match halves(bytes) {
            _ if bytes.len() > SIXTEEN => Self::Long(bytes),
            [eight, 0] => Self::Eight(eight),
            sixteen => Self::Sixteen(sixteen),
        }
    }

    /// The hash, which depends only on the word and the seed.
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        match self {
            Self::Eight(eight) => eight.hash(seed),
            Self::Sixteen(sixteen) => sixteen.hash(seed),
            Self::Long(bytes) => xxh3_64_with_seed(bytes, seed),
        }
    }

    /// The word with a count, as an entry of the ranking.
    pub(super) fn entry(self, count: u64) -> Entry<'a> {
        let (first, tail) = match self {
            Self::Eight(eight) => ([eight, 0], &[][..]),
            Self::Sixteen(sixteen) => (sixteen, &[][..]),
            Self::Long(bytes) => (halves(bytes), &bytes[SIXTEEN..]),
        };
        Entry { count: Reverse(count), first: first.map(u64::swap_bytes), tail }
    }
}

/// The first sixteen bytes, padded with zeros, as two little-endian numbers.
fn halves(bytes: &[u8]) -> [u64; 2] {
    let (mut padded, length) = ([0; SIXTEEN], bytes.len().min(SIXTEEN));
    padded[..length].copy_from_slice(&bytes[..length]);
    let padded = u128::from_le_bytes(padded);
    [padded as u64, (padded >> 64) as u64]
}

/// An entry of the ranking. Entries are ordered by descending count, then by ascending word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<'a> {
    count: Reverse<u64>,
    /// The first sixteen bytes as big-endian numbers, whose order is that of the bytes.
    first: [u64; 2],
    /// The bytes after these.
    tail: &'a [u8],
}

impl Entry<'_> {
    pub(super) fn count(&self) -> u64 {
        self.count.0
    }

    /// The word's length in bytes.
    pub(super) fn length(&self) -> usize {
        let [high, low] = self.first;
        let zeros = if low == 0 { u64::BITS + high.trailing_zeros() } else { low.trailing_zeros() };
        SIXTEEN - zeros as usize / 8 + self.tail.len()
    }

    /// Appends the word.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        let (end, first) = (bytes.len() + self.length(), self.first.map(u64::to_be_bytes));
        bytes.extend_from_slice(first.as_flattened());
        bytes.truncate(end);
        bytes.extend_from_slice(self.tail);
    }
}

impl Table {
    /// A table without words. A word has the same hash in all tables with this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            eights: Slots::default(),
            sixteens: Slots::default(),
            longs: Slots::default(),
            arena: Vec::new(),
        }
    }

    /// The number of distinct words.
    pub(super) fn words(&self) -> usize {
        self.eights.used + self.sixteens.used + self.longs.used
    }

    /// Adds to a word's count.
    pub(super) fn add(&mut self, word: Word, count: u64) {
        match word {
            Word::Eight(key) => self.eights.add(iter::once(Slot { key, count }), self.seed, PartialEq::eq),
            Word::Sixteen(key) => {
                self.sixteens.add(iter::once(Slot { key, count }), self.seed, PartialEq::eq);
            }
            Word::Long(bytes) => self.add_long(bytes, word.hash(self.seed), count),
        }
    }

    /// Counts words of [`Word::Eight`]. Never inlined, so that its loop has all registers.
    #[inline(never)]
    pub(super) fn count_eights(&mut self, words: &[u64]) {
        self.eights.add(words.iter().map(|key| Slot { key: *key, count: 1 }), self.seed, PartialEq::eq);
    }

    /// Counts words of [`Word::Sixteen`]. Never inlined, for the same reason.
    #[inline(never)]
    pub(super) fn count_sixteens(&mut self, words: &[[u64; 2]]) {
        self.sixteens.add(words.iter().map(|key| Slot { key: *key, count: 1 }), self.seed, PartialEq::eq);
    }

    /// Adds the counts of a list.
    pub(super) fn add_list(&mut self, list: &List) {
        self.eights.add(list.eights.iter().copied(), self.seed, PartialEq::eq);
        self.sixteens.add(list.sixteens.iter().copied(), self.seed, PartialEq::eq);
        for Slot { key, count } in &list.longs {
            self.add_long(key.word(&list.arena), key.hash, *count);
        }
    }

    #[cold]
    fn add_long(&mut self, word: &[u8], hash: u64, count: u64) {
        let key = LongKey { hash, start: self.arena.len(), length: word.len() };
        let used_before = self.longs.used;
        self.longs.add(iter::once(Slot { key, count }), self.seed, |existing, _| {
            existing.hash == hash && existing.word(&self.arena) == word
        });
        if self.longs.used > used_before {
            self.arena.extend_from_slice(word);
        }
    }

    /// Moves the words into this number of lists; `list_of` maps a word's hash to its list. The
    /// table keeps its slots.
    pub(super) fn drain(&mut self, lists: usize, list_of: impl Fn(u64) -> usize) -> Vec<List> {
        let Self { seed, eights, sixteens, longs, arena } = self;
        // An eighth more than the average, since the lists differ in size.
        let capacity = |used: usize| used / lists * 9 / 8;
        let list = || List {
            eights: Vec::with_capacity(capacity(eights.used)),
            sixteens: Vec::with_capacity(capacity(sixteens.used)),
            ..List::default()
        };
        let mut lists: Vec<_> = iter::repeat_with(list).take(lists).collect();
        eights.drain(|slot| lists[list_of(slot.key.hash(*seed))].eights.push(slot));
        sixteens.drain(|slot| lists[list_of(slot.key.hash(*seed))].sixteens.push(slot));
        // Free the arena: long words are rare, but a single one can be very long.
        let arena = mem::take(arena);
        longs.drain(|slot| lists[list_of(slot.key.hash)].push_long(slot, &arena));
        lists
    }

    /// Removes all words, and keeps the slots.
    pub(super) fn clear(&mut self) {
        self.eights.drain(|_| ());
        self.sixteens.drain(|_| ());
        self.longs.drain(|_| ());
        self.arena.clear();
    }

    /// The words in the order of the ranking: all of them, or the first `top`.
    pub(super) fn ranked(&self, top: Option<usize>) -> Vec<Entry<'_>> {
        let mut entries = Vec::with_capacity(self.words());
        self.eights.for_each(|key, count| entries.push(Word::Eight(key).entry(count)));
        self.sixteens.for_each(|key, count| entries.push(Word::Sixteen(key).entry(count)));
        self.longs.for_each(|key, count| entries.push(Word::Long(key.word(&self.arena)).entry(count)));
        if let Some(top) = top.filter(|top| *top < entries.len()) {
            if top > 0 {
                entries.select_nth_unstable(top - 1);
            }
            entries.truncate(top);
        }
        entries.sort_unstable();
        entries
    }
}

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.eights.is_empty() && self.sixteens.is_empty() && self.longs.is_empty()
    }

    /// Calls `action` with every word and its count.
    pub(super) fn for_each(&self, mut action: impl FnMut(Word, u64)) {
        for slot in &self.eights {
            action(Word::Eight(slot.key), slot.count);
        }
        for slot in &self.sixteens {
            action(Word::Sixteen(slot.key), slot.count);
        }
        for slot in &self.longs {
            action(Word::Long(slot.key.word(&self.arena)), slot.count);
        }
    }

    /// Appends a long word that is in another arena.
    fn push_long(&mut self, Slot { key, count }: Slot<LongKey>, arena: &[u8]) {
        self.longs.push(Slot { key: LongKey { start: self.arena.len(), ..key }, count });
        self.arena.extend_from_slice(key.word(arena));
    }
}

/// A table with open addressing: a key is in the slot that its hash chooses, or in the next one
/// that was free when it was added.
#[derive(Clone, Debug)]
struct Slots<K> {
    /// The number of slots is zero or a power of two.
    slots: Vec<Slot<K>>,
    used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot<K> {
    key: K,
    /// Zero in a free slot, whose key is the default.
    count: u64,
}

/// The representation of a word in its slot. The default stands for no word.
trait Key: Copy + Default {
    fn hash(self, seed: u64) -> u64;
}

impl Key for u64 {
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        [self, 0].hash(seed)
    }
}

impl Key for [u64; 2] {
    /// A folded multiplication, as in Wang Yi's [wyhash](https://github.com/wangyi-fudan/wyhash):
    /// both halves of the key are mixed with constants and the seed and multiplied, and the two
    /// halves of the product are combined.
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        let (low, high) = (self[0] ^ seed ^ 0x2d35_8dcc_aa6c_78a5, self[1] ^ 0x8bb8_4b93_962e_acc9);
        let product = u128::from(low) * u128::from(high.wrapping_add(seed << 1 | 1));
        product as u64 ^ (product >> 64) as u64
    }
}

/// A long word: its hash, and its position in the arena.
#[derive(Clone, Copy, Debug, Default)]
struct LongKey {
    hash: u64,
    start: usize,
    length: usize,
}

impl LongKey {
    fn word(self, arena: &[u8]) -> &[u8] {
        &arena[self.start..][..self.length]
    }
}

impl Key for LongKey {
    fn hash(self, _: u64) -> u64 {
        self.hash
    }
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self { slots: Vec::new(), used: 0 }
    }
}

impl<K: Key> Slots<K> {
    /// Adds counts of keys; `is_equal` compares a key of the table with one of these.
    #[inline(always)]
    fn add(&mut self, counts: impl Iterator<Item = Slot<K>>, seed: u64, is_equal: impl Fn(&K, &K) -> bool) {
        if self.slots.is_empty() {
            self.grow(seed);
        }
        let mut mask = self.slots.len() - 1;
        for Slot { key, count } in counts {
            let mut at = key.hash(seed) as usize & mask;
            loop {
                let slot = &mut self.slots[at];
                if is_equal(&slot.key, &key) {
                    slot.count += count;
                    break;
                }
                if slot.count == 0 {
                    *slot = Slot { key, count };
                    self.used += 1;
                    if self.used * 4 >= self.slots.len() * 3 {
                        self.grow(seed);
                        mask = self.slots.len() - 1;
                    }
                    break;
                }
                at = (at + 1) & mask;
            }
        }
    }

    #[cold]
    fn grow(&mut self, seed: u64) {
        let larger = vec![Slot::default(); (self.slots.len() * 2).max(MIN_SLOTS)];
        let mask = larger.len() - 1;
        for slot in mem::replace(&mut self.slots, larger) {
            if slot.count != 0 {
                let mut at = slot.key.hash(seed) as usize & mask;
                while self.slots[at].count != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = slot;
            }
        }
    }

    /// Calls `action` with every key and its count.
    fn for_each(&self, mut action: impl FnMut(K, u64)) {
        self.slots.iter().filter(|slot| slot.count != 0).for_each(|slot| action(slot.key, slot.count));
    }

    /// Frees all used slots, and calls `action` with each.
    fn drain(&mut self, mut action: impl FnMut(Slot<K>)) {
        if self.used > 0 {
            self.slots.iter_mut().filter(|slot| slot.count != 0).for_each(|slot| action(mem::take(slot)));
            self.used = 0;
        }
    }
}

/// Minimum slots of a table that has any.
const MIN_SLOTS: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn bytes(entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry.append_to(&mut bytes);
        assert_eq!(bytes.len(), entry.length());
        bytes
    }

    fn listed(table: Table, top: Option<usize>) -> Vec<(Vec<u8>, u64)> {
        let mut listed = Vec::new();
        listed.extend(table.ranked(top).iter().map(|entry| (bytes(entry), entry.count())));
        listed
    }

    #[test]
    fn counts_are_those_of_a_map() {
        let mut rng = fastrand::Rng::with_seed(2);
        let words: Vec<Vec<u8>> = (0..20_000)
            .map(|_| {
                let length = if rng.u8(..9) == 0 { 14 + rng.usize(..6) } else { 1 + rng.usize(..3) };
                (0..length).map(|_| rng.u8(b'a'..b'e')).collect()
            })
            .collect();
        let mut expected = BTreeMap::new();
        let counted: Vec<(&[u8], u64)> = words.iter().map(|word| (&word[..], rng.u64(1..4))).collect();
        for (word, count) in &counted {
            *expected.entry(word.to_vec()).or_insert(0) += count;
        }
        let mut table = Table::new(7);
        for (word, count) in &counted {
            table.add(Word::new(word), *count);
        }
        assert_eq!(table.words(), expected.len());
        let mut ranked: Vec<_> = expected.clone().into_iter().collect();
        ranked.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        for top in [0, 1, 10, ranked.len(), ranked.len() + 1] {
            assert_eq!(listed(table.clone(), Some(top)), ranked[..top.min(ranked.len())]);
        }
        assert_eq!(listed(table.clone(), None), ranked);

        let mut found = BTreeMap::new();
        let lists = table.drain(5, |hash| hash as usize % 5);
        for (nth, list) in lists.iter().enumerate() {
            assert!(!list.is_empty());
            list.for_each(|word, count| {
                assert_eq!(word.hash(7) as usize % 5, nth);
                assert_eq!(found.insert(bytes(&word.entry(count)), count), None);
            });
        }
        assert_eq!(found, expected);
        assert_eq!(table.words(), 0);
        assert!(listed(table, None).is_empty());
    }

    #[test]
    fn what_collides_is_told_apart() {
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        struct Same(u8);
        impl Key for Same {
            fn hash(self, _: u64) -> u64 {
                u64::MAX
            }
        }
        let mut slots = Slots::default();
        // The keys begin in the last slot and wrap around; when the table grows, they move.
        for round in 0..2 {
            let some = (1..=40).map(|nth| Slot { key: Same(nth), count: u64::from(nth) });
            slots.add(some.clone().collect::<Vec<_>>().into_iter(), 7, PartialEq::eq);
            some.for_each(|slot| slots.add(iter::once(slot), 7, PartialEq::eq));
            let mut found = Vec::new();
            slots.for_each(|Same(key), count| found.push((key, count)));
            found.sort_unstable();
            let times = 2 * (round + 1);
            assert_eq!(found, (1..=40).map(|nth| (nth, u64::from(nth) * times)).collect::<Vec<_>>());
        }

        let (mut table, hash) = (Table::new(7), 3);
        let (one, other) = ("a word of more than sixteen", "another of more than that");
        for (word, count) in [(one, 1), (other, 2), (one, 5)] {
            table.add_long(word.as_bytes(), hash, count);
        }
        assert_eq!(listed(table.clone(), None), [(one.into(), 6), (other.into(), 2)]);
        table.clear();
        assert!(listed(table, None).is_empty());
    }
}
