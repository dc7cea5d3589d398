//! `mandelbrot`: the iteration counts of every pixel, and a picture of them.
//!
//! ```text
//! Job ── tasks() ──> Task ── Plane::task() ──> Output ── Picture ──> digest, PNG
//! ```
//!
//! The picture is cut into tiles of one [`Shape`], numbered row by row. A [`Task`] is one tile or
//! several consecutive ones. There is no input to read. A pixel costs a few iterations outside of
//! the set, and all of them inside, so tiles of the same size differ much in cost. The workload
//! therefore shows what it costs to distribute work, and how well a model balances the load. A task
//! is two numbers that follow from its position in the list of tasks, so a model need not send the
//! task.
//!
//! Outputs may arrive in any order: the [`Picture`] copies each tile to its position.

// All printing goes through `stdio`, which does not panic and reports write errors.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod picture;
mod plane;
mod scope;
pub mod sequential;

use std::num::NonZeroU32;

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::Result,
    failpoint,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use picture::{Picture, Totals};
pub use plane::{Plane, escape_time};
pub use scope::Scope;

/// The function that each model provides. It runs the job and pushes each output once, as soon as
/// it is complete. Once a stop is requested, it cleans up and returns early.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What the picture shows, at which resolution: all that a worker needs to compute tiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The picture's width in pixels.
    pub width: NonZeroU32,
    /// The picture's height in pixels.
    pub height: NonZeroU32,
    /// The part of the complex plane that the picture shows.
    pub region: Region,
    /// Maximum iterations per pixel: a point that has not escaped by then counts as inside the set.
    pub max_iter: u32,
    /// The shape of the tiles that the picture is cut into.
    pub tile: Shape,
}

/// A rectangle of the complex plane, from (x0, y0) at the lower left to (x1, y1) at the upper
/// right. Each pixel stands for the point in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The left edge.
    pub x0: f64,
    /// The lower edge.
    pub y0: f64,
    /// The right edge.
    pub x1: f64,
    /// The upper edge.
    pub y1: f64,
}

impl Default for Region {
    /// An asymmetric region: if the picture is cut in two halves by rows, one half has most of the
    /// work.
    fn default() -> Self {
        Self { x0: -1.5, y0: -0.25, x1: -0.25, y1: 1.0 }
    }
}

/// The shape of a tile, in pixels. The tiles at the right and the lower edge may be smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows per tile.
    pub rows: NonZeroU32,
    /// Columns per tile.
    pub columns: NonZeroU32,
}

/// What a run computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What the picture shows.
    pub view: View,
    /// Tiles per task; `None` leaves the number to the model. A model whose own choice is one tile
    /// per task has no code that splits a failed task: it reports all tiles of the task as failed.
    pub grain: Option<NonZeroU32>,
}

impl Job {
    /// A job whose tasks are as coarse as the model chooses.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self { view, grain: None }
    }

    /// The job's tasks: an iterator with random access by number. The tasks have this grain, unless
    /// the job asks for another.
    #[must_use]
    pub fn tasks(&self, grain: Grain) -> Tasks {
        let tiles_per_task = self.grain.map_or_else(|| grain.tiles(self.view.tile), NonZeroU32::get);
        Tasks { tiles: self.view.tiles(), tiles_per_task, next: 0 }
    }

    /// The sink that assembles this job's picture. It reports failed tiles to `messages`.
    pub fn picture<'a>(&'a self, messages: &'a mut dyn Sink<Block>) -> Picture<'a> {
        Picture::new(self, messages)
    }
}

/// How coarse tasks are: the model's decision, unless the [`Job`] sets the number of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// Maximum pixels per task. A task has at least one tile, even if that tile has more pixels.
    pub pixels: u64,
}

impl Grain {
    /// One tile per task.
    pub const TILE: Self = Self { pixels: 1 };

    /// The number of tiles of this shape per task.
    fn tiles(self, tile: Shape) -> u32 {
        let pixels = u64::from(tile.rows.get()) * u64::from(tile.columns.get());
        (self.pixels / pixels).clamp(1, u64::from(u32::MAX)) as u32
    }
}

/// The tasks of a job, in the order of their tiles.
#[derive(Clone, Debug)]
pub struct Tasks {
    tiles: u64,
    tiles_per_task: u32,
    /// The number of the next task.
    next: u64,
}

impl Tasks {
    /// The task with this number, counted from 0; `None` if the job has fewer tasks.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Task> {
        failpoint::hit(b"source", number);
        let tiles_per_task = u64::from(self.tiles_per_task);
        let first = number.checked_mul(tiles_per_task).filter(|first| *first < self.tiles)?;
        let tiles = (self.tiles - first).min(tiles_per_task) as u32;
        Some(Task { first, tiles })
    }

    /// The number of tasks of the job, including those that the iterator has already returned.
    #[must_use]
    pub fn count_all(&self) -> u64 {
        self.tiles.div_ceil(u64::from(self.tiles_per_task))
    }
}

impl Iterator for Tasks {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let task = self.get(self.next)?;
        self.next += 1;
        Some(task)
    }
}

/// One or more consecutive tiles. A task is plain data: any worker can do it, and it can be
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The number of the first tile.
    pub first: u64,
    /// The number of tiles.
    pub tiles: u32,
}

impl Task {
    /// Splits the task into tasks of one tile each, to find the tile that made the whole task fail.
    pub fn split(self) -> impl Iterator<Item = Self> {
        (self.first..self.first + u64::from(self.tiles)).map(|first| Self { first, tiles: 1 })
    }

    /// The output of a task that could not be completed: it panicked, or it killed its worker
    /// repeatedly.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        Output { task: *self, counts: Err(why.to_owned()) }
    }
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The task.
    pub task: Task,
    /// The pixels' iteration counts, tile by tile and row by row, each in four bytes,
    /// little-endian; or the reason of the failure.
    pub counts: Result<ByteBuf, String>,
}

/// A rectangle of pixels. `row` and `column` are the position of its upper left pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    row: u32,
    column: u32,
    rows: u32,
    columns: u32,
}

impl Tile {
    fn pixels(self) -> usize {
        self.rows as usize * self.columns as usize
    }
}

impl View {
    /// The default region, with at most 1000 iterations per pixel, in tiles of four full rows.
    #[must_use]
    pub fn new(width: NonZeroU32, height: NonZeroU32) -> Self {
        let rows = const { NonZeroU32::new(4).expect("four is not zero") };
        Self {
            width,
            height,
            region: Region::default(),
            max_iter: 1000,
            tile: Shape { rows, columns: width },
        }
    }

    /// The number of tiles in the picture.
    fn tiles(&self) -> u64 {
        u64::from(self.height.get().div_ceil(self.tile.rows.get())) * self.tiles_in_a_row()
    }

    fn tiles_in_a_row(&self) -> u64 {
        u64::from(self.width.get().div_ceil(self.tile.columns.get()))
    }

    /// The tile with this number, which must be lower than [`tiles`](Self::tiles).
    fn tile(&self, number: u64) -> Tile {
        let Shape { rows, columns } = self.tile;
        let row = (number / self.tiles_in_a_row()) as u32 * rows.get();
        let column = (number % self.tiles_in_a_row()) as u32 * columns.get();
        let rows = rows.get().min(self.height.get() - row);
        let columns = columns.get().min(self.width.get() - column);
        Tile { row, column, rows, columns }
    }
}
