//! Encodes pixels to files.

use cc_core::trace;
use image_webp::WebPEncoder;
use jpeg_encoder::{ChromaSubsamplingMethod, Encoder};

use super::{
    Format,
    image::{Color, Image, Meta},
    scale::divide_alpha,
};

/// Prepares an image whose samples are premultiplied with alpha for a format: JPEG has no alpha,
/// and the others store the samples as they were before.
pub(super) fn prepared(mut image: Image, format: Format) -> Image {
    if !image.color.has_alpha() {
        return image;
    }
    if format == Format::Jpeg {
        return image.on_white();
    }
    divide_alpha(&mut image);
    image
}

/// Encodes an image that is [prepared] for the format.
pub(super) fn encode(image: &Image, meta: &Meta, format: Format, quality: u8) -> Result<Vec<u8>, String> {
    let _span = trace::span("encode");
    match format {
        Format::Jpeg => jpeg(image, meta, quality),
        Format::Png => png(image, meta),
        Format::Webp => webp(image, meta),
    }
}

/// Encodes a JPEG. Below a quality of 90, the encoder halves the resolution of the colours, as most
/// programs do.
fn jpeg(image: &Image, meta: &Meta, quality: u8) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    if let Some(profile) = &meta.profile {
        encoder.add_icc_profile(profile).map_err(to_message)?;
    }
    let color =
        if image.color == Color::Gray { jpeg_encoder::ColorType::Luma } else { jpeg_encoder::ColorType::Rgb };
    let side = |side: u32| u16::try_from(side).expect("a size that was checked");
    encoder.encode(&image.pixels, side(image.width), side(image.height), color).map_err(to_message)?;
    Ok(bytes)
}

pub(super) fn png(image: &Image, meta: &Meta) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(image.width, image.height);
    info.icc_profile = meta.profile.clone().map(Into::into);
    info.bit_depth = png::BitDepth::Eight;
    info.color_type = match image.color {
        Color::Gray => png::ColorType::Grayscale,
        Color::GrayAlpha => png::ColorType::GrayscaleAlpha,
        Color::Rgb => png::ColorType::Rgb,
        Color::Rgba => png::ColorType::Rgba,
    };
    let encoder = png::Encoder::with_info(&mut bytes, info).map_err(to_message)?;
    let mut writer = encoder.write_header().map_err(to_message)?;
    writer.write_image_data(&image.pixels).and_then(|()| writer.finish()).map_err(to_message)?;
    Ok(bytes)
}

pub(super) fn webp(image: &Image, meta: &Meta) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new(&mut bytes);
    if let Some(profile) = &meta.profile {
        encoder.set_icc_profile(profile.clone());
    }
    let color = match image.color {
        Color::Gray => image_webp::ColorType::L8,
        Color::GrayAlpha => image_webp::ColorType::La8,
        Color::Rgb => image_webp::ColorType::Rgb8,
        Color::Rgba => image_webp::ColorType::Rgba8,
    };
    encoder.encode(&image.pixels, image.width, image.height, color).map_err(to_message)?;
    Ok(bytes)
}

fn to_message(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ImageBuffer, JpegColorType, rgb_to_ycbcr};
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;
    use crate::resizer::tests::picture;

    /// An image whose colours are converted one by one.
    struct Plain<'a>(&'a Image);

    impl ImageBuffer for Plain<'_> {
        fn get_jpeg_color_type(&self) -> JpegColorType {
            JpegColorType::Ycbcr
        }

        fn width(&self) -> u16 {
            self.0.width as u16
        }

        fn height(&self) -> u16 {
            self.0.height as u16
        }

        fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
            let row = self.0.pixels.chunks_exact(self.0.width as usize * 3).nth(y.into()).unwrap();
            for pixel in row.chunks_exact(3) {
                let (light, blue, red) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
                buffers[0].push(light);
                buffers[1].push(blue);
                buffers[2].push(red);
            }
        }
    }

    /// This is one of two stages that use the processor's extensions. The other, the DCT, cannot be
    /// chosen, and rounds differently with them.
    #[test]
    fn plain_code_converts_to_the_same_colours() {
        let image = picture(333, 251, Color::Rgb);
        for quality in [40, 85, 100] {
            let mut plain = Vec::new();
            let mut encoder = Encoder::new(&mut plain, quality);
            encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
            encoder.encode_image(Plain(&image)).unwrap();
            let detected = jpeg(&image, &Meta::NONE, quality).unwrap();
            assert_eq!(xxh3_128(&detected), xxh3_128(&plain), "quality {quality}");
        }
    }
}
