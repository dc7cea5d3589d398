//! Scales images to the size of their thumbnails.

use cc_core::trace;
use cc_resize_filter::{CropBox, Filter, Pixel};

use super::{
    Fit, Gravity, Settings,
    decode::check,
    image::{Color, Image, Meta},
};

/// The part of an image that its thumbnail shows, and the size of the thumbnail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// The size of the thumbnail.
    pub(super) size: (u32, u32),
    /// The size of the part.
    pub(super) part: (f64, f64),
    /// How the rest of the image is divided: the fraction that lies left of the part, and above it.
    pub(super) before: (f64, f64),
    /// The size of the whole image.
    pub(super) whole: (f64, f64),
}

impl Frame {
    /// Converts the frame from the displayed image to the decoded one, which is not turned and may
    /// be reduced. A reduced size can be a fraction of a pixel smaller than the decoded image.
    pub(super) fn stored(self, meta: &Meta) -> Self {
        let of = |size| {
            let (width, height) = meta.orientation.of(size);
            (width * meta.scale, height * meta.scale)
        };
        Self {
            size: meta.orientation.of(self.size),
            part: of(self.part),
            before: meta.orientation.stored_fractions(self.before),
            whole: of(self.whole),
        }
    }
}

impl Settings {
    /// The frame of an image of this size. It is an error if the thumbnail exceeds the limits.
    pub(super) fn frame(&self, size: (u32, u32)) -> Result<Frame, String> {
        if self.width == 0 || self.height == Some(0) {
            return Err("a thumbnail without pixels was asked for".to_owned());
        }
        let frame = self.fit(size);
        check(frame.size).map_err(|why| format!("its thumbnail of {why}"))?;
        Ok(frame)
    }

    fn fit(&self, (width, height): (u32, u32)) -> Frame {
        let whole = (f64::from(width), f64::from(height));
        let (wide, high) = (f64::from(self.width), f64::from(self.height.unwrap_or(u32::MAX)));
        let fits = (wide / whole.0).min(high / whole.1);
        if self.fit == Fit::Contain || self.height.is_none() {
            let scale = if self.enlarge { fits } else { fits.min(1.0) };
            let size = (round(whole.0 * scale), round(whole.1 * scale));
            return Frame { size, part: whole, before: (0.0, 0.0), whole };
        }
        // The box shrinks, with the same aspect ratio, until no side of the image is enlarged.
        let shrink = if self.enlarge { 1.0 } else { (whole.0 / wide).min(whole.1 / high).min(1.0) };
        let size = (round(wide * shrink), round(high * shrink));
        let covers = (whole.0 / wide).min(whole.1 / high);
        let part = if self.fit == Fit::Cover {
            (whole.0.min(wide * covers), whole.1.min(high * covers))
        } else {
            whole
        };
        Frame { size, part, before: self.gravity.fractions(), whole }
    }
}

impl Gravity {
    /// The fraction of what is cropped that lies on the left, and at the top.
    fn fractions(self) -> (f64, f64) {
        match self {
            Self::Centre => (0.5, 0.5),
            Self::North => (0.5, 0.0),
            Self::NorthEast => (1.0, 0.0),
            Self::East => (1.0, 0.5),
            Self::SouthEast => (1.0, 1.0),
            Self::South => (0.5, 1.0),
            Self::SouthWest => (0.0, 1.0),
            Self::West => (0.0, 0.5),
            Self::NorthWest => (0.0, 0.0),
        }
    }
}

/// The nearest number of pixels, at least one.
fn round(pixels: f64) -> u32 {
    (pixels.round() as u32).max(1)
}

/// Scales images with a Lanczos filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Scaler {
    filter: Filter,
    /// The sums of samples of several rows, one for each sample of a row.
    sums: Vec<u16>,
}

impl Scaler {
    /// Scales a part of an image. If it has alpha, its samples are premultiplied before
    /// scaling, and the result's remain so: otherwise the colours of transparent pixels would bleed
    /// into the edges.
    pub(super) fn scale(&mut self, image: &mut Image, Frame { size, part, before, whole }: Frame) -> Image {
        let _span = trace::span("scale");
        let color = image.color;
        if color == Color::GrayAlpha {
            *image = image.in_color();
        }
        if color.has_alpha() {
            let size = image.size();
            self.filter.multiply_alpha(image.samples_mut(), size);
        }
        let margin = |side: f64, part: f64, fraction: f64| (side - part).max(0.0) * fraction;
        let (left, top) = (margin(whole.0, part.0, before.0), margin(whole.1, part.1, before.1));
        let rows = self.average_rows(image, part.1 / f64::from(size.1));
        // The library's code for two pixel types suffices: it is large, and grey images are rare.
        if color == Color::Gray {
            *image = image.in_color();
        }
        let mut scaled = Image::default();
        scaled.reset(size, image.color);
        let part = CropBox { left, top: top / rows, width: part.0, height: part.1 / rows };
        let pixel = if color.has_alpha() { Pixel::Rgba } else { Pixel::Rgb };
        self.filter.scale(pixel, (image.samples(), image.size()), part, (scaled.samples_mut(), size));
        if color.is_gray() { scaled.in_gray() } else { scaled }
    }

    /// Replaces each group of adjacent rows by their average, and returns the rows per group. The
    /// group size is the largest power of two, up to 256, that leaves at least two rows for each
    /// row of the thumbnail. The vertical filter then reads fewer rows: its window covers six rows
    /// of the thumbnail, so it reads each row of its source six times.
    fn average_rows(&mut self, image: &mut Image, scale: f64) -> f64 {
        let shift = ((scale / 2.0).max(1.0) as u32).ilog2().min(8);
        if shift == 0 {
            return 1.0;
        }
        let (line, height) = (image.width as usize * image.color.samples(), image.height as usize);
        let groups = height.div_ceil(1 << shift);
        for group in 0..groups {
            self.sums.clear();
            self.sums.resize(line, 1 << (shift - 1)); // half of the divisor, to round to the nearest
            let samples = |y: usize| &image.pixels[y.min(height - 1) * line..][..line];
            for y in ((group << shift)..((group + 1) << shift)).step_by(2) {
                let pairs = samples(y).iter().zip(samples(y + 1));
                for (sum, (a, b)) in self.sums.iter_mut().zip(pairs) {
                    *sum += u16::from(*a) + u16::from(*b);
                }
            }
            // In place: the row that is overwritten belongs to this group or to an earlier one.
            let averages = &mut image.pixels[group * line..(group + 1) * line];
            for (average, sum) in averages.iter_mut().zip(&self.sums) {
                *average = (sum >> shift) as u8;
            }
        }
        image.height = groups as u32;
        f64::from(1_u32 << shift)
    }
}

/// Undoes the multiplication by alpha, with the precision of eight bits.
pub(super) fn divide_alpha(image: &mut Image) {
    let color = image.color;
    if color.is_gray() {
        *image = image.in_color();
    }
    let size = image.size();
    Filter::default().divide_alpha(image.samples_mut(), size);
    if color.is_gray() {
        *image = image.in_gray();
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn frame(fit: Fit, width: u32, height: Option<u32>, enlarge: bool, size: (u32, u32)) -> Frame {
        Settings { fit, width, height, enlarge, ..Settings::default() }.frame(size).unwrap()
    }

    fn size(fit: Fit, width: u32, height: Option<u32>, enlarge: bool, of: (u32, u32)) -> (u32, u32) {
        frame(fit, width, height, enlarge, of).size
    }

    #[test]
    fn an_image_that_is_contained_keeps_its_shape() {
        use Fit::Contain;
        assert_eq!(size(Contain, 512, None, false, (4000, 3000)), (512, 384));
        assert_eq!(size(Contain, 512, None, false, (3000, 4000)), (512, 683));
        assert_eq!(size(Contain, 512, Some(512), false, (3000, 4000)), (384, 512));
        assert_eq!(size(Contain, 512, Some(100), false, (4000, 3000)), (133, 100));
        assert_eq!(size(Contain, 512, None, false, (300, 200)), (300, 200));
        assert_eq!(size(Contain, 600, None, true, (300, 200)), (600, 400));
        assert_eq!(size(Contain, 10, None, false, (50_000, 1)), (10, 1));
    }

    #[test]
    fn an_image_that_covers_is_cut_on_both_sides() {
        let wide = frame(Fit::Cover, 100, Some(100), false, (4000, 3000));
        assert_eq!((wide.size, wide.part), ((100, 100), (3000.0, 3000.0)));
        let high = frame(Fit::Cover, 200, Some(100), false, (1000, 3000));
        assert_eq!((high.size, high.part), ((200, 100), (1000.0, 500.0)));
        for side in 1..400 {
            let Frame { part, .. } = frame(Fit::Cover, 7 * side + 1, Some(side), true, (997, 991));
            assert!(part.0 <= 997.0 && part.1 <= 991.0, "{part:?}");
        }
    }

    #[test]
    fn a_box_shrinks_until_nothing_is_enlarged() {
        for fit in [Fit::Cover, Fit::Exact] {
            assert_eq!(size(fit, 400, Some(200), false, (4000, 3000)), (400, 200));
            assert_eq!(size(fit, 400, Some(200), false, (200, 300)), (200, 100));
            assert_eq!(size(fit, 400, Some(200), true, (200, 300)), (400, 200));
        }
        assert_eq!(frame(Fit::Exact, 400, Some(200), false, (4000, 3000)).part, (4000.0, 3000.0));
    }

    #[test]
    fn a_thumbnail_has_some_pixels_and_not_too_many() {
        let wrong = |width, height, enlarge| {
            let settings = Settings { width, height, enlarge, fit: Fit::Exact, ..Settings::default() };
            settings.frame((10, 10)).unwrap_err()
        };
        assert_eq!(wrong(0, None, false), "a thumbnail without pixels was asked for");
        assert_eq!(wrong(10, Some(0), false), "a thumbnail without pixels was asked for");
        assert!(wrong(100_000, Some(10), true).starts_with("its thumbnail of 100000x10 "));
    }

    #[test]
    fn any_size_is_scaled_to_any_other() {
        let mut scaler = Scaler::default();
        for color in [Color::Gray, Color::GrayAlpha, Color::Rgb, Color::Rgba] {
            for (side, to) in [(1, 1), (2, 1), (7, 1), (64, 9), (257, 3), (1031, 1), (3, 8)] {
                let mut image = Image::default();
                image.reset((side, side), color);
                image.pixels.fill(255);
                let whole = (f64::from(side), f64::from(side));
                let frame = Frame { size: (to, to), part: whole, before: (0.0, 0.0), whole };
                let scaled = scaler.scale(&mut image, frame);
                assert_eq!((scaled.size(), scaled.color), ((to, to), color));
                assert!(scaled.pixels.iter().all(|sample| *sample == 255), "{side} to {to}");
            }
        }
    }

    fn noise(size: (u32, u32), color: Color) -> Image {
        let mut image = Image::default();
        image.reset(size, color);
        Rng::with_seed(1).fill(image.samples_mut());
        image
    }

    /// The samples do not depend on the processor, so all hosts make the same thumbnails.
    #[test]
    fn plain_code_scales_to_the_same_samples() {
        let mut detected = Scaler::default();
        let mut plain = Scaler { filter: Filter::plain(), ..Scaler::default() };
        for color in [Color::Gray, Color::GrayAlpha, Color::Rgb, Color::Rgba] {
            for size in [(400, 300), (100, 77), (33, 290), (64, 64), (1, 1)] {
                let frame =
                    Settings { fit: Fit::Exact, width: size.0, height: Some(size.1), ..Settings::default() };
                let frame = frame.frame((401, 303)).unwrap();
                let digest = |scaler: &mut Scaler| {
                    xxh3_128(scaler.scale(&mut noise((401, 303), color), frame).samples())
                };
                assert_eq!(digest(&mut detected), digest(&mut plain), "{color:?} to {size:?}");
            }
        }
    }

    #[test]
    fn plain_code_multiplies_and_divides_to_the_same_samples() {
        let (detected, plain) = (Filter::default(), Filter::plain());
        let digest = |filter: &Filter, divide: bool| {
            let mut image = noise((517, 129), Color::Rgba);
            filter.multiply_alpha(image.samples_mut(), (517, 129));
            if divide {
                filter.divide_alpha(image.samples_mut(), (517, 129));
            }
            xxh3_128(image.samples())
        };
        for divide in [false, true] {
            assert_eq!(digest(&detected, divide), digest(&plain, divide), "divided: {divide}");
        }
    }
}
