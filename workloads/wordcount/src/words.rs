//! Where the words of a text are.
//!
//! Sixty-four bytes are classified at once, each becoming a bit, and the words are the runs of ones: so the work goes
//! with the words and not with their letters. Where words begin and end is written down for a window of many such blocks
//! before anything is done with it, as simdjson does (Langdale and Lemire, Parsing Gigabytes of JSON per Second, 2019):
//! then there are hardly any branches to be mispredicted.

use std::{iter, slice};

use pulp::{Arch, NullaryFnOnce};
#[cfg(target_arch = "x86_64")]
use pulp::{bytemuck::cast, u8x64, u32x16, x86::V4};
use wide::u8x16;

/// Whether a byte belongs to a word: an ASCII letter, a digit or an apostrophe.
#[inline(always)]
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\''
}

/// The bytes of a word in small letters are themselves with this bit: of what a word is made of, only capital letters
/// lack it.
pub(super) const SMALL: u8 = 0x20;

/// The words whose ends are seen in a window of text, in order. A word that touches the window's end is
/// [across](Window::across) in a later one, since the first byte behind it is there.
pub(super) struct Window<'a> {
    /// A word that has begun in an earlier window.
    pub(super) across: Option<&'a [u8]>,
    /// The text from the window on, which is more than the window.
    pub(super) text: &'a [u8],
    /// Where in it each of the other words begins, and where the first byte behind it is; [`WORDS`] of them at most.
    pub(super) places: &'a [[u32; 2]],
}

/// The bytes of a block become a register of bits.
const BLOCK: usize = 64;
const WINDOW: usize = 32 * BLOCK;
/// Each takes two bytes at least, one of them the gap behind it.
pub(super) const WORDS: usize = WINDOW / 2;

/// Calls `each` with all windows of a text.
pub(super) fn each_window(text: &[u8], mut each: impl FnMut(Window)) {
    let (blocks, tail) = text.as_chunks();
    // What is behind the end belongs to no word.
    let mut last = [0; BLOCK];
    last[..tail.len()].copy_from_slice(tail);
    let windows = blocks.chunks(WINDOW / BLOCK).chain(iter::once(slice::from_ref(&last)));

    let (mut finder, mut begun, mut start) = (Finder::new(), None, 0);
    for blocks in windows {
        let mut edges = finder.edges(blocks);
        let mut across = None;
        if let (Some(begin), [end, rest @ ..]) = (begun, edges) {
            across = Some(&text[begin..start + *end as usize]);
            (begun, edges) = (None, rest);
        }
        let (places, rest) = edges.as_chunks();
        begun = begun.or(rest.first().map(|begin| start + *begin as usize));
        each(Window { across, text: &text[start..], places });
        start += blocks.len() * BLOCK;
    }
}

/// Finds where words begin and end, by turns.
struct Finder {
    arch: Arch,
    places: [u32; WINDOW],
    /// Whether the byte before the next block belongs to a word.
    before: u64,
}

impl Finder {
    fn new() -> Self {
        Self { arch: Arch::new(), places: [0; WINDOW], before: 0 }
    }

    /// Where they do in the next blocks.
    fn edges(&mut self, blocks: &[[u8; BLOCK]]) -> &[u32] {
        let (places, before) = (&mut self.places, &mut self.before);
        let count = match self.arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => simd.vectorize(Find { simd, blocks, places, before }),
            arch => arch.dispatch(Find { simd: Portable, blocks, places, before }),
        };
        &self.places[..count]
    }
}

/// What is compiled for the registers that a machine may have. No closure, since that would be called by way of a shim,
/// which is not inlined.
struct Find<'a, S> {
    simd: S,
    blocks: &'a [[u8; BLOCK]],
    places: &'a mut [u32; WINDOW],
    before: &'a mut u64,
}

impl<S: Instructions> NullaryFnOnce for Find<'_, S> {
    /// How many there are.
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        let Self { simd, blocks, places, before } = self;
        let mut count = 0;
        for (nth, block) in blocks.iter().enumerate() {
            let bits = simd.word_bits(block);
            // Where a run of ones begins or ends, it is one and its neighbour is not.
            let edges = bits ^ (bits << 1 | *before);
            *before = bits >> (BLOCK - 1);
            let places = places[count..].first_chunk_mut().expect("a window has no more edges than bytes");
            simd.ones(edges, (nth * BLOCK) as u32, places);
            count += edges.count_ones() as usize;
        }
        count
    }
}

/// What a machine's instructions differ in.
trait Instructions: Copy {
    /// A bit for each byte, the lowest for the first: whether it belongs to a word.
    fn word_bits(self, block: &[u8; BLOCK]) -> u64;

    /// Writes down which of the bits are ones, counted from `first`. What is behind as many places is left as anything.
    fn ones(self, bits: u64, first: u32, places: &mut [u32; BLOCK]);
}

/// What every machine has.
#[derive(Clone, Copy)]
struct Portable;

impl Instructions for Portable {
    #[inline(always)]
    fn word_bits(self, block: &[u8; BLOCK]) -> u64 {
        let (parts, _) = block.as_chunks::<{ u8x16::LANES as usize }>();
        let bits = |part: &[u8; u8x16::LANES as usize]| u64::from(are_word(u8x16::new(*part)).to_bitmask());
        parts.iter().rev().fold(0, |all, part| all << u8x16::LANES | bits(part))
    }

    #[inline(always)]
    fn ones(self, bits: u64, mut first: u32, places: &mut [u32; BLOCK]) {
        let mut count = 0;
        for byte in bits.to_le_bytes() {
            // All eight, whether there are as many or not: it is hard to predict which is the last.
            let eight = places[count..].first_chunk_mut::<8>().expect("not more than bits so far");
            *eight = ONES[byte as usize].map(|place| first + u32::from(place));
            count += byte.count_ones() as usize;
            first += u8::BITS;
        }
    }
}

/// Which bits of a byte are ones, and zeros behind.
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

/// AVX-512, which has an instruction that moves those of sixteen numbers to the front that are wanted.
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
        let letters = within(self.or_u8x64(bytes, splat(SMALL)), b'a', b'z');
        letters | within(bytes, b'0', b'9') | within(bytes, b'\'', b'\'')
    }

    #[inline(always)]
    fn ones(self, bits: u64, first: u32, places: &mut [u32; BLOCK]) {
        let upwards = u32x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut count = 0;
        for part in (0..u64::BITS).step_by(16) {
            let bits = (bits >> part) as u16;
            let numbers = self.wrapping_add_u32x16(upwards, self.splat_u32x16(first + part));
            let ones = self.avx512f._mm512_maskz_compress_epi32(bits, cast(numbers));
            *places[count..].first_chunk_mut::<16>().expect("not more than bits so far") = cast(ones);
            count += bits.count_ones() as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[u8]) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        each_window(text, |Window { across, text, places }| {
            assert!(places.len() <= WORDS);
            words.extend(across.map(<[u8]>::to_vec));
            words.extend(places.iter().map(|[begin, end]| text[*begin as usize..*end as usize].to_vec()));
        });
        words
    }

    fn by_definition(text: &[u8]) -> Vec<&[u8]> {
        text.split(|byte| !is_word(*byte)).filter(|word| !word.is_empty()).collect()
    }

    fn check_instructions(simd: impl Instructions) {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b' '; BLOCK];
                block[place] = byte;
                assert_eq!(simd.word_bits(&block), u64::from(is_word(byte)) << place, "{byte:#x} at {place}");
                let mut block = [byte; BLOCK];
                block[place] = b'x';
                let all = if is_word(byte) { u64::MAX } else { 0 };
                assert_eq!(simd.word_bits(&block), all | 1 << place, "around {byte:#x} at {place}");
            }
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let bits = [rng.u64(..), rng.u64(..) & rng.u64(..) & rng.u64(..), 0, u64::MAX][rng.usize(..4)];
            let mut places = [0; BLOCK];
            simd.ones(bits, 1000, &mut places);
            let ones: Vec<u32> = (0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| 1000 + bit).collect();
            assert_eq!(places[..ones.len()], ones, "{bits:#x}");
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
