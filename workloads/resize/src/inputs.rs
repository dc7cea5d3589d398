//! Generates synthetic photographs from a seed.
//!
//! They are the same on every machine, byte for byte, and cost a decoder about as much as real
//! ones. They show a smooth sky, a horizon, soft shapes with edges, texture at every scale, and the
//! grain of a sensor. Most are JPEG, some of these progressive, grey or rotated; some are PNG and
//! WebP. One is truncated, and one claims to be huge.

use std::{fs, path::Path};

use cc_core::{
    error::{Error, Result},
    inputs,
};
use fastrand::Rng;
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr};
use serde::Deserialize;

use super::{
    encode::{png, webp},
    image::{Color, Image, Meta},
};

/// The parameters of a directory of photographs, and its digest.
#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    /// The seed of all random choices.
    pub seed: u64,
    /// The number of images, including the damaged ones.
    pub images: usize,
    /// The approximate number of pixels of all images together.
    pub pixels: u64,
    /// The digest of the finished directory (see [`inputs::digest`]).
    pub digest: String,
}

/// The largest image has one in this many of all pixels.
const LARGEST: u64 = 10;
/// Images per album, which is a subdirectory.
const PER_ALBUM: usize = 8;

/// Generates the directory `at`, unless it exists with the right digest.
pub fn prepare(spec: &Spec, at: &Path) -> Result<()> {
    inputs::ensure(at, spec.seed, &spec.digest, |unfinished| generate(spec, unfinished))
}

/// Generates the photographs below the empty directory `root`.
pub fn generate(spec: &Spec, root: &Path) -> Result<()> {
    let mut rng = Rng::with_seed(spec.seed);
    for (nth, pixels) in sizes(spec, &mut rng).into_iter().enumerate() {
        let kind = Kind::of(nth);
        let album = root.join(format!("album-{}", nth / PER_ALBUM));
        let path = album.join(format!("IMG_{nth:05}.{}", kind.extension()));
        let scene = Scene::new(pixels, Rng::with_seed(rng.u64(..)));
        let bytes = kind.encode(&scene);
        let write = || fs::create_dir_all(&album).and_then(|()| fs::write(&path, bytes));
        write().map_err(Error::io(path.display().to_string()))?;
    }
    Ok(())
}

/// The sizes of the images in pixels: many are small, few are large, one is much larger than all
/// others.
fn sizes(spec: &Spec, rng: &mut Rng) -> Vec<u64> {
    let largest = spec.pixels / LARGEST;
    // The logarithm is about uniform over six powers of two. With a mean of 5 megapixels, sizes are
    // 0.3 to 20 megapixels.
    let weights: Vec<u64> = (0..spec.images).map(|_| (256 + rng.u64(..256)) << rng.u32(..6)).collect();
    let total = weights.iter().sum::<u64>().max(1);
    let mut sizes: Vec<u64> =
        weights.into_iter().map(|weight| (spec.pixels - largest) * weight / total).collect();
    if let Some(first) = sizes.first_mut() {
        *first = largest;
    }
    sizes
}

/// How an image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Jpeg,
    /// A JPEG with this Exif orientation.
    Turned(u8),
    Progressive,
    Grey,
    Png,
    /// A PNG with a transparent rim.
    Alpha,
    Webp,
    /// The first half of a JPEG.
    Half,
    /// A PNG that claims to have 60,000 × 60,000 pixels.
    Huge,
}

impl Kind {
    /// The kind of the nth image. Three in four are JPEG. The other kinds have fixed positions
    /// among every twelve images; each damaged kind occurs once.
    fn of(nth: usize) -> Self {
        match (nth % 12, nth < 12) {
            (1, _) => Self::Turned(6),
            (2, _) => Self::Png,
            (3, _) => Self::Progressive,
            (5, _) => Self::Webp,
            (6, _) => Self::Grey,
            (7, true) => Self::Half,
            (8, _) => Self::Turned((nth / 12 % 8) as u8 + 1),
            (9, true) => Self::Alpha,
            (11, true) => Self::Huge,
            _ => Self::Jpeg,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Png | Self::Alpha | Self::Huge => "png",
            Self::Webp => "webp",
            Self::Jpeg | Self::Grey | Self::Half => "jpg",
            Self::Turned(_) | Self::Progressive => "JPG",
        }
    }

    fn encode(self, scene: &Scene) -> Vec<u8> {
        let lossless = |encode: fn(&Image, &Meta) -> Result<Vec<u8>, String>, image: &Image| {
            encode(image, &Meta::NONE).expect("an image of usual size is encoded")
        };
        match self {
            Self::Png => lossless(png, &scene.image(false)),
            Self::Alpha => lossless(png, &scene.image(true)),
            Self::Webp => lossless(webp, &scene.image(false)),
            Self::Huge => huge(),
            Self::Half => {
                let mut bytes = Self::Jpeg.jpeg(scene);
                bytes.truncate(bytes.len() / 2);
                bytes
            }
            Self::Jpeg | Self::Turned(_) | Self::Progressive | Self::Grey => self.jpeg(scene),
        }
    }

    fn jpeg(self, scene: &Scene) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 92);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_progressive(self == Self::Progressive);
        if let Self::Turned(orientation) = self {
            encoder.add_exif_metadata(&exif(orientation)).expect("a few bytes");
        }
        encoder
            .encode_image(Photograph { scene, grey: self == Self::Grey })
            .expect("a usual size is encoded");
        bytes
    }
}

/// Exif data that consist of an orientation.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    let entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    [b"MM\0*\0\0\0\x08\0\x01".as_slice(), &entry, &[0; 4]].concat()
}

/// A PNG of a few bytes whose header claims that they are 3.6 billion pixels.
pub(super) fn huge() -> Vec<u8> {
    claiming(60_000, 60_000)
}

/// A PNG of one pixel whose header claims this size.
pub(super) fn claiming(width: u32, height: u32) -> Vec<u8> {
    let image = Image { width: 1, height: 1, color: Color::Rgb, pixels: vec![0; 3] };
    let mut bytes = png(&image, &Meta::NONE).expect("a pixel is encoded");
    // The signature and the length and name of the first chunk are followed by the width, the
    // height, five other bytes, and the checksum.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&sum);
    bytes
}

/// The checksum of a PNG's chunk.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// The content of a photograph. A pixel is computed with basic arithmetic only, whose results are
/// the same on every machine.
struct Scene {
    width: u32,
    height: u32,
    /// The position of the horizon, as a fraction of the height.
    horizon: f32,
    sky: [Rgb; 2],
    ground: [Rgb; 2],
    shapes: Vec<Shape>,
    /// How much lower the ground begins than the horizon, for each column.
    hills: Vec<f32>,
    texture: Noise,
    /// The seed of the grain.
    grain: u64,
}

type Rgb = [f32; 3];

/// A disc or a rectangle, with a more or less soft edge.
struct Shape {
    center: (f32, f32),
    radius: (f32, f32),
    round: bool,
    /// The steepness of the edge; at 1, the shape fades from its centre to its rim.
    edge: f32,
    color: Rgb,
}

impl Scene {
    fn new(pixels: u64, mut rng: Rng) -> Self {
        let (wide, high) = *rng.choice(&[(4, 3), (3, 2), (3, 4), (16, 9), (1, 1)]).expect("there are some");
        let unit = ((pixels as f64) / f64::from(wide * high)).sqrt();
        let side = |part: u32| ((f64::from(part) * unit) as u32).clamp(8, 60_000);
        let (width, height) = (side(wide), side(high));
        let color =
            |rng: &mut Rng, from: f32, to: f32| -> Rgb { [0; 3].map(|_| from + (to - from) * rng.f32()) };
        let ground = [color(&mut rng, 40.0, 150.0), color(&mut rng, 20.0, 120.0)];
        let sky = [color(&mut rng, 90.0, 190.0), color(&mut rng, 150.0, 245.0)];
        let shapes = (0..6).map(|_| Shape::new(&mut rng, (width, height))).collect();
        let hills = Noise(rng.u32(..)).row(0, width, coarsest(width, height));
        let texture = Noise(rng.u32(..));
        let (horizon, grain) = (0.3 + 0.4 * rng.f32(), rng.u64(..));
        Self { width, height, horizon, sky, ground, shapes, hills, texture, grain }
    }

    /// One row, three samples per pixel.
    fn row(&self, y: u32) -> Vec<u8> {
        let mut grain = Rng::with_seed(self.grain ^ u64::from(y));
        let (width, height) = (self.width as f32, self.height as f32);
        let (hills, texture) =
            (&self.hills, self.texture.row(y, self.width, coarsest(self.width, self.height)));
        let shapes: Vec<&Shape> = self.shapes.iter().filter(|shape| shape.reaches(y as f32)).collect();
        let mut row = Vec::with_capacity(self.width as usize * 3);
        for x in 0..self.width as usize {
            let depth = (y as f32) / height - self.horizon - 0.15 * hills[x];
            let (colors, position, roughness) = if depth < 0.0 {
                (&self.sky, (y as f32) / height / self.horizon, 24.0)
            } else {
                (&self.ground, depth, 95.0 + 30.0 * hills[x])
            };
            let mut color = mix(colors[0], colors[1], position + 0.2 * (x as f32) / width);
            for shape in &shapes {
                let cover = shape.cover(x as f32, y as f32);
                if cover > 0.0 {
                    color = mix(color, shape.color, cover);
                }
            }
            // The mean of four uniform numbers approximates the normal distribution of a sensor's
            // noise.
            let noise = grain.u32(..).to_le_bytes().into_iter().map(f32::from).sum::<f32>() / 4.0 - 127.5;
            let light = roughness * texture[x] + noise * 0.12;
            row.extend(color.map(|sample| (sample + light).clamp(0.0, 255.0) as u8));
        }
        row
    }

    fn image(&self, alpha: bool) -> Image {
        let (width, height, color) = (self.width, self.height, if alpha { Color::Rgba } else { Color::Rgb });
        let mut pixels = Vec::with_capacity(width as usize * height as usize * color.samples());
        for y in 0..height {
            let row = self.row(y);
            if alpha {
                let rim = |at: u32, side: u32| (at.min(side - 1 - at) * 8).min(255) as u8;
                let columns = (0..width).zip(row.chunks_exact(3));
                pixels.extend(columns.flat_map(|(x, pixel)| {
                    [pixel[0], pixel[1], pixel[2], rim(x, width).min(rim(y, height))]
                }));
            } else {
                pixels.extend(row);
            }
        }
        Image { width, height, color, pixels }
    }
}

impl Shape {
    fn new(rng: &mut Rng, (width, height): (u32, u32)) -> Self {
        let mut part = |of: u32, from: f32, to: f32| of as f32 * (from + (to - from) * rng.f32());
        let center = (part(width, 0.0, 1.0), part(height, 0.1, 1.0));
        let small = width.min(height);
        let radius = (part(small, 0.03, 0.25), part(small, 0.03, 0.25));
        let color = [0; 3].map(|_| part(255, 0.0, 1.0));
        Self { center, radius, round: rng.bool(), edge: (1 << rng.u32(..8)) as f32, color }
    }

    fn reaches(&self, y: f32) -> bool {
        let far = y - self.center.1;
        far * far < self.radius.1 * self.radius.1
    }

    /// How much the shape covers the background at (x, y), from 0 to 1.
    fn cover(&self, x: f32, y: f32) -> f32 {
        let (right, down) = ((x - self.center.0) / self.radius.0, (y - self.center.1) / self.radius.1);
        let (right, down) = (right * right, down * down);
        let inside = if self.round { 1.0 - right - down } else { 1.0 - right.max(down) };
        (inside * self.edge).clamp(0.0, 1.0)
    }
}

/// The octave of an image's coarsest features, whose size is an eighth to a quarter of the longer
/// side. The finest features have two pixels in every image.
fn coarsest(width: u32, height: u32) -> u32 {
    width.max(height).ilog2().saturating_sub(2)
}

fn mix(one: Rgb, other: Rgb, part: f32) -> Rgb {
    [0, 1, 2].map(|at| one[at] + (other[at] - one[at]) * part.clamp(0.0, 1.0))
}

/// Value noise of all scales, of which each finer one is weaker. The number is the seed.
struct Noise(u32);

impl Noise {
    /// The weight of an octave in relation to the next coarser one.
    const PERSISTENCE: f32 = 0.7;

    /// One row, from about -1 to 1, with features from 2^`coarsest` pixels down to two.
    fn row(&self, y: u32, width: u32, coarsest: u32) -> Vec<f32> {
        let mut row = vec![0.0; width as usize];
        let mut weight = 0.5;
        for octave in (1..=coarsest).rev() {
            self.add(&mut row, y, octave, weight);
            weight *= Self::PERSISTENCE;
        }
        row
    }

    fn add(&self, row: &mut [f32], y: u32, octave: u32, weight: f32) {
        let cell = 1_u32 << octave;
        let (line, down) = (y >> octave, smooth((y & (cell - 1)) as f32 / cell as f32));
        let corner = |column: u32| {
            let (above, below) = (self.at(column, line, octave), self.at(column, line + 1, octave));
            (above + (below - above) * down) * weight
        };
        let mut left = corner(0);
        for (column, part) in row.chunks_mut(cell as usize).enumerate() {
            let right = corner(column as u32 + 1);
            for (x, value) in part.iter_mut().enumerate() {
                *value += left + (right - left) * smooth(x as f32 / cell as f32);
            }
            left = right;
        }
    }

    /// The pseudorandom number, from -1 to 1, at a corner of an octave's grid.
    fn at(&self, column: u32, line: u32, octave: u32) -> f32 {
        let mut hash =
            self.0 ^ column.wrapping_mul(0x9e37_79b1) ^ line.wrapping_mul(0x85eb_ca77) ^ (octave << 27);
        for factor in [0x7feb_352d, 0x846c_a68b] {
            hash = (hash ^ (hash >> 16)).wrapping_mul(factor);
        }
        (hash >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn smooth(part: f32) -> f32 {
    part * part * (3.0 - 2.0 * part)
}

/// A scene as the source of a JPEG encoder, which reads it row by row: the whole image is never in
/// memory.
struct Photograph<'a> {
    scene: &'a Scene,
    grey: bool,
}

impl ImageBuffer for Photograph<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.grey { JpegColorType::Luma } else { JpegColorType::Ycbcr }
    }

    fn width(&self) -> u16 {
        self.scene.width as u16
    }

    fn height(&self) -> u16 {
        self.scene.height as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        for pixel in self.scene.row(u32::from(y)).chunks_exact(3) {
            let (light, blue, red) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
            buffers[0].push(light);
            if !self.grey {
                buffers[1].push(blue);
                buffers[2].push(red);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;

    #[test]
    fn the_same_seed_gives_the_same_photographs_of_every_kind() {
        let spec = Spec { seed: 5, images: 12, pixels: 300_000, digest: String::new() };
        let made = |spec: &Spec| {
            let scratch = tempfile::tempdir().unwrap();
            generate(spec, scratch.path()).unwrap();
            (inputs::digest(scratch.path()).unwrap(), scratch)
        };
        let (digest, scratch) = made(&spec);
        assert_eq!(made(&spec).0, digest);
        assert_ne!(made(&Spec { seed: 6, ..spec.clone() }).0, digest);

        let (mut broken, mut pixels) = (0, 0);
        for nth in 0..12 {
            let name = format!("album-{}/IMG_{nth:05}.{}", nth / PER_ALBUM, Kind::of(nth).extension());
            let mut image = Image::default();
            match decode(&fs::read(scratch.path().join(name)).unwrap(), &mut image, None) {
                Ok(meta) => pixels += meta.pixels(),
                Err(_) => broken += 1,
            }
        }
        assert_eq!(broken, 2);
        assert!((200_000..300_000).contains(&pixels), "{pixels}");
    }
}
