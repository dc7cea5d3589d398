//! A hash table from words to counts, made for there being many short words.
//!
//! Open addressing with linear probing: a word of up to sixteen bytes is in its slot, padded with zeros, which no word
//! contains; so most words are found with one look at one cache line, and compared as two numbers. A longer word is in
//! an arena, and its slot has the hash and the place.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A word's bytes in a slot.
pub(super) const SHORT: usize = 16;

/// Counts by word.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// A power of two of them, or none.
    slots: Vec<Slot>,
    words: usize,
    arena: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// The word, or its hash and its place in the arena.
    key: [u64; 2],
    /// None is a free slot. The highest bit says that the word is in the arena.
    count: u64,
}

const LONG: u64 = 1 << 63;

/// A word, as it is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    /// Up to [`SHORT`] bytes, in the order of memory.
    Short(u128),
    Long(&'a [u8]),
}

impl<'a> Word<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        if bytes.len() > SHORT {
            return Self::Long(bytes);
        }
        let mut short = [0; SHORT];
        short[..bytes.len()].copy_from_slice(bytes);
        Self::Short(u128::from_le_bytes(short))
    }

    /// Its hash; the same for the same word and seed, whoever asks.
    pub(super) fn hash(self, seed: u64) -> u64 {
        match self {
            Self::Short(short) => hash_of(halves(short), seed),
            Self::Long(bytes) => xxh3_64_with_seed(bytes, seed),
        }
    }
}

fn halves(short: u128) -> [u64; 2] {
    [short as u64, (short >> 64) as u64]
}

/// Folded multiplication, as in wyhash.
fn hash_of([low, high]: [u64; 2], seed: u64) -> u64 {
    let (low, high) = (low ^ seed ^ 0x2d35_8dcc_aa6c_78a5, high ^ 0x8bb8_4b93_962e_acc9);
    let product = u128::from(low) * u128::from(high.wrapping_add(seed << 1 | 1));
    product as u64 ^ (product >> 64) as u64
}

impl Table {
    /// How many words there are.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Makes an empty table as large as it gets with so many words.
    pub(super) fn reserve(&mut self, words: usize) {
        if words > 0 {
            self.slots = vec![Slot::default(); (words * 4 / 3 + 1).next_power_of_two().max(16)];
        }
    }

    /// Adds to a word's count. The hash is that of the word with `seed`.
    #[inline]
    pub(super) fn add(&mut self, word: Word, hash: u64, count: u64, seed: u64) {
        if self.words * 4 >= self.slots.len() * 3 {
            self.grow(seed);
        }
        match word {
            Word::Short(short) => self.add_short(halves(short), hash, count),
            Word::Long(bytes) => self.add_long(bytes, hash, count),
        }
    }

    #[inline]
    fn add_short(&mut self, key: [u64; 2], hash: u64, count: u64) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &mut self.slots[at];
            if slot.key == key && slot.count & LONG == 0 {
                slot.count += count;
                return;
            }
            if slot.count == 0 {
                *slot = Slot { key, count };
                self.words += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn add_long(&mut self, word: &[u8], hash: u64, count: u64) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.count & LONG != 0 && slot.key[0] == hash && self.long(slot) == word {
                self.slots[at].count += count;
                return;
            }
            if slot.count == 0 {
                let place = self.arena.len() as u64;
                self.arena.extend_from_slice(&(word.len() as u64).to_le_bytes());
                self.arena.extend_from_slice(word);
                self.slots[at] = Slot { key: [hash, place], count: count | LONG };
                self.words += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self, seed: u64) {
        let larger = vec![Slot::default(); (self.slots.len() * 2).max(16)];
        let mask = larger.len() - 1;
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot.count != 0 {
                let mut at = slot.hash(seed) as usize & mask;
                while self.slots[at].count != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = slot;
            }
        }
    }

    /// Calls `each` with every word, its hash and its count, in no order.
    pub(super) fn each(&self, seed: u64, mut each: impl FnMut(Word, u64, u64)) {
        for slot in self.slots.iter().filter(|slot| slot.count != 0) {
            let word = if slot.count & LONG == 0 {
                Word::Short(u128::from(slot.key[0]) | u128::from(slot.key[1]) << 64)
            } else {
                Word::Long(self.long(*slot))
            };
            each(word, slot.hash(seed), slot.count & !LONG);
        }
    }

    /// Forgets the words, and keeps the room.
    pub(super) fn clear(&mut self) {
        if self.words > 0 {
            self.slots.fill(Slot::default());
            self.words = 0;
        }
        self.arena.clear();
    }

    /// The words in the order of the ranking, or the first so many of them.
    pub(super) fn ranked(mut self, top: Option<usize>) -> Entries {
        let mut slots = std::mem::take(&mut self.slots);
        slots.retain(|slot| slot.count != 0);
        let order = |one: &Slot, other: &Slot| self.order(one, other);
        if let Some(top) = top.filter(|top| *top < slots.len()) {
            if top > 0 {
                slots.select_nth_unstable_by(top - 1, order);
            }
            slots.truncate(top);
        }
        slots.sort_unstable_by(order);
        Entries { slots, arena: self }
    }

    /// The larger count first, then the smaller word.
    fn order(&self, one: &Slot, other: &Slot) -> Ordering {
        let counts = (other.count & !LONG).cmp(&(one.count & !LONG));
        counts.then_with(|| {
            if (one.count | other.count) & LONG == 0 {
                one.key.map(u64::swap_bytes).cmp(&other.key.map(u64::swap_bytes))
            } else {
                let (mut short, mut another) = ([0; SHORT], [0; SHORT]);
                self.bytes(one, &mut short).cmp(self.bytes(other, &mut another))
            }
        })
    }

    /// The word of a slot; a short one is put into `short`.
    fn bytes<'a>(&'a self, slot: &Slot, short: &'a mut [u8; SHORT]) -> &'a [u8] {
        if slot.count & LONG != 0 {
            return self.long(*slot);
        }
        *short = (u128::from(slot.key[0]) | u128::from(slot.key[1]) << 64).to_le_bytes();
        let length = short.iter().position(|byte| *byte == 0).unwrap_or(SHORT);
        &short[..length]
    }

    fn long(&self, slot: Slot) -> &[u8] {
        let at = slot.key[1] as usize;
        let (length, word) = self.arena[at..].split_first_chunk().expect("a long word has its length");
        &word[..u64::from_le_bytes(*length) as usize]
    }
}

impl Slot {
    fn hash(&self, seed: u64) -> u64 {
        if self.count & LONG == 0 { hash_of(self.key, seed) } else { self.key[0] }
    }
}

/// Words in the order of the ranking.
pub(super) struct Entries {
    slots: Vec<Slot>,
    arena: Table,
}

impl Entries {
    /// Calls `each` with every word and its count.
    pub(super) fn each(&self, mut each: impl FnMut(&[u8], u64)) {
        let mut short = [0; SHORT];
        for slot in &self.slots {
            each(self.arena.bytes(slot, &mut short), slot.count & !LONG);
        }
    }
}

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

    fn listed(table: Table, top: Option<usize>) -> Vec<(Vec<u8>, u64)> {
        let mut listed = Vec::new();
        table.ranked(top).each(|word, count| listed.push((word.to_vec(), count)));
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
            let bytes = match word {
                Word::Short(short) => short.to_le_bytes().into_iter().take_while(|byte| *byte != 0).collect(),
                Word::Long(bytes) => bytes.to_vec(),
            };
            assert_eq!(found.insert(bytes, count), None);
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
