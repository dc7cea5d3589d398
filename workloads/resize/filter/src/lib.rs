//! The filter of `resize`: a library's, for the two kinds of pixel that thumbnails are made of.
//!
//! It is a package for the time it takes to build. The library's functions are generic, so they are
//! compiled where they are used, in a minute: here that is once, and in the workload it would be
//! once more for its tests.

pub use fast_image_resize::CropBox;
use fast_image_resize::{
    CpuExtensions, FilterType, MulDiv, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8x3, U8x4},
};

/// Width and height, in pixels.
pub type Size = (u32, u32);

/// What a pixel has, eight bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixel {
    /// Red, green and blue.
    Rgb,
    /// And alpha, by which they are multiplied.
    Rgba,
}

/// A Lanczos filter, with what it keeps from one image to the next.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    resizer: Resizer,
    alpha: MulDiv,
}

impl Filter {
    /// A filter in code for any processor. Its results are those of the faster ones.
    #[must_use]
    #[expect(unsafe_code, reason = "to set extensions is to say that the processor has them")]
    pub fn plain() -> Self {
        let mut filter = Self::default();
        // SAFETY: none are needed.
        unsafe {
            filter.resizer.set_cpu_extensions(CpuExtensions::None);
            filter.alpha.set_cpu_extensions(CpuExtensions::None);
        }
        filter
    }

    /// Scales a part of an image to the whole of another. Their samples are in rows, from the top.
    ///
    /// # Panics
    ///
    /// If samples are not as many as the size says, or the part is not in the image.
    pub fn scale(&mut self, pixel: Pixel, from: (&[u8], Size), part: CropBox, to: (&mut [u8], Size)) {
        match pixel {
            Pixel::Rgb => self.scale_pixels::<U8x3>(from, part, to),
            Pixel::Rgba => self.scale_pixels::<U8x4>(from, part, to),
        }
    }

    /// For one kind of pixel: the library's functions that take any kind would be compiled for all
    /// it has.
    fn scale_pixels<P: PixelTrait>(
        &mut self,
        (samples, (width, height)): (&[u8], Size),
        part: CropBox,
        (scaled, size): (&mut [u8], Size),
    ) {
        let source =
            TypedImageRef::<P>::from_buffer(width, height, samples).expect("the buffer has its size");
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(part.left, part.top, part.width, part.height)
            .use_alpha(false);
        self.resizer
            .resize_typed(&source, &mut view::<P>(scaled, size), &options)
            .expect("the part is in the image");
    }

    /// Multiplies the samples of an image with alpha by that.
    ///
    /// # Panics
    ///
    /// If the samples are not as many as the size says.
    pub fn multiply_alpha(&self, samples: &mut [u8], size: Size) {
        self.alpha.multiply_alpha_inplace_typed(&mut view::<U8x4>(samples, size)).expect("it has alpha");
    }

    /// Undoes the multiplication by alpha, as far as eight bits allow.
    ///
    /// # Panics
    ///
    /// If the samples are not as many as the size says.
    pub fn divide_alpha(&self, samples: &mut [u8], size: Size) {
        self.alpha.divide_alpha_inplace_typed(&mut view::<U8x4>(samples, size)).expect("it has alpha");
    }
}

/// The image's own buffer: a copy would double what an image takes.
fn view<P: PixelTrait>(samples: &mut [u8], (width, height): Size) -> TypedImage<'_, P> {
    TypedImage::from_buffer(width, height, samples).expect("the buffer has its size")
}
