//! Partitions of counts: how they are added up, ranked and encoded.

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

/// The number of partitions. There are more than most runs have workers, so that an idle worker
/// usually finds a partition that no other worker has locked.
pub const PARTITIONS: usize = 64;

/// The partition of a word with this hash. It is chosen by the highest bits, since the lowest ones
/// choose a slot of a table.
fn partition(hash: u64) -> usize {
    (hash >> (u64::BITS - PARTITIONS.ilog2())) as usize
}

/// The counts of the words of one partition in the text of a task.
#[derive(Clone, Debug)]
pub struct Counts {
    partition: usize,
    words: List,
}

/// The sums of all counts of the words of one partition. It is a table, since words are looked up
/// in it; [`Counts`] is a list.
#[derive(Clone, Debug)]
pub struct Partition {
    number: usize,
    table: Table,
}

/// All [`PARTITIONS`] partitions, without words. The counters that they absorb from must have the
/// same seed.
#[must_use]
pub fn partitions(seed: u64) -> Vec<Partition> {
    (0..PARTITIONS).map(|number| Partition::new(number, seed)).collect()
}

/// Divides items, one for each partition, into groups of consecutive ones: one group for each
/// owner, or for each item if there are more owners.
#[must_use]
pub fn divided<T>(items: Vec<T>, owners: usize) -> Vec<Vec<T>> {
    let owners = owners.min(items.len());
    let mut groups: Vec<_> = iter::repeat_with(Vec::new).take(owners).collect();
    let count = items.len();
    for (number, item) in items.into_iter().enumerate() {
        groups[number * owners / count].push(item);
    }
    groups
}

/// Adds counts to the sums of the same partitions, which must be in the same order.
pub fn absorb(sums: &mut [Partition], counts: &[Counts]) {
    for (sum, counts) in sums.iter_mut().zip(counts) {
        sum.absorb(counts);
    }
}

impl Counts {
    /// Moves the words out of a table, into the counts of each partition. The table keeps its
    /// slots.
    pub(super) fn of(table: &mut Table) -> Vec<Self> {
        let lists = table.drain(PARTITIONS, partition).into_iter().enumerate();
        lists.map(|(partition, words)| Self { partition, words }).collect()
    }

    /// The partition's number, below [`PARTITIONS`].
    #[must_use]
    pub fn partition(&self) -> usize {
        self.partition
    }

    /// Whether there are no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Encodes the counts for [`Partition::absorb_encoded`]: each word as its length, its bytes and
    /// its count.
    pub fn encode(&self, into: &mut Vec<u8>) {
        self.words.for_each(|word, count| put(into, &word.entry(count)));
    }
}

impl Partition {
    /// A partition without words.
    #[must_use]
    pub fn new(number: usize, seed: u64) -> Self {
        Self { number, table: Table::new(seed) }
    }

    /// The partition's number, below [`PARTITIONS`].
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Adds the counts of the same partition.
    pub fn absorb(&mut self, counts: &Counts) {
        let _span = trace::span("add");
        self.table.add_list(&counts.words);
    }

    /// Adds encoded counts. They may belong to several partitions, whose words are then all in this
    /// one.
    ///
    /// # Errors
    ///
    /// If the bytes are not encoded counts. Some counts may have been added by then.
    pub fn absorb_encoded(&mut self, mut encoded: &[u8]) -> Result<(), &'static str> {
        let _span = trace::span("add");
        while !encoded.is_empty() {
            let (bytes, count) = take(&mut encoded).ok_or("not encoded counts")?;
            self.table.add(Word::new(bytes), count);
        }
        Ok(())
    }

    /// Ranks the words, the most frequent first: all of them, or the number in the settings.
    #[must_use]
    pub fn rank(self, settings: &Settings) -> Ranked {
        let _span = trace::span("rank");
        failpoint::hit(b"partition", self.number as u64);
        let distinct = self.table.words() as u64;
        let mut words = Vec::new();
        for entry in self.table.ranked(settings.top) {
            put(&mut words, &entry);
        }
        Ranked { distinct, words: ByteBuf::from(words) }
    }

    /// Ranks the words, and turns a panic into an error.
    ///
    /// # Errors
    ///
    /// If it panics, with the partition's number. The counts of the partition are lost, so the run
    /// has failed.
    pub fn try_rank(self, settings: &Settings) -> Result<Ranked> {
        let name = format!("partition {}", self.number);
        // The closure consumes the partition, so no state is seen after a panic.
        catch_unwind(AssertUnwindSafe(|| self.rank(settings))).map_err(|panic| Error::panicked(name, &*panic))
    }
}

/// The words of a partition, ranked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// The number of distinct words, including those that are not in `words`.
    pub distinct: u64,
    /// The most frequent words, each as its length, its bytes and its count.
    words: ByteBuf,
}

impl Ranked {
    /// The words and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut words = &self.words[..];
        iter::from_fn(move || take(&mut words))
    }

    /// Checks the number and the order of the words, and that they can be the sums of counts of
    /// this many encoded bytes.
    pub(super) fn check(&self, wanted: u64, bytes: u64) -> Result<(), String> {
        // An encoded sum can be nine bytes longer than one of its counts: ten bytes instead of one.
        let max_bytes = bytes.saturating_add(self.distinct.saturating_mul(9));
        let (mut words, mut count) = (&self.words[..], 0);
        while take(&mut words).is_some() {
            count += 1;
        }
        if !words.is_empty() || count != wanted || self.words.len() as u64 > max_bytes {
            return Err("it has another number of words than expected".to_owned());
        }
        let is_sorted = self.entries().is_sorted_by(|one, next| one < next);
        if is_sorted { Ok(()) } else { Err("its words are not in order".to_owned()) }
    }

    #[cfg(test)]
    pub(super) fn of(distinct: u64, words: &[u8]) -> Self {
        Self { distinct, words: ByteBuf::from(words) }
    }

    /// The words and their counts, as entries that can be compared with those of other partitions.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.iter().map(|(word, count)| Word::new(word).entry(count))
    }
}

fn put(into: &mut Vec<u8>, entry: &Entry) {
    put_number(into, entry.length() as u64);
    entry.append_to(into);
    put_number(into, entry.count());
}

/// Takes a word and its count. If they are incomplete, nothing is taken, so that the caller sees
/// the bytes that are left.
fn take<'a>(from: &mut &'a [u8]) -> Option<(&'a [u8], u64)> {
    let mut left = *from;
    let length = usize::try_from(take_number(&mut left)?).ok()?;
    let (word, mut left) = left.split_at_checked(length)?;
    let count = take_number(&mut left)?;
    *from = left;
    Some((word, count))
}

/// Appends a number as LEB128: seven bits per byte, the lowest first.
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
        let mut absorbed = partitions(3);
        let mut decoded = partitions(3);
        let mut counted_together = partitions(3);
        for counts in [counts(ONE), counts(OTHER)].iter().flatten() {
            absorbed[counts.partition()].absorb(counts);
            let mut encoded = Vec::new();
            counts.encode(&mut encoded);
            decoded[counts.partition()].absorb_encoded(&encoded).unwrap();
        }
        absorb(&mut counted_together, &counts(&format!("{ONE} {OTHER}")));
        let expected = list(counted_together);
        assert_eq!(expected.iter().map(|(_, count)| count).sum::<u64>(), 13);
        assert_eq!(list(absorbed), expected);
        assert_eq!(list(decoded), expected);
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

    /// An incomplete entry at the end is an error.
    #[test]
    fn words_that_do_not_end_with_an_entry_are_refused() {
        let words = b"\x01a\x02\x01b\x01";
        assert_eq!(Ranked::of(2, words).check(2, 99), Ok(()));
        for incomplete in
            [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x80", b"\x01", b"\x01c", b"\x01c\x80"]
        {
            let ranked = Ranked::of(2, &[words, incomplete].concat());
            assert!(ranked.check(2, 99).is_err(), "{incomplete:?}");
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
