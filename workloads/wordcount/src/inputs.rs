//! Text made from a seed, with a vocabulary as large as that of real text.
//!
//! It is the same to the byte wherever it is made. Words are as unevenly frequent as in a language, with numbers,
//! names, genitives and abbreviations among them, and letters beyond ASCII, which end a word. One file has half of the
//! text, the others are of skewed sizes.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use cc_core::{
    error::{Error, Result},
    inputs,
};
use fastrand::Rng;
use serde::Deserialize;

/// What determines a folder of text, and how to recognize it.
#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    /// What all choices are drawn from.
    pub seed: u64,
    /// How many files.
    pub files: usize,
    /// How many bytes in all of them.
    pub bytes: u64,
    /// The digest of the finished folder (see [`inputs::digest`]).
    pub digest: String,
}

/// Files for each chapter.
const PER_CHAPTER: usize = 16;
/// Text is written in portions of about this size.
const PORTION: usize = 256 << 10;
/// The vocabulary has two to the power of this many words.
const OCTAVES: u32 = 20;

/// Makes the folder at `at` unless it is there, complete and unchanged.
pub fn prepare(spec: &Spec, at: &Path) -> Result<()> {
    inputs::ensure(at, spec.seed, &spec.digest, |making| generate(spec, making))
}

/// Makes the text below the new directory `root`.
pub fn generate(spec: &Spec, root: &Path) -> Result<()> {
    let mut rng = Rng::with_seed(spec.seed);
    for (nth, size) in sizes(spec, &mut rng).into_iter().enumerate() {
        let chapter = root.join(format!("chapter-{}", nth / PER_CHAPTER));
        let path = chapter.join(format!("{nth:05}.txt"));
        let mut text = Text { rng: Rng::with_seed(rng.u64(..)), begins: true };
        let mut write = || {
            fs::create_dir_all(&chapter)?;
            text.write(size, &mut File::create(&path)?)
        };
        write().map_err(Error::io(path.display().to_string()))?;
    }
    Ok(())
}

/// The first file has half of the text; the others share the rest, most of it in a few of them.
fn sizes(spec: &Spec, rng: &mut Rng) -> Vec<u64> {
    let weights: Vec<u64> = (1..spec.files).map(|_| (256 + rng.u64(..256)) << rng.u32(..8)).collect();
    let total: u64 = weights.iter().sum();
    let others = weights.iter().map(|weight| spec.bytes / 2 * weight / total.max(1));
    let others: Vec<u64> = others.collect();
    let first = spec.bytes - others.iter().sum::<u64>();
    [vec![first], others].concat()
}

struct Text {
    rng: Rng,
    /// Whether a sentence begins.
    begins: bool,
}

impl Text {
    /// Writes exactly `size` bytes, the last of which ends a line.
    fn write(&mut self, mut size: u64, file: &mut File) -> io::Result<()> {
        let mut portion = Vec::with_capacity(PORTION + 4096);
        while size > 0 {
            while portion.len() < PORTION && (portion.len() as u64) < size {
                self.line(&mut portion);
            }
            if portion.len() as u64 >= size {
                portion.truncate(usize::try_from(size).expect("not above the length"));
                end(&mut portion);
            }
            file.write_all(&portion)?;
            size -= portion.len() as u64;
            portion.clear();
        }
        Ok(())
    }

    fn line(&mut self, text: &mut Vec<u8>) {
        let until = text.len() + 60 + self.rng.usize(..20);
        while text.len() < until {
            self.word(text);
            let mark = match self.rng.u8(..) {
                0..12 => ", ",
                12..24 => ". ",
                24..28 => "; ",
                28..32 => " \u{2014} ",
                _ => " ",
            };
            self.begins = mark == ". ";
            text.extend_from_slice(mark.as_bytes());
        }
        let _ = text.pop();
        text.push(b'\n');
    }

    fn word(&mut self, text: &mut Vec<u8>) {
        let kind = self.rng.u16(..1000);
        if kind < 8 {
            let digits = self.rng.u32(1..5);
            text.extend_from_slice(self.rng.u32(..10u32.pow(digits)).to_string().as_bytes());
            return;
        }
        let first = text.len();
        let rank = self.rank();
        spell(rank, text);
        // Some words are names, which are capital wherever they stand.
        if self.begins || rank % 16 == 11 {
            text[first].make_ascii_uppercase();
        }
        match kind {
            8..24 => text.extend_from_slice(b"'s"),
            24..28 => text.extend_from_slice("\u{e9}".as_bytes()),
            _ => {}
        }
    }

    /// A rank by Zipf's law: an octave of ranks is as probable as any other, save that the rare words are rarer than
    /// that. In whole numbers, since logarithms are not the same on every machine.
    fn rank(&mut self) -> u32 {
        let octave = self.rng.u32(..OCTAVES).min(self.rng.u32(..OCTAVES));
        (1 << octave) - 1 + self.rng.u32(..1 << octave)
    }
}

/// What has been cut off in the middle of a line ends all the same, and without half a letter.
fn end(portion: &mut [u8]) {
    portion.iter_mut().rev().take_while(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'.');
    if let Some(last) = portion.last_mut() {
        *last = b'\n';
    }
}

/// The word of a rank: common ones by themselves, and then as many syllables as it takes to tell all apart.
fn spell(rank: u32, text: &mut Vec<u8>) {
    let rank = rank as usize;
    if let Some(word) = COMMON.get(rank) {
        text.extend_from_slice(word.as_bytes());
        return;
    }
    let mut left = rank;
    while left > 0 {
        text.extend_from_slice(SYLLABLES[left % SYLLABLES.len()].as_bytes());
        left /= SYLLABLES.len();
    }
}

const COMMON: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "are", "as", "with", "be", "at",
    "by", "this", "from", "or", "had", "an", "they", "which", "one", "you", "were", "all", "her", "she",
    "there", "would", "their", "we", "him", "been", "has", "when", "who", "will", "no", "more", "if", "out",
    "so", "up", "said", "what", "its", "about", "than", "into", "them", "can", "only", "other", "time",
    "new", "some", "could", "these", "two", "may", "first",
];

/// No syllable begins another, so different ranks have different words.
const SYLLABLES: [&str; 32] = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su", "ta", "ve",
    "wi", "xo", "zu", "bren", "clar", "dron", "flim", "gran", "plen", "skar", "stel", "tron", "vran", "thil",
    "chem",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_ranks_have_different_words() {
        let mut words = HashSet::new();
        for rank in 0..1 << OCTAVES {
            let mut word = Vec::new();
            spell(rank, &mut word);
            assert!(words.insert(word), "rank {rank}");
        }
    }

    #[test]
    fn no_letter_is_cut_in_two() {
        let text = "a \u{2014} b\u{e9}\u{e9} c";
        for cut in 1..=text.len() {
            let mut portion = text.as_bytes()[..cut].to_vec();
            end(&mut portion);
            let text = String::from_utf8(portion).unwrap();
            assert!(text.len() == cut && text.ends_with('\n'));
        }
    }

    #[test]
    fn text_has_the_size_that_was_asked_for_and_is_utf_8() {
        let scratch = tempfile::tempdir().unwrap();
        let spec = Spec { seed: 3, files: 20, bytes: 300_000, digest: String::new() };
        generate(&spec, &scratch.path().join("text")).unwrap();
        let mut all = 0;
        for entry in walkdir::WalkDir::new(scratch.path()) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let text = fs::read_to_string(entry.path()).unwrap();
                assert!(text.is_empty() || text.ends_with('\n'), "{entry:?}");
                all += text.len();
            }
        }
        assert_eq!(all, 300_000);
    }
}
