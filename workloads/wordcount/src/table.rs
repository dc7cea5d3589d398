//! A hash table from words to counts, made for there being many short words.
//!
//! Open addressing with linear probing, and three kinds of slots. A word of up to eight bytes is in its slot, padded
//! with zeros, which no word contains: four slots to a cache line, and most words are found with one look at one of
//! them and one comparison. One of up to sixteen bytes is two numbers. A longer one is in an arena, and its slot says
//! where.

use std::{cmp::Reverse, iter, mem};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Counts by word.
#[derive(Clone, Debug)]
pub(super) struct Table {
    seed: u64,
    eights: Slots<u64>,
    sixteens: Slots<[u64; 2]>,
    longs: Slots<Place>,
    arena: Vec<u8>,
}

/// Words and their counts, in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    eights: Vec<Slot<u64>>,
    sixteens: Vec<Slot<[u64; 2]>>,
    longs: Vec<Slot<Place>>,
    arena: Vec<u8>,
}

/// A word, as it is looked for: its bytes in the order of memory, padded with zeros, if it is short.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    /// Up to [`EIGHT`] bytes.
    Eight(u64),
    /// More, and up to [`SIXTEEN`].
    Sixteen([u64; 2]),
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

    /// Its hash; the same for the same word and seed, whoever asks.
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        match self {
            Self::Eight(eight) => eight.hash(seed),
            Self::Sixteen(sixteen) => sixteen.hash(seed),
            Self::Long(bytes) => xxh3_64_with_seed(bytes, seed),
        }
    }

    /// How it is ordered among those that are as frequent.
    pub(super) fn entry(self, count: u64) -> Entry<'a> {
        let (first, rest) = match self {
            Self::Eight(eight) => ([eight, 0], &[][..]),
            Self::Sixteen(sixteen) => (sixteen, &[][..]),
            Self::Long(bytes) => (halves(bytes), &bytes[SIXTEEN..]),
        };
        Entry { count: Reverse(count), first: first.map(u64::swap_bytes), rest }
    }
}

/// The first sixteen bytes, or zeros where there are none.
fn halves(bytes: &[u8]) -> [u64; 2] {
    let (mut padded, length) = ([0; SIXTEEN], bytes.len().min(SIXTEEN));
    padded[..length].copy_from_slice(&bytes[..length]);
    let padded = u128::from_le_bytes(padded);
    [padded as u64, (padded >> 64) as u64]
}

/// Words in the order of the ranking: the larger count first, then the smaller word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<'a> {
    count: Reverse<u64>,
    /// As numbers that are ordered as the bytes are.
    first: [u64; 2],
    rest: &'a [u8],
}

impl Entry<'_> {
    pub(super) fn count(&self) -> u64 {
        self.count.0
    }

    /// The word's length in bytes.
    pub(super) fn length(&self) -> usize {
        let [high, low] = self.first;
        let zeros = if low == 0 { u64::BITS + high.trailing_zeros() } else { low.trailing_zeros() };
        SIXTEEN - zeros as usize / 8 + self.rest.len()
    }

    /// Appends the word.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        let (end, first) = (bytes.len() + self.length(), self.first.map(u64::to_be_bytes));
        bytes.extend_from_slice(first.as_flattened());
        bytes.truncate(end);
        bytes.extend_from_slice(self.rest);
    }
}

impl Table {
    /// No words yet. The same word has the same hash in all tables with this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            eights: Slots::default(),
            sixteens: Slots::default(),
            longs: Slots::default(),
            arena: Vec::new(),
        }
    }

    /// How many words there are.
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

    /// Counts words of [`Word::Eight`]. Never inlined, so that its loop has the registers to itself.
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
            self.add_long(key.of(&list.arena), key.hash, *count);
        }
    }

    #[cold]
    fn add_long(&mut self, word: &[u8], hash: u64, count: u64) {
        let key = Place { hash, start: self.arena.len(), length: word.len() };
        let before = self.longs.used;
        self.longs.add(iter::once(Slot { key, count }), self.seed, |is, _| {
            is.hash == hash && is.of(&self.arena) == word
        });
        if self.longs.used > before {
            self.arena.extend_from_slice(word);
        }
    }

    /// Takes the words out, and keeps the room: into so many lists, each word into `which` its hash says.
    pub(super) fn drain(&mut self, lists: usize, which: impl Fn(u64) -> usize) -> Vec<List> {
        let Self { seed, eights, sixteens, longs, arena } = self;
        // A little more than their share, since they differ.
        let room = |used: usize| used / lists * 9 / 8;
        let list = || List {
            eights: Vec::with_capacity(room(eights.used)),
            sixteens: Vec::with_capacity(room(sixteens.used)),
            ..List::default()
        };
        let mut lists: Vec<_> = iter::repeat_with(list).take(lists).collect();
        eights.drain(|slot| lists[which(slot.key.hash(*seed))].eights.push(slot));
        sixteens.drain(|slot| lists[which(slot.key.hash(*seed))].sixteens.push(slot));
        // Long words are rare, and one may be very long: their bytes are kept no longer than they are needed.
        let arena = mem::take(arena);
        longs.drain(|slot| lists[which(slot.key.hash)].push_long(slot, &arena));
        lists
    }

    /// Forgets the words, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.eights.drain(|_| ());
        self.sixteens.drain(|_| ());
        self.longs.drain(|_| ());
        self.arena.clear();
    }

    /// The words in the order of the ranking, or the first so many of them.
    pub(super) fn ranked(&self, top: Option<usize>) -> Vec<Entry<'_>> {
        let mut entries = Vec::with_capacity(self.words());
        self.eights.each(|key, count| entries.push(Word::Eight(key).entry(count)));
        self.sixteens.each(|key, count| entries.push(Word::Sixteen(key).entry(count)));
        self.longs.each(|key, count| entries.push(Word::Long(key.of(&self.arena)).entry(count)));
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

    /// Calls `each` with every word and its count.
    pub(super) fn each(&self, mut each: impl FnMut(Word, u64)) {
        self.eights.iter().for_each(|slot| each(Word::Eight(slot.key), slot.count));
        self.sixteens.iter().for_each(|slot| each(Word::Sixteen(slot.key), slot.count));
        self.longs.iter().for_each(|slot| each(Word::Long(slot.key.of(&self.arena)), slot.count));
    }

    /// Appends a long word, whose place is in another arena.
    fn push_long(&mut self, Slot { key, count }: Slot<Place>, arena: &[u8]) {
        self.longs.push(Slot { key: Place { start: self.arena.len(), ..key }, count });
        self.arena.extend_from_slice(key.of(arena));
    }
}

/// Open addressing: a key is in the slot that its hash says, or in the first free one behind it.
#[derive(Clone, Debug)]
struct Slots<K> {
    /// A power of two of them, or none.
    slots: Vec<Slot<K>>,
    used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot<K> {
    key: K,
    /// None is a free slot, and its key the default.
    count: u64,
}

/// What a word is in its slot. The default is no word.
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
    /// Folded multiplication: the two halves of the product of what is to be hashed, mixed with constants and the seed,
    /// as in Wang Yi's [wyhash](https://github.com/wangyi-fudan/wyhash).
    #[inline(always)]
    fn hash(self, seed: u64) -> u64 {
        let (low, high) = (self[0] ^ seed ^ 0x2d35_8dcc_aa6c_78a5, self[1] ^ 0x8bb8_4b93_962e_acc9);
        let product = u128::from(low) * u128::from(high.wrapping_add(seed << 1 | 1));
        product as u64 ^ (product >> 64) as u64
    }
}

/// Where a long word is in the arena.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u64,
    start: usize,
    length: usize,
}

impl Place {
    fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start..][..self.length]
    }
}

impl Key for Place {
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
    /// Adds to the counts of the keys that these are, and takes in those that are new.
    #[inline(always)]
    fn add(&mut self, some: impl Iterator<Item = Slot<K>>, seed: u64, is: impl Fn(&K, &K) -> bool) {
        if self.slots.is_empty() {
            self.grow(seed);
        }
        let mut mask = self.slots.len() - 1;
        for Slot { key, count } in some {
            let mut at = key.hash(seed) as usize & mask;
            loop {
                let slot = &mut self.slots[at];
                if is(&slot.key, &key) {
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
        let larger = vec![Slot::default(); (self.slots.len() * 2).max(FEW)];
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

    fn each(&self, mut each: impl FnMut(K, u64)) {
        self.slots.iter().filter(|slot| slot.count != 0).for_each(|slot| each(slot.key, slot.count));
    }

    fn drain(&mut self, mut each: impl FnMut(Slot<K>)) {
        if self.used > 0 {
            self.slots.iter_mut().filter(|slot| slot.count != 0).for_each(|slot| each(mem::take(slot)));
            self.used = 0;
        }
    }
}

/// The slots of a table that has any.
const FEW: usize = 16;

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
            list.each(|word, count| {
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
        // From the last slot on, and also where they have to move.
        for round in 0..2 {
            let some = (1..=40).map(|nth| Slot { key: Same(nth), count: u64::from(nth) });
            slots.add(some.clone().collect::<Vec<_>>().into_iter(), 7, PartialEq::eq);
            some.for_each(|slot| slots.add(iter::once(slot), 7, PartialEq::eq));
            let mut found = Vec::new();
            slots.each(|Same(key), count| found.push((key, count)));
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
