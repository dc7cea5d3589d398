//! Counts in partitions, how they meet, and what they travel as.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    Settings,
    table::{Entry, Table, Word},
};
use crate::trace;

/// A word belongs to one of so many partitions, by its hash. There are more than most runs have workers, so that
/// whoever is free finds one that nobody else has in hand.
pub const PARTITIONS: usize = 64;

/// Which partition a word with this hash belongs to: the highest bits say, since tables use the lowest.
fn partition(hash: u64) -> usize {
    (hash >> (u64::BITS - PARTITIONS.ilog2())) as usize
}

/// Counts by word, in partitions.
#[derive(Clone, Debug)]
pub struct Counts(Vec<Partition>);

/// How many words a partition has, about: of up to eight bytes, and of up to sixteen.
#[derive(Clone, Copy, Default)]
pub(super) struct Room([usize; 2]);

/// Those counts whose words belong together by their hash.
#[derive(Clone, Debug)]
pub struct Partition {
    number: usize,
    table: Table,
    seed: u64,
}

impl Counts {
    /// No words yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self((0..PARTITIONS).map(|number| Partition::new(number, seed)).collect())
    }

    /// No words yet, and room for about as many as these are.
    pub(super) fn with_room(Room(words): Room, seed: u64) -> Self {
        let partition = |number| Partition { number, table: Table::with_room(words), seed };
        Self((0..PARTITIONS).map(partition).collect())
    }

    /// How much room the words take.
    pub(super) fn room(&self) -> Room {
        let words = self.0.iter().map(|partition| partition.table.short_words());
        let [eights, sixteens] = words.fold([0; 2], |[a, b], [c, d]| [a + c, b + d]);
        Room([eights / PARTITIONS, sixteens / PARTITIONS])
    }

    #[inline(always)]
    pub(super) fn add(&mut self, word: Word, seed: u64) {
        let hash = word.hash(seed);
        self.0[partition(hash)].table.add(word, hash, 1, seed);
    }

    /// All [`PARTITIONS`] of them.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.0
    }

    /// What travels to the owners of the partitions if there are `shares` of them, each with neighbouring partitions:
    /// for each owner its [encoded](Partition::encode) counts.
    #[must_use]
    pub fn shares(&self, shares: usize) -> Vec<Vec<u8>> {
        let mut encoded = vec![Vec::new(); shares];
        for partition in &self.0 {
            partition.encode(&mut encoded[partition.number * shares / PARTITIONS]);
        }
        encoded
    }

    /// The partitions, divided among so many owners, or as many as there are partitions: each has neighbours.
    #[must_use]
    pub fn divided(self, owners: usize) -> Vec<Vec<Partition>> {
        let mut divided = vec![Vec::new(); owners.min(PARTITIONS)];
        let owners = divided.len();
        for partition in self {
            divided[partition.number * owners / PARTITIONS].push(partition);
        }
        divided
    }

    /// Adds these counts, partition by partition.
    pub fn absorb(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(&other.0) {
            mine.absorb(others);
        }
    }

    /// Forgets the words, and keeps the room.
    pub fn clear(&mut self) {
        for partition in &mut self.0 {
            partition.table.clear();
        }
    }
}

/// The partitions by themselves.
impl IntoIterator for Counts {
    type Item = Partition;
    type IntoIter = std::vec::IntoIter<Partition>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// From all [`PARTITIONS`].
impl FromIterator<Partition> for Counts {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Self {
        Self(partitions.into_iter().collect())
    }
}

impl Partition {
    /// No words yet. Partitions that meet must have the same seed.
    #[must_use]
    pub fn new(number: usize, seed: u64) -> Self {
        Self { number, table: Table::default(), seed }
    }

    /// Its number, below [`PARTITIONS`].
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether there are no words in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.words() == 0
    }

    /// Adds the counts of the same partition, from elsewhere.
    pub fn absorb(&mut self, other: &Self) {
        let _span = trace::span("add");
        let Self { table, seed, .. } = self;
        other.table.each(*seed, |word, hash, count| table.add(word, hash, count, *seed));
    }

    /// Appends what [`Partition::absorb_encoded`] takes: for each word its length, its bytes and its count.
    pub fn encode(&self, into: &mut Vec<u8>) {
        self.table.each(self.seed, |word, _, count| put(into, &word.entry(count)));
    }

    /// Adds counts that have travelled. They may be of several partitions, of all of which this one is then the owner.
    ///
    /// # Errors
    ///
    /// If these are no encoded counts. Some may have been added.
    pub fn absorb_encoded(&mut self, mut encoded: &[u8]) -> Result<(), &'static str> {
        let _span = trace::span("add");
        while !encoded.is_empty() {
            let (bytes, count) = take(&mut encoded).ok_or("not encoded counts")?;
            let word = Word::new(bytes);
            self.table.add(word, word.hash(self.seed), count, self.seed);
        }
        Ok(())
    }

    /// Puts the words in order, the most frequent first; all of them, or as many as are wanted.
    #[must_use]
    pub fn rank(self, settings: &Settings) -> Ranked {
        let _span = trace::span("rank");
        #[cfg(feature = "faults")]
        settings.faults.strike(b"partition", self.number as u64);
        let distinct = self.table.words() as u64;
        let mut words = Vec::new();
        self.table.ranked(settings.top).iter().for_each(|entry| put(&mut words, entry));
        Ranked { distinct, words: ByteBuf::from(words) }
    }
}

/// A partition in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// How many different words there are, wanted or not.
    pub distinct: u64,
    /// The most frequent ones: for each its length, its bytes and its count.
    words: ByteBuf,
}

impl Ranked {
    /// The words and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut words = &self.words[..];
        std::iter::from_fn(move || take(&mut words))
    }
}

fn put(into: &mut Vec<u8>, entry: &Entry) {
    put_number(into, entry.length() as u64);
    entry.append_to(into);
    put_number(into, entry.count());
}

fn take<'a>(from: &mut &'a [u8]) -> Option<(&'a [u8], u64)> {
    let length = usize::try_from(take_number(from)?).ok()?;
    let (word, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some((word, take_number(from)?))
}

/// LEB128: seven bits a byte, the lowest first.
fn put_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *from.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        let mut counts = Counts::new(3);
        for word in text.split(' ') {
            counts.add(Word::new(word.as_bytes()), 3);
        }
        counts
    }

    fn list(counts: Counts) -> Vec<(String, u64)> {
        let mut list: Vec<(String, u64)> = Vec::new();
        for ranked in counts.into_iter().map(|partition| partition.rank(&Settings::default())) {
            list.extend(
                ranked.iter().map(|(word, count)| (String::from_utf8(word.to_vec()).unwrap(), count)),
            );
        }
        list.sort();
        list
    }

    const ONE: &str = "a b a c incomprehensibilities a four sixteen_letters_";
    const OTHER: &str = "b four five incomprehensibilities x";

    #[test]
    fn counts_add_up_however_they_meet() {
        let expected = list(counts(&format!("{ONE} {OTHER}")));
        let mut met = counts(ONE);
        met.absorb(&counts(OTHER));
        assert_eq!(list(met), expected);

        let mut travelled: Counts = counts(ONE);
        for (mine, others) in travelled.0.iter_mut().zip(counts(OTHER)) {
            let mut encoded = Vec::new();
            others.encode(&mut encoded);
            mine.absorb_encoded(&encoded).unwrap();
        }
        assert_eq!(list(travelled), expected);
    }

    #[test]
    fn what_is_not_encoded_counts_is_refused() {
        for nonsense in
            [&b"\x05abc"[..], b"\x01a", b"\x01a\x80", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a"]
        {
            assert!(Partition::new(0, 0).absorb_encoded(nonsense).is_err(), "{nonsense:?}");
        }
        assert!(Partition::new(0, 0).absorb_encoded(b"").is_ok());
    }

    #[test]
    fn numbers_survive() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(take_number(&mut &bytes[..]), Some(number));
        }
    }
}
