//! Writes JPEG files of every structure, for the tests: any sampling factors, any scans.
//!
//! It is written for its generality. An encoder would choose the structure itself.

use std::{f64::consts::PI, sync::LazyLock};

use super::image::Image;

/// The structure of a file.
#[derive(Clone)]
pub(super) struct File {
    pub(super) size: (u32, u32),
    /// The identifier of each component, and its horizontal and vertical sampling factors.
    pub(super) components: Vec<(u8, usize, usize)>,
    pub(super) scans: Vec<Scan>,
    pub(super) is_progressive: bool,
    /// Units between two restart markers; 0 for none.
    pub(super) restart: usize,
    /// Segments after the start marker.
    pub(super) head: Vec<u8>,
    /// Whether fill bytes precede each marker.
    pub(super) has_fill: bool,
    pub(super) has_end: bool,
}

/// A scan: its components, and its first and last coefficient.
pub(super) type Scan = (Vec<usize>, u8, u8);

/// A sequential scan of some components.
pub(super) fn scan(components: &[usize]) -> Scan {
    (components.to_vec(), 0, 63)
}

/// A segment with this marker.
pub(super) fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&[0xff, marker], &length[..], content].concat()
}

/// The segment that says that the components are luminance and chrominance.
pub(super) fn jfif() -> Vec<u8> {
    segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
}

/// Adobe's segment, which names the transformation of the colours.
pub(super) fn adobe(transform: u8) -> Vec<u8> {
    segment(0xee, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat())
}

/// Four bits of run length and four of size, in the order of the usual table of codes.
const SYMBOLS: usize = 256;
/// All quantization steps.
const STEP: f64 = 4.0;

const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

impl File {
    /// A sequential file with the samples of an image in its components, in one scan.
    pub(super) fn new(size: (u32, u32), sampling: &[(usize, usize)]) -> Self {
        Self {
            size,
            components: (1..).zip(sampling).map(|(id, (h, v))| (id, *h, *v)).collect(),
            scans: vec![scan(&(0..sampling.len()).collect::<Vec<_>>())],
            is_progressive: false,
            restart: 0,
            head: vec![],
            has_fill: false,
            has_end: true,
        }
    }

    /// The same file with other scans.
    pub(super) fn scanned(self, scans: &[&[usize]]) -> Self {
        Self { scans: scans.iter().map(|components| scan(components)).collect(), ..self }
    }

    /// The same file with a scan for each component.
    pub(super) fn separate(self) -> Self {
        let scans = (0..self.components.len()).map(|nth| scan(&[nth])).collect();
        Self { scans, ..self }
    }

    /// The same file, progressive: the means of all components first, then the rest of each.
    pub(super) fn progressive(self) -> Self {
        let all = self.components.len();
        let rest = (0..all).flat_map(|nth| [(vec![nth], 1, 5), (vec![nth], 6, 63)]);
        let scans = [((0..all).collect(), 0, 0)].into_iter().chain(rest).collect();
        Self { scans, is_progressive: true, ..self }
    }

    /// The file. The image has as many samples per pixel as the file has components.
    pub(super) fn write(&self, image: &Image) -> Vec<u8> {
        let planes: Vec<Plane> = (0..self.components.len()).map(|nth| self.plane(image, nth)).collect();
        let fill: &[u8] = if self.has_fill { &[0xff; 3] } else { &[] };
        let mut file = [&[0xff, 0xd8], &self.head[..]].concat();
        let mut put = |segment: Vec<u8>| file.extend([fill, &segment].concat());
        put(segment(0xdb, &[vec![0], vec![STEP as u8; 64]].concat()));
        put(segment(if self.is_progressive { 0xc2 } else { 0xc1 }, &self.frame()));
        put(segment(0xc4, &tables()));
        if self.restart > 0 {
            put(segment(0xdd, &(self.restart as u16).to_be_bytes()));
        }
        for scan in &self.scans {
            let mut header = vec![scan.0.len() as u8];
            header.extend(scan.0.iter().flat_map(|nth| [self.components[*nth].0, 0]));
            put([segment(0xda, &[header, vec![scan.1, scan.2, 0]].concat()), self.data(&planes, scan)]
                .concat());
        }
        if self.has_end {
            put(vec![0xff, 0xd9]);
        }
        file
    }

    fn frame(&self) -> Vec<u8> {
        let [[x0, x1], [y0, y1]] = <[u32; 2]>::from(self.size).map(|side| (side as u16).to_be_bytes());
        let mut frame = vec![8, y0, y1, x0, x1, self.components.len() as u8];
        frame.extend(self.components.iter().flat_map(|(id, h, v)| [*id, (h << 4 | v) as u8, 0]));
        frame
    }

    /// The largest sampling factors.
    fn most(&self) -> (usize, usize) {
        let most =
            |(h, v): (usize, usize), component: &(u8, usize, usize)| (h.max(component.1), v.max(component.2));
        self.components.iter().fold((1, 1), most)
    }

    /// The units of eight by eight blocks per row, and the rows.
    fn units(&self) -> (usize, usize) {
        let (h, v) = self.most();
        ((self.size.0 as usize).div_ceil(8 * h), (self.size.1 as usize).div_ceil(8 * v))
    }

    /// The quantized coefficients of a component, whose samples are means of the image's.
    fn plane(&self, image: &Image, nth: usize) -> Plane {
        let ((_, h, v), most, units) = (self.components[nth], self.most(), self.units());
        let (wide, high) = (units.0 * h, units.1 * v);
        let samples = self.components.len();
        let at = |x: usize, y: usize| {
            let (x, y) = (x.min(image.width as usize - 1), y.min(image.height as usize - 1));
            f64::from(image.pixels[(y * image.width as usize + x) * samples + nth])
        };
        let mean = |x: usize, y: usize| {
            let (xs, ys) = (x * most.0 / h..(x + 1) * most.0 / h, y * most.1 / v..(y + 1) * most.1 / v);
            let all = (xs.len() * ys.len()) as f64;
            ys.map(|y| xs.clone().map(|x| at(x, y)).sum::<f64>()).sum::<f64>() / all
        };
        let block = |nth: usize| transformed(|x, y| mean(nth % wide * 8 + x, nth / wide * 8 + y) - 128.0);
        let used =
            |side: u32, factor: usize, most: usize| (side as usize * factor).div_ceil(most).div_ceil(8);
        Plane {
            blocks: (0..wide * high).map(block).collect(),
            wide,
            used: (used(self.size.0, h, most.0), used(self.size.1, v, most.1)),
        }
    }

    /// The blocks of a scan, in units, each with its component.
    fn scan_units(&self, planes: &[Plane], components: &[usize]) -> Vec<Vec<(usize, usize)>> {
        if let [nth] = components {
            let plane = &planes[*nth];
            let rows = (0..plane.used.1).flat_map(|y| (0..plane.used.0).map(move |x| (x, y)));
            return rows.map(|(x, y)| vec![(*nth, y * plane.wide + x)]).collect();
        }
        let (across, down) = self.units();
        let all = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
        let blocks = |(x, y): (usize, usize)| {
            let of = |nth: &usize| {
                let (nth, (_, h, v), wide) = (*nth, self.components[*nth], planes[*nth].wide);
                (0..v * h).map(move |at| (nth, (y * v + at / h) * wide + x * h + at % h))
            };
            components.iter().flat_map(of).collect()
        };
        all.map(blocks).collect()
    }

    fn data(&self, planes: &[Plane], (components, first, last): &Scan) -> Vec<u8> {
        let mut bits = Bits::default();
        let mut means = vec![0; self.components.len()];
        for (count, unit) in self.scan_units(planes, components).into_iter().enumerate() {
            if self.restart > 0 && count > 0 && count % self.restart == 0 {
                bits.align();
                bits.bytes.extend([0xff, 0xd0 + ((count / self.restart - 1) % 8) as u8]);
                means.fill(0);
            }
            for (nth, block) in unit {
                let block = &planes[nth].blocks[block];
                if *first == 0 {
                    bits.number(0, block[0] - means[nth]);
                    means[nth] = block[0];
                }
                let mut zeros = 0;
                for value in &block[usize::from(*first).max(1)..=usize::from(*last)] {
                    if *value == 0 {
                        zeros += 1;
                        continue;
                    }
                    for _ in 0..zeros / 16 {
                        bits.put(0xf0, 8);
                    }
                    bits.number(zeros % 16, *value);
                    zeros = 0;
                }
                if zeros > 0 && *last > 0 {
                    bits.put(0, 8);
                }
            }
        }
        bits.align();
        bits.bytes
    }
}

/// A component's blocks of coefficients, in zigzag order.
struct Plane {
    blocks: Vec<[i32; 64]>,
    /// Blocks per row, with those that fill the last unit.
    wide: usize,
    /// The blocks that have samples of the component, across and down.
    used: (usize, usize),
}

/// The quantized coefficients of a block, in zigzag order.
fn transformed(sample: impl Fn(usize, usize) -> f64) -> [i32; 64] {
    static WAVES: LazyLock<[[f64; 8]; 8]> = LazyLock::new(|| {
        let norm = |u: usize| if u == 0 { (0.125_f64).sqrt() } else { 0.5 };
        let wave = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos() * norm(u);
        std::array::from_fn(|u| std::array::from_fn(|x| wave(x, u)))
    });
    let rows: [[f64; 8]; 8] = std::array::from_fn(|y| {
        let row: [f64; 8] = std::array::from_fn(|x| sample(x, y));
        std::array::from_fn(|u| (0..8).map(|x| row[x] * WAVES[u][x]).sum())
    });
    std::array::from_fn(|at| {
        let (u, v) = (ZIGZAG[at] % 8, ZIGZAG[at] / 8);
        let sum: f64 = (0..8).map(|y| rows[y][u] * WAVES[v][y]).sum();
        (sum / STEP).round() as i32
    })
}

/// Huffman tables in which every symbol is its own code of eight bits, except that no code may be
/// all ones: the codes of the last two symbols have nine bits.
fn tables() -> Vec<u8> {
    let table = |class: u8| {
        let mut lengths = [0; 16];
        (lengths[7], lengths[8]) = ((SYMBOLS - 2) as u8, 2);
        [vec![class << 4], lengths.to_vec(), (0..=255).collect()].concat()
    };
    // A table for means has no more than sixteen symbols in a file that follows the standard.
    let mut means = [0; 16];
    means[7] = 12;
    [vec![0], means.to_vec(), (0..12).collect(), table(1)].concat()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: u32, count: u32) {
        for nth in (0..count).rev() {
            self.pending = self.pending << 1 | (bits >> nth & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                if self.pending == 0xff {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    /// A number after a run of zeros: the code, which has the run and the number's size, and the
    /// number's bits.
    fn number(&mut self, zeros: u32, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.put(zeros << 4 | size, 8);
        let bits = if value < 0 { value + (1 << size) - 1 } else { value };
        self.put(bits as u32, size);
    }

    fn align(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }
}

/// The luminance and chrominance of an image in red, green and blue.
pub(super) fn ycbcr(image: &Image) -> Image {
    let convert = |pixel: &[u8]| {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402].map(|sample| sample.round() as u8)
    };
    Image { pixels: image.pixels.chunks_exact(3).flat_map(convert).collect(), ..image.clone() }
}

/// The mean difference of the samples of two images of one size.
pub(super) fn difference(one: &Image, other: &Image) -> f64 {
    assert_eq!((one.size(), one.color), (other.size(), other.color));
    let samples = one.samples().iter().zip(other.samples());
    samples.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / one.samples().len() as f64
}
