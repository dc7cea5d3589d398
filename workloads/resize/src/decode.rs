//! Decodes files to pixels.

use std::io::{Cursor, ErrorKind};

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
    gif::decode as gif,
    image::{Color, Image, Meta, Orientation},
    jpeg::{self, Colors, Guarded, Layout},
    separate::{self, from_ycbcr},
    webp,
};

/// The replacement for libjpeg-turbo without the feature: it decodes nothing.
#[cfg(not(feature = "libjpeg-turbo"))]
mod turbo {
    use super::{Color, Image, Meta, Settings};

    pub(super) fn decode(_: &[u8], _: &Meta, _: Color, _: &Settings, _: &mut Image) -> Option<f64> {
        None
    }
}

/// Decodes a file into `image`. With settings, the image may be decoded at a reduced size that is
/// enough for the thumbnail. After an error, the content of `image` is unspecified.
pub(super) fn decode(file: &[u8], image: &mut Image, settings: Option<&Settings>) -> Result<Meta, String> {
    let _span = trace::span("decode");
    let memory = settings.map_or(MAX_MEMORY, |settings| settings.memory);
    let meta = match Kind::of_content(file)? {
        Kind::Jpeg => jpeg(file, image, memory, settings),
        Kind::Png => png(file, image, memory),
        Kind::Webp => webp(file, image, memory),
        Kind::Gif => gif(file, image, memory),
    }?;
    Ok(Meta { profile: meta.profile.filter(|profile| profile.len() <= MAX_PROFILE), ..meta })
}

/// Maximum bytes of a colour profile that is copied to the thumbnail: more than a JPEG can have.
/// Without a limit, a thumbnail could be larger than [`Scope`](super::Scope) accepts.
const MAX_PROFILE: usize = 24 << 20;

/// A format of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jpeg,
    Png,
    Webp,
    Gif,
}

impl Kind {
    /// The kind that the first bytes of a file indicate.
    fn of_content(file: &[u8]) -> Result<Self, String> {
        match file {
            [] => Err("the file is empty".to_owned()),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::Webp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            _ => Err("neither JPEG, PNG, WebP nor GIF".to_owned()),
        }
    }
}

/// Checks the size of an image against the limits, before memory is allocated for it.
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

/// Checks the bytes that an image needs against the limit, before they are allocated.
pub(super) fn check_memory((width, height): (u32, u32), needed: u64, limit: u64) -> Result<(), String> {
    if needed > limit {
        let [needed, limit] = [needed, limit].map(|bytes| bytes.div_ceil(1 << 20));
        return Err(format!(
            "{width}x{height} needs {needed} MiB of memory, more than the limit of {limit} MiB"
        ));
    }
    Ok(())
}

pub(super) fn pixels((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// A decoder that has read the headers of a JPEG file.
fn jpeg_decoder<'a>(
    file: &'a [u8],
    layout: Option<&Layout>,
) -> Result<JpegDecoder<Guarded<'a>>, DecodeErrors> {
    let options = jpeg_options().set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(Layout::guarded(layout, file), options);
    decoder.decode_headers()?;
    Ok(decoder)
}

fn jpeg_options() -> DecoderOptions {
    DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX)
}

/// The message about an error of the decoder; some end with a newline.
fn jpeg_error(error: DecodeErrors) -> String {
    format!("damaged JPEG: {}", error.to_string().trim_end())
}

fn jpeg(file: &[u8], image: &mut Image, memory: u64, settings: Option<&Settings>) -> Result<Meta, String> {
    let layout = Layout::of(file);
    let layout = layout.as_ref();
    layout.map_or(Ok(()), Layout::supported)?;
    let decoder = jpeg_decoder(file, layout).map_err(jpeg_error)?;
    let size = decoder.dimensions().expect("the headers are decoded");
    let size = (size.0 as u32, size.1 as u32); // JPEG has sixteen bits for each
    check(size)?;
    if layout.is_some_and(|layout| layout.frame.size != size) {
        return Err("damaged JPEG: it has two frame headers".to_owned());
    }
    let is_gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let color = if is_gray { Color::Gray } else { Color::Rgb };
    layout.map_or(Ok(()), Layout::check).map_err(|why| format!("damaged JPEG: {why}"))?;
    // The layout of a malformed file is unknown, so the worst case counts.
    let buffers = layout.map_or(pixels(size) * 8, |layout| layout.memory(file));
    check_memory(size, pixels(size) * color.memory() + buffers, memory)?;
    // The profile of four inks does not describe the colours that they are converted to.
    let has_inks = layout.is_none_or(|layout| layout.frame.components.len() > 3);
    let profile = decoder.icc_profile().filter(|_| !has_inks);
    let orientation = Orientation::of_exif(jpeg::exif(file));
    let meta = Meta { format: Format::Jpeg, size, scale: 1.0, orientation, profile };
    if let Some(scale) = settings.and_then(|settings| turbo::decode(file, &meta, color, settings, image)) {
        return Ok(Meta { scale, ..meta });
    }
    match layout.and_then(|layout| Some((layout, layout.separate()?))) {
        Some((layout, scans)) => separate::decode(file, layout, &scans, image, |file, plane| {
            let layout = Layout::of(file);
            let decoder = jpeg_decoder(file, layout.as_ref()).map_err(jpeg_error)?;
            jpeg_pixels(file, layout.as_ref(), decoder, plane)
        })?,
        None => {
            image.reset(size, color);
            jpeg_pixels(file, layout, decoder, image)?;
        }
    }
    Ok(meta)
}

/// Decodes the pixels of an image whose size and colours are set. The decoder has read the headers.
fn jpeg_pixels(
    file: &[u8],
    layout: Option<&Layout>,
    decoder: JpegDecoder<Guarded>,
    image: &mut Image,
) -> Result<(), String> {
    let space = if image.color == Color::Gray { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = Some(decoder);
    for mark in MARKS {
        let mut decoder =
            decoder.take().map_or_else(|| jpeg_decoder(file, layout), Ok).map_err(jpeg_error)?;
        // Strict mode reports missing data instead of filling the image with grey. It is not set
        // for the headers, because those of real photographs often violate the standard.
        decoder.set_options(jpeg_options().set_strict_mode(true).jpeg_set_out_colorspace(space));
        image.mark_end(mark);
        decoder.decode_into(image.samples_mut()).map_err(jpeg_error)?;
        if !image.has_mark(mark) {
            // The decoder takes some components for red, green and blue that are not.
            let is_raw = decoder.input_colorspace() == Some(ColorSpace::RGB);
            if is_raw && layout.is_some_and(|layout| layout.colors == Colors::YCbCr) {
                for pixel in image.samples_mut().chunks_exact_mut(3) {
                    pixel.copy_from_slice(&from_ycbcr([pixel[0], pixel[1], pixel[2]]));
                }
            }
            return Ok(());
        }
    }
    Err("damaged JPEG: it ends before its image does".to_owned())
}

/// The values that the end of the image buffer is filled with before decoding, to detect missing
/// pixels. The decoder stops without an error where an unexpected scan begins, and leaves the
/// remaining pixels of an earlier image in the buffer. A valid image may end like one of the marks,
/// so an image that has the first mark is decoded again with the second.
const MARKS: [u8; 2] = [0x55, 0xaa];

/// Maximum bytes that deflate can expand one byte to.
const MAX_RATIO: u64 = 1032;

/// Checks that the file is large enough for the pixels that its header claims.
fn check_deflated(file: &[u8], info: &png::Info) -> Result<(), String> {
    let bits = pixels(info.size()) * info.bits_per_pixel() as u64;
    if bits / 8 > MAX_RATIO * file.len() as u64 {
        let (width, height) = info.size();
        return Err(format!("damaged PNG: {} bytes are too few for {width}x{height} pixels", file.len()));
    }
    Ok(())
}

/// The last chunk of a PNG file.
const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xaeB`\x82";

/// Decodes a PNG file, of which the last chunk may be missing: it has no data.
fn png(file: &[u8], image: &mut Image, memory: u64) -> Result<Meta, String> {
    let is_cut = |error: &PngError| {
        let PngError::Decoder(png::DecodingError::IoError(error)) = error else { return false };
        error.kind() == ErrorKind::UnexpectedEof
    };
    match whole_png(file, image, memory) {
        Err(error) if is_cut(&error) => {
            let found = (5..PNG_END.len()).rev().find(|found| file.ends_with(&PNG_END[..*found]));
            let completed = [&file[..file.len() - found.unwrap_or(0)], &PNG_END].concat();
            whole_png(&completed, image, memory).map_err(|_| error)
        }
        result => result,
    }
    .map_err(|error| match error {
        PngError::Refused(why) => why,
        PngError::Decoder(png::DecodingError::LimitsExceeded) => {
            "PNG needs more memory than the limit".to_owned()
        }
        PngError::Decoder(error) => format!("damaged PNG: {error}"),
    })
}

/// Why a PNG file has no image.
enum PngError {
    /// For this reason.
    Refused(String),
    Decoder(png::DecodingError),
}

impl From<png::DecodingError> for PngError {
    fn from(error: png::DecodingError) -> Self {
        Self::Decoder(error)
    }
}

fn whole_png(file: &[u8], image: &mut Image, memory: u64) -> Result<Meta, PngError> {
    // The decoder inflates the colour profile while it reads the headers, into a vector that
    // doubles its capacity: hence half of the memory. A profile above the limit is ignored.
    let limits = png::Limits { bytes: usize::try_from(memory / 2).unwrap_or(usize::MAX).min(MAX_PROFILE) };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info()?;
    check(header.size()).map_err(PngError::Refused)?;
    check_deflated(file, header).map_err(PngError::Refused)?;
    let mut reader = decoder.read_info()?;
    let color = match reader.output_color_type().0 {
        png::ColorType::Grayscale => Color::Gray,
        png::ColorType::GrayscaleAlpha => Color::GrayAlpha,
        png::ColorType::Rgb | png::ColorType::Indexed => Color::Rgb,
        png::ColorType::Rgba => Color::Rgba,
    };
    let size = reader.info().size();
    check_memory(size, pixels(size) * color.memory(), memory).map_err(PngError::Refused)?;
    image.reset(size, color);
    reader.next_frame(image.samples_mut())?;
    // Exif data may follow the pixels. An error after the pixels leaves nothing out of the image.
    let _ = reader.finish();
    let info = reader.info();
    let exif = info.exif_metadata.as_ref().map(|exif| exif.to_vec());
    let profile = info.icc_profile.as_ref().map(|profile| profile.to_vec());
    let (size, orientation) = (info.size(), Orientation::of_exif(exif));
    Ok(Meta { format: Format::Png, size, scale: 1.0, orientation, profile })
}

fn webp(file: &[u8], image: &mut Image, memory: u64) -> Result<Meta, String> {
    let describe = |error| match error {
        image_webp::DecodingError::UnsupportedFeature(feature) => format!("unsupported WebP: {feature}"),
        error => format!("damaged WebP: {error}"),
    };
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(describe)?;
    // The header of a chunk can claim any length, but no chunk is longer than the file.
    decoder.set_memory_limit(file.len());
    check(decoder.dimensions())?;
    let color = if decoder.has_alpha() { Color::Rgba } else { Color::Rgb };
    let (size, layout) = (decoder.dimensions(), webp::Layout::of(file));
    layout.check(size).map_err(|why| format!("damaged WebP: {why}"))?;
    layout.check_memory(size, color.memory(), memory)?;
    image.reset(decoder.dimensions(), color);
    decoder.read_image(image.samples_mut()).map_err(describe)?;
    let orientation = Orientation::of_exif(decoder.exif_metadata().map_err(describe)?);
    let (size, profile) = (decoder.dimensions(), decoder.icc_profile().map_err(describe)?);
    Ok(Meta { format: Format::Webp, size, scale: 1.0, orientation, profile })
}
