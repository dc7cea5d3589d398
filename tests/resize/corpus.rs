//! The images: good ones of every kind, bad ones, some of medium size, and two thousand of one
//! pixel.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

pub(super) use cc_conformance::suite::corpus as path;

/// The number of images in `medium`.
pub(super) const MEDIUM: usize = 96;

/// The number of images of one pixel in `tiny`.
pub(super) const TINY: usize = 2000;

/// The width and the height of `large.jpg`.
pub(super) const LARGE: (u16, u16) = (960, 720);

/// The image in the middle of `medium`.
pub(super) const MIDDLE: &str = "medium/048.jpg";

/// The files of `bad` that can be opened, and a part of the message about each.
pub(super) const BAD: &[(&str, &str)] = &[
    ("bomb.jpg", "pixels"),
    ("bomb.png", "60000x60000 is more than"),
    ("bomb.webp", ""),
    ("cut-in-the-header.jpg", "damaged JPEG"),
    ("cut.jpg", "damaged JPEG"),
    ("cut.png", "damaged PNG"),
    ("cut.webp", "damaged WebP"),
    ("empty.jpg", "empty"),
    ("garbled.png", "damaged PNG"),
    ("text.jpg", "neither JPEG, PNG, WebP nor GIF"),
];

/// Makes the corpus in a directory.
pub(super) fn make(dir: &Path) {
    good(&dir.join("good"));
    bad(&dir.join("bad"));
    let medium = jpeg(&scene(320, 240, 3), 320, 240, |_| ());
    write_all(&dir.join("medium"), (0..MEDIUM).map(|n| (format!("{n:03}.jpg"), medium.clone())));
    let large = jpeg(&scene(LARGE.0.into(), LARGE.1.into(), 3), LARGE.0, LARGE.1, |_| ());
    write(&dir.join("large.jpg"), &large);
    let tiny = |n: usize| {
        let [high, low] = (n as u16).to_be_bytes();
        png(&[high, low, 128], 1, 1, png::ColorType::Rgb, |_| ())
    };
    write_all(&dir.join("tiny"), (0..TINY).map(|n| (format!("{:02}/{:02}.png", n / 100, n % 100), tiny(n))));
    fs::create_dir(dir.join("none")).expect("the corpus can be written");
}

fn good(dir: &Path) {
    let color = scene(90, 60, 3);
    let plain = jpeg(&color, 90, 60, |_| ());
    let names: [&[u8]; 6] = [
        b"plain.jpg",
        b"UPPER.JPG",
        b"new\nline.jpeg",
        b"not-utf8-\xff.jpg",
        b"in fact a jpeg.png",
        b"-dash.jpg",
    ];
    for name in names {
        write(&dir.join(OsStr::from_bytes(name)), &plain);
    }
    write(&dir.join("below/this/deep.jpg"), &plain);
    write(&dir.join("below/notes.txt"), b"no image");
    write(&dir.join("progressive.jpg"), &jpeg(&color, 90, 60, |e| e.set_progressive(true)));
    write(&dir.join("restarts.jpg"), &jpeg(&color, 90, 60, |e| e.set_restart_interval(3)));
    let full = jpeg_encoder::SamplingFactor::R_4_4_4;
    write(&dir.join("full-colour.jpg"), &jpeg(&color, 90, 60, |e| e.set_sampling_factor(full)));
    for side in 1..=8 {
        let turned = jpeg(&color, 90, 60, |e| e.add_exif_metadata(&exif(side)).expect("a few bytes"));
        write(&dir.join(format!("turned-{side}.jpg")), &turned);
    }
    let grey = jpeg_encoder::ColorType::Luma;
    write(&dir.join("grey.jpg"), &jpeg_of(&scene(90, 60, 1), 90, 60, grey, |_| ()));
    for (name, kind) in
        [("cmyk.jpg", jpeg_encoder::ColorType::Cmyk), ("ycck.jpg", jpeg_encoder::ColorType::CmykAsYcck)]
    {
        // Otherwise the first component is smaller than the last, which is unsupported.
        let inks = jpeg_of(&scene(90, 60, 4), 90, 60, kind, |e| e.set_sampling_factor(full));
        write(&dir.join(name), &inks);
    }

    use png::{BitDepth, ColorType};
    let at_depth = |name: &str, bytes: usize, color: ColorType, depth: BitDepth| {
        let pixels = scene(70, 50, bytes);
        write(&dir.join(name), &png(&pixels, 70, 50, color, |e| e.set_depth(depth)));
    };
    at_depth("plain.png", 3, ColorType::Rgb, BitDepth::Eight);
    at_depth("alpha.png", 4, ColorType::Rgba, BitDepth::Eight);
    at_depth("grey.png", 1, ColorType::Grayscale, BitDepth::Eight);
    at_depth("grey-alpha.png", 2, ColorType::GrayscaleAlpha, BitDepth::Eight);
    at_depth("sixteen-bit.png", 6, ColorType::Rgb, BitDepth::Sixteen);
    at_depth("sixteen-bit-alpha.png", 8, ColorType::Rgba, BitDepth::Sixteen);
    // The same pixels as in plain.png, in seven passes, which the encoder does not make.
    write(&dir.join("interlaced.png"), &interlaced(&scene(70, 50, 3), 70, 50));
    let palette = png(&scene(70, 50, 1), 70, 50, ColorType::Indexed, |e| {
        e.set_palette((0..=255).flat_map(|n| [n, 255 - n, n / 2]).collect::<Vec<u8>>());
        e.set_trns((0..=255).collect::<Vec<u8>>());
    });
    write(&dir.join("palette.png"), &palette);

    use image_webp::ColorType as Webp;
    for (name, bytes, color) in
        [("plain.webp", 3, Webp::Rgb8), ("alpha.webp", 4, Webp::Rgba8), ("grey.webp", 1, Webp::L8)]
    {
        write(&dir.join(name), &webp(&scene(80, 40, bytes), 80, 40, color));
    }
    // Made by libwebp, because the encoder in Rust is only lossless.
    write(&dir.join("lossy.webp"), include_bytes!("lossy.webp"));
    for (name, width, height) in [("one-pixel.png", 1, 1), ("wide.png", 2000, 1), ("high.png", 1, 2000)] {
        write(&dir.join(name), &png(&scene(width, height, 3), width, height, ColorType::Rgb, |_| ()));
    }
    // Made with Pillow, which writes more than one frame.
    write(&dir.join("frames.gif"), include_bytes!("../../fuzz/corpus/images/frames.gif"));
    let separate = include_bytes!("../../fuzz/corpus/images/separate-scans.jpg");
    write(&dir.join("separate-scans.jfif"), separate);
    symlink("plain.jpg", dir.join("link.jpg")).expect("a link can be made");
}

fn bad(dir: &Path) {
    let half = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    let photo = jpeg(&scene(200, 200, 3), 200, 200, |_| ());
    let lossless = png(&scene(200, 200, 3), 200, 200, png::ColorType::Rgb, |_| ());
    let lossless_webp = webp(&scene(200, 200, 3), 200, 200, image_webp::ColorType::Rgb8);
    write(&dir.join("cut.jpg"), &half(photo.clone()));
    write(&dir.join("cut.png"), &half(lossless.clone()));
    write(&dir.join("cut.webp"), &half(lossless_webp.clone()));
    write(&dir.join("cut-in-the-header.jpg"), &photo[..100]);
    write(&dir.join("empty.jpg"), b"");
    write(&dir.join("text.jpg"), b"This is no image.\n");
    let mut garbled = lossless.clone();
    let middle = garbled.len() / 2;
    garbled[middle..middle + 64].fill(0x55);
    write(&dir.join("garbled.png"), &garbled);

    // Each header claims a size far beyond that of the data.
    let mut bomb = lossless;
    let side = 60_000_u32.to_be_bytes();
    bomb[16..24].copy_from_slice(&[side, side].concat());
    let sum = crc(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&sum);
    write(&dir.join("bomb.png"), &bomb);
    let mut bomb = photo;
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a JPEG has a frame");
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    write(&dir.join("bomb.jpg"), &bomb);
    let mut bomb = lossless_webp;
    let frame = bomb.windows(4).position(|name| name == b"VP8L").expect("it is lossless");
    // Width and height have fourteen bits each; they follow the chunk's length and a signature.
    bomb[frame + 9..frame + 12].fill(0xff);
    write(&dir.join("bomb.webp"), &bomb);
}

/// Operands that no user can read, and the message about each. They are made in the current
/// directory.
pub(super) fn troublesome() -> Vec<(PathBuf, &'static str)> {
    fs::create_dir_all("troublesome/directory.jpg").expect("it can be made");
    let at = |name: &str| Path::new("troublesome").join(name);
    for (link, target) in [("dangling.jpg", "nowhere"), ("loop.jpg", "loop.jpg")] {
        let _ = symlink(target, at(link)); // fails if the link exists
    }
    if !at("fifo.jpg").exists() {
        cc_conformance::failpoint::fifo(&at("fifo.jpg"));
    }
    vec![
        (at("missing.jpg"), "No such file or directory"),
        (at("dangling.jpg"), "No such file or directory"),
        (at("loop.jpg"), "Too many levels of symbolic links"),
        (at("directory.jpg/x.jpg"), "No such file or directory"),
        // Opening the FIFO would wait for a writer.
        (at("fifo.jpg"), "Not a regular file"),
        ("/dev/null".into(), "Not a regular file"),
        // It can be opened, but not read.
        ("/proc/self/mem".into(), "Input/output error"),
    ]
}

/// A test picture, with `samples` bytes per pixel.
fn scene(width: u32, height: u32, samples: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(width * height));
    let mut bytes = Vec::with_capacity((width * height) as usize * samples);
    for y in 0..height {
        for x in 0..width {
            let (wave, grain) = ((x / 7) ^ (y / 5), random.u32(..16));
            bytes.extend(
                (0..samples as u32).map(|n| (x * (n + 1) + y * (3 - n % 3) + wave * 8 + grain) as u8),
            );
        }
    }
    bytes
}

type JpegEncoder<'a> = jpeg_encoder::Encoder<&'a mut Vec<u8>>;

fn jpeg(pixels: &[u8], width: u16, height: u16, set: impl FnOnce(&mut JpegEncoder)) -> Vec<u8> {
    jpeg_of(pixels, width, height, jpeg_encoder::ColorType::Rgb, set)
}

fn jpeg_of(
    pixels: &[u8],
    width: u16,
    height: u16,
    color: jpeg_encoder::ColorType,
    set: impl FnOnce(&mut JpegEncoder),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 88);
    set(&mut encoder);
    encoder.encode(pixels, width, height, color).expect("it is an image");
    bytes
}

type PngEncoder<'a> = png::Encoder<'static, &'a mut Vec<u8>>;

fn png(
    pixels: &[u8],
    width: u32,
    height: u32,
    color: png::ColorType,
    set: impl FnOnce(&mut PngEncoder),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    set(&mut encoder);
    let mut writer = encoder.write_header().expect("it is an image");
    writer.write_image_data(pixels).expect("it is an image");
    writer.finish().expect("it is an image");
    bytes
}

/// For each pass of an interlaced PNG: the first column and row, and the distance between its
/// pixels in both directions.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// An uncompressed, interlaced PNG with three samples per pixel.
fn interlaced(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let (wide, high) = (width as usize, height as usize);
    let mut passes = vec![];
    for [left, top, across, down] in PASSES {
        for y in (top..high).step_by(down) {
            passes.push(0); // no filter
            for x in (left..wide).step_by(across) {
                passes.extend_from_slice(&pixels[(y * wide + x) * 3..][..3]);
            }
        }
    }
    // Eight bits, three colours, the one compression and filter method, interlaced.
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &stored(&passes)), chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [name, data].concat();
    let length = u32::try_from(data.len()).expect("a chunk is short");
    [&length.to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat()
}

/// A zlib stream with one uncompressed block.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("it is one block");
    let (low, high) = data.iter().fold((1, 0), |(low, high): (u32, u32), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    let sum = (high << 16) | low;
    [&[0x78, 0x01, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), data, &sum.to_be_bytes()].concat()
}

fn webp(pixels: &[u8], width: u32, height: u32, color: image_webp::ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    image_webp::WebPEncoder::new(&mut bytes).encode(pixels, width, height, color).expect("it is an image");
    bytes
}

/// Exif data with the orientation only.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    [b"MM\0*\0\0\0\x08\0\x01".as_slice(), &entry, &[0; 4]].concat()
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("it is below the corpus")).expect("the corpus can be written");
    fs::write(path, bytes).expect("the corpus can be written");
}

fn write_all(dir: &Path, files: impl Iterator<Item = (String, Vec<u8>)>) {
    files.for_each(|(name, bytes)| write(&dir.join(name), &bytes));
}
