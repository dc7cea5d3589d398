//! Pixels.

use super::Format;

/// An image in memory, eight bits a sample, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) color: Color,
    pub(super) pixels: Vec<u8>,
}

/// How many samples a mark has: few real images end with as many that are alike.
const MARK: usize = 64;

/// What a pixel's samples are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Color {
    Gray,
    GrayAlpha,
    #[default]
    Rgb,
    Rgba,
}

impl Color {
    /// Samples, and bytes, of a pixel.
    pub(super) fn samples(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    /// Bytes that a pixel takes until it is scaled. Grey is scaled as a colour, of which there is a
    /// copy.
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

/// What an image's file says beside its pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meta {
    pub(super) format: Format,
    /// The size that it is stored in.
    pub(super) size: (u32, u32),
    /// How large it was decoded: 1, or less if that is enough for the thumbnail.
    pub(super) scale: f64,
    pub(super) orientation: Orientation,
    /// What the samples mean as colours. A thumbnail's are the same, so it goes with them.
    pub(super) profile: Option<Vec<u8>>,
}

impl Meta {
    /// Of an image that says nothing.
    pub(super) const NONE: Self = Self {
        format: Format::Png,
        size: (0, 0),
        scale: 1.0,
        orientation: Orientation::UPRIGHT,
        profile: None,
    };
}

impl Meta {
    /// How many pixels the image has.
    pub(super) fn pixels(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }
}

impl Image {
    /// Makes room for an image of this size; what is in it is left over from the last one.
    pub(super) fn reset(&mut self, (width, height): (u32, u32), color: Color) {
        (self.width, self.height, self.color) = (width, height, color);
        if self.pixels.len() < self.len() {
            self.pixels.resize(self.len(), 0);
        }
    }

    /// How many samples it has. The buffer may be longer: were it cut to the image, the next one would find zeros to be
    /// overwritten.
    fn len(&self) -> usize {
        self.width as usize * self.height as usize * self.color.samples()
    }

    /// All samples, row by row.
    pub(super) fn samples(&self) -> &[u8] {
        &self.pixels[..self.len()]
    }

    /// All samples, to be changed.
    pub(super) fn samples_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut self.pixels[..len]
    }

    /// Fills the last samples with this one.
    pub(super) fn mark_end(&mut self, sample: u8) {
        let samples = self.samples_mut();
        let start = samples.len().saturating_sub(MARK);
        samples[start..].fill(sample);
    }

    /// Whether the last samples are all this one.
    pub(super) fn has_mark(&self, sample: u8) -> bool {
        let samples = self.samples();
        samples[samples.len().saturating_sub(MARK)..].iter().all(|other| *other == sample)
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// A grey image with its grey as three colours.
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

    /// The image on white. Its samples have been multiplied by alpha.
    pub(super) fn on_white(&self) -> Self {
        let (samples, color) = (self.color.samples(), self.color.opaque());
        let mut pixels = Vec::with_capacity(self.pixels.len() / samples * color.samples());
        for pixel in self.pixels.chunks_exact(samples) {
            let (alpha, colors) = pixel.split_last().expect("a pixel has samples");
            pixels.extend(colors.iter().map(|color| color.saturating_add(255 - alpha)));
        }
        Self { color, pixels, ..*self }
    }

    /// The image as it is to be seen.
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
                let at = (y as usize * self.width as usize + x as usize) * samples;
                pixels.extend_from_slice(&self.pixels[at..at + samples]);
            }
        }
        Self { width, height, pixels, ..self }
    }
}

/// How an image is to be turned before it is seen: 1 to 8, as Exif numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u32);

impl Orientation {
    pub(super) const UPRIGHT: Self = Self(1);

    /// What Exif data say; those that say nothing that is understood mean that nothing is to be turned.
    pub(super) fn of_exif(data: Option<Vec<u8>>) -> Self {
        let exif = data.and_then(|data| exif::Reader::new().read_raw(data).ok());
        let field = exif.as_ref().and_then(|exif| exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY));
        let number = field.and_then(|field| field.value.get_uint(0));
        number.filter(|number| (1..=8).contains(number)).map_or(Self::UPRIGHT, Self)
    }

    /// A size as it is seen, or the other way round.
    pub(super) fn of<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.0 > 4 { (height, width) } else { (width, height) }
    }

    /// Where the pixel that is seen at (x, y) is in an image of this size.
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

    /// Two rows of three pixels, as they are to be seen.
    const SEEN: [u8; 6] = [1, 2, 3, 4, 5, 6];

    #[test]
    fn every_orientation_is_turned_upright() {
        // As the same two rows of three pixels are stored by a camera that is held in the eight ways.
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

    #[test]
    fn what_is_transparent_is_white() {
        let image =
            Image { width: 3, height: 1, color: Color::GrayAlpha, pixels: vec![0, 0, 100, 255, 50, 128] };
        assert_eq!(image.on_white().pixels, [255, 100, 177]);
    }
}
