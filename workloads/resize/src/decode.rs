//! From files to pixels.

use std::io::Cursor;

use cc_core::trace;
use image_webp::WebPDecoder;
use png::Transformations;
use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{colorspace::ColorSpace, options::DecoderOptions},
};

#[cfg(feature = "libjpeg-turbo")]
use super::turbo;
use super::{
    Format, MAX_MEMORY, MAX_PIXELS, MAX_SIDE, Settings,
    image::{Color, Image, Meta, Orientation},
    jpeg::{Guarded, Layout},
    webp,
};

/// Without the feature, no pixels are decoded elsewhere.
#[cfg(not(feature = "libjpeg-turbo"))]
mod turbo {
    use super::{Color, Image, Meta, Settings};

    pub(super) fn decode(_: &[u8], _: &Meta, _: Color, _: &Settings, _: &mut Image) -> Option<f64> {
        None
    }
}

/// Decodes a file. What is wrong with it is said in a few words; the image is a mixture then. It may come smaller than it
/// is, if that is enough for a thumbnail with these settings.
pub(super) fn decode(file: &[u8], image: &mut Image, settings: Option<&Settings>) -> Result<Meta, String> {
    let _span = trace::span("decode");
    let memory = settings.map_or(MAX_MEMORY, |settings| settings.memory);
    let meta = match Format::of_content(file)? {
        Format::Jpeg => jpeg(file, image, memory, settings),
        Format::Png => png(file, image, memory),
        Format::Webp => webp(file, image, memory),
    }?;
    Ok(Meta { profile: meta.profile.filter(|profile| profile.len() <= MAX_PROFILE), ..meta })
}

/// The largest colour profile that goes with a thumbnail: more than a JPEG can have. Without a
/// limit, a thumbnail could be larger than any that a coordinator takes from a worker.
const MAX_PROFILE: usize = 24 << 20;

impl Format {
    /// The format that a file begins as.
    fn of_content(file: &[u8]) -> Result<Self, String> {
        match file {
            [] => Err("the file is empty".to_owned()),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::Webp),
            _ => Err("neither JPEG, PNG nor WebP".to_owned()),
        }
    }
}

/// Whether an image of this size is worth its memory: asked before any is taken.
pub(super) fn check((width, height): (u32, u32)) -> Result<(), String> {
    let pixels = pixels((width, height));
    match () {
        () if pixels == 0 => Err(format!("{width}x{height} has no pixels")),
        () if width.max(height) > MAX_SIDE => {
            Err(format!("{width}x{height} has a side of more than {MAX_SIDE} pixels"))
        }
        () if pixels > MAX_PIXELS => Err(format!("{width}x{height} is more than {MAX_PIXELS} pixels")),
        () => Ok(()),
    }
}

/// Whether an image takes no more memory than it may: asked before any is taken.
pub(super) fn afford((width, height): (u32, u32), takes: u64, memory: u64) -> Result<(), String> {
    if takes > memory {
        let [takes, memory] = [takes, memory].map(|bytes| bytes.div_ceil(1 << 20));
        return Err(format!(
            "{width}x{height} takes {takes} MiB to decode, of {memory} MiB that an image may take"
        ));
    }
    Ok(())
}

fn pixels((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// A decoder of a JPEG file that has read its headers.
fn jpeg_decoder(file: &[u8], layout: Option<Layout>) -> Result<JpegDecoder<Guarded<'_>>, DecodeErrors> {
    let options = jpeg_options().set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(Layout::guarded(layout, file), options);
    decoder.decode_headers()?;
    Ok(decoder)
}

fn jpeg_options() -> DecoderOptions {
    DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX)
}

fn jpeg(file: &[u8], image: &mut Image, memory: u64, settings: Option<&Settings>) -> Result<Meta, String> {
    // Some of the decoder's errors end with a newline.
    let say = |error: DecodeErrors| format!("damaged JPEG: {}", error.to_string().trim_end());
    let layout = Layout::of(file);
    let decoder = jpeg_decoder(file, layout).map_err(say)?;
    let size = decoder.dimensions().expect("the headers are decoded");
    let size = (size.0 as u32, size.1 as u32); // JPEG has sixteen bits for each
    check(size)?;
    let (color, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (Color::Gray, ColorSpace::Luma),
        _ => (Color::Rgb, ColorSpace::RGB),
    };
    layout.map_or(Ok(()), |layout| layout.check(file)).map_err(|why| format!("damaged JPEG: {why}"))?;
    // Of a file whose segments are in disorder it is not known, so it counts as what takes the
    // most.
    let beside = layout.map_or(pixels(size) * 8, |layout| layout.memory());
    afford(size, pixels(size) * color.memory() + beside, memory)?;
    let converted = matches!(decoder.input_colorspace(), Some(ColorSpace::CMYK | ColorSpace::YCCK));
    let profile = decoder.icc_profile().filter(|_| !converted);
    let orientation = Orientation::of_exif(decoder.exif().cloned());
    let meta = Meta { format: Format::Jpeg, size, scale: 1.0, orientation, profile };
    if let Some(scale) = settings.and_then(|settings| turbo::decode(file, &meta, color, settings, image)) {
        return Ok(Meta { scale, ..meta });
    }
    let mut decoder = Some(decoder);
    for mark in MARKS {
        let mut decoder = decoder.take().map_or_else(|| jpeg_decoder(file, layout), Ok).map_err(say)?;
        // Strict from here on: what is missing is not made up of grey. Headers of real photographs
        // are less than strict.
        decoder.set_options(jpeg_options().set_strict_mode(true).jpeg_set_out_colorspace(space));
        image.reset(size, color);
        image.mark_end(mark);
        decoder.decode_into(image.samples_mut()).map_err(say)?;
        if !image.has_mark(mark) {
            return Ok(meta);
        }
    }
    Err("damaged JPEG: it ends before its image does".to_owned())
}

/// What the end of an image is filled with before it is decoded. The decoder stops without an error
/// where another scan begins, and leaves the rest of the image as it was: pixels of another one. An
/// image may end like one mark, but not like both.
const MARKS: [u8; 2] = [0x55, 0xaa];

/// Deflate makes no more than this of a byte.
const MAX_RATIO: u64 = 1032;

/// Whether the file is large enough for the pixels that it says it has.
fn check_deflated(file: &[u8], info: &png::Info) -> Result<(), String> {
    let bits = pixels(info.size()) * info.bits_per_pixel() as u64;
    if bits / 8 > MAX_RATIO * file.len() as u64 {
        let (width, height) = info.size();
        return Err(format!("damaged PNG: {} bytes are too few for {width}x{height} pixels", file.len()));
    }
    Ok(())
}

fn png(file: &[u8], image: &mut Image, memory: u64) -> Result<Meta, String> {
    let say = |error| format!("damaged PNG: {error}");
    // A profile is inflated while the headers are read, into a vector that doubles. A larger one is
    // left out.
    let limits = png::Limits { bytes: usize::try_from(memory / 2).unwrap_or(usize::MAX).min(MAX_PROFILE) };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(say)?;
    check(header.size())?;
    check_deflated(file, header)?;
    let mut reader = decoder.read_info().map_err(say)?;
    let color = match reader.output_color_type().0 {
        png::ColorType::Grayscale => Color::Gray,
        png::ColorType::GrayscaleAlpha => Color::GrayAlpha,
        png::ColorType::Rgb | png::ColorType::Indexed => Color::Rgb,
        png::ColorType::Rgba => Color::Rgba,
    };
    let size = reader.info().size();
    afford(size, pixels(size) * color.memory(), memory)?;
    image.reset(size, color);
    reader.next_frame(image.samples_mut()).map_err(say)?;
    let info = reader.info();
    let exif = info.exif_metadata.as_ref().map(|exif| exif.to_vec());
    let profile = info.icc_profile.as_ref().map(|profile| profile.to_vec());
    let (size, orientation) = (info.size(), Orientation::of_exif(exif));
    Ok(Meta { format: Format::Png, size, scale: 1.0, orientation, profile })
}

fn webp(file: &[u8], image: &mut Image, memory: u64) -> Result<Meta, String> {
    let say = |error| format!("damaged WebP: {error}");
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(say)?;
    // No chunk is longer than the file, whatever its header says.
    decoder.set_memory_limit(file.len());
    check(decoder.dimensions())?;
    let color = if decoder.has_alpha() { Color::Rgba } else { Color::Rgb };
    let (size, layout) = (decoder.dimensions(), webp::Layout::of(file));
    layout.check(size).map_err(|why| format!("damaged WebP: {why}"))?;
    layout.afford(size, color.memory(), memory)?;
    image.reset(decoder.dimensions(), color);
    decoder.read_image(image.samples_mut()).map_err(say)?;
    let orientation = Orientation::of_exif(decoder.exif_metadata().map_err(say)?);
    let (size, profile) = (decoder.dimensions(), decoder.icc_profile().map_err(say)?);
    Ok(Meta { format: Format::Webp, size, scale: 1.0, orientation, profile })
}
