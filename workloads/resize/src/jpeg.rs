//! Reads the structure of a JPEG file: before memory is allocated for its image, and to choose how
//! the image is decoded.
//!
//! The decoder fills missing parts of an image with grey, and reports no error if the file ends
//! with an end marker. The data are therefore checked here in two ways: there must be enough bytes
//! for the number of blocks, and a decoder that reads past the data meets a [guard](Guarded).
//!
//! The decoder also decodes some structures wrongly and reports no error: see
//! [`Layout::supported`], and [`separate`](super::separate) for components in separate scans.

use std::ops::Range;

use memchr::memchr;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};

/// Maximum components of an image: those of four inks.
pub(super) const MAX_COMPONENTS: usize = 4;
/// Maximum blocks in a unit of a scan with several components (ITU-T T.81, B.2.3).
const MAX_BLOCKS: u32 = 10;

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// The structure of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The frame header.
    pub(super) frame: FrameHeader,
    /// The meaning of the components.
    pub(super) colors: Colors,
    /// For each component of a sequential image, the last scan that has it and no other.
    separate: [Option<Scan>; MAX_COMPONENTS],
    /// Whether all components are in one sequential scan.
    is_interleaved: bool,
    /// Whether a scan of a sequential image has several components, but not all.
    has_groups: bool,
    /// Whether the parameters of a progressive scan are invalid.
    is_invalid: bool,
    /// Whether a scan has units of more than [`MAX_BLOCKS`].
    is_too_large: bool,
    /// For each component, the coefficients that have all of their bits, one bit for each. Those of
    /// a sequential image are complete after one scan.
    complete: [u64; MAX_COMPONENTS],
    /// The number of scans.
    scans: u32,
    /// The position of the first scan's data.
    data: usize,
    /// The end of the last scan's data.
    end: usize,
    /// Whether the file has an end marker. Some cameras write none.
    has_end: bool,
}

/// A component in the frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// The horizontal and vertical sampling factors, 1 to 4.
    pub(super) sampling: (u8, u8),
    /// The number of its quantization table.
    pub(super) table: u8,
}

/// The content of a frame header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The marker, which names the coding process.
    process: u8,
    /// Bits per sample.
    precision: u8,
    /// Width and height; a height of zero is in a segment after the first scan.
    pub(super) size: (u32, u32),
    pub(super) components: Vec<Component>,
}

/// The meaning of an image's components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    Gray,
    YCbCr,
    Rgb,
    /// The inverse of four inks, as Adobe's programs write them, and all others.
    Cmyk,
    /// The inverse of four inks, of which the first three are in turn inverted, and converted to
    /// luminance and chrominance.
    Ycck,
}

/// A scan of a single component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// The position of its header's marker. The tables before it apply.
    pub(super) header: usize,
    /// The numbers of its two Huffman tables, four bits each.
    pub(super) tables: u8,
    /// Its entropy-coded data.
    pub(super) data: Range<usize>,
}

/// A marker segment.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) content: &'a [u8],
    /// The segment with its marker.
    pub(super) whole: Range<usize>,
    /// The entropy-coded data after the header of a scan; empty after other segments.
    data: Range<usize>,
}

/// The iterator over the segments of a file. It ends after the end marker, or where no segment
/// follows.
pub(super) struct Segments<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { file, at: 2 } // after the start marker
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (marker, begin, next) = marker(self.file, self.at)?;
            self.at = next;
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                continue; // these have no content
            }
            let content = if marker == END_OF_IMAGE {
                self.at = self.file.len();
                &[][..]
            } else {
                let content = segment(self.file, next)?;
                self.at = next + 2 + content.len();
                content
            };
            let whole = begin..if marker == END_OF_IMAGE { next } else { self.at };
            if marker == START_OF_SCAN {
                self.at = skip_data(self.file, self.at);
            }
            let data = whole.end..if marker == START_OF_SCAN { self.at } else { whole.end };
            return Some(Segment { marker, content, whole, data });
        }
    }
}

impl Layout {
    /// Reads the segments of a file. Returns `None` if it has no image; the decoder then says why.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        let (mut layout, mut is_jfif, mut adobe) = (None::<Self>, false, None);
        for segment in Segments::new(file) {
            match (segment.marker, segment.content) {
                (END_OF_IMAGE, _) => {
                    layout.as_mut()?.has_end = true;
                    break;
                }
                (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => is_jfif = true,
                (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                    adobe = Some(*transform);
                }
                // All frame headers; 0xc4, 0xc8 and 0xcc are others.
                (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) if layout.is_none() => {
                    layout = Some(Self::new(FrameHeader::of(&segment)?));
                }
                (START_OF_SCAN, _) => {
                    let layout = layout.as_mut()?;
                    if layout.scans == 0 {
                        // The colours of a file are those that its headers name before its data.
                        layout.colors = Colors::of(&layout.frame, is_jfif, adobe);
                    }
                    layout.add_scan(&segment)?;
                }
                _ => {}
            }
        }
        layout.filter(|layout| layout.scans > 0)
    }

    fn new(frame: FrameHeader) -> Self {
        Self {
            frame,
            colors: Colors::Gray,
            separate: [const { None }; MAX_COMPONENTS],
            is_interleaved: false,
            has_groups: false,
            is_invalid: false,
            is_too_large: false,
            complete: [0; MAX_COMPONENTS],
            scans: 0,
            data: 0,
            end: 0,
            has_end: false,
        }
    }

    /// Adds a scan. Returns `None` if its header is malformed.
    fn add_scan(&mut self, segment: &Segment) -> Option<()> {
        let (&count, rest) = segment.content.split_first()?;
        let (components, &[first, last, approximation]) = rest.split_at_checked(2 * usize::from(count))?
        else {
            return None;
        };
        if self.scans == 0 {
            self.data = segment.data.start;
        }
        self.scans += 1;
        self.end = segment.data.end;
        let all = self.frame.components.len();
        let is_whole = usize::from(count) == all;
        self.is_interleaved |= is_whole && !self.is_progressive();
        self.has_groups |= !is_whole && count > 1 && !self.is_progressive();
        let coefficients = if !self.is_progressive() {
            u64::MAX
        } else if first > last || last > 63 || (first == 0 && last > 0) || (first > 0 && count > 1) {
            self.is_invalid = true;
            0
        } else if approximation & 15 > 0 {
            0
        } else {
            (u64::MAX >> (63 - last)) & (u64::MAX << first)
        };
        let mut blocks = 0;
        for component in components.chunks_exact(2) {
            let nth = self.frame.components.iter().position(|known| known.id == component[0])?;
            *self.complete.get_mut(nth)? |= coefficients;
            let (h, v) = self.frame.components[nth].sampling;
            blocks += u32::from(h * v);
            if count == 1 && !self.is_progressive() {
                let (header, data) = (segment.whole.start, segment.data.clone());
                self.separate[nth] = Some(Scan { header, tables: component[1], data });
            }
        }
        self.is_too_large |= count > 1 && blocks > MAX_BLOCKS;
        Some(())
    }

    fn is_progressive(&self) -> bool {
        self.frame.process == 0xc2
    }

    /// The scans of all components, if each has a scan of its own.
    pub(super) fn separate(&self) -> Option<Vec<&Scan>> {
        let all = self.frame.components.len();
        if all == 1 || self.is_interleaved {
            return None;
        }
        self.separate.iter().take(all).map(Option::as_ref).collect()
    }

    /// Refuses what the decoder reports no error for and decodes wrongly, and says of an image that
    /// is not damaged what it is that is not supported. The error is the whole message.
    pub(super) fn supported(&self) -> Result<(), String> {
        self.frame.supported().map_err(|why| format!("unsupported JPEG: {why}"))?;
        let components = &self.frame.components;
        let damaged = |why: &str| Err(format!("damaged JPEG: {why}"));
        let complete = &self.complete[..components.len()];
        if self.is_invalid {
            return damaged("a progressive scan has invalid parameters");
        }
        if !self.has_end && complete.iter().any(|coefficients| *coefficients != u64::MAX) {
            return damaged("it ends before its image does");
        }
        if !self.is_progressive() && complete.contains(&0) {
            return damaged("a component has no data");
        }
        if self.is_too_large {
            return damaged("its sampling factors are too large");
        }
        if components.iter().any(|component| component.sampling.0 == 3 || component.sampling.1 == 3) {
            return Err("unsupported JPEG: a sampling factor of three".to_owned());
        }
        if self.separate().is_some() {
            return Ok(());
        }
        if self.has_groups {
            return Err("unsupported JPEG: some of its components share a scan".to_owned());
        }
        if components[0].sampling != self.frame.max_sampling() {
            return Err("unsupported JPEG: its first component is not the largest".to_owned());
        }
        Ok(())
    }

    /// Bytes that the decoder needs in addition to the pixels.
    pub(super) fn memory(&self, file: &[u8]) -> u64 {
        match () {
            () if self.is_progressive() => self.blocks().0 * 128, // 64 coefficients of two bytes
            // The decoded components, and a copy of one component's data.
            () if self.separate().is_some() => self.blocks().0 * 64 + file.len() as u64,
            () => 0,
        }
    }

    /// Checks that there are enough data for the blocks. A block needs at least two codes of one
    /// bit. In a progressive image, a few bits can encode a run of empty blocks, so a block needs
    /// only one bit, for its mean. Only the first component counts then, since the others may be
    /// missing.
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes = self.end.saturating_sub(self.data) as u64;
        let (all, first) = self.blocks();
        let blocks = if self.is_progressive() { first } else { all };
        let needed = if self.is_progressive() { blocks } else { 2 * blocks }.div_ceil(8);
        if bytes < needed {
            return Err(format!(
                "{bytes} bytes of data are too few for {blocks} blocks, which take {needed}"
            ));
        }
        Ok(())
    }

    /// The number of blocks of eight by eight samples of all components together, and of the first.
    fn blocks(&self) -> (u64, u64) {
        let of = |component: &Component| {
            let (width, height) = self.frame.size_of(component);
            u64::from(width.div_ceil(8)) * u64::from(height.div_ceil(8))
        };
        let components = &self.frame.components;
        (components.iter().map(of).sum(), components.first().map_or(0, of))
    }

    /// The file as the decoder reads it, with a guard after the data of its last scan, and with an
    /// end marker.
    pub(super) fn guarded<'a>(layout: Option<&Self>, file: &'a [u8]) -> Guarded<'a> {
        let Some(layout) = layout else { return Guarded { file, guard: &[], end: file.len(), at: 0 } };
        // No guard after the only scan of a progressive image: the decoder must find the marker
        // that ends the first scan.
        let is_guarded = !layout.is_progressive() || layout.scans > 1;
        let guard = match (is_guarded, layout.has_end) {
            (true, true) => &GUARD[..GUARD.len() - 2],
            (true, false) => &GUARD[..],
            (false, true) => &[],
            (false, false) => &GUARD[GUARD.len() - 2..],
        };
        Guarded { file, guard, end: layout.end, at: 0 }
    }
}

impl FrameHeader {
    /// Reads a frame header. Returns `None` if it is malformed.
    fn of(segment: &Segment) -> Option<Self> {
        let &[precision, y0, y1, x0, x1, count, ref components @ ..] = segment.content else { return None };
        let size = (u16::from_be_bytes([x0, x1]).into(), u16::from_be_bytes([y0, y1]).into());
        let components = components.chunks_exact(3).take(usize::from(count));
        let components: Vec<Component> = components
            .map(|bytes| Component {
                id: bytes[0],
                sampling: (bytes[1] >> 4, bytes[1] & 15),
                table: bytes[2],
            })
            .collect();
        let is_valid =
            |Component { sampling: (h, v), .. }: &Component| (1..=4).contains(h) && (1..=4).contains(v);
        let is_complete = count > 0 && components.len() == usize::from(count);
        let frame = Self { process: segment.marker, precision, size, components };
        (is_complete && frame.components.iter().all(is_valid)).then_some(frame)
    }

    /// The error names the feature that is not supported.
    fn supported(&self) -> Result<(), String> {
        match (self.process, self.precision, self.components.len()) {
            (0xc9 | 0xca, ..) => Err("arithmetic coding".to_owned()),
            (0xc3 | 0xcb, ..) => Err("lossless coding".to_owned()),
            (0xc5..=0xcf, ..) => Err("hierarchical coding".to_owned()),
            (_, precision, _) if precision != 8 => Err(format!("{precision} bits per sample")),
            (.., count) if ![1, 3, 4].contains(&count) => Err(format!("{count} components")),
            _ if self.size.1 == 0 => Err("its height is not in its header".to_owned()),
            _ => Ok(()),
        }
    }

    /// The largest sampling factors of all components.
    pub(super) fn max_sampling(&self) -> (u8, u8) {
        let max = |(h, v): (u8, u8), component: &Component| {
            (h.max(component.sampling.0), v.max(component.sampling.1))
        };
        self.components.iter().fold((1, 1), max)
    }

    /// The width and height of a component, in samples.
    pub(super) fn size_of(&self, component: &Component) -> (u32, u32) {
        let (max_h, max_v) = self.max_sampling();
        let of = |side: u32, factor: u8, max: u8| (side * u32::from(factor)).div_ceil(max.into());
        (of(self.size.0, component.sampling.0, max_h), of(self.size.1, component.sampling.1, max_v))
    }
}

impl Colors {
    /// The meaning that libjpeg gives to the components, and hence most programs.
    fn of(frame: &FrameHeader, is_jfif: bool, adobe: Option<u8>) -> Self {
        let is_named_rgb = || frame.components.iter().map(|component| component.id).eq(*b"RGB");
        match (frame.components.len(), adobe) {
            (1, _) => Self::Gray,
            (4, None | Some(0)) => Self::Cmyk,
            (4, _) => Self::Ycck,
            (_, Some(0)) if !is_jfif => Self::Rgb,
            (_, None) if !is_jfif && is_named_rgb() => Self::Rgb,
            _ => Self::YCbCr,
        }
    }
}

/// The Exif data before the first scan. Data of more than a segment are split; of several blocks of
/// data, the first decides, since the TIFF structure at its start leads to nothing in the others.
pub(super) fn exif(file: &[u8]) -> Option<Vec<u8>> {
    let segments = Segments::new(file).take_while(|segment| segment.marker != START_OF_SCAN);
    let parts = segments.filter(|segment| segment.marker == 0xe1);
    let parts: Vec<&[u8]> = parts.filter_map(|part| part.content.strip_prefix(b"Exif\0\0")).collect();
    (!parts.is_empty()).then(|| parts.concat())
}

/// The next marker at a position or after it, its position, and that of what follows it. Bytes
/// before the marker are skipped, which are not allowed, but occur.
fn marker(file: &[u8], mut at: usize) -> Option<(u8, usize, usize)> {
    loop {
        let begin = at + memchr(0xff, file.get(at..)?)?;
        let fill = file[begin..].iter().take_while(|byte| **byte == 0xff).count();
        at = begin + fill + 1;
        match file.get(at - 1)? {
            0 => {}
            marker => return Some((*marker, begin, at)),
        }
    }
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

/// Sixteen bytes of ones in the encoding of a scan's data, in which a zero follows each such byte,
/// and an end marker. No code consists of ones only (ITU-T T.81, annex C). A decoder that needs
/// more data than the image has therefore finds an invalid code instead of the end marker.
pub(super) const GUARD: [u8; 34] = {
    let mut guard = [0; 34];
    let mut at = 0;
    while at < guard.len() {
        guard[at] = 0xff;
        at += 2;
    }
    guard[33] = END_OF_IMAGE;
    guard
};

/// A file with a guard after the data of its last scan.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::decode,
        image::{Color, Image, Meta, Orientation},
        inputs,
        jpeg_writer::{File, adobe, difference, jfif, segment, ycbcr},
        resizer::tests::{decoded, picture},
    };

    const FULL: [(usize, usize); 3] = [(1, 1); 3];
    const HALF: [(usize, usize); 3] = [(2, 2), (1, 1), (1, 1)];

    fn why(file: &[u8]) -> String {
        decode(file, &mut Image::default(), None).unwrap_err()
    }

    /// The rules of libjpeg, in `default_decompress_parms`.
    #[test]
    fn the_headers_decide_what_the_components_mean() {
        let image = picture(61, 43, Color::Rgb);
        let cases: [(&str, Vec<u8>, &[u8; 3], bool); 12] = [
            ("nothing", vec![], b"\x01\x02\x03", false),
            ("JFIF", jfif(), b"\x01\x02\x03", false),
            ("Adobe's 0", adobe(0), b"\x01\x02\x03", true),
            ("Adobe's 1", adobe(1), b"\x01\x02\x03", false),
            ("Adobe's 2", adobe(2), b"\x01\x02\x03", false),
            ("JFIF and Adobe's 0", [jfif(), adobe(0)].concat(), b"\x01\x02\x03", false),
            ("Adobe's 0 and JFIF", [adobe(0), jfif()].concat(), b"\x01\x02\x03", false),
            ("names", vec![], b"RGB", true),
            ("names and JFIF", jfif(), b"RGB", false),
            ("names and Adobe's 0", adobe(0), b"RGB", true),
            ("names and Adobe's 1", adobe(1), b"RGB", false),
            ("other names", vec![], b"YCc", false),
        ];
        for (name, head, ids, is_rgb) in cases {
            let source = if is_rgb { image.clone() } else { ycbcr(&image) };
            let mut file = File { head: [head, icc()].concat(), ..File::new((61, 43), &FULL) };
            for (component, id) in file.components.iter_mut().zip(ids) {
                component.0 = *id;
            }
            for file in [file.clone(), file.clone().separate(), file.progressive()] {
                let (decoded, meta) = decoded(&file.write(&source));
                let difference = difference(&decoded, &image);
                assert!(difference < 3.0, "{name}: {difference}");
                assert_eq!(meta.profile.as_deref(), Some(&b"profile"[..]), "{name}");
            }
        }
    }

    fn icc() -> Vec<u8> {
        segment(0xe2, b"ICC_PROFILE\0\x01\x01profile")
    }

    #[test]
    fn the_profile_of_inks_is_not_that_of_the_colours() {
        let image = picture(61, 43, Color::Rgba);
        for head in [vec![], adobe(0), adobe(2)] {
            let file = File { head: [head, icc()].concat(), ..File::new((61, 43), &[(1, 1); 4]) };
            assert_eq!(decoded(&file.write(&image)).1.profile, None);
        }
    }

    #[test]
    fn what_the_decoder_does_wrong_is_refused() {
        let image = ycbcr(&picture(61, 43, Color::Rgb));
        let file = |sampling: &[(usize, usize)]| File::new((61, 43), sampling);
        let rows: [(&str, File); 8] = [
            ("unsupported JPEG: some of its components share a scan", file(&HALF).scanned(&[&[0], &[1, 2]])),
            ("unsupported JPEG: some of its components share a scan", file(&FULL).scanned(&[&[0, 1], &[2]])),
            ("unsupported JPEG: its first component is not the largest", file(&[(1, 1), (2, 2), (2, 2)])),
            (
                "unsupported JPEG: its first component is not the largest",
                file(&[(1, 2), (2, 1), (2, 1)]).progressive(),
            ),
            ("unsupported JPEG: a sampling factor of three", file(&[(3, 1), (1, 1), (1, 1)])),
            ("damaged JPEG: its sampling factors are too large", file(&[(2, 2); 3])),
            ("damaged JPEG: its sampling factors are too large", file(&[(2, 2); 3]).progressive()),
            (
                "damaged JPEG: a progressive scan has invalid parameters",
                File { is_progressive: true, ..file(&FULL) },
            ),
        ];
        for (message, file) in rows {
            assert_eq!(why(&file.write(&image)), message);
        }
    }

    #[test]
    fn an_image_that_is_not_damaged_is_called_unsupported() {
        let file = File::new((61, 43), &HALF).write(&ycbcr(&picture(61, 43, Color::Rgb)));
        let frame = file.windows(2).position(|two| two == [0xff, 0xc1]).unwrap();
        let changed = |at: usize, bytes: &[u8]| {
            let mut file = file.clone();
            file[frame + at..][..bytes.len()].copy_from_slice(bytes);
            file
        };
        for (process, what) in [
            (0xc3, "lossless coding"),
            (0xc5, "hierarchical coding"),
            (0xc7, "hierarchical coding"),
            (0xc9, "arithmetic coding"),
            (0xca, "arithmetic coding"),
            (0xcb, "lossless coding"),
            (0xcd, "hierarchical coding"),
        ] {
            assert_eq!(why(&changed(1, &[process])), format!("unsupported JPEG: {what}"));
        }
        assert_eq!(why(&changed(4, &[12])), "unsupported JPEG: 12 bits per sample");
        assert_eq!(why(&changed(5, &[0, 0])), "unsupported JPEG: its height is not in its header");
        let two = File::new((61, 43), &[(1, 1); 2]).write(&picture(61, 43, Color::GrayAlpha));
        assert_eq!(why(&two), "unsupported JPEG: 2 components");
    }

    /// Files of all kinds that have only what their end marker ends.
    fn kinds() -> Vec<(&'static str, Vec<u8>)> {
        let image = ycbcr(&picture(120, 90, Color::Rgb));
        let half = File { head: jfif(), ..File::new((120, 90), &HALF) };
        vec![
            ("baseline", half.write(&image)),
            ("restarts", File { restart: 4, ..half.clone() }.write(&image)),
            ("separate", half.clone().separate().write(&image)),
            ("progressive", half.progressive().write(&image)),
            ("grey", File::new((120, 90), &[(1, 1)]).write(&picture(120, 90, Color::Gray))),
            (
                "grey progressive",
                File::new((120, 90), &[(2, 2)]).progressive().write(&picture(120, 90, Color::Gray)),
            ),
            ("inks", File::new((120, 90), &[(1, 1); 4]).write(&picture(120, 90, Color::Rgba))),
        ]
    }

    #[test]
    fn only_the_end_marker_may_be_missing() {
        for (name, file) in kinds() {
            let whole = decoded(&file);
            for lost in [1, 2] {
                assert_eq!(decoded(&file[..file.len() - lost]), whole, "{name} without {lost}");
            }
            let end = file.len() - 2;
            let padded = [&file[..end], &[0; 100]].concat();
            assert_eq!(decoded(&padded), whole, "{name} with zeros in place of it");
            for lost in [8, 20, 100, end / 4, end / 2] {
                let why = why(&file[..end - lost]);
                assert!(why.starts_with("damaged JPEG: "), "{name} without {lost} more: {why}");
            }
        }
    }

    /// A progressive file that ends between two scans has an image, but not the whole.
    #[test]
    fn a_file_that_is_cut_at_a_marker_is_damaged() {
        for (name, file) in kinds() {
            let markers: Vec<usize> = Segments::new(&file).map(|segment| segment.whole.start).collect();
            let (end, markers) = markers.split_last().unwrap();
            assert_eq!(*end, file.len() - 2);
            for at in &markers[1..] {
                let why = why(&file[..*at]);
                assert!(why.starts_with("damaged JPEG: "), "{name} cut at {at}: {why}");
            }
        }
    }

    #[test]
    fn a_second_frame_header_changes_no_size() {
        let image = ycbcr(&picture(61, 43, Color::Rgb));
        for file in [File::new((61, 43), &HALF), File::new((61, 43), &HALF).separate()] {
            let file = file.write(&image);
            let frame = Segments::new(&file).find(|segment| segment.marker == 0xc1).unwrap().whole;
            for sides in [[0, 8, 0, 8], [0x30, 0, 0x30, 0]] {
                let mut other = file[frame.clone()].to_vec();
                other[5..9].copy_from_slice(&sides);
                for at in [frame.start, frame.end] {
                    let why = why(&[&file[..at], &other, &file[at..]].concat());
                    assert!(why.starts_with("damaged JPEG: "), "{why}");
                }
            }
        }
    }

    #[test]
    fn bytes_between_segments_change_nothing() {
        let (image, half) = (ycbcr(&picture(61, 43, Color::Rgb)), File::new((61, 43), &HALF));
        for file in [half.clone(), half.clone().separate(), half.progressive()] {
            let whole = decoded(&file.write(&image));
            assert_eq!(decoded(&File { has_fill: true, ..file.clone() }.write(&image)), whole);
            let junk = File { head: [&jfif(), &b"junk\0\xff\0more"[..]].concat(), ..file };
            assert_eq!(decoded(&junk.write(&image)), whole);
        }
    }

    #[test]
    fn grey_has_any_sampling_factors() {
        let image = picture(61, 43, Color::Gray);
        for factors in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 4)] {
            for restart in [0, 2] {
                let file = File { restart, ..File::new((61, 43), &[factors]) };
                for file in [file.clone(), file.progressive()] {
                    let difference = difference(&decoded(&file.write(&image)).0, &image);
                    assert!(difference < 2.0, "{factors:?} {restart}: {difference}");
                }
            }
        }
    }

    /// The orientation of a small image with these segments.
    fn orientation(head: &[Vec<u8>]) -> Orientation {
        let file = File { head: head.concat(), ..File::new((8, 8), &[(1, 1)]) };
        let Meta { orientation, .. } = decoded(&file.write(&picture(8, 8, Color::Gray))).1;
        orientation
    }

    #[test]
    fn the_first_of_two_blocks_of_exif_data_decides() {
        let turned = |number| Orientation::of_exif(Some(inputs::exif(number)));
        let block = |data: &[u8]| segment(0xe1, &[b"Exif\0\0", data].concat());
        let xmp = segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>");
        let [six, one] = [6, 1].map(|number| block(&inputs::exif(number)));
        assert_eq!(orientation(&[six.clone(), one.clone()]), turned(6));
        assert_eq!(orientation(&[one.clone(), six.clone()]), turned(1));
        assert_eq!(orientation(&[jfif(), xmp, six.clone()]), turned(6));
        // Data of more than one segment, whose directory is in the second.
        let data = inputs::exif(6);
        assert_eq!(orientation(&[block(&data[..8]), block(&data[8..])]), turned(6));
    }
}
