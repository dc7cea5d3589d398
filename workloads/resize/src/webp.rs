//! Checks the headers of a WebP file before memory is allocated for its pixels.
//!
//! The decoder allocates a frame with the size in the frame's own header, and only then compares
//! that with the size of the image. The headers are therefore compared here first.

use super::decode;

/// Bytes per pixel that the decoder needs in addition to the image: it decodes a lossless image
/// with alpha first.
const OVERHEAD: u64 = 4;
/// Bytes per pixel in addition to a lossy image with an alpha channel: the decoder decodes the
/// channel as a lossless image while it holds the colours as YUV.
const OVERHEAD_WITH_ALPHA: u64 = 7;
/// Bytes per pixel in addition to an animation: the decoder decodes its first frame alone and then
/// draws it on a canvas.
const OVERHEAD_ANIMATED: u64 = 8;

/// The parts of a file that decide how much memory its decoder needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes per pixel in addition to the image.
    overhead: u64,
    /// The size of the lossy frame of a still image, from its own header.
    still: Option<Size>,
    /// The size of the first lossy frame of an animation, from its own header, and the size that
    /// the animation declares for it.
    animated: Option<(Size, Size)>,
}

type Size = (u32, u32);

impl Layout {
    /// The layout of a file. A malformed part is skipped, since the decoder reports it.
    pub(super) fn of(file: &[u8]) -> Self {
        let mut layout = Self { overhead: OVERHEAD, still: None, animated: None };
        for (name, content) in chunks(file.get(12..).unwrap_or_default()) {
            match name {
                b"VP8 " => layout.still = layout.still.or(frame_size(content)),
                b"ALPH" => layout.overhead = layout.overhead.max(OVERHEAD_WITH_ALPHA),
                b"ANMF" => {
                    layout.overhead = OVERHEAD_ANIMATED;
                    layout.animated = layout.animated.or(animated_frame(content));
                }
                _ => {}
            }
        }
        layout
    }

    /// Checks that the sizes in the headers of the frames agree with those of an image of this
    /// size.
    pub(super) fn check(&self, image: Size) -> Result<(), String> {
        let still = self.still.map(|size| (size, image));
        for (size, declared) in still.into_iter().chain(self.animated) {
            if size != declared {
                return Err(format!(
                    "a frame has {}x{} pixels instead of {}x{}",
                    size.0, size.1, declared.0, declared.1
                ));
            }
        }
        Ok(())
    }

    /// Checks the memory that an image of this size needs, with this number of bytes per pixel.
    pub(super) fn check_memory(&self, size: Size, bytes_per_pixel: u64, limit: u64) -> Result<(), String> {
        let pixels = u64::from(size.0) * u64::from(size.1);
        decode::check_memory(size, pixels * (bytes_per_pixel + self.overhead), limit)
    }
}

/// The size of a frame of an animation if it is lossy, and the size that the animation declares.
fn animated_frame(content: &[u8]) -> Option<(Size, Size)> {
    let declared = (1 + three_bytes(content, 6)?, 1 + three_bytes(content, 9)?);
    let mut chunks = chunks(content.get(16..)?);
    let (name, content) = chunks.next()?;
    let content = match name {
        b"VP8L" => return None,
        // The decoder takes the chunk after the alpha channel as the colours, with any name.
        b"ALPH" => chunks.next()?.1,
        _ => content,
    };
    Some((frame_size(content)?, declared))
}

/// The size in the header of a lossy frame (RFC 6386, 9.1).
fn frame_size(content: &[u8]) -> Option<Size> {
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = content else { return None };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(*w0, *w1), side(*h0, *h1)))
}

fn three_bytes(content: &[u8], at: usize) -> Option<u32> {
    let [low, middle, high, ..] = content.get(at..)? else { return None };
    Some(u32::from_le_bytes([*low, *middle, *high, 0]))
}

/// The names and contents of chunks. The content of the last one may be truncated.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, after) = bytes.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        // Content of an odd length is padded with one byte.
        bytes = after.get(length + length % 2..).unwrap_or_default();
        Some((name, &after[..length.min(after.len())]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, resizer::tests::made};

    const LOSSY: &[u8] = include_bytes!("testdata/lossy.webp");

    fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        [name, &(content.len() as u32).to_le_bytes(), content].concat()
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let chunks = [b"WEBP".to_vec(), chunks.concat()].concat();
        chunk(b"RIFF", &chunks)
    }

    /// The content of the lossy frame of [`LOSSY`], with this size in its header.
    fn frame(width: u16, height: u16) -> Vec<u8> {
        let (_, content) = chunks(&LOSSY[12..]).find(|(name, _)| *name == b"VP8 ").unwrap();
        let sides = [width, height].map(u16::to_le_bytes).concat();
        [&content[..6], &sides, &content[10..]].concat()
    }

    /// The header of an image of 40x30 pixels.
    fn header(flags: u8) -> Vec<u8> {
        chunk(b"VP8X", &[flags, 0, 0, 0, 39, 0, 0, 29, 0, 0])
    }

    /// An animation with one frame, which consists of these chunks.
    fn animation(chunks: &[Vec<u8>]) -> Vec<u8> {
        let frame_header = [0, 0, 0, 0, 0, 0, 39, 0, 0, 29, 0, 0, 100, 0, 0, 0];
        let frame = [frame_header.to_vec(), chunks.concat()].concat();
        file(&[header(2), chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)])
    }

    fn made_of(file: Vec<u8>) -> Result<Vec<u8>, String> {
        made(&Settings { width: 8, ..Settings::default() }, file)
    }

    #[test]
    fn a_frame_has_the_size_of_its_image() {
        let alpha = chunk(b"ALPH", &[0; 1202][..1201]);
        let alpha = [alpha, vec![0]].concat();
        let still = |frame: Vec<u8>| file(&[header(0), chunk(b"VP8 ", &frame)]);
        let moved = |frame: Vec<u8>| animation(&[chunk(b"VP8 ", &frame)]);
        let moved_with_alpha = |frame: Vec<u8>| animation(&[alpha.clone(), chunk(b"VP8 ", &frame)]);
        for file in [still as fn(_) -> _, moved] {
            made_of(file(frame(40, 30))).unwrap();
        }
        made_of(moved_with_alpha(frame(40, 30))).unwrap();
        let why = "damaged WebP: a frame has 16383x16382 pixels instead of 40x30";
        let large = || frame(16383, 16382);
        for file in [still(large()), moved(large()), moved_with_alpha(large())] {
            assert_eq!(made_of(file).unwrap_err(), why);
        }
    }

    #[test]
    fn no_chunk_is_longer_than_its_file() {
        for name in [b"EXIF", b"ICCP"] {
            let mut long = file(&[header(0), chunk(b"VP8 ", &frame(40, 30)), chunk(name, b"")]);
            let end = long.len();
            long[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(made_of(long).unwrap_err().starts_with("damaged WebP: "));
        }
    }

    #[test]
    fn alpha_and_animations_take_more() {
        let layout = |file: Vec<u8>| Layout::of(&file).overhead;
        let colors = || chunk(b"VP8 ", &frame(40, 30));
        assert_eq!(layout(LOSSY.to_vec()), OVERHEAD);
        assert_eq!(layout(file(&[header(0x10), chunk(b"ALPH", b"??"), colors()])), OVERHEAD_WITH_ALPHA);
        assert_eq!(layout(animation(&[colors()])), OVERHEAD_ANIMATED);
    }
}
