//! Input of `resize`: files that claim to be images.

use cc_workloads::resize::{Content, Fit, Format, Gravity, Made, Profile, Resizer, Settings, Task};

use crate::memory::peak;

/// Memory limit of an image. It is low, so that an excess is soon found.
const MEMORY: u64 = 8 << 20;

/// Additional memory of a worker: a decoder's tables, the thumbnail, and its encoder.
const OVERHEAD: u64 = 3 << 20;

/// Additional memory for lossy WebP: the decoder allocates a partition before it reads it, and the
/// length of a partition has three bytes.
const PARTITION: u64 = 16 << 20;

/// An image of 300x300 white pixels.
const WHITE: &[u8] = include_bytes!("white.png");

/// Maximum size of a file.
const LONGEST: usize = 1 << 20;

/// Takes bytes as an image file.
///
/// - No header makes a worker take more memory than an image may.
/// - A thumbnail has the size that it reports, which is at most the requested one. It is an image
///   of the requested format: it can be resized again.
/// - A worker that has made other thumbnails makes the same thumbnail of a file.
pub fn images(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let small = Settings { width: 24, memory: MEMORY, ..Settings::default() };
    let first = thumbnail(&mut Resizer::new(&small), &small, bytes);
    let mut used = Resizer::new(&small);
    assert!(thumbnail(&mut used, &small, WHITE).is_some(), "it is an image");
    assert!(thumbnail(&mut used, &small, bytes) == first, "earlier thumbnails make no difference");
    let Some(first) = first else { return };

    let cover = (9, Some(7), Fit::Cover, Format::Webp);
    for (width, height, fit, format) in [cover, (5, None, Fit::Contain, Format::Jpeg)] {
        let (gravity, profile) = (Gravity::SouthEast, Profile::Srgb);
        let settings =
            Settings { width, height, fit, gravity, profile, format: Some(format), ..small.clone() };
        let other = thumbnail(&mut Resizer::new(&settings), &settings, bytes).expect("it is an image");
        assert_eq!(kind(&other), Some(format));
        let of_first = thumbnail(&mut Resizer::new(&settings), &settings, &first);
        assert!(of_first.is_some(), "a thumbnail is an image");
    }
}

/// The thumbnail of a file, if it is an image.
fn thumbnail(resizer: &mut Resizer, settings: &Settings, bytes: &[u8]) -> Option<Vec<u8>> {
    let (source, target) = (b"photo".to_vec().into(), b"photo".to_vec().into());
    let task = Task { source, target, content: Content::Bytes(bytes.to_vec().into()) };
    let (output, memory) = peak(|| resizer.task(&task));
    // Decoders hold the file's metadata, and perhaps all of the file, a second time.
    let is_lossy = bytes.windows(4).any(|name| name == b"VP8 " || name == b"ALPH");
    let overhead = if is_lossy { OVERHEAD + PARTITION } else { OVERHEAD };
    let most = settings.memory + overhead + 2 * bytes.len() as u64;
    assert!(memory <= most, "{memory} bytes of memory for a file of {}", bytes.len());
    assert_eq!(task.scope(settings).accepts(&output), Ok(()));
    match output.made {
        Made::Thumbnail { bytes, width, height, pixels } => {
            let is_within = width <= settings.width && settings.height.is_none_or(|most| height <= most);
            assert!(is_within && u64::from(width) * u64::from(height) <= pixels, "{width}x{height}");
            assert_eq!(size(&bytes), Some((width, height)));
            Some(bytes.into_vec())
        }
        Made::Failed(why) => {
            assert!(!why.is_empty());
            None
        }
    }
}

fn kind(file: &[u8]) -> Option<Format> {
    match file {
        [0xff, 0xd8, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Some(Format::Png),
        [b'R', b'I', b'F', b'F', ..] => Some(Format::Webp),
        _ => None,
    }
}

/// The size in the header of a thumbnail, parsed by hand.
fn size(file: &[u8]) -> Option<(u32, u32)> {
    match kind(file)? {
        Format::Png => Some((number(file.get(16..20)?), number(file.get(20..24)?))),
        Format::Jpeg => {
            let mut at = 2;
            loop {
                let (marker, length) = (*file.get(at + 1)?, number(file.get(at + 2..at + 4)?));
                if matches!(marker, 0xc0 | 0xc2) {
                    return Some((number(file.get(at + 7..at + 9)?), number(file.get(at + 5..at + 7)?)));
                }
                at += 2 + length as usize;
            }
        }
        Format::Webp => {
            let mut at = 12;
            while file.get(at..at + 4)? != b"VP8L" {
                let length: [u8; 4] = file.get(at + 4..at + 8)?.try_into().ok()?;
                at += 8 + (u32::from_le_bytes(length) as usize).next_multiple_of(2);
            }
            let bits = u32::from_le_bytes(file.get(at + 9..at + 13)?.try_into().ok()?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
    }
}

/// The big-endian number in these bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
