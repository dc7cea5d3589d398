//! Images in memory, and what is known of them besides their pixels.

use super::Format;

/// An image in memory, eight bits per sample, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) color: Color,
    pub(super) pixels: Vec<u8>,
}

/// Samples in a mark (see [`Image::mark_end`]): enough that few images end with that many equal
/// ones.
const MARK: usize = 64;

/// The meaning of a pixel's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Color {
    Gray,
    GrayAlpha,
    #[default]
    Rgb,
    Rgba,
}

impl Color {
    /// Samples per pixel, which are bytes.
    pub(super) fn samples(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    /// Bytes per pixel before scaling. A grey image is copied as a coloured one for that.
    pub(super) fn memory(self) -> u64 {
        let copy = match self {
            Self::Gray => 3,
            Self::GrayAlpha => 4,
            Self::Rgb | Self::Rgba => 0,
        };
        self.samples() as u64 + copy
    }

    pub(super) fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }

    pub(super) fn is_gray(self) -> bool {
        matches!(self, Self::Gray | Self::GrayAlpha)
    }

    fn opaque(self) -> Self {
        match self {
            Self::Gray | Self::GrayAlpha => Self::Gray,
            Self::Rgb | Self::Rgba => Self::Rgb,
        }
    }
}

/// The metadata of an image's file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meta {
    pub(super) format: Format,
    /// The size in the file, before turning.
    pub(super) size: (u32, u32),
    /// The decoded size in relation to `size`: 1, or less if that is enough for the thumbnail.
    pub(super) scale: f64,
    pub(super) orientation: Orientation,
    /// The ICC profile. It is copied to the thumbnail, whose samples have the same meaning.
    pub(super) profile: Option<Vec<u8>>,
}

impl Meta {
    /// The metadata of an image without any.
    pub(super) const NONE: Self = Self {
        format: Format::Png,
        size: (0, 0),
        scale: 1.0,
        orientation: Orientation::UPRIGHT,
        profile: None,
    };
}

impl Meta {
    /// The number of pixels in the file.
    pub(super) fn pixels(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }
}

impl Image {
    /// Makes room for an image of this size. The buffer keeps the content of earlier images.
    pub(super) fn reset(&mut self, (width, height): (u32, u32), color: Color) {
        (self.width, self.height, self.color) = (width, height, color);
        if self.pixels.len() < self.len() {
            self.pixels.resize(self.len(), 0);
        }
    }

    /// The number of samples. The buffer may be longer: it is never truncated, because growing it
    /// for the next image would fill it with zeros, which are overwritten anyway.
    fn len(&self) -> usize {
        self.width as usize * self.height as usize * self.color.samples()
    }

    /// All samples, row by row.
    pub(super) fn samples(&self) -> &[u8] {
        &self.pixels[..self.len()]
    }

    /// All samples, row by row.
    pub(super) fn samples_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut self.pixels[..len]
    }

    /// Fills the end of the image with a mark: [`MARK`] equal samples.
    pub(super) fn mark_end(&mut self, sample: u8) {
        let samples = self.samples_mut();
        let start = samples.len().saturating_sub(MARK);
        samples[start..].fill(sample);
    }

    /// Whether the image ends with the mark, so that its last samples were not overwritten.
    pub(super) fn has_mark(&self, sample: u8) -> bool {
        let samples = self.samples();
        samples[samples.len().saturating_sub(MARK)..].iter().all(|other| *other == sample)
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Converts a grey image to colour: red, green and blue are the grey.
    pub(super) fn in_color(&self) -> Self {
        let color = if self.color.has_alpha() { Color::Rgba } else { Color::Rgb };
        let pixels = self.samples().chunks_exact(self.color.samples());
        let pixels =
            pixels.flat_map(|pixel| [pixel[0]; 2].into_iter().chain(pixel.iter().copied())).collect();
        Self { color, pixels, ..*self }
    }

    /// Undoes [`Image::in_color`].
    pub(super) fn in_gray(&self) -> Self {
        let color = if self.color.has_alpha() { Color::GrayAlpha } else { Color::Gray };
        let pixels = self.samples().chunks_exact(self.color.samples());
        let pixels = pixels.flat_map(|pixel| &pixel[2..]).copied().collect();
        Self { color, pixels, ..*self }
    }

    /// Draws the image on white and drops alpha. The samples must be premultiplied with alpha.
    pub(super) fn on_white(&self) -> Self {
        let (samples, color) = (self.color.samples(), self.color.opaque());
        let mut pixels = Vec::with_capacity(self.pixels.len() / samples * color.samples());
        for pixel in self.pixels.chunks_exact(samples) {
            let (alpha, colors) = pixel.split_last().expect("a pixel has samples");
            pixels.extend(colors.iter().map(|color| color.saturating_add(255 - alpha)));
        }
        Self { color, pixels, ..*self }
    }

    /// Turns the image upright.
    pub(super) fn turned(self, orientation: Orientation) -> Self {
        if orientation == Orientation::UPRIGHT {
            return self;
        }
        let (width, height) = orientation.of(self.size());
        let samples = self.color.samples();
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (x, y) = orientation.source((x, y), self.size());
                let start = (y as usize * self.width as usize + x as usize) * samples;
                pixels.extend_from_slice(&self.pixels[start..start + samples]);
            }
        }
        Self { width, height, pixels, ..self }
    }
}

/// How a stored image has to be turned or mirrored for display: the Exif orientation, 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u32);

impl Orientation {
    pub(super) const UPRIGHT: Self = Self(1);

    /// The orientation in Exif data; upright if there is none or it is invalid. Errors in other
    /// parts of the data do not matter: only the first directory has to be there. Some programs put
    /// the marker of a JPEG's Exif segment before the data of a PNG or WebP.
    pub(super) fn of_exif(data: Option<Vec<u8>>) -> Self {
        let data = data.map(|data| data.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(data));
        let mut reader = exif::Reader::new();
        reader.continue_on_error(true);
        let read = |data| reader.read_raw(data).or_else(|error| error.distill_partial_result(drop)).ok();
        let exif = data.and_then(read);
        let field = exif.as_ref().and_then(|exif| exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY));
        let number = field.and_then(|field| field.value.get_uint(0));
        number.filter(|number| (1..=8).contains(number)).map_or(Self::UPRIGHT, Self)
    }

    /// Converts a stored size to the displayed one, or a displayed size to the stored one.
    pub(super) fn of<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.0 > 4 { (height, width) } else { (width, height) }
    }

    /// Converts the fractions of an image that lie left of a part and above it, from the displayed
    /// image to the stored one.
    pub(super) fn stored_fractions(self, before: (f64, f64)) -> (f64, f64) {
        let (left, above) = self.of(before);
        match self.0 {
            2 | 8 => (1.0 - left, above),
            3 | 7 => (1.0 - left, 1.0 - above),
            4 | 6 => (left, 1.0 - above),
            _ => (left, above),
        }
    }

    /// The position in a stored image of this size of the pixel that is displayed at (x, y).
    fn source(self, (x, y): (u32, u32), (width, height): (u32, u32)) -> (u32, u32) {
        let (x, y) = self.of((x, y));
        let (right, below) = (width - 1 - x, height - 1 - y);
        match self.0 {
            2 | 8 => (right, y),
            3 | 7 => (right, below),
            4 | 6 => (x, below),
            _ => (x, y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three pixels, as they are displayed.
    const SEEN: [u8; 6] = [1, 2, 3, 4, 5, 6];

    #[test]
    fn every_orientation_is_turned_upright() {
        // The same two rows of three pixels, as a camera stores them in each of the eight
        // orientations.
        let stored: [((u32, u32), [u8; 6]); 8] = [
            ((3, 2), [1, 2, 3, 4, 5, 6]),
            ((3, 2), [3, 2, 1, 6, 5, 4]),
            ((3, 2), [6, 5, 4, 3, 2, 1]),
            ((3, 2), [4, 5, 6, 1, 2, 3]),
            ((2, 3), [1, 4, 2, 5, 3, 6]),
            ((2, 3), [3, 6, 2, 5, 1, 4]),
            ((2, 3), [6, 3, 5, 2, 4, 1]),
            ((2, 3), [4, 1, 5, 2, 6, 3]),
        ];
        for (number, ((width, height), pixels)) in (1..).zip(stored) {
            let image = Image { width, height, color: Color::Gray, pixels: pixels.to_vec() };
            let seen = image.turned(Orientation(number));
            assert_eq!((seen.size(), &seen.pixels[..]), ((3, 2), &SEEN[..]), "orientation {number}");
        }
    }

    #[test]
    fn exif_data_that_make_no_sense_turn_nothing() {
        let of = |data: &[u8]| Orientation::of_exif(Some(data.to_vec()));
        assert_eq!(of(&super::super::inputs::exif(6)), Orientation(6));
        assert_eq!(of(&super::super::inputs::exif(9)), Orientation::UPRIGHT);
        assert_eq!(of(b"MM"), Orientation::UPRIGHT);
        assert_eq!(Orientation::of_exif(None), Orientation::UPRIGHT);
    }

    /// A number of two or four bytes, in either order.
    fn number(bytes: usize, is_little: bool, value: u32) -> Vec<u8> {
        let big = &value.to_be_bytes()[4 - bytes..];
        if is_little { big.iter().rev().copied().collect() } else { big.to_vec() }
    }

    /// Exif data with these entries in the first directory: tag, type, count and value. `count` is
    /// the number of entries that the directory claims.
    fn exif(is_little: bool, entries: &[[u32; 4]], count: u32, after: &[u8]) -> Vec<u8> {
        let number = |bytes, value| number(bytes, is_little, value);
        let mut data = [if is_little { b"II" } else { b"MM" }.to_vec(), number(2, 42), number(4, 8)].concat();
        data.extend(number(2, count));
        for [tag, kind, count, value] in entries {
            data.extend([number(2, *tag), number(2, *kind), number(4, *count)].concat());
            // A short value is at the start of its four bytes.
            let short = || [number(2, *value), vec![0; 2]].concat();
            data.extend(if *kind == 3 { short() } else { number(4, *value) });
        }
        data.extend(after);
        data
    }

    #[test]
    fn an_orientation_is_read_whatever_else_is_broken() {
        let turned = [0x112, 3, 1, 6];
        let next = |at: u32| at.to_be_bytes();
        let (make, gps) = ([0x10f, 2, 500, 60_000], [0x8825, 4, 1, 26 + 12]);
        for is_little in [false, true] {
            let data = |entries: &[[u32; 4]], count, after: &[u8]| {
                let data = exif(is_little, entries, count, after);
                [data.clone(), [&b"Exif\0\0"[..], &data].concat()]
            };
            for (name, files) in [
                ("nothing else", data(&[turned], 1, &next(0))),
                ("a long number", data(&[[0x112, 4, 1, 6]], 1, &next(0))),
                ("a value outside of the data", data(&[make, turned], 2, &next(0))),
                ("a value of an unknown type", data(&[[0x10f, 99, 9, 9], turned], 2, &next(0))),
                ("the next directory outside of the data", data(&[turned], 1, &next(u32::MAX))),
                ("no end of the directory", data(&[turned], 1, &[])),
                ("fewer entries than it claims", data(&[turned], 40, &[])),
                // The directory has no entry, and its next one is outside of the data.
                (
                    "a broken directory of the position",
                    data(&[turned, gps], 2, &[0, 0, 0, 0, 0, 0, 255, 255, 255, 255]),
                ),
                (
                    "a directory of the position outside of the data",
                    data(&[turned, [0x8825, 4, 1, 9999]], 2, &next(0)),
                ),
            ] {
                for data in files {
                    assert_eq!(Orientation::of_exif(Some(data)), Orientation(6), "{name}, {is_little}");
                }
            }
        }
    }

    #[test]
    fn what_is_transparent_is_white() {
        let image =
            Image { width: 3, height: 1, color: Color::GrayAlpha, pixels: vec![0, 0, 100, 255, 50, 128] };
        assert_eq!(image.on_white().pixels, [255, 100, 177]);
    }
}
