//! The scaling filter of `resize`: that of a library, for the two types of pixel that thumbnails
//! use.
//!
//! It is a package of its own to save build time. The library's functions are generic, so the crate
//! that calls them compiles them, which is slow. Here that happens once; in the workload it would
//! happen again for its tests.

pub use fast_image_resize::CropBox;
use fast_image_resize::{
    CpuExtensions, FilterType, MulDiv, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8x3, U8x4},
};

/// Width and height, in pixels.
pub type Size = (u32, u32);

/// The samples of a pixel, eight bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixel {
    /// Red, green and blue.
    Rgb,
    /// Red, green and blue, each multiplied by alpha, and alpha.
    Rgba,
}

/// A Lanczos filter with buffers that it reuses for the next image.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    resizer: Resizer,
    alpha: MulDiv,
}

impl Filter {
    /// A filter that uses no extensions of the processor. Its results equal those of a faster one.
    #[must_use]
    #[expect(unsafe_code, reason = "a caller that sets extensions guarantees that the processor has them")]
    pub fn plain() -> Self {
        let mut filter = Self::default();
        // SAFETY: the code without extensions runs on every processor.
        unsafe {
            filter.resizer.set_cpu_extensions(CpuExtensions::None);
            filter.alpha.set_cpu_extensions(CpuExtensions::None);
        }
        filter
    }

    /// Scales a part of an image to the whole of another. Samples are row by row, from the top.
    ///
    /// # Panics
    ///
    /// If the number of samples does not match the size, or the part exceeds the image.
    pub fn scale(&mut self, pixel: Pixel, from: (&[u8], Size), part: CropBox, to: (&mut [u8], Size)) {
        match pixel {
            Pixel::Rgb => self.scale_pixels::<U8x3>(from, part, to),
            Pixel::Rgba => self.scale_pixels::<U8x4>(from, part, to),
        }
    }

    /// Scales one type of pixel. The library's function for all types would be compiled for each.
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

    /// Multiplies the colours of an image with alpha by alpha.
    ///
    /// # Panics
    ///
    /// If the number of samples does not match the size.
    pub fn multiply_alpha(&self, samples: &mut [u8], size: Size) {
        self.alpha.multiply_alpha_inplace_typed(&mut view::<U8x4>(samples, size)).expect("it has alpha");
    }

    /// Undoes the multiplication by alpha, with the precision of eight bits.
    ///
    /// # Panics
    ///
    /// If the number of samples does not match the size.
    pub fn divide_alpha(&self, samples: &mut [u8], size: Size) {
        self.alpha.divide_alpha_inplace_typed(&mut view::<U8x4>(samples, size)).expect("it has alpha");
    }
}

/// A view of the image's own buffer: a copy would double the memory of an image.
fn view<P: PixelTrait>(samples: &mut [u8], (width, height): Size) -> TypedImage<'_, P> {
    TypedImage::from_buffer(width, height, samples).expect("the buffer has its size")
}
