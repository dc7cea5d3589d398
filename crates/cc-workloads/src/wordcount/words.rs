//! Where the words of a text are.
//!
//! Sixty-four bytes are classified at once, each becoming a bit, and the words are the runs of ones: so the work goes
//! with the words and not with their letters. Where a word begins or ends is written down for many blocks before
//! anything is done with it, as simdjson does (Langdale and Lemire, Parsing Gigabytes of JSON per Second, 2019): then
//! there are hardly any branches to be mispredicted.

use wide::u8x16;

/// Whether a byte belongs to a word: an ASCII letter, a digit or an apostrophe.
#[inline(always)]
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\''
}

/// The bytes of a word in small letters are themselves with this bit: of what a word is made of, only capital letters
/// lack it.
pub(super) const SMALL: u8 = 0x20;

/// Calls `each` with the first byte of every word and the one behind it.
#[inline(always)]
pub(super) fn each_word(text: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut edges = Edges::from(0);
    let (blocks, tail) = text.as_chunks::<BLOCK>();
    for some in blocks.chunks(BLOCKS) {
        for block in some {
            edges.find(block);
        }
        edges.words(&mut each);
    }
    // What is behind the end belongs to no word.
    let mut last = [0; BLOCK];
    last[..tail.len()].copy_from_slice(tail);
    edges.find(&last);
    edges.words(&mut each);
}

/// So many bytes become a register of bits.
const BLOCK: usize = 64;
/// So many blocks are looked through before their words are passed on.
const BLOCKS: usize = 32;
/// As many as there can be, one that was left over, and what is written beyond them.
const ROOM: usize = (BLOCKS + 1) * BLOCK + 1;
const EIGHT: usize = 8;

/// Where words begin and end, by turns.
struct Edges {
    places: [usize; ROOM],
    count: usize,
    /// Where the next block begins, and whether the byte before it belongs to a word.
    at: usize,
    before: u64,
}

impl Edges {
    /// None yet; what comes begins at this place.
    #[inline(always)]
    fn from(at: usize) -> Self {
        Self { places: [0; ROOM], count: 0, at, before: 0 }
    }

    /// Those of the next block.
    #[inline(always)]
    fn find(&mut self, block: &[u8; BLOCK]) {
        let bits = word_bits(block);
        // Where a run of ones begins or ends, it is one and its neighbour is not.
        let mut edges = bits ^ (bits << 1 | self.before);
        self.before = bits >> (BLOCK - 1);
        let count = edges.count_ones() as usize;
        // Eight at a time, whether there are as many or not: it is hard to predict which edge is a block's last.
        let (eights, _) = self.places[self.count..][..BLOCK].as_chunks_mut::<EIGHT>();
        for places in &mut eights[..count.div_ceil(EIGHT)] {
            for place in places {
                *place = self.at + edges.trailing_zeros() as usize;
                edges &= edges.wrapping_sub(1);
            }
        }
        self.count += count;
        self.at += BLOCK;
    }

    /// Passes on the words that are complete.
    #[inline(always)]
    fn words(&mut self, each: &mut impl FnMut(usize, usize)) {
        let (words, rest) = self.places[..self.count].as_chunks();
        for [begin, end] in words {
            each(*begin, *end);
        }
        let begun = rest.first().copied();
        self.count = 0;
        if let Some(begin) = begun {
            self.places[0] = begin;
            self.count = 1;
        }
    }
}

/// A bit for each byte: whether it belongs to a word.
#[inline(always)]
fn word_bits(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks::<{ u8x16::LANES as usize }>();
    let bits = |part: &[u8; u8x16::LANES as usize]| u64::from(are_word(u8x16::new(*part)).to_bitmask());
    parts.iter().rev().fold(0, |all, part| all << u8x16::LANES | bits(part))
}

/// [`is_word`] of sixteen bytes: all ones, or none.
#[inline(always)]
fn are_word(bytes: u8x16) -> u8x16 {
    let within = |bytes: u8x16, first: u8, last: u8| {
        let above = bytes - u8x16::splat(first);
        above.min(u8x16::splat(last - first)).simd_eq(above)
    };
    let letters = within(bytes | u8x16::splat(SMALL), b'a', b'z');
    letters | within(bytes, b'0', b'9') | bytes.simd_eq(u8x16::splat(b'\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[u8]) -> Vec<&[u8]> {
        let mut words = Vec::new();
        each_word(text, |start, end| words.push(&text[start..end]));
        words
    }

    fn by_definition(text: &[u8]) -> Vec<&[u8]> {
        text.split(|byte| !is_word(*byte)).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn every_byte_is_classified_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b' '; BLOCK];
                block[place] = byte;
                assert_eq!(word_bits(&block), u64::from(is_word(byte)) << place, "{byte:#x} at {place}");
                let mut block = [byte; BLOCK];
                block[place] = b'x';
                let all = if is_word(byte) { u64::MAX } else { 0 };
                assert_eq!(word_bits(&block), all | 1 << place, "around {byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn words_are_what_the_definition_says() {
        let mut rng = fastrand::Rng::with_seed(1);
        let some = b"abcXYZ019'' \n-\x00\xff\xc3\xa4@[`{/:";
        for length in 0..400 {
            let text: Vec<u8> = (0..length).map(|_| *rng.choice(some).unwrap()).collect();
            assert_eq!(words(&text), by_definition(&text));
        }
    }

    #[test]
    fn words_may_be_beyond_four_gibibytes() {
        let (mut edges, mut words) = (Edges::from(u32::MAX as usize - 100), Vec::new());
        for block in [[b'a'; BLOCK], [b'a'; BLOCK], [b' '; BLOCK]] {
            edges.find(&block);
            edges.words(&mut |begin, end| words.push((begin, end)));
        }
        assert_eq!(words, [(u32::MAX as usize - 100, u32::MAX as usize + 28)]);
    }

    #[test]
    fn words_may_be_as_long_as_the_text() {
        for length in [1, 63, 64, 65, 128, 1000] {
            assert_eq!(words(&vec![b'a'; length]), [&vec![b'a'; length][..]]);
        }
        assert!(words(b"").is_empty());
    }
}
