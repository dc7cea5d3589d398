//! The kernel: read, decode, scale, encode.

use std::path::PathBuf;

use serde_bytes::ByteBuf;

use super::{
    Content, Made, Output, Settings, Task, decode::decode, encode::encode, image::Image, read::read,
    scale::Scaler,
};
use crate::{failpoint, root::Files, trace};

/// One worker's resizer. It starts no threads, and a panic leaves it usable. It holds one image, in buffers that
/// are as large as the largest so far.
#[derive(Clone, Debug)]
pub struct Resizer {
    settings: Settings,
    base: PathBuf,
    files: Files,
    file: Vec<u8>,
    image: Image,
    scaler: Scaler,
}

impl Resizer {
    /// Gets ready for a job with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let (settings, base) = (settings.clone(), settings.base().to_owned());
        Self {
            settings,
            base,
            files: Files::All,
            file: Vec::new(),
            image: Image::default(),
            scaler: Scaler::default(),
        }
    }

    /// The same, but it opens these files only.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task.
    #[must_use]
    pub fn task(&mut self, task: &Task) -> Output {
        let _span = trace::span("resize");
        match self.thumbnail(task) {
            Ok(made) => Output { source: task.source.clone(), target: task.target.clone(), made },
            Err(why) => task.failed(&why),
        }
    }

    fn thumbnail(&mut self, task: &Task) -> Result<Made, String> {
        failpoint::hit(&task.source, 0);
        let file = match &task.content {
            Content::File => {
                read(task, &self.base, &self.files, &mut self.file)?;
                &self.file
            }
            Content::Bytes(bytes) => &**bytes,
            Content::Missing(why) => return Err(why.clone()),
        };
        let meta = decode(file, &mut self.image, Some(&self.settings))?;
        failpoint::hit(&task.source, 1);
        let frame = self.settings.frame(meta.orientation.of(meta.size))?.stored(&meta);
        let scaled = self.scaler.scale(&mut self.image, frame).turned(meta.orientation);
        let (width, height) = scaled.size();
        let format = self.settings.format.unwrap_or(meta.format);
        let bytes = ByteBuf::from(encode(scaled, &meta, format, self.settings.quality)?);
        Ok(Made::Thumbnail { bytes, width, height, pixels: meta.pixels() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::resize::{
        Fit, Format, MAX_BYTES, encode,
        image::{Color, Meta, Orientation},
        inputs,
        quality::ssim,
    };

    /// An image with something in every direction: a gradient, an edge and a disc.
    pub(in crate::resize) fn picture(width: u32, height: u32, color: Color) -> Image {
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (right, down) = (x * 255 / width, y * 255 / height);
                let far = right.abs_diff(160).pow(2) + down.abs_diff(90).pow(2);
                let disc = if far < 2500 { 90 } else { 0 };
                let all = [right, down / 2 + disc, if right > down { 200 } else { 40 }, 255 - down / 2];
                let all = all.map(|sample| sample.min(255) as u8);
                pixels.extend_from_slice(match color {
                    Color::Gray => &all[1..2],
                    Color::GrayAlpha => &all[2..],
                    Color::Rgb => &all[..3],
                    Color::Rgba => &all,
                });
            }
        }
        Image { width, height, color, pixels }
    }

    fn task(bytes: Vec<u8>) -> Task {
        let (source, target) = (ByteBuf::from("photo"), ByteBuf::from("photo"));
        Task { source, target, content: Content::Bytes(ByteBuf::from(bytes)) }
    }

    pub(in crate::resize) fn made(settings: &Settings, file: Vec<u8>) -> Result<Vec<u8>, String> {
        match Resizer::new(settings).task(&task(file)).made {
            Made::Thumbnail { bytes, .. } => Ok(bytes.into_vec()),
            Made::Failed(why) => Err(why),
        }
    }

    pub(in crate::resize) fn decoded(file: &[u8]) -> (Image, Meta) {
        let mut image = Image::default();
        let meta = decode(file, &mut image, None).unwrap();
        (image, meta)
    }

    fn encoded(image: &Image, format: Format) -> Vec<u8> {
        match format {
            Format::Jpeg => encode(image.clone(), &Meta::NONE, Format::Jpeg, 95).unwrap(),
            Format::Png => encode::png(image, &Meta::NONE).unwrap(),
            Format::Webp => encode::webp(image, &Meta::NONE).unwrap(),
        }
    }

    pub(in crate::resize) fn jpeg(
        image: &Image,
        set: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>),
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
        set(&mut encoder);
        let color = match image.color {
            Color::Gray => jpeg_encoder::ColorType::Luma,
            Color::Rgb => jpeg_encoder::ColorType::Rgb,
            _ => jpeg_encoder::ColorType::CmykAsYcck,
        };
        encoder.encode(&image.pixels, image.width as u16, image.height as u16, color).unwrap();
        bytes
    }

    #[test]
    fn every_format_is_read_and_written_in_every_colour() {
        use Format::{Jpeg, Png, Webp};
        for color in [Color::Gray, Color::GrayAlpha, Color::Rgb, Color::Rgba] {
            let image = picture(120, 90, color);
            for from in [Jpeg, Png, Webp].into_iter().filter(|format| *format != Jpeg || !color.has_alpha()) {
                let file = encoded(&image, from);
                for to in [Jpeg, Png, Webp] {
                    let settings =
                        Settings { width: 40, format: Some(to), quality: 95, ..Settings::default() };
                    let (thumbnail, meta) = decoded(&made(&settings, file.clone()).unwrap());
                    assert_eq!((thumbnail.size(), meta.format), ((40, 30), to), "{color:?} {from:?} {to:?}");
                    let alpha = color.has_alpha() && to != Jpeg;
                    assert_eq!(thumbnail.color.has_alpha(), alpha, "{color:?} {from:?} {to:?}");
                }
                let same = Settings { width: 120, ..Settings::default() };
                let (copy, _) = decoded(&made(&same, file).unwrap());
                let of_alpha = color.has_alpha() || copy.color != color || from == Jpeg;
                assert!(of_alpha || copy == image, "{color:?} {from:?}: a copy without loss");
            }
        }
    }

    #[test]
    fn jpeg_of_every_kind_is_read() {
        let (image, gray) = (picture(120, 90, Color::Rgb), picture(120, 90, Color::Gray));
        let inks = Image {
            color: Color::Rgba,
            pixels: image.pixels.chunks(3).flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0]).collect(),
            ..image.clone()
        };
        let plain = |_: &mut jpeg_encoder::Encoder<&mut Vec<u8>>| {};
        let files = [
            ("baseline", &image, jpeg(&image, plain)),
            ("progressive", &image, jpeg(&image, |encoder| encoder.set_progressive(true))),
            ("with restarts", &image, jpeg(&image, |encoder| encoder.set_restart_interval(3))),
            ("grey", &gray, jpeg(&gray, plain)),
            ("grey progressive", &gray, jpeg(&gray, |encoder| encoder.set_progressive(true))),
            ("of four inks", &image, jpeg(&inks, plain)),
        ];
        for (name, like, file) in files {
            let (decoded, _) = decoded(&file);
            assert_eq!((decoded.size(), decoded.color), (like.size(), like.color), "{name}");
            let ssim = ssim(&decoded, like);
            assert!(ssim > 0.95, "{name}: {ssim}");
        }
    }

    #[test]
    fn a_photograph_stands_upright_and_its_width_is_the_one_that_is_seen() {
        let image = picture(120, 90, Color::Rgb);
        for orientation in 1..=8 {
            let file = jpeg(&image, |encoder| encoder.add_exif_metadata(&inputs::exif(orientation)).unwrap());
            let settings = Settings { width: 30, format: Some(Format::Png), ..Settings::default() };
            let (thumbnail, meta) = decoded(&made(&settings, file).unwrap());
            let size = if orientation > 4 { (30, 40) } else { (30, 23) };
            assert_eq!((thumbnail.size(), meta.orientation), (size, Orientation::UPRIGHT), "{orientation}");
        }
    }

    #[test]
    fn lossy_webp_deep_png_and_palettes_are_read() {
        let (webp, meta) = decoded(include_bytes!("testdata/lossy.webp"));
        assert_eq!((webp.size(), webp.color, meta.format), ((40, 30), Color::Rgb, Format::Webp));

        let png = |color, depth, pixels: &[u8], palette: Option<&[u8]>| {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
            encoder.set_color(color);
            encoder.set_depth(depth);
            if let Some(palette) = palette {
                encoder.set_palette(palette);
            }
            encoder.write_header().unwrap().write_image_data(pixels).unwrap();
            decoded(&bytes).0
        };
        let deep = [1, 99, 2, 99, 3, 99, 4, 99, 5, 99, 6, 99];
        assert_eq!(png(png::ColorType::Rgb, png::BitDepth::Sixteen, &deep, None).pixels, [1, 2, 3, 4, 5, 6]);
        let colors = [9, 8, 7, 6, 5, 4];
        let palette = png(png::ColorType::Indexed, png::BitDepth::One, &[0b0100_0000], Some(&colors));
        assert_eq!((palette.color, &palette.pixels[..]), (Color::Rgb, &colors[..]));
    }

    #[test]
    fn what_cannot_be_seen_does_not_shine_through() {
        // Left half transparent green, right half opaque red: no thumbnail of it has any green.
        let pixel = |n: usize| if n % 64 < 32 { [0, 255, 0, 0] } else { [255, 0, 0, 255] };
        let pixels = (0..64 * 8).flat_map(pixel).collect();
        let file = encoded(&Image { width: 64, height: 8, color: Color::Rgba, pixels }, Format::Png);
        let settings = Settings { width: 7, ..Settings::default() };
        let (thumbnail, _) = decoded(&made(&settings, file).unwrap());
        assert!(thumbnail.pixels.chunks(4).all(|pixel| pixel[3] == 0 || pixel[1] == 0), "{thumbnail:?}");
    }

    #[test]
    fn a_colour_profile_goes_with_the_pixels() {
        let image = picture(64, 64, Color::Rgb);
        let file = jpeg(&image, |encoder| encoder.add_icc_profile(b"some profile").unwrap());
        for format in [Format::Jpeg, Format::Png, Format::Webp] {
            let settings = Settings { width: 8, format: Some(format), ..Settings::default() };
            let (_, meta) = decoded(&made(&settings, file.clone()).unwrap());
            assert_eq!(meta.profile.as_deref(), Some(b"some profile".as_slice()), "{format:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_whole_image_says_why() {
        let why = |file: &[u8]| made(&Settings::default(), file.to_vec()).unwrap_err();
        assert_eq!(why(b""), "the file is empty");
        assert_eq!(why(b"not an image at all"), "neither JPEG, PNG nor WebP");
        assert_eq!(why(&inputs::huge()), "60000x60000 is more than 200000000 pixels");
        let image = picture(200, 150, Color::Rgb);
        let progressive = jpeg(&image, |encoder| encoder.set_progressive(true));
        let files = [Format::Jpeg, Format::Png, Format::Webp].map(|format| encoded(&image, format));
        for file in files.into_iter().chain([progressive]) {
            for part in [8, 4, 2] {
                let why = why(&file[..file.len() - file.len() / part]);
                assert!(why.starts_with("damaged "), "{why}");
            }
            assert!(why(&file[..20]).starts_with("damaged "));
        }
    }

    #[test]
    fn a_jpeg_that_claims_to_be_huge_takes_no_memory() {
        let mut file = jpeg(&picture(8, 8, Color::Gray), |_| {});
        let frame = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        file[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
        let mut resizer = Resizer::new(&Settings::default());
        let made = resizer.task(&task(file)).made;
        assert_eq!(made, Made::Failed("60000x60000 is more than 200000000 pixels".to_owned()));
        assert_eq!(resizer.image.pixels.capacity(), 0);
    }

    #[test]
    fn files_are_read_here_or_sent() {
        let scratch = tempfile::tempdir().unwrap();
        let file = encoded(&picture(60, 40, Color::Rgb), Format::Png);
        std::fs::write(scratch.path().join("photo"), &file).unwrap();
        let huge = std::fs::File::create(scratch.path().join("huge")).unwrap();
        huge.set_len(MAX_BYTES + 1).unwrap();
        let base = ByteBuf::from(scratch.path().as_os_str().as_encoded_bytes());
        let settings = Settings { width: 8, fit: Fit::Exact, height: Some(8), base, ..Settings::default() };
        let (mut resizer, mut loader) = (Resizer::new(&settings), super::super::Loader::new(&settings));
        for name in ["photo", "huge", "gone", "."] {
            let task = Task { source: ByteBuf::from(name), content: Content::File, target: ByteBuf::new() };
            let loaded = loader.load(task.clone());
            assert_ne!(loaded.content, Content::File);
            let output = resizer.task(&task);
            assert_eq!(output, resizer.task(&loaded));
            assert_eq!(matches!(output.made, Made::Thumbnail { pixels: 2400, .. }), name == "photo");
        }
    }
}
