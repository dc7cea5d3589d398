//! Where the words of a text are.
//!
//! Sixty-four bytes are classified at once, each becoming a bit, and the words are the runs of ones: so the work goes
//! with the words and not with their letters. Eight bytes fit into a register, where all eight are compared with the
//! limits of a range by one addition (Hacker's Delight, chapter 6).

/// Whether a byte belongs to a word: an ASCII letter, a digit or an apostrophe.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\''
}

/// The bytes of a word in small letters are themselves with this bit: of what a word is made of, only capital letters
/// lack it.
pub(super) const SMALL: u8 = 0x20;

/// Calls `each` with the first byte of every word and the one behind it.
pub(super) fn each_word(text: &[u8], mut each: impl FnMut(usize, usize)) {
    let (mut begin, mut within) = (0, false);
    let mut edges = |at: usize, bits: u64, before: u64| {
        // Where a run of ones begins or ends, it is one and its neighbour is not.
        let mut edges = bits ^ (bits << 1 | before);
        while edges != 0 {
            let edge = at + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            if within {
                each(begin, edge);
            } else {
                begin = edge;
            }
            within = !within;
        }
    };
    let (blocks, tail) = text.as_chunks::<BLOCK>();
    let mut before = 0;
    for (nth, block) in blocks.iter().enumerate() {
        let bits = word_bits(block);
        edges(nth * BLOCK, bits, before);
        before = bits >> (BLOCK - 1);
    }
    // What is behind the end belongs to no word.
    let mut last = [0; BLOCK];
    last[..tail.len()].copy_from_slice(tail);
    edges(text.len() - tail.len(), word_bits(&last), before);
}

const BLOCK: usize = 64;

/// A bit for each byte: whether it belongs to a word.
fn word_bits(block: &[u8; BLOCK]) -> u64 {
    let (eights, _) = block.as_chunks::<8>();
    let bits =
        |(nth, eight): (usize, &[u8; 8])| gathered(word_bytes(u64::from_le_bytes(*eight))) << (8 * nth);
    eights.iter().enumerate().map(bits).fold(0, |all, bits| all | bits)
}

/// The same byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that belongs to a word.
fn word_bytes(bytes: u64) -> u64 {
    // Without their highest bits, bytes do not carry into each other when small numbers are added.
    let low = bytes & eight(0x7f);
    let small = low | eight(SMALL);
    let at_least = |bytes: u64, limit: u8| bytes + eight(0x80 - limit);
    let letters = at_least(small, b'a') & !at_least(small, b'z' + 1);
    let digits = at_least(low, b'0') & !at_least(low, b'9' + 1);
    let apostrophes = !at_least(low ^ eight(b'\''), 1);
    (letters | digits | apostrophes) & !bytes & eight(0x80)
}

/// The highest bits of eight bytes, side by side.
fn gathered(bytes: u64) -> u64 {
    // The factor moves bit 8n to bit 56 + n, and no two bits to the same place.
    (bytes >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
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
    fn words_may_be_as_long_as_the_text() {
        for length in [1, 63, 64, 65, 128, 1000] {
            assert_eq!(words(&vec![b'a'; length]), [&vec![b'a'; length][..]]);
        }
        assert!(words(b"").is_empty());
    }
}
