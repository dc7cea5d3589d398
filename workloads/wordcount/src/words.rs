//! Finds the words of a text.
//!
//! Blocks of sixty-four bytes are classified at once: each byte becomes a bit, and the words are
//! the runs of ones. The work is therefore proportional to the number of words and not of letters.
//! All bounds of words in a window of many blocks are collected before the words are processed, as
//! in simdjson (Langdale and Lemire, Parsing Gigabytes of JSON per Second, 2019). That avoids
//! nearly all branches that could be mispredicted.

use std::{iter, slice};

use pulp::{Arch, NullaryFnOnce};
#[cfg(target_arch = "x86_64")]
use pulp::{bytemuck::cast, u8x64, u32x16, x86::V4};
use wide::u8x16;

/// Whether a byte belongs to a word: an ASCII letter, a digit or an apostrophe.
#[inline(always)]
pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\''
}

/// The bit that converts the bytes of a word to lowercase: of all bytes of words, only capital
/// letters lack it.
pub(super) const LOWERCASE: u8 = 0x20;

/// The words whose ends are found in a window of text, in order. The end of a word is found by the
/// byte after it. A word that reaches the end of its window is therefore [across](Window::across)
/// in a later one.
pub(super) struct Window<'a> {
    /// A word that began in an earlier window.
    pub(super) across: Option<&'a [u8]>,
    /// The text from the beginning of the window to the end of the whole text.
    pub(super) text: &'a [u8],
    /// The first position of each other word in `text`, and the position after its last byte: at
    /// most [`MAX_WORDS`].
    pub(super) bounds: &'a [[u32; 2]],
}

/// Bytes per block, which become the bits of one register.
const BLOCK: usize = 64;
const WINDOW: usize = 32 * BLOCK;
/// Maximum words per window: each takes at least two bytes, one of them the separator after it.
pub(super) const MAX_WORDS: usize = WINDOW / 2;

/// Calls `action` with each window of a text, in order.
pub(super) fn for_each_window(text: &[u8], mut action: impl FnMut(Window)) {
    let (blocks, tail) = text.as_chunks();
    // The last block is padded with zeros, which belong to no word.
    let mut last = [0; BLOCK];
    last[..tail.len()].copy_from_slice(tail);
    let windows = blocks.chunks(WINDOW / BLOCK).chain(iter::once(slice::from_ref(&last)));

    let mut finder = Finder::new();
    // The beginning of a word whose end is not in the windows so far.
    let mut unfinished = None;
    let mut start = 0;
    for blocks in windows {
        let mut edges = finder.edges(blocks);
        let mut across = None;
        if let (Some(begin), [end, others @ ..]) = (unfinished, edges) {
            across = Some(&text[begin..start + *end as usize]);
            (unfinished, edges) = (None, others);
        }
        let (bounds, last) = edges.as_chunks();
        unfinished = unfinished.or(last.first().map(|begin| start + *begin as usize));
        action(Window { across, text: &text[start..], bounds });
        start += blocks.len() * BLOCK;
    }
}

/// Finds the edges of words: the positions where they begin and end, alternately.
struct Finder {
    arch: Arch,
    edges: [u32; WINDOW],
    /// 1 if the byte before the next block belongs to a word, otherwise 0.
    carry: u64,
}

impl Finder {
    fn new() -> Self {
        Self { arch: Arch::new(), edges: [0; WINDOW], carry: 0 }
    }

    /// The edges in the next blocks.
    fn edges(&mut self, blocks: &[[u8; BLOCK]]) -> &[u32] {
        let (edges, carry) = (&mut self.edges, &mut self.carry);
        let count = match self.arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => simd.vectorize(FindEdges { simd, blocks, edges, carry }),
            arch => arch.dispatch(FindEdges { simd: Portable, blocks, edges, carry }),
        };
        &self.edges[..count]
    }
}

/// The code that is compiled for each kind of vector registers. It is not a closure, since that
/// would be called by way of a shim, which is not inlined.
struct FindEdges<'a, S> {
    simd: S,
    blocks: &'a [[u8; BLOCK]],
    edges: &'a mut [u32; WINDOW],
    carry: &'a mut u64,
}

impl<S: Instructions> NullaryFnOnce for FindEdges<'_, S> {
    /// The number of edges.
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        let Self { simd, blocks, edges, carry } = self;
        let mut count = 0;
        for (nth, block) in blocks.iter().enumerate() {
            let bits = simd.word_bits(block);
            // An edge is a bit that differs from the one before it.
            let edge_bits = bits ^ (bits << 1 | *carry);
            *carry = bits >> (BLOCK - 1);
            let positions = edges[count..].first_chunk_mut().expect("a window has no more edges than bytes");
            simd.ones(edge_bits, (nth * BLOCK) as u32, positions);
            count += edge_bits.count_ones() as usize;
        }
        count
    }
}

/// The operations that depend on the processor's instructions.
trait Instructions: Copy {
    /// One bit per byte, the lowest for the first: whether the byte belongs to a word.
    fn word_bits(self, block: &[u8; BLOCK]) -> u64;

    /// Writes the positions of the ones, counted from `first`. The other elements are unspecified.
    fn ones(self, bits: u64, first: u32, positions: &mut [u32; BLOCK]);
}

/// The implementation for every machine.
#[derive(Clone, Copy)]
struct Portable;

impl Instructions for Portable {
    #[inline(always)]
    fn word_bits(self, block: &[u8; BLOCK]) -> u64 {
        let (parts, _) = block.as_chunks::<{ u8x16::LANES as usize }>();
        let bits =
            |part: &[u8; u8x16::LANES as usize]| u64::from(are_word_bytes(u8x16::new(*part)).to_bitmask());
        parts.iter().rev().fold(0, |all, part| all << u8x16::LANES | bits(part))
    }

    #[inline(always)]
    fn ones(self, bits: u64, mut first: u32, positions: &mut [u32; BLOCK]) {
        let mut count = 0;
        for byte in bits.to_le_bytes() {
            // Always write eight positions: a loop over the ones would end unpredictably.
            let eight = positions[count..].first_chunk_mut::<8>().expect("not more than bits so far");
            *eight = ONES[byte as usize].map(|bit| first + u32::from(bit));
            count += byte.count_ones() as usize;
            first += u8::BITS;
        }
    }
}

/// For each byte the positions of its ones, padded with zeros.
static ONES: [[u8; 8]; 256] = {
    let mut ones = [[0; 8]; 256];
    let mut byte = 0;
    while byte < ones.len() {
        let (mut bit, mut count) = (0, 0);
        while bit < u8::BITS {
            if byte >> bit & 1 == 1 {
                ones[byte][count] = bit as u8;
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    ones
};

/// [`is_word_byte`] of sixteen bytes: 0xff for true, 0 for false.
#[inline(always)]
fn are_word_bytes(bytes: u8x16) -> u8x16 {
    let within = |bytes: u8x16, first: u8, last: u8| {
        let above = bytes - u8x16::splat(first);
        above.min(u8x16::splat(last - first)).simd_eq(above)
    };
    let letters = within(bytes | u8x16::splat(LOWERCASE), b'a', b'z');
    letters | within(bytes, b'0', b'9') | bytes.simd_eq(u8x16::splat(b'\''))
}

/// AVX-512: its compress instruction moves the selected ones of sixteen numbers to the front.
#[cfg(target_arch = "x86_64")]
impl Instructions for V4 {
    #[inline(always)]
    fn word_bits(self, block: &[u8; BLOCK]) -> u64 {
        let bytes: u8x64 = cast(*block);
        let splat = |byte| self.splat_u8x64(byte);
        let within = |bytes, first: u8, last: u8| {
            let above = self.wrapping_sub_u8x64(bytes, splat(first));
            self.cmp_le_u8x64(above, splat(last - first)).0
        };
        let letters = within(self.or_u8x64(bytes, splat(LOWERCASE)), b'a', b'z');
        letters | within(bytes, b'0', b'9') | within(bytes, b'\'', b'\'')
    }

    #[inline(always)]
    fn ones(self, bits: u64, first: u32, positions: &mut [u32; BLOCK]) {
        let ascending = u32x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut count = 0;
        for part in (0..u64::BITS).step_by(16) {
            let bits = (bits >> part) as u16;
            let numbers = self.wrapping_add_u32x16(ascending, self.splat_u32x16(first + part));
            let ones = self.avx512f._mm512_maskz_compress_epi32(bits, cast(numbers));
            *positions[count..].first_chunk_mut::<16>().expect("not more than bits so far") = cast(ones);
            count += bits.count_ones() as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[u8]) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        for_each_window(text, |Window { across, text, bounds }| {
            assert!(bounds.len() <= MAX_WORDS);
            words.extend(across.map(<[u8]>::to_vec));
            words.extend(bounds.iter().map(|[begin, end]| text[*begin as usize..*end as usize].to_vec()));
        });
        words
    }

    fn by_definition(text: &[u8]) -> Vec<&[u8]> {
        text.split(|byte| !is_word_byte(*byte)).filter(|word| !word.is_empty()).collect()
    }

    fn check_instructions(simd: impl Instructions) {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                let mut block = [b' '; BLOCK];
                block[at] = byte;
                assert_eq!(simd.word_bits(&block), u64::from(is_word_byte(byte)) << at, "{byte:#x} at {at}");
                let mut block = [byte; BLOCK];
                block[at] = b'x';
                let all = if is_word_byte(byte) { u64::MAX } else { 0 };
                assert_eq!(simd.word_bits(&block), all | 1 << at, "around {byte:#x} at {at}");
            }
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let bits = [rng.u64(..), rng.u64(..) & rng.u64(..) & rng.u64(..), 0, u64::MAX][rng.usize(..4)];
            let mut positions = [0; BLOCK];
            simd.ones(bits, 1000, &mut positions);
            let ones: Vec<u32> = (0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| 1000 + bit).collect();
            assert_eq!(positions[..ones.len()], ones, "{bits:#x}");
        }
    }

    #[test]
    fn every_byte_is_classified_and_every_place_found_by_any_machine() {
        check_instructions(Portable);
        #[cfg(target_arch = "x86_64")]
        V4::try_new().into_iter().for_each(check_instructions);
    }

    #[test]
    fn words_are_what_the_definition_says() {
        let mut rng = fastrand::Rng::with_seed(1);
        let some = b"abcXYZ019'' \n-\x00\xff\xc3\xa4@[`{/:";
        for length in (0..400).chain(WINDOW - 2..WINDOW + 2).chain([5 * WINDOW]) {
            let text: Vec<u8> = (0..length).map(|_| *rng.choice(some).unwrap()).collect();
            assert_eq!(words(&text), by_definition(&text));
        }
    }

    #[test]
    fn words_may_be_as_long_as_the_text() {
        for length in [1, 63, 64, 65, 128, WINDOW, 3 * WINDOW - 1] {
            assert_eq!(words(&vec![b'a'; length]), [vec![b'a'; length]]);
        }
        assert!(words(b"").is_empty());
    }
}
