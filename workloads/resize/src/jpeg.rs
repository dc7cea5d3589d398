//! Checks that a JPEG file has the data of the image that its header claims: before memory is
//! allocated for the image, and while it is decoded.
//!
//! The decoder fills missing parts of an image with grey, and reports no error if the file ends
//! with an end marker. The data are therefore checked here in two ways: there must be enough bytes
//! for the number of blocks, and a decoder that reads past the data meets a [guard](Guarded).

use memchr::memchr;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};

/// The structure of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Blocks of eight by eight samples in all components together, and in the first.
    blocks: (u64, u64),
    /// Whether the decoder keeps all coefficients: the image is progressive, or its components are
    /// in separate scans.
    is_buffered: bool,
    is_progressive: bool,
    /// The number of scans.
    scans: u32,
    /// The position of the first scan's data.
    data: usize,
    /// The position of the end marker, if there is one.
    end: Option<usize>,
}

/// The horizontal and vertical sampling factors of a component.
type Component = (u64, u64);

/// The content of a frame header.
struct FrameHeader {
    is_progressive: bool,
    size: (u64, u64),
    components: Vec<Component>,
}

impl Layout {
    /// Reads the segments of a file. Returns `None` if they are malformed; the decoder then decides
    /// whether that is an error.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        let (mut at, mut frame, mut scans) = (2, None, 0);
        let (mut data, mut is_interleaved) = (0, true);
        let end = loop {
            let Some((marker, next)) = marker(file, at) else { break None };
            match marker {
                0xd9 => break Some(next - 2),
                0x01 | 0xd0..=0xd8 => at = next,
                _ => {
                    let Some(segment) = segment(file, next) else { break None };
                    at = next + 2 + segment.len();
                    match marker {
                        0xc0..=0xc2 if frame.is_none() => frame = FrameHeader::of(marker, segment),
                        0xda => {
                            if scans == 0 {
                                let all = frame.as_ref()?.components.len();
                                (data, is_interleaved) = (at, usize::from(*segment.first()?) == all);
                            }
                            scans += 1;
                            at = skip_data(file, at);
                        }
                        _ => {}
                    }
                }
            }
        };
        let frame: FrameHeader = frame.filter(|_| scans > 0)?;
        let is_buffered = frame.is_progressive || !is_interleaved;
        Some(Self {
            blocks: frame.blocks(),
            is_buffered,
            is_progressive: frame.is_progressive,
            scans,
            data,
            end,
        })
    }

    /// Bytes that the decoder needs in addition to the pixels.
    pub(super) fn memory(&self) -> u64 {
        if self.is_buffered { self.blocks.0 * 128 } else { 0 } // 64 coefficients of two bytes
    }

    /// Checks that there are enough data for the blocks. A block needs at least two codes of one
    /// bit. In a progressive image, a few bits can encode a run of empty blocks, so a block needs
    /// only one bit, for its mean. Only the first component counts then, since the others may be
    /// missing.
    pub(super) fn check(&self, file: &[u8]) -> Result<(), String> {
        let bytes = self.end.unwrap_or(file.len()).saturating_sub(self.data) as u64;
        let blocks = if self.is_progressive { self.blocks.1 } else { self.blocks.0 };
        let needed = if self.is_progressive { blocks } else { 2 * blocks }.div_ceil(8);
        if bytes < needed {
            return Err(format!(
                "{bytes} bytes of data are too few for {blocks} blocks, which take {needed}"
            ));
        }
        Ok(())
    }

    /// The file as the decoder reads it, with a guard before its end marker.
    pub(super) fn guarded(layout: Option<Self>, file: &[u8]) -> Guarded<'_> {
        // No guard after the only scan of a progressive image: the decoder must find the marker
        // that ends the first scan.
        let end =
            layout.filter(|layout| !layout.is_progressive || layout.scans > 1).and_then(|layout| layout.end);
        let guard: &[u8] = if end.is_some() { &GUARD } else { &[] };
        Guarded { file, guard, end: end.unwrap_or(file.len()), at: 0 }
    }
}

impl FrameHeader {
    fn of(marker: u8, segment: &[u8]) -> Option<Self> {
        let [_, y0, y1, x0, x1, count, components @ ..] = segment else { return None };
        let size = (u64::from(u16::from_be_bytes([*x0, *x1])), u64::from(u16::from_be_bytes([*y0, *y1])));
        let components = components.chunks_exact(3).take(usize::from(*count));
        let components: Vec<Component> = components
            .map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15)))
            .collect();
        let is_valid = components.len() == usize::from(*count) && components.iter().all(|(h, v)| h * v > 0);
        is_valid.then_some(Self { is_progressive: marker == 0xc2, size, components })
    }

    /// The number of blocks of all components together, and of the first.
    fn blocks(&self) -> (u64, u64) {
        let widest = self.components.iter().map(|(h, _)| *h).max().unwrap_or(1);
        let highest = self.components.iter().map(|(_, v)| *v).max().unwrap_or(1);
        let of = |(h, v): &Component| {
            (self.size.0 * h).div_ceil(widest * 8) * (self.size.1 * v).div_ceil(highest * 8)
        };
        (self.components.iter().map(of).sum(), self.components.first().map_or(0, of))
    }
}

/// The marker at a position, and the position after it.
fn marker(file: &[u8], at: usize) -> Option<(u8, usize)> {
    let bytes = file.get(at..)?;
    let fill = bytes.iter().take_while(|byte| **byte == 0xff).count();
    if fill == 0 { None } else { Some((*bytes.get(fill)?, at + fill + 1)) }
}

/// The content of the segment whose length is at a position.
fn segment(file: &[u8], at: usize) -> Option<&[u8]> {
    let [high, low, ..] = file.get(at..)? else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    file.get(at + 2..at + length)
}

/// The position of the first marker after a scan's data, which include restart markers.
fn skip_data(file: &[u8], mut at: usize) -> usize {
    while let Some(offset) = file.get(at..).and_then(|bytes| memchr(0xff, bytes)) {
        at += offset;
        match file.get(at + 1) {
            Some(0xff) => at += 1,
            Some(0x00 | 0xd0..=0xd7) => at += 2,
            _ => return at,
        }
    }
    file.len()
}

/// Sixteen bytes of ones in the encoding of a scan's data, in which a zero follows each such byte.
/// No code consists of ones only (ITU-T T.81, annex C). A decoder that needs more data than the
/// image has therefore finds an invalid code instead of the end marker.
const GUARD: [u8; 32] = {
    let mut guard = [0; 32];
    let mut at = 0;
    while at < guard.len() {
        guard[at] = 0xff;
        at += 2;
    }
    guard
};

/// A file with a guard before its end marker.
pub(super) struct Guarded<'a> {
    file: &'a [u8],
    guard: &'static [u8],
    /// The position of the guard.
    end: usize,
    /// The position of the next byte that is read.
    at: usize,
}

impl Guarded<'_> {
    fn len(&self) -> usize {
        self.file.len() + self.guard.len()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        let byte = match at.checked_sub(self.end) {
            None => self.file.get(at),
            Some(offset) if offset < self.guard.len() => self.guard.get(offset),
            Some(_) => self.file.get(at - self.guard.len()),
        };
        byte.copied()
    }

    /// Copies the bytes from a position on, and returns their number, which is lower than the
    /// buffer's length at the end.
    #[inline]
    fn copy(&self, at: usize, buf: &mut [u8]) -> usize {
        if let Some(bytes) = self.file[..self.end].get(at..).and_then(|bytes| bytes.get(..buf.len())) {
            buf.copy_from_slice(bytes);
            return buf.len();
        }
        let bytes = (at..self.len()).map_while(|at| self.byte(at));
        buf.iter_mut().zip(bytes).map(|(to, byte)| *to = byte).count()
    }
}

impl ZByteReaderTrait for Guarded<'_> {
    #[inline]
    fn read_byte_no_error(&mut self) -> u8 {
        let byte = self.byte(self.at).unwrap_or(0);
        self.at += 1;
        byte
    }

    #[inline]
    fn read_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        self.peek_exact_bytes(buf)?;
        self.at += buf.len();
        Ok(())
    }

    fn read_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        let read = self.copy(self.at, buf);
        self.at += read;
        Ok(read)
    }

    fn peek_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        Ok(self.copy(self.at, buf))
    }

    #[inline]
    fn peek_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        let copied = self.copy(self.at, buf);
        if copied < buf.len() { Err(ZByteIoError::NotEnoughBytes(copied, buf.len())) } else { Ok(()) }
    }

    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let to = match from {
            ZSeekFrom::Start(at) => usize::try_from(at).ok(),
            ZSeekFrom::End(offset) => {
                isize::try_from(offset).ok().and_then(|n| self.len().checked_add_signed(n))
            }
            ZSeekFrom::Current(offset) => {
                isize::try_from(offset).ok().and_then(|n| self.at.checked_add_signed(n))
            }
        };
        self.at = to.ok_or(ZByteIoError::SeekError("out of range"))?;
        Ok(self.at as u64)
    }

    #[inline]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        Ok(self.at >= self.len())
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok(self.at as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let begin = sink.len();
        sink.extend((self.at..self.len()).map_while(|at| self.byte(at)));
        self.at = self.len();
        Ok(sink.len() - begin)
    }
}
