//! `mandelbrot`: the iteration counts of every pixel, and a picture of them.
//!
//! ```text
//! Job ── tasks() ──> Task ── Plane::task() ──> Output ── Picture ──> digest, PNG
//! ```
//!
//! The picture is cut into tiles of one [`Shape`], numbered row by row; a [`Task`] is some tiles that follow
//! each other, often one. Nothing is read and little is written, and a tile costs from a few nanoseconds a pixel, where
//! the point is outside of the set, to a few microseconds, where it is inside. So a model shows here what sharing work
//! costs, and whether it shares evenly. A task is two numbers: it can be computed from its own, and need not be sent.
//!
//! Outputs may come in any order: the [`Picture`] knows where each belongs.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
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

/// What a model provides: runs the job and pushes every output once, as they are completed. Returns early, and
/// cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What is looked at, and how closely: all that a worker must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// How wide the picture is, in pixels.
    pub width: NonZeroU32,
    /// How high, in pixels.
    pub height: NonZeroU32,
    /// The part of the plane that it shows.
    pub region: Region,
    /// After so many iterations a point counts as one of the set.
    pub max_iter: u32,
    /// How the picture is cut.
    pub tile: Shape,
}

/// A part of the plane, from (x0, y0) at the lower left to (x1, y1). A pixel's point is in its middle.
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
    /// A lopsided one: cut in halves by rows, one half has most of the work.
    fn default() -> Self {
        Self { x0: -1.5, y0: -0.25, x1: -0.25, y1: 1.0 }
    }
}

/// The shape of a tile, in pixels. Those at the right and the lower edge may be smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// How many rows.
    pub rows: NonZeroU32,
    /// How many columns.
    pub columns: NonZeroU32,
}

/// What is to be computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The picture.
    pub view: View,
    /// How many tiles are a task, if that is not left to the model. One that by itself does tile by tile gives up a
    /// task of several as a whole.
    pub grain: Option<NonZeroU32>,
}

impl Job {
    /// The picture, in tasks as coarse as the model likes.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self { view, grain: None }
    }

    /// The job's tasks: an iterator that also gives any of them by its number. They are of this grain, unless the job
    /// asks for another.
    #[must_use]
    pub fn tasks(&self, grain: Grain) -> Tasks {
        let each = self.grain.map_or_else(|| grain.tiles(self.view.tile), NonZeroU32::get);
        Tasks { tiles: self.view.tiles(), each, next: 0 }
    }

    /// The sink that makes this job's picture. What there is to say of tiles that failed goes to `messages`.
    pub fn picture<'a>(&'a self, messages: &'a mut dyn Sink<Block>) -> Picture<'a> {
        Picture::new(self, messages)
    }
}

/// How coarse tasks are: the model's decision, unless the [`Job`] has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// A task is one tile, or as many as have no more pixels than this.
    pub pixels: u64,
}

impl Grain {
    /// Every tile is a task of its own.
    pub const TILE: Self = Self { pixels: 1 };

    /// How many tiles of this shape.
    fn tiles(self, tile: Shape) -> u32 {
        let pixels = u64::from(tile.rows.get()) * u64::from(tile.columns.get());
        (self.pixels / pixels).clamp(1, u64::from(u32::MAX)) as u32
    }
}

/// The tasks of a job, in the order of their tiles.
#[derive(Clone, Debug)]
pub struct Tasks {
    tiles: u64,
    /// Tiles in a task.
    each: u32,
    next: u64,
}

impl Tasks {
    /// The task with this number, counted from 0; none if there are not so many.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Task> {
        failpoint::hit(b"source", number);
        let first = number.checked_mul(u64::from(self.each)).filter(|first| *first < self.tiles)?;
        let tiles = (self.tiles - first).min(u64::from(self.each)) as u32;
        Some(Task { first, tiles })
    }

    /// How many there are in all.
    #[must_use]
    pub fn count_all(&self) -> u64 {
        self.tiles.div_ceil(u64::from(self.each))
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

/// Some tiles that follow each other. Plain data: it may be done anywhere, and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The first one's number.
    pub first: u64,
    /// How many.
    pub tiles: u32,
}

impl Task {
    /// The same, every tile for itself: to find the one that a task of several has failed of.
    pub fn apart(self) -> impl Iterator<Item = Self> {
        (self.first..self.first + u64::from(self.tiles)).map(|first| Self { first, tiles: 1 })
    }

    /// The output of a task that could not be done: it panicked, or killed its worker again and again.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        Output { task: *self, counts: Err(why.to_owned()) }
    }
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The task.
    pub task: Task,
    /// Its pixels' iteration counts, tile by tile and row by row, each in four bytes, the lowest first; or why
    /// there are none.
    pub counts: Result<ByteBuf, String>,
}

/// A rectangle of pixels.
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
    /// The default region, to a thousand iterations, in tiles of four rows.
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

    /// How many tiles the picture is cut into.
    fn tiles(&self) -> u64 {
        u64::from(self.height.get().div_ceil(self.tile.rows.get())) * self.tiles_in_a_row()
    }

    fn tiles_in_a_row(&self) -> u64 {
        u64::from(self.width.get().div_ceil(self.tile.columns.get()))
    }

    /// The tile with this number, which there must be.
    fn tile(&self, number: u64) -> Tile {
        let Shape { rows, columns } = self.tile;
        let row = (number / self.tiles_in_a_row()) as u32 * rows.get();
        let column = (number % self.tiles_in_a_row()) as u32 * columns.get();
        let rows = rows.get().min(self.height.get() - row);
        let columns = columns.get().min(self.width.get() - column);
        Tile { row, column, rows, columns }
    }
}
