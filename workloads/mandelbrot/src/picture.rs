//! What becomes of the counts: a digest, and a picture that one would hang up.

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
/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pixels computed.
    pub pixels: u64,
    /// The sum of their counts.
    pub iterations: u64,
    /// The tiles they are in.
    pub tiles: u64,
    /// The tasks that these were handed out in.
    pub tasks: u64,
}

impl From<Totals> for report::Totals {
    fn from(Totals { pixels, iterations, tiles, tasks }: Totals) -> Self {
        let counts = [("pixels", pixels), ("iterations", iterations), ("tiles", tiles), ("tasks", tasks)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

/// The sink that every model's outputs go to: puts each tile in its place. See [`Job::picture`].
pub struct Picture<'a> {
    view: &'a View,
    messages: &'a mut dyn Sink<Block>,
    /// Four bytes a pixel, the lowest first, row by row.
    counts: Vec<u8>,
    totals: Totals,
    failed: bool,
}

/// Bytes of a count.
pub(super) const COUNT: usize = 4;

/// Pixels written between two looks at the stop: some milliseconds.
const LOOK: usize = 1 << 16;

impl<'a> Picture<'a> {
    pub(super) fn new(job: &'a Job, messages: &'a mut dyn Sink<Block>) -> Self {
        let view = &job.view;
        let pixels = view.width.get() as usize * view.height.get() as usize;
        let counts = vec![0; pixels * COUNT];
        Self { view, messages, counts, totals: Totals::default(), failed: false }
    }

    /// The totals of the tiles that are in their places.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether a tile is missing, which has been said.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The iteration counts, row by row.
    pub fn counts(&self) -> impl Iterator<Item = u32> {
        self.counts
            .chunks_exact(COUNT)
            .map(|count| u32::from_le_bytes([count[0], count[1], count[2], count[3]]))
    }

    /// The XXH3 digest of the counts, row by row, each in four bytes, the lowest first.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let _span = trace::serial("digest");
        xxh3_128(&self.counts)
    }

    /// Writes the picture as PNG. What takes longer to escape is further along the palette, by the logarithm, so
    /// that there is as much to see far from the set as close to it; the set itself is black.
    ///
    /// # Errors
    ///
    /// Those of `out`, and one that is [`io::ErrorKind::Interrupted`] if `stop` is requested
    /// meanwhile.
    pub fn write_png(&self, out: impl Write, stop: &Stop) -> io::Result<()> {
        let _span = trace::serial("write");
        let mut encoder =
            png::Encoder::new(BufWriter::new(out), self.view.width.get(), self.view.height.get());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        let mut rows = writer.stream_writer()?;
        for (nth, count) in self.counts().enumerate() {
            if nth % LOOK == 0 && stop.requested() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let colour = if count == self.view.max_iter { [0; 3] } else { colour(count) };
            rows.write_all(&colour)?;
        }
        rows.finish()?;
        writer.finish()?;
        Ok(())
    }

    fn place(&mut self, task: &Task, mut counts: &[u8]) {
        let width = self.view.width.get() as usize;
        for number in task.first..task.first + u64::from(task.tiles) {
            let tile = self.view.tile(number);
            let (tile_counts, later) = counts.split_at(tile.pixels() * COUNT);
            counts = later;
            let row_bytes = tile.columns as usize * COUNT;
            for (row, from) in tile_counts.chunks_exact(row_bytes).enumerate() {
                let at = ((tile.row as usize + row) * width + tile.column as usize) * COUNT;
                self.counts[at..at + row_bytes].copy_from_slice(from);
            }
            let sum = tile_counts.chunks_exact(COUNT);
            let sum =
                sum.map(|count| u64::from(u32::from_le_bytes([count[0], count[1], count[2], count[3]])));
            self.totals.iterations += sum.sum::<u64>();
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
            Ok(counts) => self.place(&task, &counts),
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

/// The palette goes round: night, blue, ice, sand, rust, and night again.
const PALETTE: [[f64; 3]; 6] = [
    [6.0, 8.0, 48.0],
    [18.0, 80.0, 158.0],
    [214.0, 240.0, 250.0],
    [252.0, 190.0, 70.0],
    [132.0, 38.0, 12.0],
    [6.0, 8.0, 48.0],
];

/// Once round the palette for so many doublings of the count.
const DOUBLINGS: f64 = 5.0;

fn colour(count: u32) -> [u8; 3] {
    let round = (f64::from(count) + 1.0).log2() / DOUBLINGS;
    let along = round.fract() * (PALETTE.len() - 1) as f64;
    let (from, share) = (along as usize, along.fract());
    std::array::from_fn(|n| {
        (PALETTE[from][n] + (PALETTE[from + 1][n] - PALETTE[from][n]) * share).round() as u8
    })
}
