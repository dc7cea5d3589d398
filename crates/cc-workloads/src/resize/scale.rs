//! From many pixels to few.

use fast_image_resize::{
    FilterType, MulDiv, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8x3, U8x4},
};

use super::{Fit, Settings, decode::check, image::Image};

/// What of an image goes into its thumbnail, and how large that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// Of the thumbnail.
    pub(super) size: (u32, u32),
    /// Of the part of the image, which is in its middle.
    pub(super) part: (f64, f64),
}

impl Settings {
    /// The frame of an image of this size, unless the thumbnail would be larger than an image may be.
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
            return Frame { size: (round(whole.0 * scale), round(whole.1 * scale)), part: whole };
        }
        // The box keeps its shape, and shrinks until no side of the image would be enlarged.
        let shrink = if self.enlarge { 1.0 } else { (whole.0 / wide).min(whole.1 / high).min(1.0) };
        let size = (round(wide * shrink), round(high * shrink));
        let covers = (whole.0 / wide).min(whole.1 / high);
        let part = if self.fit == Fit::Cover {
            (whole.0.min(wide * covers), whole.1.min(high * covers))
        } else {
            whole
        };
        Frame { size, part }
    }
}

/// The nearest number of pixels, of which there is one at least.
fn round(pixels: f64) -> u32 {
    (pixels.round() as u32).max(1)
}

/// Scales images with a Lanczos filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Scaler(Resizer);

impl Scaler {
    /// Scales the middle of an image. If it has alpha, its samples are multiplied by that, and the result's are, too:
    /// otherwise what is not to be seen would shine through at the edges.
    pub(super) fn scale(&mut self, image: &mut Image, Frame { size, part }: Frame) -> Image {
        let color = image.color;
        // Of the library's functions for each kind of pixel, two are enough: they are large, and grey images are rare.
        if color.is_gray() {
            *image = image.in_color();
        }
        let mut scaled = Image::default();
        scaled.reset(size, image.color);
        if color.has_alpha() {
            MulDiv::new().multiply_alpha_inplace_typed(&mut view::<U8x4>(image)).expect("it has alpha");
            self.pixels::<U8x4>(image, part, &mut scaled);
        } else {
            self.pixels::<U8x3>(image, part, &mut scaled);
        }
        if color.is_gray() { scaled.in_gray() } else { scaled }
    }

    /// For one kind of pixel: the library's functions that take any kind would be compiled for all it has.
    fn pixels<P: PixelTrait>(&mut self, image: &Image, part: (f64, f64), scaled: &mut Image) {
        let (width, height) = image.size();
        let source =
            TypedImageRef::<P>::from_buffer(width, height, &image.pixels).expect("the buffer has its size");
        let middle = ((f64::from(width) - part.0) / 2.0, (f64::from(height) - part.1) / 2.0);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(middle.0.max(0.0), middle.1.max(0.0), part.0, part.1)
            .use_alpha(false);
        self.0.resize_typed(&source, &mut view::<P>(scaled), &options).expect("the part is in the image");
    }
}

/// The image's own buffer: a copy would double what an image takes.
fn view<P: PixelTrait>(image: &mut Image) -> TypedImage<'_, P> {
    TypedImage::from_buffer(image.width, image.height, &mut image.pixels).expect("the buffer has its size")
}

/// Undoes the multiplication by alpha, as far as eight bits allow.
pub(super) fn divide(image: &mut Image) {
    let color = image.color;
    if color.is_gray() {
        *image = image.in_color();
    }
    MulDiv::new().divide_alpha_inplace_typed(&mut view::<U8x4>(image)).expect("it has alpha");
    if color.is_gray() {
        *image = image.in_gray();
    }
}
