//! Decodes JPEG with libjpeg-turbo. It is an optional feature, since its build needs cmake and
//! nasm.
//!
//! A block of eight by eight pixels is decoded as one of n by n: pixels that the thumbnail would
//! only average are never computed. The other decoder does all else: it checks the limits, reads
//! the metadata, and decodes the files that are not supported here.

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, PixelFormat, ScalingFactor};

use super::{
    Settings,
    image::{Color, Image, Meta},
    scale::Frame,
};

/// Maximum scans of a file: the limit of the other decoder. Each scan is a pass over the whole
/// image, and a file of a few bytes can have any number of them.
const MAX_SCANS: u32 = 100;

/// Decodes a file's pixels at the smallest scale that leaves at least twice the thumbnail's pixels
/// in both directions, and returns the scale. Returns `None` if the other decoder must decode the
/// file: it has four inks, or it is damaged, which must give the same error with and without this
/// feature.
pub(super) fn decode(
    file: &[u8],
    meta: &Meta,
    color: Color,
    settings: &Settings,
    image: &mut Image,
) -> Option<f64> {
    let eighths = eighths(meta, settings);
    let scale = ScalingFactor::new(eighths, 8);
    let mut decompressor = Decompressor::new().ok()?;
    decompressor.set_scan_limit(MAX_SCANS).ok()?;
    decompressor.set_scaling_factor(scale).ok()?;
    let header = decompressor.read_header(file).ok()?;
    let format = format(&header, color).filter(|_| same_size(&header, meta))?;
    let (width, height) = (scale.scale(header.width), scale.scale(header.height));
    image.reset((width as u32, height as u32), color);
    let (pixels, pitch) = (image.samples_mut(), width * color.samples());
    decompressor.decompress(file, turbojpeg::Image { pixels, width, pitch, height, format }).ok()?;
    Some(eighths as f64 / 8.0)
}

/// The pixels that eight pixels of a row are decoded to.
fn eighths(meta: &Meta, settings: &Settings) -> usize {
    // If the settings allow no thumbnail, the caller reports that after decoding, as without this
    // feature.
    let Ok(Frame { size, part, .. }) = settings.frame(meta.orientation.of(meta.size)) else { return 8 };
    let reduction = (part.0 / f64::from(size.0)).min(part.1 / f64::from(size.1));
    ((16.0 / reduction).ceil() as usize).clamp(1, 8)
}

fn format(header: &DecompressHeader, color: Color) -> Option<PixelFormat> {
    match (header.colorspace, color) {
        (Colorspace::Gray, Color::Gray) => Some(PixelFormat::GRAY),
        (Colorspace::YCbCr | Colorspace::RGB, Color::Rgb) => Some(PixelFormat::RGB),
        _ => None,
    }
}

/// Whether the two decoders agree on the size, for which the limits were checked.
fn same_size(header: &DecompressHeader, meta: &Meta) -> bool {
    (header.width, header.height) == (meta.size.0 as usize, meta.size.1 as usize)
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use xxhash_rust::xxh3::xxh3_128;

    use super::*;
    use crate::{
        Fit, Format,
        decode::decode as decode_file,
        encode,
        image::Orientation,
        inputs,
        quality::ssim,
        resizer::tests::{decoded, jpeg, made, picture},
    };

    fn settings(width: u32, height: Option<u32>, fit: Fit) -> Settings {
        Settings { width, height, fit, ..Settings::default() }
    }

    /// The image as it is decoded for a thumbnail of this width, and the scale.
    fn reduced(file: &[u8], width: u32) -> (Image, f64) {
        let mut image = Image::default();
        let settings = settings(width, None, Fit::Contain);
        let meta = decode_file(file, &mut image, Some(&settings)).unwrap();
        (image, meta.scale)
    }

    #[test]
    fn at_least_twice_the_thumbnail_is_decoded_in_both_directions() {
        let of = |size, settings: &Settings| eighths(&Meta { size, ..Meta::NONE }, settings);
        let contain = |width| settings(width, None, Fit::Contain);
        assert_eq!(of((4000, 3000), &contain(240)), 1);
        assert_eq!(of((4000, 3000), &contain(251)), 2);
        assert_eq!(of((4000, 3000), &contain(500)), 2);
        assert_eq!(of((4000, 3000), &contain(512)), 3);
        assert_eq!(of((4000, 3000), &contain(1999)), 8);
        assert_eq!(of((4000, 3000), &contain(5000)), 8);
        assert_eq!(of((50_000, 8), &contain(10)), 2);
        // The side that is reduced less decides, and cropped parts do not count.
        assert_eq!(of((4000, 3000), &settings(100, Some(1000), Fit::Exact)), 6);
        assert_eq!(of((4000, 1000), &settings(100, Some(125), Fit::Cover)), 2);
        let turned = Meta {
            size: (4000, 1000),
            orientation: Orientation::of_exif(Some(inputs::exif(6))),
            ..Meta::NONE
        };
        assert_eq!(eighths(&turned, &settings(125, Some(100), Fit::Cover)), 2);
        assert_eq!(of((4000, 3000), &contain(0)), 8);
    }

    #[test]
    fn jpeg_of_every_kind_is_decoded_smaller() {
        let (image, gray) = (picture(333, 251, Color::Rgb), picture(333, 251, Color::Gray));
        let full = jpeg_encoder::SamplingFactor::R_4_4_4;
        let files = [
            ("baseline", jpeg(&image, |_| ())),
            ("progressive", jpeg(&image, |encoder| encoder.set_progressive(true))),
            ("with restarts", jpeg(&image, |encoder| encoder.set_restart_interval(3))),
            ("with all of its colours", jpeg(&image, |encoder| encoder.set_sampling_factor(full))),
            ("grey", jpeg(&gray, |_| ())),
            ("grey progressive", jpeg(&gray, |encoder| encoder.set_progressive(true))),
        ];
        for (name, file) in files {
            let color = decoded(&file).0.color;
            for (width, size, scale) in
                [(20, (42, 32), 0.125), (60, (125, 95), 0.375), (200, (333, 251), 1.0)]
            {
                let (image, found) = reduced(&file, width);
                assert_eq!((image.size(), image.color, found), (size, color, scale), "{name} to {width}");
            }
        }
    }

    #[test]
    fn what_is_not_taken_is_decoded_in_full() {
        let inks = jpeg(&picture(320, 240, Color::Rgba), |_| ());
        let (image, scale) = reduced(&inks, 20);
        assert_eq!((image, scale), (decoded(&inks).0, 1.0));
    }

    #[test]
    fn a_damaged_file_fails_for_the_same_reason_as_with_the_other_decoder() {
        let image = picture(320, 240, Color::Rgb);
        for file in [jpeg(&image, |_| ()), jpeg(&image, |encoder| encoder.set_progressive(true))] {
            for part in [3, 20, 200, file.len() / 2, file.len() - 64, file.len() - 2] {
                let why = |settings| decode_file(&file[..part], &mut Image::default(), settings).err();
                let settings = settings(20, None, Fit::Contain);
                assert_eq!(why(Some(&settings)), why(None), "{part} of {} bytes", file.len());
            }
        }
    }

    #[test]
    fn a_thumbnail_has_the_same_part_of_the_image_in_the_same_place() {
        // A size that only the scale 8/8 divides evenly.
        for orientation in 1..=8 {
            let image = picture(331, 253, Color::Rgb);
            let file = jpeg(&image, |encoder| encoder.add_exif_metadata(&inputs::exif(orientation)).unwrap());
            let (whole, meta) = decoded(&file);
            let upright = encode::png(&whole.turned(meta.orientation), &Meta::NONE).unwrap();
            for settings in [settings(40, None, Fit::Contain), settings(30, Some(44), Fit::Cover)] {
                let settings = Settings { format: Some(Format::Png), ..settings };
                let thumbnail = |file: &[u8]| decoded(&made(&settings, file.to_vec()).unwrap()).0;
                let (ours, whole) = (thumbnail(&file), thumbnail(&upright));
                assert_eq!(ours.size(), whole.size(), "orientation {orientation}");
                let ssim = ssim(&ours, &whole);
                assert!(ssim > 0.995, "orientation {orientation}: {ssim}");
            }
        }
    }

    /// The test runs itself in a second process: the library reads the variable that disables the
    /// processor's extensions only once.
    #[test]
    fn plain_code_gives_the_same_pixels() {
        const PLAIN: &str = "JSIMD_FORCENONE";
        let file = jpeg(&picture(333, 251, Color::Rgb), |_| ());
        let digests = [20, 40, 60, 80, 100, 120, 140, 200].map(|width| {
            let (image, scale) = reduced(&file, width);
            format!("{scale}: {:x}", xxh3_128(image.samples()))
        });
        let digests = digests.join(", ");
        if env::var_os(PLAIN).is_some() {
            println!("{digests}");
            return;
        }
        let name = "turbo::tests::plain_code_gives_the_same_pixels";
        let mut plain = Command::new(env::current_exe().unwrap());
        let plain = plain.args([name, "--exact", "--nocapture"]).env(PLAIN, "1").output().unwrap();
        let plain = String::from_utf8(plain.stdout).unwrap();
        assert!(plain.contains(&digests), "{digests} with the processor's extensions, and without:\n{plain}");
    }
}
