//! Decodes a sequential JPEG whose components are in separate scans.
//!
//! The decoder mixes such components up where their sizes differ, and reports no error. But a scan
//! of a single component is the scan of a grey image of that component's size. So each component is
//! given to the decoder as a grey image, and the images are put together here.

use super::{
    image::{Color, Image},
    jpeg::{Colors, FrameHeader, GUARD, Layout, MAX_COMPONENTS, Scan, Segments},
};

/// Decodes the components with `decode_gray`, and puts them together in `image`, whose size is that
/// in the frame header.
pub(super) fn decode(
    file: &[u8],
    layout: &Layout,
    scans: &[&Scan],
    image: &mut Image,
    mut decode_gray: impl FnMut(&[u8], &mut Image) -> Result<(), String>,
) -> Result<(), String> {
    let mut planes = Vec::new();
    for (nth, scan) in scans.iter().enumerate() {
        let mut plane = Image::default();
        plane.reset(layout.frame.size_of(&layout.frame.components[nth]), Color::Gray);
        decode_gray(&gray_file(file, &layout.frame, nth, scan), &mut plane)?;
        planes.push(plane);
    }
    image.reset(layout.frame.size, Color::Rgb);
    combine(&planes, &layout.frame, layout.colors, image);
    Ok(())
}

/// The file of a grey image with the samples of a component.
fn gray_file(file: &[u8], frame: &FrameHeader, nth: usize, scan: &Scan) -> Vec<u8> {
    let mut gray = vec![0xff, 0xd8];
    // Tables, the restart interval, and the sign that the tables of Motion JPEG apply.
    let segments = Segments::new(file).take_while(|segment| segment.whole.start < scan.header);
    for segment in segments.filter(|segment| matches!(segment.marker, 0xdb | 0xc4 | 0xdd | 0xe0)) {
        gray.extend_from_slice(&file[segment.whole]);
    }
    let component = &frame.components[nth];
    let [[x0, x1], [y0, y1]] = <[u32; 2]>::from(frame.size_of(component))
        .map(|side| u16::try_from(side).expect("a component is not larger than its image").to_be_bytes());
    gray.extend([0xff, 0xc1, 0, 11, 8, y0, y1, x0, x1, 1, component.id, 0x11, component.table]);
    gray.extend([0xff, 0xda, 0, 8, 1, component.id, scan.tables, 0, 63, 0]);
    gray.extend_from_slice(&file[scan.data.clone()]);
    gray.extend(GUARD);
    gray
}

/// Puts the planes together, row by row.
fn combine(planes: &[Image], frame: &FrameHeader, colors: Colors, image: &mut Image) {
    let (max_h, max_v) = frame.max_sampling();
    let stretch = |nth: usize| {
        let ((h, v), plane) = (frame.components[nth].sampling, &planes[nth]);
        // As in libjpeg, only a component of half the size is interpolated.
        let is_smooth = max_h <= 2 * h && max_v <= 2 * v;
        let columns = Axis { factor: h, max: max_h, side: plane.width, is_smooth };
        let rows = Axis { factor: v, max: max_v, side: plane.height, is_smooth };
        let columns = (0..frame.size.0).map(|x| columns.position(x)).collect();
        Stretch { plane, rows, columns, divisor: u32::from(max_h) * u32::from(max_v) * 4 }
    };
    let stretches: Vec<Stretch> = (0..planes.len()).map(stretch).collect();
    let width = frame.size.0 as usize;
    let mut rows = vec![[0; MAX_COMPONENTS]; width];
    for (y, line) in (0..frame.size.1).zip(image.samples_mut().chunks_exact_mut(width * 3)) {
        for (nth, stretch) in stretches.iter().enumerate() {
            stretch.row(y, rows.iter_mut().map(|samples| &mut samples[nth]));
        }
        for (pixel, samples) in line.chunks_exact_mut(3).zip(&rows) {
            pixel.copy_from_slice(&colors.rgb(*samples));
        }
    }
}

/// Where a sample of the whole image lies in a smaller component: between two neighbours.
struct Position {
    first: u32,
    second: u32,
    /// The weights of the two; their sum is twice the largest sampling factor.
    weights: [u32; 2],
}

/// The columns or the rows of a component.
struct Axis {
    /// The component has `factor` samples for `max` of the image.
    factor: u8,
    max: u8,
    /// The number of samples.
    side: u32,
    /// Whether samples lie between two others if the component has half of the image's.
    is_smooth: bool,
}

impl Axis {
    /// The position of the centre of a sample of the image.
    fn position(&self, at: u32) -> Position {
        let (factor, max, last) = (u32::from(self.factor), u32::from(self.max), self.side - 1);
        let (first, weight) = if self.is_smooth && max == 2 * factor {
            // In quarters of a sample: the first centre lies a quarter before the component's.
            let position = (2 * at + 1).saturating_sub(2);
            (position / 4, position % 4 * max / 2)
        } else {
            (at * factor / max, 0)
        };
        let second = (first + 1).min(last);
        Position { first: first.min(last), second, weights: [2 * max - weight, weight] }
    }
}

/// A component that is stretched to the size of the image, by linear interpolation.
struct Stretch<'a> {
    plane: &'a Image,
    rows: Axis,
    columns: Vec<Position>,
    /// The sum of all weights of a sample.
    divisor: u32,
}

impl Stretch<'_> {
    fn row<'a>(&self, y: u32, samples: impl Iterator<Item = &'a mut u8>) {
        let width = self.plane.width as usize;
        let line = |y: u32| &self.plane.samples()[y as usize * width..][..width];
        let Position { first, second, weights: [above, below] } = self.rows.position(y);
        let (first, second) = (line(first), line(second));
        for (sample, column) in samples.zip(&self.columns) {
            let at = |x: u32| above * u32::from(first[x as usize]) + below * u32::from(second[x as usize]);
            let sum = column.weights[0] * at(column.first) + column.weights[1] * at(column.second);
            *sample = ((sum + self.divisor / 2) / self.divisor) as u8;
        }
    }
}

impl Colors {
    /// The red, green and blue of a pixel. Inks are converted without a profile.
    pub(super) fn rgb(self, [a, b, c, d]: [u8; MAX_COMPONENTS]) -> [u8; 3] {
        let product = |light: u8, black: u8| ((u32::from(light) * u32::from(black) + 127) / 255) as u8;
        match self {
            Self::Gray => [a; 3],
            Self::Rgb => [a, b, c],
            Self::YCbCr => from_ycbcr([a, b, c]),
            Self::Cmyk => [a, b, c].map(|light| product(light, d)),
            Self::Ycck => from_ycbcr([a, b, c]).map(|ink| product(255 - ink, d)),
        }
    }
}

/// Converts luminance and chrominance (JFIF 1.02) with sixteen fractional bits.
pub(super) fn from_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let [y, cb, cr] = [i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128];
    let sums = [y + 91_881 * cr, y - 22_554 * cb - 46_802 * cr, y + 116_130 * cb];
    sums.map(|sum| ((sum + (1 << 15)) >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::decode,
        jpeg_writer::{File, adobe, difference, jfif, ycbcr},
        resizer::tests::{decoded, picture},
    };

    const SAMPLINGS: [&[(usize, usize)]; 10] = [
        &[(1, 1), (1, 1), (1, 1)],
        &[(2, 1), (1, 1), (1, 1)],
        &[(2, 2), (1, 1), (1, 1)],
        &[(1, 2), (1, 1), (1, 1)],
        &[(4, 1), (1, 1), (1, 1)],
        &[(4, 2), (1, 1), (1, 1)],
        &[(1, 4), (1, 1), (1, 1)],
        &[(2, 2), (2, 1), (2, 1)],
        &[(2, 2), (2, 1), (1, 2)],
        &[(2, 2), (1, 1), (2, 2)],
    ];

    /// The decoder decodes the same image right if its components share a scan.
    #[test]
    fn the_scans_of_an_image_may_be_separate() {
        for size in [(64, 48), (61, 43), (130, 5), (17, 9), (1, 1)] {
            let image = picture(size.0, size.1, Color::Rgb);
            for (sampling, restart) in SAMPLINGS.iter().flat_map(|sampling| [(sampling, 0), (sampling, 3)]) {
                let file = File { restart, head: jfif(), ..File::new(size, sampling) };
                let (shared, _) = decoded(&file.write(&ycbcr(&image)));
                for scans in [[&[0][..], &[1], &[2]], [&[2], &[0], &[1]]] {
                    let (separate, _) = decoded(&file.clone().scanned(&scans).write(&ycbcr(&image)));
                    let difference = difference(&separate, &shared);
                    assert!(difference < 1.0, "{size:?} {sampling:?} {restart}: {difference}");
                }
                if sampling.iter().all(|factors| *factors == (1, 1)) {
                    assert!(difference(&shared, &image) < 3.0, "{size:?} {sampling:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_component_may_be_the_smallest() {
        let image = picture(61, 43, Color::Rgb);
        for sampling in [[(1, 1), (2, 2), (2, 2)], [(2, 1), (1, 2), (1, 2)]] {
            let file = File { head: jfif(), ..File::new((61, 43), &sampling) }.separate();
            let difference = difference(&decoded(&file.write(&ycbcr(&image))).0, &image);
            assert!(difference < 16.0, "{sampling:?}: {difference}");
        }
    }

    #[test]
    fn separate_inks_are_those_of_a_shared_scan() {
        let image = picture(61, 43, Color::Rgba);
        for head in [vec![], adobe(0), adobe(2)] {
            for sampling in [[(1, 1); 4], [(2, 2), (1, 1), (1, 1), (2, 2)]] {
                let file = File { head: head.clone(), ..File::new((61, 43), &sampling) };
                let (shared, _) = decoded(&file.write(&image));
                let difference = difference(&decoded(&file.separate().write(&image)).0, &shared);
                assert!(difference < 1.0, "{head:?} {sampling:?}: {difference}");
            }
        }
    }

    #[test]
    fn a_separate_scan_that_is_not_whole_is_damaged() {
        let image = ycbcr(&picture(120, 90, Color::Rgb));
        let file = File::new((120, 90), &[(2, 2), (1, 1), (1, 1)]).separate();
        let whole = file.write(&image);
        let scans: Vec<usize> = Segments::new(&whole)
            .filter(|segment| segment.marker == 0xda)
            .map(|segment| segment.whole.end)
            .collect();
        for at in scans {
            let mut cut = whole.clone();
            cut.drain(at..at + 40);
            let why = decode(&cut, &mut Image::default(), None).unwrap_err();
            assert!(why.starts_with("damaged JPEG: "), "{why}");
        }
        for scans in [&[&[0_usize][..]][..], &[&[0], &[1]], &[&[1], &[2]]] {
            let why = decode(&file.clone().scanned(scans).write(&image), &mut Image::default(), None);
            assert_eq!(why.unwrap_err(), "damaged JPEG: a component has no data", "{scans:?}");
        }
        // Of two scans of a component the last is taken, as by libjpeg.
        let (twice, _) = decoded(&file.clone().scanned(&[&[0], &[0], &[1], &[2]]).write(&image));
        assert_eq!(twice, decoded(&whole).0);
    }
}
