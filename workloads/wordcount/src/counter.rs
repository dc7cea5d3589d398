//! The kernel of the map side: counts the words of a task.

use std::path::PathBuf;

use super::{
    Counts, Piece, Read, Settings, Task,
    read::Buffer,
    table::{EIGHT, SIXTEEN, Table, Word},
    words::{LOWERCASE, MAX_WORDS, Window, for_each_window},
};
use cc_core::{error::reason, failpoint, root::Files, trace};

/// Counts the words of tasks. Each worker has its own; it reuses its buffer and its table.
#[derive(Clone)]
pub struct Counter {
    settings: Settings,
    base: PathBuf,
    files: Files,
    buffer: Buffer,
    table: Table,
}

/// The result of a task on the map side.
#[derive(Debug)]
pub struct Partial {
    /// What was read.
    pub read: Read,
    /// The counts of the task's words, one item for each partition, in order.
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

    /// Restricts the files that the counter opens.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task: counts its words.
    ///
    /// A panic leaves no state behind that the next task would see: the table is cleared first. A
    /// caller may therefore assert unwind safety.
    pub fn task(&mut self, task: &Task) -> Partial {
        let _span = trace::span("count");
        self.table.clear();
        let mut read = Read::default();
        for piece in &task.pieces {
            self.piece(piece, &mut read);
        }
        Partial { read, counts: Counts::of(&mut self.table) }
    }

    /// Counts the words of a piece. If reading it fails, the words before the error count.
    fn piece(&mut self, piece: &Piece, read: &mut Read) {
        failpoint::hit(&piece.path, piece.start);
        let mut words = Words::new(&self.settings);
        let table = &mut self.table;
        let bytes = self.buffer.read(piece, &self.base, &self.files, |text| {
            for_each_window(text, |window| words.count(&window, table));
        });
        read.totals.words += words.counted;
        match bytes {
            Ok(bytes) => {
                read.totals.files += u64::from(piece.start == 0);
                read.totals.bytes += bytes;
            }
            Err(error) => read.errors.push(piece.error(reason(&error))),
        }
    }
}

/// Counts the words of windows of text. The arrays are the words of one window, by length.
struct Words {
    min_len: usize,
    /// The bits that are set in eight bytes of a word, to convert it to lowercase; zero to keep it.
    lowercase: u64,
    counted: u64,
    eights: [u64; MAX_WORDS],
    sixteens: [[u64; 2]; MAX_WORDS],
    /// The bounds of the words of more than eight bytes.
    longer: [[u32; 2]; MAX_WORDS],
}

impl Words {
    fn new(settings: &Settings) -> Self {
        let lowercase = if settings.ignore_case { LOWERCASE } else { 0 };
        Self {
            min_len: settings.min_len,
            lowercase: u64::from_le_bytes([lowercase; EIGHT]),
            counted: 0,
            eights: [0; MAX_WORDS],
            sixteens: [[0; 2]; MAX_WORDS],
            longer: [[0; 2]; MAX_WORDS],
        }
    }

    /// Counts the words of a window that are long enough.
    fn count(&mut self, window: &Window, table: &mut Table) {
        if let Some(word) = window.across.filter(|word| word.len() >= self.min_len) {
            self.counted += 1;
            self.count_one(word, table);
        }
        let (eights, longer) = self.split_by_length(window.text, window.bounds);
        self.counted += (eights + longer) as u64;
        table.count_eights(&self.eights[..eights]);
        let mut sixteens = 0;
        for [begin, end] in &self.longer[..longer] {
            let (begin, length) = (*begin as usize, (end - begin) as usize);
            if length <= SIXTEEN {
                let low = eight_bytes(window.text, begin) | self.lowercase;
                let high = eight_bytes(window.text, begin + EIGHT) | self.lowercase;
                self.sixteens[sixteens] = [low, low_bytes(high, length - EIGHT)];
                sixteens += 1;
            } else {
                self.count_one(&window.text[begin..begin + length], table);
            }
        }
        table.count_sixteens(&self.sixteens[..sixteens]);
    }

    /// Separates the words of up to eight bytes from longer ones, and returns the number of each.
    ///
    /// The loop has no branch, because its result would be hard to predict: each word is written to
    /// both arrays, and the next word overwrites it in the wrong one. The function is never
    /// inlined, so that the loop has all registers.
    #[inline(never)]
    fn split_by_length(&mut self, text: &[u8], bounds: &[[u32; 2]]) -> (usize, usize) {
        let (lowercase, min_len, min_longer) = (self.lowercase, self.min_len, self.min_len.max(EIGHT + 1));
        let (mut counted, mut longer) = (0, 0);
        for word in bounds {
            let [begin, end] = word.map(|position| position as usize);
            let length = end - begin;
            self.eights[counted - longer] = low_bytes(eight_bytes(text, begin) | lowercase, length);
            self.longer[longer] = *word;
            counted += usize::from(length >= min_len);
            longer += usize::from(length >= min_longer);
        }
        (counted - longer, longer)
    }

    #[cold]
    fn count_one(&self, word: &[u8], table: &mut Table) {
        if self.lowercase == 0 {
            table.add(Word::new(word), 1);
        } else {
            let word: Vec<u8> = word.iter().map(|byte| byte | self.lowercase as u8).collect();
            table.add(Word::new(&word), 1);
        }
    }
}

/// Keeps the `count` lowest bytes and clears the others. Above eight, the result is unspecified.
#[inline(always)]
fn low_bytes(bytes: u64, count: usize) -> u64 {
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

/// Eight bytes of the text, padded with zeros at its end.
#[inline(always)]
fn eight_bytes(text: &[u8], at: usize) -> u64 {
    match text.get(at..at + EIGHT).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => padded_tail(&text[at..]),
    }
}

#[cold]
fn padded_tail(bytes: &[u8]) -> u64 {
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
        // The last word ends with the text, where eight bytes cannot be read.
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
        while text.len() < 300 * MAX_WORDS {
            // Few distinct words, so that each of them sometimes crosses the end of a window.
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
