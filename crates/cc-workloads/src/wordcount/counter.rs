//! The map side's kernel: the words of a task.

use std::path::PathBuf;

use super::{
    Counts, Piece, Read, Settings, Task,
    counts::Room,
    read::Buffer,
    table::{EIGHT, SIXTEEN, Word},
    words::{SMALL, each_word},
};
use crate::{error::reason, trace};

/// Counts the words of tasks, one after the other. One per worker: it keeps its buffers from task to task.
#[derive(Clone)]
pub struct Counter {
    settings: Settings,
    base: PathBuf,
    buffer: Buffer,
    spare: Option<Counts>,
    /// What the last task's counts took.
    usual: Room,
}

/// What came of a task on the map side.
#[derive(Debug)]
pub struct Partial {
    /// What was read.
    pub read: Read,
    /// How often each word occurs in it.
    pub counts: Counts,
}

impl Counter {
    /// A counter for the tasks of a job with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let base = settings.base().to_owned();
        Self {
            settings: settings.clone(),
            base,
            buffer: Buffer::default(),
            spare: None,
            usual: Room::default(),
        }
    }

    /// Counts a task's words, from nothing.
    pub fn task(&mut self, task: &Task) -> Partial {
        let _span = trace::span("count");
        let fresh = || Counts::with_room(self.usual, self.settings.seed);
        let counts = self.spare.take().unwrap_or_else(fresh);
        let mut partial = Partial { read: Read::default(), counts };
        for piece in &task.pieces {
            self.piece(piece, &mut partial);
        }
        self.usual = partial.counts.room();
        partial
    }

    /// Takes back the counts of a task, for the room that is in them.
    pub fn reuse(&mut self, mut counts: Counts) {
        counts.clear();
        self.spare = Some(counts);
    }

    /// A fault planned for a place that is in no file.
    #[cfg(feature = "faults")]
    pub(super) fn strike(&self, place: &[u8]) {
        self.settings.faults.strike(place, 0);
    }

    /// A piece that cannot be read to its end counts as far as it could be.
    fn piece(&mut self, piece: &Piece, Partial { read, counts }: &mut Partial) {
        #[cfg(feature = "faults")]
        self.settings.faults.strike(&piece.path, piece.start);
        let mut words = Words::new(&self.settings);
        let bytes = self.buffer.read(piece, &self.base, |text| words.count(text, counts));
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
    seed: u64,
    counted: u64,
}

impl Words {
    fn new(settings: &Settings) -> Self {
        let small = if settings.ignore_case { SMALL } else { 0 };
        let small = u64::from_le_bytes([small; EIGHT]);
        Self { min_len: settings.min_len, small, seed: settings.seed, counted: 0 }
    }

    fn count(&mut self, text: &[u8], counts: &mut Counts) {
        // What is inlined here is also compiled for the widest registers, and used where the machine has them.
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                each_word(
                    text,
                    #[inline(always)]
                    |start, end| self.count_word(text, start, end, counts),
                );
            },
        );
    }

    #[inline(always)]
    fn count_word(&mut self, text: &[u8], start: usize, end: usize, counts: &mut Counts) {
        let length = end - start;
        if length < self.min_len {
            return;
        }
        self.counted += 1;
        if length <= EIGHT {
            let word = (eight(text, start) | self.small) & MASKS[length];
            counts.add(Word::Eight(word), self.seed);
        } else if length <= SIXTEEN {
            let (low, high) = (eight(text, start), eight(text, start + EIGHT));
            let word = [low | self.small, (high | self.small) & MASKS[length - EIGHT]];
            counts.add(Word::Sixteen(word), self.seed);
        } else {
            self.count_long(&text[start..end], counts);
        }
    }

    #[cold]
    fn count_long(&self, word: &[u8], counts: &mut Counts) {
        if self.small == 0 {
            counts.add(Word::Long(word), self.seed);
        } else {
            let word: Vec<u8> = word.iter().map(|byte| byte | self.small as u8).collect();
            counts.add(Word::Long(&word), self.seed);
        }
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
    use crate::wordcount::Content;

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
            let ranked = counts.into_iter().map(|partition| partition.rank(&settings).distinct);
            assert_eq!(ranked.sum::<u64>(), distinct as u64);
        }
    }
}
