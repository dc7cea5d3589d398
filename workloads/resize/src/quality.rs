//! Tests the quality of thumbnails: compares them with ones that are computed of every pixel in
//! floating point.

use std::{fs, path::Path};

use walkdir::WalkDir;

use super::{
    Fit, Format, Settings,
    encode::encode,
    image::{Image, Meta},
    inputs,
    resizer::tests::{decoded, made},
    scale::Frame,
};

/// The windows of a Lanczos filter with three lobes for each of `to` samples. They are computed
/// from the middle `part` of `length` samples. A window is its first sample, and the weights from
/// there on.
fn windows(length: u32, part: f64, to: u32) -> Vec<(usize, Vec<f64>)> {
    let sinc = |x: f64| match x * std::f64::consts::PI {
        0.0 => 1.0,
        x => x.sin() / x,
    };
    let (step, left) = (part / f64::from(to), (f64::from(length) - part) / 2.0);
    let scale = step.max(1.0);
    let window = |n: u32| {
        let center = left + (f64::from(n) + 0.5) * step - 0.5;
        let from = (center - 3.0 * scale).ceil().max(0.0) as u32;
        let until = ((center + 3.0 * scale).floor() as u32).min(length - 1);
        let weights = (from..=until).map(|at| (f64::from(at) - center) / scale);
        let weights: Vec<f64> = weights.map(|x| sinc(x) * sinc(x / 3.0)).collect();
        let sum: f64 = weights.iter().sum();
        (from as usize, weights.into_iter().map(|weight| weight / sum).collect())
    };
    (0..to).map(window).collect()
}

/// Scales an image with the textbook Lanczos filter.
fn lanczos(image: &Image, frame: Frame) -> Image {
    let (columns, rows) =
        (windows(image.width, frame.part.0, frame.size.0), windows(image.height, frame.part.1, frame.size.1));
    let samples = image.color.samples();
    let line = image.width as usize * samples;
    let mut scaled = Vec::new();
    for (top, weights) in &rows {
        // The filter is separable: first it combines the rows of a window, then the columns.
        let mut joined = vec![0.0; line];
        for (row, weight) in image.pixels.chunks_exact(line).skip(*top).zip(weights) {
            joined.iter_mut().zip(row).for_each(|(sum, sample)| *sum += weight * f64::from(*sample));
        }
        for (left, weights) in &columns {
            for sample in 0..samples {
                let values = joined[left * samples + sample..].iter().step_by(samples);
                let value: f64 = values.zip(weights).map(|(value, weight)| value * weight).sum();
                scaled.push(value.round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    Image { width: frame.size.0, height: frame.size.1, color: image.color, pixels: scaled }
}

/// The structural similarity (SSIM) of two images, 1 for equal ones: the mean over windows of eight
/// by eight pixels, one at every fourth pixel, of the index of their brightness.
pub(super) fn ssim(image: &Image, other: &Image) -> f64 {
    assert_eq!((image.size(), image.color), (other.size(), other.color));
    let samples = image.color.samples();
    let weights = if samples == 3 { &[0.299, 0.587, 0.114][..] } else { &[1.0] };
    let light =
        |pixel: &[u8]| pixel.iter().zip(weights).map(|(sample, weight)| f64::from(*sample) * weight).sum();
    let gray = |image: &Image| image.samples().chunks(samples).map(light).collect::<Vec<f64>>();
    let (ours, theirs) = (gray(image), gray(other));
    let (width, height) = (image.width as usize, image.height as usize);
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in (0..=height - 8).step_by(4) {
        for left in (0..=width - 8).step_by(4) {
            let (mut a, mut b, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for at in (top..top + 8).flat_map(|y| (left..left + 8).map(move |x| y * width + x)) {
                let (x, y) = (ours[at], theirs[at]);
                (a, b, aa, bb, ab) = (a + x, b + y, aa + x * x, bb + y * y, ab + x * y);
            }
            let (a, b) = (a / 64.0, b / 64.0);
            let (aa, bb, ab) = (aa / 64.0 - a * a, bb / 64.0 - b * b, ab / 64.0 - a * b);
            let (c1, c2) = (6.5025, 58.5225);
            sum += (2.0 * a * b + c1) * (2.0 * ab + c2) / ((a * a + b * b + c1) * (aa + bb + c2));
            windows += 1.0;
        }
    }
    sum / windows
}

/// The similarity of a thumbnail to the exact one: of their pixels, and of the two encoded as JPEG.
fn similarities(file: &[u8], settings: &Settings) -> (f64, f64) {
    let (image, meta) = decoded(file);
    let frame = settings.frame(meta.orientation.of(meta.size)).unwrap().stored(&meta);
    let exact = lanczos(&image, frame).turned(meta.orientation);
    let ours = |format| {
        let settings = Settings { format: Some(format), ..settings.clone() };
        decoded(&made(&settings, file.to_vec()).unwrap()).0
    };
    let encoded = encode(&exact, &Meta::NONE, Format::Jpeg, settings.quality).unwrap();
    (ssim(&ours(Format::Png), &exact), ssim(&ours(Format::Jpeg), &decoded(&encoded).0))
}

/// The photographs of a directory that are undamaged and opaque.
fn photographs(folder: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    let files = WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    let files = files
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()));
    files.filter(|(_, file)| {
        let mut image = Image::default();
        super::decode::decode(file, &mut image, None).is_ok() && !image.color.has_alpha()
    })
}

/// With `--nocapture`, the test prints all similarities.
#[test]
fn a_thumbnail_looks_like_one_made_of_every_pixel_in_floating_point() {
    let scratch = tempfile::tempdir().unwrap();
    let spec = inputs::Spec { seed: 3, images: 14, pixels: 14_000_000, digest: String::new() };
    inputs::generate(&spec, scratch.path()).unwrap();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, file) in photographs(scratch.path()) {
        for (width, height, fit) in
            [(160, None, Fit::Contain), (101, Some(97), Fit::Cover), (320, None, Fit::Contain)]
        {
            let settings = Settings { width, height, fit, ..Settings::default() };
            let (pixels, encoded) = similarities(&file, &settings);
            let text = format!("{name} {width} wide, {fit:?}: {pixels:.4} as pixels, {encoded:.4} as JPEG");
            println!("{text}");
            compared += 1;
            if pixels.min(encoded) < 0.98 {
                wrong.push(text);
            }
        }
    }
    assert_eq!((compared, wrong), (33, vec![]));
}
