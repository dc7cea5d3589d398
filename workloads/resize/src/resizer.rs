//! The kernel: read, decode, scale, encode.

use std::path::PathBuf;

use cc_core::{failpoint, root::Files, trace};
use serde_bytes::ByteBuf;

use super::{
    Content, Made, Output, Settings, Task,
    decode::decode,
    encode::{encode, prepared},
    image::Image,
    profile,
    read::read,
    scale::Scaler,
};

/// Maximum bytes of the pixel buffer that is kept for the next image: those of about fifty
/// megapixels. A fresh buffer costs page faults, which images of common sizes avoid; a larger
/// buffer is freed.
const MAX_KEPT_PIXELS: usize = 150 << 20;

/// Maximum bytes of the file buffer that is kept for the next image.
const MAX_KEPT_FILE: usize = 32 << 20;

/// The resizer of one worker. It starts no threads. It holds one image at a time and reuses its
/// buffers.
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
    /// A resizer for a job with these settings.
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

    /// Restricts the files that the resizer opens.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task.
    ///
    /// A panic leaves no state behind that the next task would see: each buffer is filled again
    /// before it is read. A caller may therefore assert unwind safety.
    #[must_use]
    pub fn task(&mut self, task: &Task) -> Output {
        let _span = trace::span("resize");
        let made = self.thumbnail(task);
        self.release();
        match made {
            Ok(made) => Output { source: task.source.clone(), target: task.target.clone(), made },
            Err(why) => task.failed(&why),
        }
    }

    /// Frees the buffers if the image was too large for keeping them.
    fn release(&mut self) {
        if self.image.pixels.capacity() > MAX_KEPT_PIXELS {
            (self.image, self.scaler) = (Image::default(), Scaler::default());
        }
        if self.file.capacity() > MAX_KEPT_FILE {
            self.file = Vec::new();
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
        let mut meta = decode(file, &mut self.image, Some(&self.settings))?;
        failpoint::hit(&task.source, 1);
        let frame = self.settings.frame(meta.orientation.of(meta.size))?.stored(&meta);
        let scaled = self.scaler.scale(&mut self.image, frame).turned(meta.orientation);
        let (width, height) = scaled.size();
        let format = self.settings.format.unwrap_or(meta.format);
        let thumbnail = profile::apply(self.settings.profile, prepared(scaled, format), &mut meta);
        let bytes = ByteBuf::from(encode(&thumbnail, &meta, format, self.settings.quality)?);
        Ok(Made::Thumbnail { bytes, width, height, pixels: meta.pixels() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        Fit, Format, Gravity, MAX_BYTES, Profile, encode,
        image::{Color, Meta, Orientation},
        inputs,
        jpeg_writer::difference,
        quality::ssim,
    };

    /// An image that differs in every direction: it has a gradient, an edge and a disc.
    pub(crate) fn picture(width: u32, height: u32, color: Color) -> Image {
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

    pub(crate) fn made(settings: &Settings, file: Vec<u8>) -> Result<Vec<u8>, String> {
        match Resizer::new(settings).task(&task(file)).made {
            Made::Thumbnail { bytes, .. } => Ok(bytes.into_vec()),
            Made::Failed(why) => Err(why),
        }
    }

    pub(crate) fn decoded(file: &[u8]) -> (Image, Meta) {
        let mut image = Image::default();
        let meta = decode(file, &mut image, None).unwrap();
        (image, meta)
    }

    fn encoded(image: &Image, format: Format) -> Vec<u8> {
        match format {
            Format::Jpeg => encode(image, &Meta::NONE, Format::Jpeg, 95).unwrap(),
            Format::Png => encode::png(image, &Meta::NONE).unwrap(),
            Format::Webp => encode::webp(image, &Meta::NONE).unwrap(),
        }
    }

    pub(crate) fn jpeg(image: &Image, set: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
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

    /// A chunk of a PNG file.
    fn png_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let named = [name, content].concat();
        let sum = inputs::crc(&named).to_be_bytes();
        [&(content.len() as u32).to_be_bytes(), &named[..], &sum].concat()
    }

    #[test]
    fn the_orientation_of_a_png_may_follow_its_pixels() {
        let file = encoded(&picture(120, 90, Color::Rgb), Format::Png);
        let (start, end) = (33, file.len() - 12); // after the first chunk, and before the last
        for exif in [inputs::exif(6), [&b"Exif\0\0"[..], &inputs::exif(6)].concat()] {
            for at in [start, end] {
                let chunk = png_chunk(b"eXIf", &exif);
                let file = [&file[..at], &chunk, &file[at..]].concat();
                let (_, meta) = decoded(&file);
                assert_eq!(meta.orientation, Orientation::of_exif(Some(inputs::exif(6))), "at {at}");
            }
        }
    }

    #[test]
    fn only_the_last_chunk_of_a_png_may_be_missing() {
        let file = encoded(&picture(120, 90, Color::Rgb), Format::Png);
        for lost in [1, 4, 7, 12] {
            assert_eq!(decoded(&file[..file.len() - lost]), decoded(&file), "without {lost}");
        }
        for lost in [13, 16, 17, 20, 30, file.len() / 2] {
            let why = made(&Settings::default(), file[..file.len() - lost].to_vec()).unwrap_err();
            assert!(why.starts_with("damaged PNG: "), "without {lost}: {why}");
        }
    }

    #[test]
    fn a_webp_may_have_the_orientation_of_a_jpeg() {
        let image = picture(120, 90, Color::Rgb);
        for exif in [inputs::exif(6), [&b"Exif\0\0"[..], &inputs::exif(6)].concat()] {
            let mut file = Vec::new();
            let mut encoder = image_webp::WebPEncoder::new(&mut file);
            encoder.set_exif_metadata(exif);
            encoder.encode(&image.pixels, 120, 90, image_webp::ColorType::Rgb8).unwrap();
            assert_eq!(decoded(&file).1.orientation, Orientation::of_exif(Some(inputs::exif(6))));
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

    /// All gravities, each with the column and the row, of three, where its part lies.
    const GRAVITIES: [(Gravity, u32, u32); 9] = [
        (Gravity::NorthWest, 0, 0),
        (Gravity::North, 1, 0),
        (Gravity::NorthEast, 2, 0),
        (Gravity::West, 0, 1),
        (Gravity::Centre, 1, 1),
        (Gravity::East, 2, 1),
        (Gravity::SouthWest, 0, 2),
        (Gravity::South, 1, 2),
        (Gravity::SouthEast, 2, 2),
    ];

    #[test]
    fn the_gravity_is_the_part_that_is_left() {
        let image = picture(90, 60, Color::Rgb);
        let file = encoded(&image, Format::Png);
        for (gravity, column, row) in GRAVITIES {
            // The parts have the whole height, or the whole width.
            for (size, left, top) in [((30, 60), 30 * column, 0), ((90, 20), 0, 20 * row)] {
                let (width, height) = (size.0, Some(size.1));
                let settings = Settings { width, height, fit: Fit::Cover, gravity, ..Settings::default() };
                // Nothing is enlarged, so the thumbnail has the pixels of the image.
                let (thumbnail, _) = decoded(&made(&settings, file.clone()).unwrap());
                assert_eq!(thumbnail.size(), size);
                for (y, row) in (top..).zip(thumbnail.samples().chunks(size.0 as usize * 3)) {
                    let start = (y * 90 + left) as usize * 3;
                    assert_eq!(row, &image.samples()[start..start + row.len()], "{gravity:?} {y}");
                }
            }
        }
    }

    #[test]
    fn the_gravity_is_that_of_the_image_that_is_seen() {
        let stored = picture(90, 60, Color::Rgb);
        let file = encoded(&stored, Format::Png);
        for number in 1..=8 {
            let exif = png_chunk(b"eXIf", &inputs::exif(number));
            let turned = [&file[..33], &exif, &file[33..]].concat();
            let upright = stored.clone().turned(Orientation::of_exif(Some(inputs::exif(number))));
            let upright = encoded(&upright, Format::Png);
            for (gravity, ..) in GRAVITIES {
                for (width, height) in [(10, Some(30)), (30, Some(10))] {
                    let settings =
                        Settings { width, height, fit: Fit::Cover, gravity, ..Settings::default() };
                    let thumbnail = |file: &[u8]| decoded(&made(&settings, file.to_vec()).unwrap()).0;
                    let difference = difference(&thumbnail(&turned), &thumbnail(&upright));
                    assert!(difference < 1.0, "{number} {gravity:?}: {difference}");
                }
            }
        }
    }

    #[test]
    fn a_profile_is_kept_left_out_or_converted() {
        let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
        let meta = Meta { profile: Some(p3.clone()), ..Meta::NONE };
        for color in [Color::Rgb, Color::Rgba] {
            let pixel = [200, 100, 50, 255];
            let pixels = pixel[..color.samples()].repeat(64 * 64);
            let file = encode::png(&Image { width: 64, height: 64, color, pixels }, &meta).unwrap();
            for (profile, red, left) in [
                (Profile::Keep, 200, Some(p3.clone())),
                (Profile::Strip, 200, None),
                (Profile::Srgb, 215, None),
            ] {
                for format in [Format::Png, Format::Jpeg, Format::Webp] {
                    let settings =
                        Settings { width: 8, profile, format: Some(format), ..Settings::default() };
                    let (thumbnail, meta) = decoded(&made(&settings, file.clone()).unwrap());
                    assert_eq!(meta.profile, left, "{profile:?} {format:?}");
                    let found = thumbnail.samples()[0];
                    assert!(found.abs_diff(red) <= 2, "{profile:?} {format:?} {color:?}: {found}");
                }
            }
        }
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
    fn a_profile_that_is_larger_than_any_is_left_out() {
        let image = picture(8, 8, Color::Rgb);
        for (size, is_kept) in [(1000, true), (25 << 20, false)] {
            let meta = Meta { profile: Some(vec![7; size]), ..Meta::NONE };
            for file in [encode::png(&image, &meta).unwrap(), encode::webp(&image, &meta).unwrap()] {
                let output = made(&Settings { width: 4, ..Settings::default() }, file).unwrap();
                assert_eq!(decoded(&output).1.profile.is_some(), is_kept, "{size}");
            }
        }
    }

    #[test]
    fn a_file_that_is_no_whole_image_says_why() {
        let why = |file: &[u8]| made(&Settings::default(), file.to_vec()).unwrap_err();
        assert_eq!(why(b""), "the file is empty");
        assert_eq!(why(b"not an image at all"), "neither JPEG, PNG, WebP nor GIF");
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

    /// A small JPEG whose frame header claims another size.
    fn claiming((width, height): (u16, u16), is_progressive: bool) -> Vec<u8> {
        let mut file = jpeg(&picture(8, 8, Color::Gray), |encoder| encoder.set_progressive(is_progressive));
        let marker = [0xff, if is_progressive { 0xc2 } else { 0xc0 }];
        let frame = file.windows(2).position(|two| two == marker).unwrap();
        let [[y0, y1], [x0, x1]] = [height, width].map(u16::to_be_bytes);
        file[frame + 5..frame + 9].copy_from_slice(&[y0, y1, x0, x1]);
        file
    }

    /// The reason why a file is refused. No memory must have been allocated for its pixels.
    fn refused(settings: &Settings, file: Vec<u8>) -> String {
        let mut resizer = Resizer::new(settings);
        let Made::Failed(why) = resizer.task(&task(file)).made else { panic!("the file is not refused") };
        assert_eq!(resizer.image.pixels.capacity(), 0, "{why}");
        why
    }

    #[test]
    fn a_jpeg_that_claims_to_be_huge_takes_no_memory() {
        let why = refused(&Settings::default(), claiming((60_000, 60_000), false));
        assert_eq!(why, "60000x60000 is more than 200000000 pixels");
        for is_progressive in [false, true] {
            let file = claiming((14_000, 14_000), is_progressive);
            assert!(file.len() < 700);
            let why = refused(&Settings::default(), file);
            assert!(
                why.starts_with("damaged JPEG: ") && why.contains("are too few for 3062500 blocks"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_png_whose_bytes_cannot_make_its_pixels_takes_no_memory() {
        let file = inputs::claiming(14_000, 14_000);
        let why = refused(&Settings::default(), file);
        assert!(why.contains("are too few for 14000x14000 pixels"), "{why}");
    }

    #[test]
    fn an_image_that_takes_more_memory_than_it_may_takes_none() {
        let image = picture(200, 150, Color::Rgb);
        let progressive = jpeg(&image, |encoder| encoder.set_progressive(true));
        let files = [Format::Jpeg, Format::Png, Format::Webp].map(|format| encoded(&image, format));
        for (file, pixel) in files.into_iter().chain([progressive]).zip([3, 3, 7, 9]) {
            let takes = 200 * 150 * pixel;
            let less = Settings { memory: takes - 1, ..Settings::default() };
            let why = refused(&less, file.clone());
            assert_eq!(why, "200x150 needs 1 MiB of memory, more than the limit of 1 MiB", "{pixel}");
            // Blocks at the edges are padded, so a progressive image has more coefficients than
            // samples.
            let enough = Settings { memory: takes * 11 / 10, ..Settings::default() };
            assert!(made(&enough, file).is_ok(), "{pixel}");
        }
    }

    #[test]
    fn a_photograph_of_a_hundred_megapixels_may_take_what_it_takes() {
        let pixels = 100_000_000;
        assert!(pixels * (Color::Rgb.memory() + 2 * 3) < super::super::MAX_MEMORY);
    }

    #[test]
    fn an_unusual_image_s_buffers_are_given_back() {
        let side = 6300;
        assert!(side * side * 4 > MAX_KEPT_PIXELS);
        let image = Image {
            width: side as u32,
            height: side as u32,
            color: Color::Rgba,
            pixels: vec![0; side * side * 4],
        };
        let file = encoded(&image, Format::Png);
        let mut resizer = Resizer::new(&Settings { width: 8, ..Settings::default() });
        assert!(matches!(resizer.task(&task(file)).made, Made::Thumbnail { .. }));
        assert_eq!(resizer.image.pixels.capacity(), 0);
    }

    #[test]
    fn a_jpeg_that_ends_before_its_image_does_is_damaged() {
        let (image, gray) = (picture(120, 90, Color::Rgb), picture(120, 90, Color::Gray));
        let files = [
            ("baseline", jpeg(&image, |_| ())),
            ("progressive", jpeg(&image, |encoder| encoder.set_progressive(true))),
            ("with restarts", jpeg(&image, |encoder| encoder.set_restart_interval(3))),
            ("grey", jpeg(&gray, |_| ())),
            ("of four inks", jpeg(&picture(120, 90, Color::Rgba), |_| ())),
        ];
        for (name, file) in files {
            for lost in [20, 50, file.len() / 8, file.len() / 4, file.len() / 3] {
                let mut cut = file[..file.len() - 2 - lost].to_vec();
                cut.truncate(cut.iter().rposition(|byte| *byte != 0xff).unwrap() + 1);
                cut.extend([0xff, 0xd9]);
                let why = made(&Settings::default(), cut).expect_err(name);
                assert!(why.starts_with("damaged JPEG: "), "{name} without {lost}: {why}");
            }
        }
    }

    #[test]
    fn a_jpeg_that_stops_at_another_scan_shows_nothing_of_the_last_image() {
        let white = Image { width: 120, height: 90, color: Color::Rgb, pixels: vec![255; 120 * 90 * 3] };
        let file = jpeg(&picture(120, 90, Color::Gray), |_| ());
        // The header of the scan of a grey image.
        let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
        let data = file.windows(2).position(|two| two == [0xff, 0xda]).unwrap() + scan.len();
        let mut resizer = Resizer::new(&Settings { width: 120, ..Settings::default() });
        for part in [2, 3, 4] {
            let at = data + (file.len() - data) / part;
            let at = (at..).find(|at| file[at - 1] != 0xff).unwrap();
            let cut = [&file[..at], &scan, &file[at..]].concat();
            assert!(matches!(resizer.task(&task(encoded(&white, Format::Png))).made, Made::Thumbnail { .. }));
            let made = resizer.task(&task(cut)).made;
            assert!(matches!(&made, Made::Failed(why) if why.starts_with("damaged JPEG: ")), "{made:?}");
        }
    }

    #[test]
    fn a_jpeg_may_end_like_a_mark() {
        for sample in [0, 0x55, 0xaa, 255] {
            for side in [1, 3, 40] {
                let pixels = vec![sample; (side * side) as usize];
                let image = Image { width: side, height: side, color: Color::Gray, pixels };
                let (decoded, _) = decoded(&jpeg(&image, |_| ()));
                assert!(decoded.samples().iter().all(|other| *other == sample), "{sample} {side}");
            }
        }
    }

    #[test]
    fn a_jpeg_of_any_size_is_whole() {
        for (width, height) in [(1, 1), (1, 90), (90, 1), (7, 8), (8, 9), (16, 64), (17, 33), (200, 3)] {
            for color in [Color::Gray, Color::Rgb] {
                let image = picture(width, height, color);
                let same = Settings { width, ..Settings::default() };
                for (restarts, is_progressive) in [(0, false), (0, true), (1, false), (2, false)] {
                    let file = jpeg(&image, |encoder| {
                        encoder.set_progressive(is_progressive);
                        encoder.set_restart_interval(restarts);
                    });
                    let case = format!("{width}x{height} {color:?} {restarts} {is_progressive}");
                    assert!(made(&same, [&file[..], b"what a camera adds"].concat()).is_ok(), "{case}");
                    made(&same, file).expect(&case);
                }
            }
        }
    }

    #[test]
    fn a_fifo_in_a_file_s_place_is_not_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let mode = rustix::fs::Mode::from(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            scratch.path().join("photo"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let base = ByteBuf::from(scratch.path().as_os_str().as_encoded_bytes());
        let mut resizer = Resizer::new(&Settings { base, ..Settings::default() });
        let task = Task { content: Content::File, ..task(Vec::new()) };
        assert_eq!(resizer.task(&task).made, Made::Failed("Not a regular file".to_owned()));
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
