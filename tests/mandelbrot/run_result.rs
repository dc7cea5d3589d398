//! Runs a job and keeps the result of each tile.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    ops::ControlFlow,
};

use cc_conformance::{
    fault::{Fault, Plan},
    subject::Subject,
};
use cc_workloads::{
    Block, Ctx, Sink,
    mandelbrot::{Job, Output, Picture, Shape, View},
};

use super::Mandelbrot;

/// A picture of the default region, in square tiles of 256 pixels.
pub(super) fn view(width: u32, height: u32) -> View {
    let view = View { max_iter: 300, ..View::new(pixels(width), pixels(height)) };
    tiled(view, 16, 16)
}

/// The same picture, divided into other tiles.
pub(super) fn tiled(view: View, rows: u32, columns: u32) -> View {
    View { tile: Shape { rows: pixels(rows), columns: pixels(columns) }, ..view }
}

/// A picture, and the faults that are planned for it.
#[derive(Clone)]
pub(super) struct Invocation {
    pub(super) view: View,
    faults: Plan,
}

impl Invocation {
    /// Adds a planned fault.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}

impl From<&View> for Invocation {
    fn from(view: &View) -> Self {
        Self { view: view.clone(), faults: Plan::default() }
    }
}

impl From<&Self> for Invocation {
    fn from(invocation: &Self) -> Self {
        invocation.clone()
    }
}

fn pixels(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a picture has pixels")
}

/// The number of tiles of the picture.
pub(super) fn tiles(view: &View) -> u64 {
    let rows = view.height.get().div_ceil(view.tile.rows.get());
    u64::from(rows) * u64::from(view.width.get().div_ceil(view.tile.columns.get()))
}

/// The result of a run.
pub(super) struct RunResult {
    /// The tiles whose counts were pushed.
    pub(super) done: BTreeSet<u64>,
    /// The tasks that failed: the first tile, and the number of tiles.
    pub(super) failed: BTreeMap<u64, u32>,
    /// The number of pushes.
    pub(super) pushes: usize,
    /// The counts, row by row; 0 where there are none.
    pub(super) counts: Vec<u32>,
    /// The digest of the counts.
    pub(super) digest: u128,
    /// The messages.
    pub(super) messages: String,
    /// Pixels, iterations, tiles.
    pub(super) totals: (u64, u64, u64),
    /// The number of tasks. The model decides it, unless the job does.
    pub(super) tasks: u64,
}

/// A sink that puts tiles into a picture, and may return Break.
struct Collector<'a> {
    picture: Picture<'a>,
    tiles: u64,
    done: BTreeSet<u64>,
    failed: BTreeMap<u64, u32>,
    pushes: usize,
    /// The push at which it returns Break, if any.
    most: Option<usize>,
}

impl Sink<Output> for Collector<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        let task = output.task;
        assert!(self.most.is_none_or(|most| self.pushes < most), "pushed after Break: {task:?}");
        self.pushes += 1;
        let failed = self.failed.iter().map(|(first, tiles)| *first..first + u64::from(*tiles));
        let failed: BTreeSet<u64> = failed.flatten().collect();
        for tile in task.first..task.first + u64::from(task.tiles) {
            assert!(tile < self.tiles, "there is no tile {tile}");
            assert!(!failed.contains(&tile) && self.done.insert(tile), "tile {tile} came twice");
        }
        if output.counts.is_err() {
            self.done.retain(|tile| !(task.first..task.first + u64::from(task.tiles)).contains(tile));
            self.failed.insert(task.first, task.tiles);
        }
        let wants = self.picture.push(output);
        if self.most == Some(self.pushes) { ControlFlow::Break(()) } else { wants }
    }
}

/// A sink that keeps messages.
struct Messages(String);

impl Sink<Block> for Messages {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let Block::Err(text) = block else { panic!("nothing but messages belong here") };
        self.0 += &String::from_utf8(text).expect("messages are text");
        ControlFlow::Continue(())
    }
}

impl RunResult {
    /// Runs the job with this context.
    pub(super) fn of(subject: &Subject, invocation: impl Into<Invocation>, ctx: &Ctx) -> Self {
        Self::until(subject, invocation, ctx, None)
    }

    /// Like `of`, with a sink that returns Break at push number `most`.
    pub(super) fn until(
        subject: &Subject,
        invocation: impl Into<Invocation>,
        ctx: &Ctx,
        most: Option<usize>,
    ) -> Self {
        let Invocation { view, faults } = invocation.into();
        Self::of_job(subject, &Job::new(view), &faults, ctx, most)
    }

    /// Like `until`, in tasks of this number of tiles.
    pub(super) fn in_tasks_of(
        tiles: u32,
        subject: &Subject,
        invocation: impl Into<Invocation>,
        ctx: &Ctx,
    ) -> Self {
        let Invocation { view, faults } = invocation.into();
        let job = Job { grain: NonZeroU32::new(tiles), ..Job::new(view) };
        Self::of_job(subject, &job, &faults, ctx, None)
    }

    fn of_job(subject: &Subject, job: &Job, faults: &Plan, ctx: &Ctx, most: Option<usize>) -> Self {
        let _in_force = faults.enforce();
        let mut messages = Messages(String::new());
        let mut sink = Collector {
            picture: job.picture(&mut messages),
            tiles: tiles(&job.view),
            done: BTreeSet::new(),
            failed: BTreeMap::new(),
            pushes: 0,
            most,
        };
        subject.run::<Mandelbrot>(job, ctx, &mut sink);
        let Collector { picture, done, failed, pushes, .. } = sink;
        assert_eq!(picture.failed(), !failed.is_empty(), "the exit status is wrong");
        let totals = picture.totals();
        let (totals, tasks) = ((totals.pixels, totals.iterations, totals.tiles), totals.tasks);
        let (counts, digest) = (picture.counts().collect(), picture.digest());
        Self { done, failed, pushes, counts, digest, totals, tasks, messages: messages.0 }
    }

    /// The result of the reference.
    pub(super) fn reference(view: &View) -> Self {
        let reference = Subject::reference();
        Self::of(&reference, view, &reference.ctx(1))
    }

    /// Asserts that this is the whole picture and equals the expected one.
    pub(super) fn assert_same(&self, expected: &Self, view: &View) {
        assert!(self.failed.is_empty(), "{}", self.messages);
        let missing: Vec<u64> = (0..tiles(view)).filter(|tile| !self.done.contains(tile)).collect();
        assert!(missing.is_empty(), "tiles are missing: {missing:?}");
        let wrong = self.counts.iter().zip(&expected.counts).position(|(mine, theirs)| mine != theirs);
        assert_eq!(wrong, None, "the count of this pixel differs");
        assert_eq!(self.digest, expected.digest, "the digests differ");
        assert_eq!(self.totals, expected.totals, "the totals differ");
        assert_eq!(self.messages, "");
    }

    /// Asserts that each pixel of a finished tile equals the expected one.
    pub(super) fn assert_part_of(&self, expected: &Self, view: &View) {
        let wide = u64::from(view.width.get().div_ceil(view.tile.columns.get()));
        for (nth, (mine, theirs)) in self.counts.iter().zip(&expected.counts).enumerate() {
            let (x, y) = (nth as u32 % view.width, nth as u32 / view.width);
            let tile = u64::from(y / view.tile.rows) * wide + u64::from(x / view.tile.columns);
            let theirs = if self.done.contains(&tile) { *theirs } else { 0 };
            assert_eq!(*mine, theirs, "pixel {x}, {y} in tile {tile}");
        }
    }
}

/// Asserts that the subject's picture equals the reference's.
pub(super) fn conforms(subject: &Subject, view: &View) {
    conforms_in(subject, view, &subject.ctx(2));
}

/// Like `conforms`, with this context.
pub(super) fn conforms_in(subject: &Subject, view: &View, ctx: &Ctx) {
    RunResult::of(subject, view, ctx).assert_same(&RunResult::reference(view), view);
}
