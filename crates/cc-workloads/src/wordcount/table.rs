//! A hash table from words to counts, made for there being many short words.
//!
//! Open addressing with linear probing, and three kinds of slots. A word of up to eight bytes is in its slot, padded
//! with zeros, which no word contains: four slots to a cache line, and most words are found with one look at one of
//! them and one comparison. One of up to sixteen bytes is two numbers. A longer one is in an arena, and its slot says
//! where.

use std::cmp::Reverse;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Counts by word.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    eights: Slots<u64>,
    sixteens: Slots<[u64; 2]>,
    longs: Slots<Place>,
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
    pub(super) fn hash(self, seed: u64) -> u64 {
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
    /// No words yet, and room for about so many of up to eight bytes and of up to sixteen.
    pub(super) fn with_room([eights, sixteens]: [usize; 2]) -> Self {
        Self { eights: Slots::with_room(eights), sixteens: Slots::with_room(sixteens), ..Self::default() }
    }

    /// How many words of up to eight bytes there are, and of up to sixteen.
    pub(super) fn short_words(&self) -> [usize; 2] {
        [self.eights.used, self.sixteens.used]
    }

    /// How many words there are.
    pub(super) fn words(&self) -> usize {
        self.eights.used + self.sixteens.used + self.longs.used
    }

    /// Adds to a word's count. The hash is that of the word with `seed`.
    #[inline(always)]
    pub(super) fn add(&mut self, word: Word, hash: u64, count: u64, seed: u64) {
        match word {
            Word::Eight(word) => self.eights.add(hash, count, seed, |key| *key == word, || word),
            Word::Sixteen(word) => self.sixteens.add(hash, count, seed, |key| *key == word, || word),
            Word::Long(word) => self.add_long(word, hash, count, seed),
        }
    }

    #[cold]
    fn add_long(&mut self, word: &[u8], hash: u64, count: u64, seed: u64) {
        let place = Place { hash, start: self.arena.len(), length: word.len() };
        let is = |key: &Place| key.hash == hash && key.of(&self.arena) == word;
        let before = self.longs.used;
        self.longs.add(hash, count, seed, is, || place);
        if self.longs.used > before {
            self.arena.extend_from_slice(word);
        }
    }

    /// Calls `each` with every word, its hash and its count, in no order.
    pub(super) fn each<'a>(&'a self, seed: u64, mut each: impl FnMut(Word<'a>, u64, u64)) {
        self.eights.each(|key, count| each(Word::Eight(key), key.hash(seed), count));
        self.sixteens.each(|key, count| each(Word::Sixteen(key), key.hash(seed), count));
        self.longs.each(|key, count| each(Word::Long(key.of(&self.arena)), key.hash, count));
    }

    /// Forgets the words, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.eights.clear();
        self.sixteens.clear();
        self.longs.clear();
        self.arena.clear();
    }

    /// The words in the order of the ranking, or the first so many of them.
    pub(super) fn ranked(&self, top: Option<usize>) -> Vec<Entry<'_>> {
        let mut entries = Vec::with_capacity(self.words());
        self.each(0, |word, _, count| entries.push(word.entry(count)));
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
    /// Folded multiplication, as in wyhash.
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
    fn with_room(keys: usize) -> Self {
        let slots = if keys > 0 { (keys * 4 / 3 + 1).next_power_of_two().max(FEW) } else { 0 };
        Self { slots: vec![Slot::default(); slots], used: 0 }
    }

    /// Adds to the count of the key that `is` the one, or of a `new` one.
    #[inline(always)]
    fn add(&mut self, hash: u64, count: u64, seed: u64, is: impl Fn(&K) -> bool, new: impl FnOnce() -> K) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if is(&slot.key) {
                slot.count += count;
                return;
            }
            if slot.count == 0 {
                *slot = Slot { key: new(), count };
                self.used += 1;
                if self.used * 4 >= self.slots.len() * 3 {
                    self.grow(seed);
                }
                return;
            }
            at = (at + 1) & mask;
        }
        // There are no slots yet.
        self.grow(seed);
        self.add(hash, count, seed, is, new);
    }

    #[cold]
    fn grow(&mut self, seed: u64) {
        let larger = vec![Slot::default(); (self.slots.len() * 2).max(FEW)];
        let mask = larger.len() - 1;
        for slot in std::mem::replace(&mut self.slots, larger) {
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

    fn clear(&mut self) {
        if self.used > 0 {
            self.slots.fill(Slot::default());
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

    fn table(words: &[(&[u8], u64)], hash: impl Fn(Word) -> u64) -> Table {
        let mut table = Table::default();
        for (word, count) in words {
            let word = Word::new(word);
            table.add(word, hash(word), *count, 7);
        }
        table
    }

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
        let table = table(&counted, |word| word.hash(7));
        assert_eq!(table.words(), expected.len());
        let mut found = BTreeMap::new();
        table.each(7, |word, hash, count| {
            assert_eq!(hash, word.hash(7));
            assert_eq!(found.insert(bytes(&word.entry(count)), count), None);
        });
        assert_eq!(found, expected);
        let mut ranked: Vec<_> = expected.into_iter().collect();
        ranked.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        for top in [0, 1, 10, ranked.len(), ranked.len() + 1] {
            assert_eq!(listed(table.clone(), Some(top)), ranked[..top.min(ranked.len())]);
        }
        assert_eq!(listed(table, None), ranked);
    }

    #[test]
    fn words_that_collide_are_told_apart() {
        let words: [(&[u8], u64); 5] = [
            (b"a", 1),
            (b"b", 2),
            (b"a word of more than sixteen", 3),
            (b"another of more than that", 4),
            (b"a", 5),
        ];
        let mut table = table(&words, |_| 3);
        assert_eq!(table.words(), 4);
        table.clear();
        assert_eq!(table.words(), 0);
        assert!(listed(table, None).is_empty());
    }
}
