//! Generates text from a seed, with a vocabulary as large as that of real text.
//!
//! It is the same on every machine, byte for byte. The frequencies of words are as uneven as in a
//! natural language. There are numbers, names and genitives, and letters beyond ASCII, which end a
//! word. One file has half of the text, and the sizes of the others are skewed.

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

/// The parameters of a directory of text, and its digest.
#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    /// The seed of all random choices.
    pub seed: u64,
    /// The number of files.
    pub files: usize,
    /// The number of bytes of all files together.
    pub bytes: u64,
    /// The digest of the finished directory (see [`inputs::digest`]).
    pub digest: String,
}

/// Files per chapter, which is a subdirectory.
const PER_CHAPTER: usize = 16;
/// Bytes of text per write, about.
const PORTION: usize = 256 << 10;
/// The vocabulary has two to the power of this many words, less one.
const OCTAVES: u32 = 20;

/// Generates the directory `at`, unless it exists with the right digest.
pub fn prepare(spec: &Spec, at: &Path) -> Result<()> {
    inputs::ensure(at, spec.seed, &spec.digest, |unfinished| generate(spec, unfinished))
}

/// Generates the text below the empty directory `root`.
pub fn generate(spec: &Spec, root: &Path) -> Result<()> {
    let mut rng = Rng::with_seed(spec.seed);
    for (nth, size) in sizes(spec, &mut rng).into_iter().enumerate() {
        let chapter = root.join(format!("chapter-{}", nth / PER_CHAPTER));
        let path = chapter.join(format!("{nth:05}.txt"));
        let mut text = Text { rng: Rng::with_seed(rng.u64(..)), begins_sentence: true };
        let mut write = || {
            fs::create_dir_all(&chapter)?;
            text.write(size, &mut File::create(&path)?)
        };
        write().map_err(Error::io(path.display().to_string()))?;
    }
    Ok(())
}

/// The sizes of the files. The first one has half of the text; a few of the others have most of the
/// other half.
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
    /// Whether the next word begins a sentence.
    begins_sentence: bool,
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
                end_line(&mut portion);
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
            self.begins_sentence = mark == ". ";
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
        // Some words are names, which always begin with a capital letter.
        if self.begins_sentence || rank % 16 == 11 {
            text[first].make_ascii_uppercase();
        }
        match kind {
            8..24 => text.extend_from_slice(b"'s"),
            24..28 => text.extend_from_slice("\u{e9}".as_bytes()),
            _ => {}
        }
    }

    /// A rank that is distributed approximately by Zipf's law. By that law all octaves of ranks are
    /// equally probable; here, the octaves of rare words are less probable. Integer arithmetic
    /// gives the same result on every machine, which a logarithm does not.
    fn rank(&mut self) -> u32 {
        let octave = self.rng.u32(..OCTAVES).min(self.rng.u32(..OCTAVES));
        (1 << octave) - 1 + self.rng.u32(..1 << octave)
    }
}

/// Ends a portion that was truncated: replaces an incomplete character, and puts a newline at the
/// end.
fn end_line(portion: &mut [u8]) {
    portion.iter_mut().rev().take_while(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'.');
    if let Some(last) = portion.last_mut() {
        *last = b'\n';
    }
}

/// Appends the word of a rank: a common word, or the digits of the rank as syllables.
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

/// The syllables. None of them is a prefix of another, so different ranks have different words.
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
            end_line(&mut portion);
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
