//! The map side's kernel: the words of a task.

use std::path::PathBuf;

use pulp::{Arch, NullaryFnOnce};

use super::{
    Counts, Piece, Read, Settings, Task,
    read::Buffer,
    table::{EIGHT, SIXTEEN, Table, Word},
    words::{SMALL, each_word},
};
use crate::{error::reason, trace};

/// Counts the words of tasks, one after the other. One per worker: it keeps its buffer and its table from task to task.
#[derive(Clone)]
pub struct Counter {
    settings: Settings,
    base: PathBuf,
    buffer: Buffer,
    table: Table,
}

/// What came of a task on the map side.
#[derive(Debug)]
pub struct Partial {
    /// What was read.
    pub read: Read,
    /// How often each word occurs in it: the counts of every partition, in order.
    pub counts: Vec<Counts>,
}

impl Counter {
    /// A counter for the tasks of a job with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            base: settings.base().to_owned(),
            buffer: Buffer::default(),
            table: Table::new(settings.seed),
        }
    }

    /// Counts a task's words, from nothing, even if the last task ended in a panic.
    pub fn task(&mut self, task: &Task) -> Partial {
        let _span = trace::span("count");
        self.table.clear();
        let mut read = Read::default();
        for piece in &task.pieces {
            self.piece(piece, &mut read);
        }
        Partial { read, counts: Counts::of(&mut self.table) }
    }

    /// A fault planned for a place that is in no file.
    #[cfg(feature = "faults")]
    pub(super) fn strike(&self, place: &[u8]) {
        self.settings.faults.strike(place, 0);
    }

    /// A piece that cannot be read to its end counts as far as it could be.
    fn piece(&mut self, piece: &Piece, read: &mut Read) {
        #[cfg(feature = "faults")]
        self.settings.faults.strike(&piece.path, piece.start);
        let mut words = Words::new(&self.settings);
        let bytes = self.buffer.read(piece, &self.base, |text| {
            Arch::new().dispatch(Count { text, words: &mut words, table: &mut self.table });
        });
        read.totals.words += words.counted;
        match bytes {
            Ok(bytes) => {
                read.totals.files += u64::from(piece.start == 0);
                read.totals.bytes += bytes;
            }
            Err(error) => read.troubles.push(piece.trouble(reason(&error))),
        }
    }
}

/// What counts as a word.
struct Words {
    min_len: usize,
    /// Put into the bytes of a word, eight at a time.
    small: u64,
    counted: u64,
}

impl Words {
    fn new(settings: &Settings) -> Self {
        let small = if settings.ignore_case { SMALL } else { 0 };
        let small = u64::from_le_bytes([small; EIGHT]);
        Self { min_len: settings.min_len, small, counted: 0 }
    }

    #[inline(always)]
    fn count_word(&mut self, text: &[u8], start: usize, end: usize, table: &mut Table) {
        let length = end - start;
        if length < self.min_len {
            return;
        }
        self.counted += 1;
        if length <= EIGHT {
            let word = (eight(text, start) | self.small) & MASKS[length];
            table.add(Word::Eight(word), 1);
        } else if length <= SIXTEEN {
            let (low, high) = (eight(text, start), eight(text, start + EIGHT));
            let word = [low | self.small, (high | self.small) & MASKS[length - EIGHT]];
            table.add(Word::Sixteen(word), 1);
        } else {
            self.count_long(&text[start..end], table);
        }
    }

    #[cold]
    fn count_long(&self, word: &[u8], table: &mut Table) {
        if self.small == 0 {
            table.add(Word::Long(word), 1);
        } else {
            let word: Vec<u8> = word.iter().map(|byte| byte | self.small as u8).collect();
            table.add(Word::Long(&word), 1);
        }
    }
}

/// The words of a text, to be counted. What is inlined here is also compiled for the widest registers, which are used
/// where the machine has them. A closure would not do: it is called by way of a shim, which is not inlined.
struct Count<'a> {
    text: &'a [u8],
    words: &'a mut Words,
    table: &'a mut Table,
}

impl NullaryFnOnce for Count<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { text, words, table } = self;
        each_word(
            text,
            #[inline(always)]
            |start, end| words.count_word(text, start, end, table),
        );
    }
}

/// What is left of eight bytes of which the first so many are a word's.
const MASKS: [u64; EIGHT + 1] = {
    let mut masks = [0; EIGHT + 1];
    let mut length = 1;
    while length <= EIGHT {
        masks[length] = u64::MAX >> (u64::BITS as usize - 8 * length);
        length += 1;
    }
    masks
};

/// Eight bytes of the text, and zeros behind its end.
#[inline(always)]
fn eight(text: &[u8], at: usize) -> u64 {
    let rest = &text[at..];
    match rest.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => rest.iter().rev().fold(0, |eight, byte| eight << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::wordcount::{Content, absorb, partitions};

    #[test]
    fn words_of_every_length_are_the_same_whatever_follows_and_in_either_case() {
        let words: Vec<String> =
            (1..40).map(|length| "aBcDeFgH".chars().cycle().take(length).collect()).collect();
        let text = |between: &str| words.join(between);
        // The last word's end is the text's, where there are no more bytes to read.
        let text = [text(" "), text("-_;:"), text("\n\n").to_lowercase()].join(" ");
        for (ignore_case, distinct) in [(true, words.len()), (false, 2 * words.len() - 1)] {
            let settings = Settings { ignore_case, min_len: 1, ..Settings::default() };
            let content = Content::Bytes(ByteBuf::from(text.clone()));
            let task = Task { pieces: vec![Piece { content, ..Piece::file("t") }] };
            let Partial { read, counts } = Counter::new(&settings).task(&task);
            assert_eq!(read.totals.words, 3 * words.len() as u64);
            let mut sums = partitions(settings.seed);
            absorb(&mut sums, &counts);
            let ranked = sums.into_iter().map(|partition| partition.rank(&settings).distinct);
            assert_eq!(ranked.sum::<u64>(), distinct as u64);
        }
    }

    #[test]
    fn what_a_panic_has_left_behind_does_not_count() {
        let settings = Settings { min_len: 1, ..Settings::default() };
        let mut counter = Counter::new(&settings);
        for word in [&b"left"[..], b"left behind in the middle of a task"] {
            counter.table.add(Word::new(word), 1);
        }
        let content = Content::Bytes(ByteBuf::from("one two one"));
        let task = Task { pieces: vec![Piece { content, ..Piece::file("t") }] };
        let mut sums = partitions(settings.seed);
        absorb(&mut sums, &counter.task(&task).counts);
        let distinct: u64 = sums.into_iter().map(|partition| partition.rank(&settings).distinct).sum();
        assert_eq!(distinct, 2);
    }
}
