//! The kernel: counts the iterations of z² + c until a point has escaped, so is outside of the set.

use cc_core::{failpoint, stop::Stop, trace};
use pulp::{Arch, Simd, WithSimd};
use serde_bytes::ByteBuf;

use super::{Output, Task, Tile, View, picture::COUNT_BYTES};

/// The limit of |z|²: once it is exceeded, the sequence diverges.
const ESCAPE: f64 = 4.0;

/// The number of iterations of z² + c, from zero, that stay within the limit; at most `max_iter`.
/// This is the definition of a count: the kernel does the same operations for many pixels at once.
#[must_use]
pub fn escape_time(x: f64, y: f64, max_iter: u32) -> u32 {
    let (mut re, mut im) = (0.0, 0.0);
    for count in 0..max_iter {
        let (re2, im2) = (re * re, im * im);
        if re2 + im2 > ESCAPE {
            return count;
        }
        im = (re + re) * im + y;
        re = re2 - im2 + x;
    }
    max_iter
}

/// Computes the tiles of a view. It is read-only, so any number of threads can share it.
#[derive(Clone, Debug)]
pub struct Plane {
    view: View,
    /// The real part of the pixels of each column.
    columns: Vec<f64>,
    /// The imaginary part of the pixels of each row.
    rows: Vec<f64>,
    arch: Arch,
    stop: Stop,
}

impl Plane {
    /// Prepares a view, and detects the widest vector instructions of this machine. The counts are
    /// the same with all of them, bit for bit: a pixel takes the same IEEE operations in the same
    /// order. Once `stop` is requested, [`task`](Self::task) returns early.
    #[must_use]
    pub fn new(view: &View, stop: &Stop) -> Self {
        let region = view.region;
        let centres = |pixels: u32, from: f64, to: f64| {
            let step = (to - from) / f64::from(pixels);
            (0..pixels).map(|nth| from + (f64::from(nth) + 0.5) * step).collect()
        };
        Self {
            columns: centres(view.width.get(), region.x0, region.x1),
            rows: centres(view.height.get(), region.y1, region.y0),
            view: view.clone(),
            arch: Arch::new(),
            stop: stop.clone(),
        }
    }

    /// Does a task. Returns `None` once a stop is requested. The kernel checks for a stop within
    /// each tile, because the options can make a tile arbitrarily expensive; it returns in less
    /// than a tenth of a second.
    ///
    /// A panic leaves no state behind that the next task would see: the plane is read-only, and the
    /// counts are local. A caller may therefore assert unwind safety.
    #[must_use]
    pub fn task(&self, task: &Task) -> Option<Output> {
        let _span = trace::span("iterate");
        let mut counts = Vec::new();
        for number in task.first..task.first + u64::from(task.tiles) {
            if failpoint::is_enabled() {
                failpoint::hit(format!("tile {number}").as_bytes(), number);
            }
            let tile = self.view.tile(number);
            let max_iter = self.view.max_iter;
            counts.reserve_exact(tile.pixels() * COUNT_BYTES);
            self.arch.dispatch(Kernel { plane: self, tile, max_iter, counts: &mut counts })?;
        }
        Some(Output { task: *task, counts: Ok(ByteBuf::from(counts)) })
    }
}

/// The arguments of the kernel for one tile.
struct Kernel<'a> {
    plane: &'a Plane,
    tile: Tile,
    max_iter: u32,
    counts: &'a mut Vec<u8>,
}

/// Vectors that are iterated together. An iteration depends on the one before it, so the processor
/// would wait for each result of a single vector; independent vectors fill that latency.
const VECTORS: usize = 4;

/// Maximum pixels per call of [`count`]: the widest vectors (512 bits) have eight lanes.
const MAX_PIXELS: usize = VECTORS * 8;

/// Pixels of a row between two checks of the stop.
const PIXELS_PER_STOP_CHECK: usize = 4096;

/// Iterations of the same pixels between two checks of the stop: less than a millisecond of work,
/// and more than the `max_iter` of most pictures.
const ITERATIONS_PER_STOP_CHECK: u32 = 1 << 14;

impl WithSimd for Kernel<'_> {
    /// `None` if a stop is requested.
    type Output = Option<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<()> {
        let Self { plane, tile, max_iter, counts } = self;
        let columns = &plane.columns[tile.column as usize..][..tile.columns as usize];
        for y in &plane.rows[tile.row as usize..][..tile.rows as usize] {
            for mut columns in columns.chunks(PIXELS_PER_STOP_CHECK) {
                if plane.stop.requested() {
                    return None;
                }
                while !columns.is_empty() {
                    // A remainder that fits in one vector is computed with one.
                    let wide = columns.len() > S::F64_LANES;
                    let lanes = if wide { VECTORS } else { 1 } * S::F64_LANES;
                    let (batch, after) = columns.split_at(columns.len().min(lanes));
                    let batch_counts = if wide {
                        count::<S, VECTORS>(simd, batch, *y, max_iter, &plane.stop)?
                    } else {
                        count::<S, 1>(simd, batch, *y, max_iter, &plane.stop)?
                    };
                    for count in &batch_counts[..batch.len()] {
                        counts.extend_from_slice(&(*count as u32).to_le_bytes());
                    }
                    columns = after;
                }
            }
        }
        Some(())
    }
}

/// Counts the iterations of adjacent pixels of a row, at most as many as `N` vectors hold. Returns
/// `None` if a stop is requested.
#[inline(always)]
fn count<S: Simd, const N: usize>(
    simd: S,
    x: &[f64],
    y: f64,
    max_iter: u32,
    stop: &Stop,
) -> Option<[f64; MAX_PIXELS]> {
    // Unused lanes hold a point far outside of the set, which escapes after one iteration: they do
    // not prolong the loop.
    let mut padded = [ESCAPE; MAX_PIXELS];
    padded[..x.len()].copy_from_slice(x);
    let (x, _) = S::as_simd_f64s(&padded);
    let x: [S::f64s; N] = std::array::from_fn(|n| x[n]);
    let (zero, one) = (simd.splat_f64s(0.0), simd.splat_f64s(1.0));
    let (escape, y) = (simd.splat_f64s(ESCAPE), simd.splat_f64s(y));
    let (mut re, mut im, mut counts) = ([zero; N], [zero; N], [zero; N]);
    let mut inside = [simd.less_than_or_equal_f64s(zero, zero); N];
    let mut iterations_left = max_iter;
    while iterations_left > 0 {
        let mut any_inside = false;
        let iterations = iterations_left.min(ITERATIONS_PER_STOP_CHECK);
        for _ in 0..iterations {
            any_inside = false;
            for n in 0..N {
                let (re2, im2) = (simd.mul_f64s(re[n], re[n]), simd.mul_f64s(im[n], im[n]));
                let bounded = simd.less_than_or_equal_f64s(simd.add_f64s(re2, im2), escape);
                inside[n] = simd.and_m64s(inside[n], bounded);
                counts[n] = simd.select_f64s(inside[n], simd.add_f64s(counts[n], one), counts[n]);
                im[n] = simd.add_f64s(simd.mul_f64s(simd.add_f64s(re[n], re[n]), im[n]), y);
                re[n] = simd.add_f64s(simd.sub_f64s(re2, im2), x[n]);
                any_inside |= simd.first_true_m64s(inside[n]) < S::F64_LANES;
            }
            if !any_inside {
                break;
            }
        }
        iterations_left = if any_inside { iterations_left - iterations } else { 0 };
        if iterations_left > 0 && stop.requested() {
            return None;
        }
    }
    let mut pixel_counts = [0.0; MAX_PIXELS];
    S::as_mut_simd_f64s(&mut pixel_counts).0[..N].copy_from_slice(&counts);
    Some(pixel_counts)
}

#[cfg(test)]
mod tests {
    use std::{
        hint::black_box,
        num::NonZeroU32,
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use cc_core::stop::Cause;

    use crate::{Grain, Job, Region, Shape};

    fn view(width: u32, height: u32, rows: u32, columns: u32) -> View {
        let some = |n| NonZeroU32::new(n).unwrap();
        let tile = Shape { rows: some(rows), columns: some(columns) };
        View { tile, max_iter: 300, ..View::new(some(width), some(height)) }
    }

    fn defined(view: &View, x: u32, y: u32) -> u32 {
        let Region { x0, y0, x1, y1 } = view.region;
        let (width, height) = (f64::from(view.width.get()), f64::from(view.height.get()));
        let re = x0 + (f64::from(x) + 0.5) * ((x1 - x0) / width);
        let im = y1 + (f64::from(y) + 0.5) * ((y0 - y1) / height);
        escape_time(re, im, view.max_iter)
    }

    #[test]
    fn the_kernel_counts_as_defined_in_tiles_of_any_shape() {
        for (rows, columns) in [(1, 1), (1, 97), (3, 5), (64, 64), (7, 33), (61, 4)] {
            let view = view(97, 61, rows, columns);
            let plane = Plane::new(&view, &Stop::new());
            for task in Job::new(view.clone()).tasks(Grain::TILE) {
                let tile = view.tile(task.first);
                let counts = plane.task(&task).unwrap().counts.unwrap();
                let mut counts = counts.chunks(4).map(|count| u32::from_le_bytes(count.try_into().unwrap()));
                for y in tile.row..tile.row + tile.rows {
                    for x in tile.column..tile.column + tile.columns {
                        assert_eq!(counts.next(), Some(defined(&view, x, y)), "pixel {x},{y} of {tile:?}");
                    }
                }
                assert_eq!(counts.next(), None);
            }
        }
    }

    #[test]
    fn without_iterations_nothing_is_counted() {
        let view = View { max_iter: 0, ..view(9, 9, 9, 9) };
        let output = Plane::new(&view, &Stop::new()).task(&Task { first: 0, tiles: 1 }).unwrap();
        assert_eq!(output.counts.unwrap(), [0; 9 * 9 * 4]);
    }

    #[test]
    fn a_stop_is_seen_within_a_row_and_within_a_pixel() {
        // Inside of the set, where each pixel takes all iterations: without a stop, the largest
        // view would take days.
        let region = Region { x0: -0.1, y0: -0.1, x1: 0.1, y1: 0.1 };
        for (width, height) in [(1, 1), (1 << 20, 1), (1, 1 << 20)] {
            let view = View { region, max_iter: u32::MAX, ..view(width, height, height, width) };
            let stop = Stop::new();
            let plane = Plane::new(&view, &stop);
            let delay = thread::scope(|scope| {
                let task = scope.spawn(|| plane.task(&Task { first: 0, tiles: 1 }));
                let requested_at = Instant::now();
                stop.request(Cause::Test);
                assert_eq!(task.join().unwrap(), None);
                requested_at.elapsed()
            });
            assert!(delay < Duration::from_secs(1), "{width}x{height}: {delay:?}");
        }
    }

    #[test]
    fn more_iterations_than_between_two_stop_checks_are_counted() {
        let view = View { max_iter: 3 * ITERATIONS_PER_STOP_CHECK + 7, ..view(9, 5, 5, 9) };
        let output = Plane::new(&view, &Stop::new()).task(&Task { first: 0, tiles: 1 }).unwrap();
        let counts = output.counts.unwrap();
        let mut counts = counts.chunks(4).map(|count| u32::from_le_bytes(count.try_into().unwrap()));
        let pixels = (0..5).flat_map(|y| (0..9).map(move |x| (x, y)));
        pixels.for_each(|(x, y)| assert_eq!(counts.next(), Some(defined(&view, x, y))));
    }

    #[test]
    fn one_half_of_the_default_region_has_most_of_the_work() {
        let view = view(256, 256, 256, 256);
        let work = |rows: std::ops::Range<u32>| -> u64 {
            rows.flat_map(|y| (0..256).map(move |x| (x, y)))
                .map(|(x, y)| u64::from(defined(&view, x, y)))
                .sum()
        };
        let (upper, lower) = (work(0..128), work(128..256));
        // With one half each, two workers take as long as the larger half; with an even
        // distribution they take half of the sum.
        assert!(upper.max(lower) as f64 / ((upper + lower) as f64 / 2.0) > 1.4, "{upper} {lower}");
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -p cc-workloads -- --ignored --nocapture simd"]
    fn simd_is_faster_than_one_pixel_after_the_other() {
        let view = View { max_iter: 1000, ..view(1024, 1024, 1024, 1024) };
        let plane = Plane::new(&view, &Stop::new());
        let mut ratios: Vec<f64> = (0..7)
            .map(|_| {
                let begun = Instant::now();
                for y in 0..1024 {
                    for x in 0..1024 {
                        black_box(defined(&view, x, y));
                    }
                }
                let scalar = begun.elapsed();
                let begun = Instant::now();
                let _ = black_box(plane.task(&Task { first: 0, tiles: 1 }));
                scalar.as_secs_f64() / begun.elapsed().as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("simd ({:?}): {:.2} times the scalar loop, median of 7", plane.arch, ratios[3]);
        assert!(ratios[3] >= 2.7, "{ratios:?}");
    }
}
