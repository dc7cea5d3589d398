//! Colour profiles: keeps or removes them, or converts the samples to sRGB.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::{
    Profile,
    image::{Color, Image, Meta},
};

/// Applies the setting to an image that is not premultiplied with alpha, and to its metadata.
pub(super) fn apply(setting: Profile, image: Image, meta: &mut Meta) -> Image {
    let profile = match setting {
        Profile::Keep => return image,
        Profile::Strip | Profile::Srgb => meta.profile.take(),
    };
    match profile {
        // A profile that cannot be used is ignored by every program that shows the image.
        Some(profile) if setting == Profile::Srgb => in_srgb(&image, &profile).unwrap_or(image),
        _ => image,
    }
}

/// The image in sRGB, or `None` if its profile is damaged, or one of other samples.
fn in_srgb(image: &Image, profile: &[u8]) -> Option<Image> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    match (profile.color_space, image.color.is_gray()) {
        // A grey image may have a profile of colours: its samples are equal parts of all.
        (DataColorSpace::Rgb, true) => Some(converted(&image.in_color(), &profile)?.in_gray()),
        (DataColorSpace::Rgb, false) => converted(image, &profile),
        (DataColorSpace::Gray, true) => Some(converted(image, &profile)?.in_gray()),
        _ => None,
    }
}

/// The image in sRGB, in colour.
fn converted(image: &Image, profile: &ColorProfile) -> Option<Image> {
    let (from, to, color) = match image.color {
        Color::Gray => (Layout::Gray, Layout::Rgb, Color::Rgb),
        Color::GrayAlpha => (Layout::GrayAlpha, Layout::Rgba, Color::Rgba),
        Color::Rgb => (Layout::Rgb, Layout::Rgb, Color::Rgb),
        Color::Rgba => (Layout::Rgba, Layout::Rgba, Color::Rgba),
    };
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(from, &srgb, to, TransformOptions::default()).ok()?;
    let mut result = Image::default();
    result.reset(image.size(), color);
    transform.transform(image.samples(), result.samples_mut()).ok()?;
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(color: Color, pixel: &[u8]) -> Image {
        Image { width: 3, height: 2, color, pixels: pixel.repeat(6) }
    }

    fn with(setting: Profile, image: Image, profile: &[u8]) -> (Image, Option<Vec<u8>>) {
        let mut meta = Meta { profile: Some(profile.to_vec()), ..Meta::NONE };
        let image = apply(setting, image, &mut meta);
        (image, meta.profile)
    }

    fn srgb(image: Image, profile: &ColorProfile) -> Vec<u8> {
        let (color, samples) = (image.color, image.color.samples());
        let (converted, left) = with(Profile::Srgb, image, &profile.encode().unwrap());
        assert_eq!((converted.color, left), (color, None));
        assert!(converted.pixels.chunks(samples).all(|pixel| pixel == &converted.pixels[..samples]));
        converted.pixels[..samples].to_vec()
    }

    #[test]
    fn a_profile_is_kept_or_left_out() {
        let photo = image(Color::Rgb, &[200, 100, 50]);
        assert_eq!(
            with(Profile::Keep, photo.clone(), b"profile"),
            (photo.clone(), Some(b"profile".to_vec()))
        );
        assert_eq!(with(Profile::Strip, photo.clone(), b"profile"), (photo.clone(), None));
        // It is not a profile, and every program takes the samples for sRGB.
        assert_eq!(with(Profile::Srgb, photo.clone(), b"profile"), (photo.clone(), None));
        let gray = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        assert_eq!(with(Profile::Srgb, photo.clone(), &gray), (photo, None));
    }

    /// The values follow from the definitions of the colour spaces, in floating point.
    #[test]
    fn colours_are_those_of_srgb() {
        let close = |found: &[u8], expected: &[u8]| {
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 1), "{found:?} {expected:?}");
        };
        let (adobe, p3) = (ColorProfile::new_adobe_rgb(), ColorProfile::new_display_p3());
        close(&srgb(image(Color::Rgb, &[200, 100, 50]), &adobe), &ADOBE);
        close(&srgb(image(Color::Rgba, &[200, 100, 50, 77]), &adobe), &[ADOBE[0], ADOBE[1], ADOBE[2], 77]);
        close(&srgb(image(Color::Rgb, &[200, 100, 50]), &p3), &P3);
        close(&srgb(image(Color::Rgb, &[200, 100, 50]), &ColorProfile::new_srgb()), &[200, 100, 50]);
        for profile in [&adobe, &p3] {
            close(&srgb(image(Color::Rgb, &[255; 3]), profile), &[255; 3]);
            close(&srgb(image(Color::Rgb, &[0; 3]), profile), &[0; 3]);
        }
    }

    const ADOBE: [u8; 3] = [227, 100, 42];
    const P3: [u8; 3] = [215, 93, 31];

    #[test]
    fn grey_remains_grey() {
        // Half of the light is 188 of 255 in sRGB.
        let linear = ColorProfile::new_gray_with_gamma(1.0);
        assert_eq!(srgb(image(Color::Gray, &[128]), &linear), [188]);
        assert_eq!(srgb(image(Color::GrayAlpha, &[128, 9]), &linear), [188, 9]);
        assert_eq!(srgb(image(Color::Gray, &[128]), &ColorProfile::new_srgb()), [128]);
    }
}
