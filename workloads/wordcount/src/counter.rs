//! The map side's kernel: the words of a task.

use std::path::PathBuf;

use super::{
    Counts, Piece, Read, Settings, Task,
    read::Buffer,
    table::{EIGHT, SIXTEEN, Table, Word},
    words::{SMALL, WORDS, Window, each_window},
};
use cc_core::{error::reason, failpoint, root::Files, trace};

/// Counts the words of tasks, one after the other. One per worker: it keeps its buffer and its table from task to task.
#[derive(Clone)]
pub struct Counter {
    settings: Settings,
    base: PathBuf,
    files: Files,
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
            files: Files::All,
            buffer: Buffer::default(),
            table: Table::new(settings.seed),
        }
    }

    /// The same, but it opens these files only.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
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

    /// A piece that cannot be read to its end counts as far as it could be.
    fn piece(&mut self, piece: &Piece, read: &mut Read) {
        failpoint::hit(&piece.path, piece.start);
        let mut words = Words::new(&self.settings);
        let table = &mut self.table;
        let bytes = self.buffer.read(piece, &self.base, &self.files, |text| {
            each_window(text, |window| words.count(&window, table));
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

/// What counts as a word, and room for those of a window.
struct Words {
    min_len: usize,
    /// What is or'd into the bytes of a word, eight at a time.
    small: u64,
    counted: u64,
    eights: [u64; WORDS],
    sixteens: [[u64; 2]; WORDS],
    /// Where the words of more than eight bytes are.
    longer: [[u32; 2]; WORDS],
}

impl Words {
    fn new(settings: &Settings) -> Self {
        let small = if settings.ignore_case { SMALL } else { 0 };
        let small = u64::from_le_bytes([small; EIGHT]);
        let (eights, sixteens, longer) = ([0; WORDS], [[0; 2]; WORDS], [[0; 2]; WORDS]);
        Self { min_len: settings.min_len, small, counted: 0, eights, sixteens, longer }
    }

    /// Counts those of a window that are long enough.
    fn count(&mut self, window: &Window, table: &mut Table) {
        if let Some(word) = window.across.filter(|word| word.len() >= self.min_len) {
            self.counted += 1;
            self.count_one(word, table);
        }
        let (eights, longer) = self.divide(window.text, window.places);
        self.counted += (eights + longer) as u64;
        table.count_eights(&self.eights[..eights]);
        let mut sixteens = 0;
        for [begin, end] in &self.longer[..longer] {
            let (begin, length) = (*begin as usize, (end - begin) as usize);
            if length <= SIXTEEN {
                let (low, high) = (eight(window.text, begin), eight(window.text, begin + EIGHT));
                let high = first(high | self.small, length - EIGHT);
                self.sixteens[sixteens] = [low | self.small, high];
                sixteens += 1;
            } else {
                self.count_one(&window.text[begin..begin + length], table);
            }
        }
        table.count_sixteens(&self.sixteens[..sixteens]);
    }

    /// Which words have up to eight bytes, as nearly all do, and which have more. Without a branch, which would be hard
    /// to predict: every word is written down as either, and one of them is written over. Returns how many there are of
    /// each. Never inlined, so that the loop has the registers to itself.
    #[inline(never)]
    fn divide(&mut self, text: &[u8], places: &[[u32; 2]]) -> (usize, usize) {
        let (small, min_len, more) = (self.small, self.min_len, self.min_len.max(EIGHT + 1));
        let (mut enough, mut longer) = (0, 0);
        for place in places {
            let [begin, end] = place.map(|place| place as usize);
            let length = end - begin;
            self.eights[enough - longer] = first(eight(text, begin) | small, length);
            self.longer[longer] = *place;
            enough += usize::from(length >= min_len);
            longer += usize::from(length >= more);
        }
        (enough - longer, longer)
    }

    #[cold]
    fn count_one(&self, word: &[u8], table: &mut Table) {
        if self.small == 0 {
            table.add(Word::new(word), 1);
        } else {
            let word: Vec<u8> = word.iter().map(|byte| byte | self.small as u8).collect();
            table.add(Word::new(&word), 1);
        }
    }
}

/// The first so many bytes, up to eight of them; of more, anything.
#[inline(always)]
fn first(bytes: u64, count: usize) -> u64 {
    bytes & MASKS[count % MASKS.len()]
}

static MASKS: [u64; SIXTEEN] = {
    let mut masks = [0; SIXTEEN];
    let mut count = 1;
    while count <= EIGHT {
        masks[count] = u64::MAX >> (u64::BITS as usize - 8 * count);
        count += 1;
    }
    masks
};

/// Eight bytes of the text, and zeros behind its end.
#[inline(always)]
fn eight(text: &[u8], at: usize) -> u64 {
    match text.get(at..at + EIGHT).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => tail(&text[at..]),
    }
}

#[cold]
fn tail(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |eight, byte| eight << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, iter};

    use serde_bytes::ByteBuf;

    use super::*;
    use crate::{Content, absorb, partitions};

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
    fn words_across_windows_are_words_like_others() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut text = Vec::new();
        while text.len() < 300 * WORDS {
            // So few that each is across windows now and then, and within one at other times.
            let (length, letter) = (rng.usize(1..20), *rng.choice(b"ab").unwrap());
            text.extend(iter::repeat_n(letter, length));
            text.push(b' ');
        }
        let content = Content::Bytes(ByteBuf::from(text.clone()));
        let task = Task { pieces: vec![Piece { content, ..Piece::file("t") }] };
        for min_len in 0..20 {
            let mut expected = BTreeMap::new();
            for word in text.split(|byte| *byte == b' ').filter(|word| word.len() >= min_len.max(1)) {
                *expected.entry(word.to_vec()).or_insert(0) += 1;
            }
            let settings = Settings { min_len, ..Settings::default() };
            let Partial { read, counts } = Counter::new(&settings).task(&task);
            assert_eq!(read.totals.words, expected.values().sum::<u64>());
            let mut sums = partitions(settings.seed);
            absorb(&mut sums, &counts);
            let ranked: Vec<_> = sums.into_iter().map(|partition| partition.rank(&settings)).collect();
            let found =
                ranked.iter().flat_map(|ranked| ranked.iter().map(|(word, count)| (word.to_vec(), count)));
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), expected.len(), "at least {min_len}");
            assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected, "at least {min_len}");
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
