//! Collects the iteration counts, computes their digest and colours them as a picture.

use std::{
    io::{self, BufWriter, Write},
    ops::ControlFlow,
};

use cc_core::{
    contract::{Block, Sink},
    printable::printable,
    report,
    stop::Stop,
    trace,
};
use xxhash_rust::xxh3::xxh3_128;

use super::{Job, Output, Task, View};

/// How much work was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pixels computed.
    pub pixels: u64,
    /// The sum of the pixels' iteration counts.
    pub iterations: u64,
    /// Tiles computed.
    pub tiles: u64,
    /// Tasks that computed them.
    pub tasks: u64,
}

impl From<Totals> for report::Totals {
    fn from(Totals { pixels, iterations, tiles, tasks }: Totals) -> Self {
        let counts = [("pixels", pixels), ("iterations", iterations), ("tiles", tiles), ("tasks", tasks)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

/// The sink for the outputs of every model: copies each tile to its position. See [`Job::picture`].
pub struct Picture<'a> {
    view: &'a View,
    messages: &'a mut dyn Sink<Block>,
    /// Four bytes per pixel, little-endian, row by row.
    counts: Vec<u8>,
    totals: Totals,
    failed: bool,
}

/// Bytes per iteration count, in an output and in the picture.
pub(super) const COUNT_BYTES: usize = 4;

/// Pixels written between two checks of the stop: a few milliseconds of work.
const PIXELS_PER_STOP_CHECK: usize = 1 << 16;

impl<'a> Picture<'a> {
    pub(super) fn new(job: &'a Job, messages: &'a mut dyn Sink<Block>) -> Self {
        let view = &job.view;
        let pixels = view.width.get() as usize * view.height.get() as usize;
        let counts = vec![0; pixels * COUNT_BYTES];
        Self { view, messages, counts, totals: Totals::default(), failed: false }
    }

    /// The totals of the tiles that the picture has so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether a tile has failed. The failure has then been reported.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The iteration counts, row by row.
    pub fn counts(&self) -> impl Iterator<Item = u32> {
        self.counts
            .chunks_exact(COUNT_BYTES)
            .map(|count| u32::from_le_bytes([count[0], count[1], count[2], count[3]]))
    }

    /// The XXH3 digest of the counts, row by row, each in four bytes, little-endian.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let _span = trace::serial("digest");
        xxh3_128(&self.counts)
    }

    /// Writes the picture as PNG. The position in the palette is the logarithm of the count, so
    /// that details are visible both far from the set and close to it. The set itself is black.
    ///
    /// # Errors
    ///
    /// The errors of `out`; [`io::ErrorKind::Interrupted`] if a stop is requested in the meantime.
    pub fn write_png(&self, out: impl Write, stop: &Stop) -> io::Result<()> {
        let _span = trace::serial("write");
        let mut encoder =
            png::Encoder::new(BufWriter::new(out), self.view.width.get(), self.view.height.get());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        let mut rows = writer.stream_writer()?;
        for (nth, count) in self.counts().enumerate() {
            if nth % PIXELS_PER_STOP_CHECK == 0 && stop.requested() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let pixel = if count == self.view.max_iter { [0; 3] } else { colour(count) };
            rows.write_all(&pixel)?;
        }
        rows.finish()?;
        writer.finish()?;
        Ok(())
    }

    /// Copies the counts of the task's tiles into the picture.
    fn insert(&mut self, task: &Task, mut remaining: &[u8]) {
        let width = self.view.width.get() as usize;
        for number in task.first..task.first + u64::from(task.tiles) {
            let tile = self.view.tile(number);
            let (tile_counts, after) = remaining.split_at(tile.pixels() * COUNT_BYTES);
            remaining = after;
            let row_bytes = tile.columns as usize * COUNT_BYTES;
            for (row, row_counts) in tile_counts.chunks_exact(row_bytes).enumerate() {
                let start = ((tile.row as usize + row) * width + tile.column as usize) * COUNT_BYTES;
                self.counts[start..start + row_bytes].copy_from_slice(row_counts);
            }
            for count in tile_counts.chunks_exact(COUNT_BYTES) {
                let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]);
                self.totals.iterations += u64::from(count);
            }
            self.totals.pixels += tile.pixels() as u64;
        }
        self.totals.tiles += u64::from(task.tiles);
        self.totals.tasks += 1;
    }
}

impl Sink<Output> for Picture<'_> {
    fn push(&mut self, Output { task, counts }: Output) -> ControlFlow<()> {
        let _span = trace::serial("place");
        match counts {
            Ok(counts) => self.insert(&task, &counts),
            Err(why) => {
                self.failed = true;
                let tiles = match task.tiles {
                    1 => format!("tile {}", task.first),
                    many => format!("tiles {} to {}", task.first, task.first + u64::from(many) - 1),
                };
                let message = format!("mandelbrot: {tiles} failed: {}\n", printable(&why));
                self.messages.push(Block::Err(message.into_bytes()))?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// The colours of the palette, which is cyclic: night, blue, ice, sand, rust, and night again.
const PALETTE: [[f64; 3]; 6] = [
    [6.0, 8.0, 48.0],
    [18.0, 80.0, 158.0],
    [214.0, 240.0, 250.0],
    [252.0, 190.0, 70.0],
    [132.0, 38.0, 12.0],
    [6.0, 8.0, 48.0],
];

/// Doublings of the count per cycle of the palette.
const DOUBLINGS: f64 = 5.0;

fn colour(count: u32) -> [u8; 3] {
    let cycles = (f64::from(count) + 1.0).log2() / DOUBLINGS;
    let position = cycles.fract() * (PALETTE.len() - 1) as f64;
    let (from, to) = (PALETTE[position as usize], PALETTE[position as usize + 1]);
    std::array::from_fn(|channel| {
        (from[channel] + (to[channel] - from[channel]) * position.fract()).round() as u8
    })
}
