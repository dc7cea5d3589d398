//! Counts in partitions, how they meet, and what they travel as.

use std::{
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
};

use cc_core::{
    error::{Error, Result},
    failpoint, trace,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    Settings,
    table::{Entry, List, Table, Word},
};
/// A word belongs to one of so many partitions, by its hash. There are more than most runs have workers, so that
/// whoever is free finds one that nobody else has in hand.
pub const PARTITIONS: usize = 64;

/// Which partition a word with this hash belongs to: the highest bits say, since tables use the lowest.
fn partition(hash: u64) -> usize {
    (hash >> (u64::BITS - PARTITIONS.ilog2())) as usize
}

/// How often the words of one partition occur in the text of a task.
#[derive(Clone, Debug)]
pub struct Counts {
    partition: usize,
    words: List,
}

/// How often the words of one partition occur in all that has been added. It is a table where counts are a list: in
/// here, words are looked up.
#[derive(Clone, Debug)]
pub struct Partition {
    number: usize,
    table: Table,
}

/// All [`PARTITIONS`] of them, without any words yet. Those whose counts meet must have the same seed.
#[must_use]
pub fn partitions(seed: u64) -> Vec<Partition> {
    (0..PARTITIONS).map(|number| Partition::new(number, seed)).collect()
}

/// Divides what there is of each partition into runs of neighbours: one for each owner, or for each partition if there
/// are more owners than those.
#[must_use]
pub fn divided<T>(each: Vec<T>, owners: usize) -> Vec<Vec<T>> {
    let owners = owners.min(each.len());
    let mut divided: Vec<_> = iter::repeat_with(Vec::new).take(owners).collect();
    let count = each.len();
    for (number, it) in each.into_iter().enumerate() {
        divided[number * owners / count].push(it);
    }
    divided
}

/// Adds the counts of some partitions to the sums of the same, which are in the same order.
pub fn absorb(sums: &mut [Partition], counts: &[Counts]) {
    sums.iter_mut().zip(counts).for_each(|(sum, counts)| sum.absorb(counts));
}

impl Counts {
    /// Takes the words out of a table, which keeps its room: the counts of every partition.
    pub(super) fn of(table: &mut Table) -> Vec<Self> {
        let lists = table.drain(PARTITIONS, partition).into_iter().enumerate();
        lists.map(|(partition, words)| Self { partition, words }).collect()
    }

    /// Its partition's number, below [`PARTITIONS`].
    #[must_use]
    pub fn partition(&self) -> usize {
        self.partition
    }

    /// Whether there are no words in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Appends what [`Partition::absorb_encoded`] takes: for each word its length, its bytes and its count.
    pub fn encode(&self, into: &mut Vec<u8>) {
        self.words.each(|word, count| put(into, &word.entry(count)));
    }
}

impl Partition {
    /// No words yet.
    #[must_use]
    pub fn new(number: usize, seed: u64) -> Self {
        Self { number, table: Table::new(seed) }
    }

    /// Its number, below [`PARTITIONS`].
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Adds the counts of the same partition.
    pub fn absorb(&mut self, counts: &Counts) {
        let _span = trace::span("add");
        self.table.add_list(&counts.words);
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
            self.table.add(Word::new(bytes), count);
        }
        Ok(())
    }

    /// Puts the words in order, the most frequent first; all of them, or as many as are wanted.
    #[must_use]
    pub fn rank(self, settings: &Settings) -> Ranked {
        let _span = trace::span("rank");
        failpoint::hit(b"partition", self.number as u64);
        let distinct = self.table.words() as u64;
        let mut words = Vec::new();
        self.table.ranked(settings.top).iter().for_each(|entry| put(&mut words, entry));
        Ranked { distinct, words: ByteBuf::from(words) }
    }

    /// The same, where a panic is the partition's failure.
    ///
    /// # Errors
    ///
    /// If it panics, with the partition's number. What was counted in it is lost, and so is the
    /// run.
    pub fn try_rank(self, settings: &Settings) -> Result<Ranked> {
        let who = format!("partition {}", self.number);
        catch_unwind(AssertUnwindSafe(|| self.rank(settings))).map_err(|panic| Error::panicked(who, &*panic))
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
        iter::from_fn(move || take(&mut words))
    }

    /// Checks that these are so many words, in their order, and could be sums of counts of so many
    /// bytes.
    pub(super) fn check(&self, wanted: u64, bytes: u64) -> Result<(), String> {
        // A sum may take nine bytes more than a count that it was made of.
        let most = bytes.saturating_add(self.distinct.saturating_mul(9));
        let (mut words, mut count) = (&self.words[..], 0);
        while take(&mut words).is_some() {
            count += 1;
        }
        if !words.is_empty() || count != wanted || self.words.len() as u64 > most {
            return Err("its words are not as many as there should be".to_owned());
        }
        let is_sorted = self.entries().is_sorted_by(|one, next| one < next);
        if is_sorted { Ok(()) } else { Err("its words are not in order".to_owned()) }
    }

    #[cfg(test)]
    pub(super) fn of(distinct: u64, words: &[u8]) -> Self {
        Self { distinct, words: ByteBuf::from(words) }
    }

    /// The words and their counts, as they are compared with those of other partitions.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.iter().map(|(word, count)| Word::new(word).entry(count))
    }
}

fn put(into: &mut Vec<u8>, entry: &Entry) {
    put_number(into, entry.length() as u64);
    entry.append_to(into);
    put_number(into, entry.count());
}

/// Takes a word and its count. If there is no whole one, nothing is taken: what is left over is
/// then seen by the caller.
fn take<'a>(from: &mut &'a [u8]) -> Option<(&'a [u8], u64)> {
    let mut left = *from;
    let length = usize::try_from(take_number(&mut left)?).ok()?;
    let (word, mut left) = left.split_at_checked(length)?;
    let count = take_number(&mut left)?;
    *from = left;
    Some((word, count))
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

    fn counts(text: &str) -> Vec<Counts> {
        let mut table = Table::new(3);
        text.split(' ').for_each(|word| table.add(Word::new(word.as_bytes()), 1));
        Counts::of(&mut table)
    }

    fn list(sums: Vec<Partition>) -> Vec<(String, u64)> {
        let mut list: Vec<(String, u64)> = Vec::new();
        for ranked in sums.into_iter().map(|partition| partition.rank(&Settings::default())) {
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
        let (mut met, mut travelled, mut at_once) = (partitions(3), partitions(3), partitions(3));
        for counts in [counts(ONE), counts(OTHER)].iter().flatten() {
            met[counts.partition()].absorb(counts);
            let mut encoded = Vec::new();
            counts.encode(&mut encoded);
            travelled[counts.partition()].absorb_encoded(&encoded).unwrap();
        }
        absorb(&mut at_once, &counts(&format!("{ONE} {OTHER}")));
        let expected = list(at_once);
        assert_eq!(expected.iter().map(|(_, count)| count).sum::<u64>(), 13);
        assert_eq!(list(met), expected);
        assert_eq!(list(travelled), expected);
    }

    #[test]
    fn every_owner_has_neighbours() {
        for owners in [1, 2, 5, 63, 64, 65, 1000] {
            let divided = divided((0..PARTITIONS).collect(), owners);
            assert_eq!(divided.len(), owners.min(PARTITIONS));
            assert!(divided.iter().all(|some| !some.is_empty()), "{owners}");
            assert_eq!(divided.concat(), (0..PARTITIONS).collect::<Vec<_>>());
        }
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

    /// A part of an entry behind the last one is no entry, and must not pass for the end.
    #[test]
    fn words_that_do_not_end_with_an_entry_are_refused() {
        let words = b"\x01a\x02\x01b\x01";
        assert_eq!(Ranked::of(2, words).check(2, 99), Ok(()));
        for rest in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x80", b"\x01", b"\x01c", b"\x01c\x80"] {
            let ranked = Ranked::of(2, &[words, rest].concat());
            assert!(ranked.check(2, 99).is_err(), "{rest:?}");
        }
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
