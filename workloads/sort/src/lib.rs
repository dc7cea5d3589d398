//! `sort`: the lines of files in order, however many there are; in memory where they fit, and beyond it.
//!
//! The way of one job, with the concurrency left out (each model has its own):
//!
//! ```text
//! Job ── chunks() ──> Task ── Sorter::task() ──> Output ── Runs ──> runs on the shelf
//!                                                                     │  (too many: pass, and again)
//!        merges() ──> Task ── Sorter::task() ──> Output ── Sorted ──> sorted lines
//! ```
//!
//! In the first phase a [`Task`] is a [`Chunk`]: a range of the input, or some small files. The worker sorts it and
//! leaves one or more *runs* on a [`Shelf`]; what comes back is an index of each. In the second
//! phase, a task is a [`Merge`]: a range of the *result*, about a megabyte or four of it. The indexes say where in each
//! run its lines are, so that merges need not wait for each other: what comes back is text, and it is pushed in the
//! order of the tasks. Where a merge begins and ends is exact, (line, run, place in the run), so it does not matter how
//! often a line occurs, and lines that are equal stay in the order of the input.
//!
//! More runs than a merge can read from are merged into longer ones first ([`Runs::pass`]), by the same tasks.
//!
//! A sort that has lost a line is worse than none: what goes wrong is [`Output::Failed`] and ends the run.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod external;
mod heap;
mod index;
mod input;
pub mod inputs;
mod keys;
mod load;
mod losers;
mod merge;
mod numeric;
mod plan;
mod records;
mod runs;
mod scope;
pub mod sequential;
mod sorted;
mod sorter;
mod source;
mod split;

use std::{
    ffi::OsStr,
    ops::AddAssign,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::{Error, Result},
    printable::printable_path,
    report,
    shelf::{Folder, Shelf, Slice},
    stop::Stop,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use external::{Tasks, external};
pub use index::Index;
pub use input::Chunks;
pub use plan::Plan;
pub use runs::{Pass, Runs, Writer};
pub use scope::Scope;
pub use sorted::Sorted;
pub use sorter::Sorter;
pub use split::Merges;

/// What a model provides: runs the job and pushes what [`Runs`] passes on, then the outputs of the last merges, once
/// and in the order of the tasks. Returns early, and cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// How lines are ordered: all that a worker must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// `-k`: what is compared, one after the other. None is the whole line.
    pub keys: Vec<Key>,
    /// `-t`: what separates fields; otherwise it is the change from a byte that is not blank to one that is.
    pub separator: Option<u8>,
    /// `-u`: of lines that are equal, only the first.
    pub unique: bool,
    /// The directory that relative names are relative to; the process's own if empty.
    pub base: ByteBuf,
}

/// A part of a line that is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// How many fields come before it.
    pub from: usize,
    /// How many fields there are up to its end; none is to the end of the line.
    pub to: Option<usize>,
    /// `n`: it is a number.
    pub numeric: bool,
    /// `r`: the order is reversed.
    pub reverse: bool,
    /// `b`: it begins behind its leading blanks.
    pub skip_blanks: bool,
}

impl Key {
    fn is_bytes_of_the_line(&self) -> bool {
        *self == Self { reverse: self.reverse, ..Self::default() }
    }
}

/// What is to be sorted, and with how much memory.
#[derive(Debug)]
pub struct Job {
    /// How lines are ordered.
    pub query: Query,
    /// Files and `-` for standard input, in order; none is standard input.
    pub files: Vec<PathBuf>,
    /// `-S`: how much memory all processes together may use, in bytes.
    pub memory: u64,
    /// `-T`: where there is room for what does not fit into it.
    pub temporary: PathBuf,
    /// `-o`: the file that the result goes to, which may be one of `files`; standard output if there is none.
    pub output: Option<PathBuf>,
}

impl Job {
    /// How this run uses its memory. Fails if one of the files cannot be read.
    pub fn plan(&self, ctx: &Ctx) -> Result<Plan> {
        let plan = Plan::new(self.memory, ctx.workers, ctx.window, input::size(self)?);
        heap::give_back(plan.room);
        Ok(plan)
    }

    /// A new folder as the shelf, which any process can use. Workers that are threads of this one
    /// may have theirs in memory instead, if the [plan](Plan::in_memory) has room for it.
    pub fn folder(&self) -> Result<Folder> {
        Folder::new(&self.temporary, "cc-sort-")
            .map_err(|error| Error::Failed(format!("cannot create a temporary directory in {error}")))
    }

    /// The tasks of the first phase, in order. The iterator reads what can only be read in order (standard input, a
    /// pipe) as it is asked for more, puts it on the shelf, and ends once a stop is requested, even while there is
    /// nothing to read.
    pub fn chunks<'a>(&'a self, plan: &Plan, shelf: &'a dyn Shelf, stop: &Stop) -> Chunks<'a> {
        Chunks::new(self, plan, shelf, stop)
    }

    /// The sink of this job's outputs. What is to be printed goes to `out`. A stop ends the wait
    /// for the reader of a pipe.
    pub fn sorted<'a>(&self, stop: &Stop, out: &'a mut dyn Sink<Block>) -> Result<Sorted<'a>> {
        Sorted::new(self.output.as_deref(), stop, out)
    }
}

/// A part of the work. Plain data: it may be done anywhere that the shelf can be reached from, and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Sort this part of the input.
    Chunk(Chunk),
    /// Merge these parts of runs.
    Merge(Merge),
}

/// A part of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Which one, in the order of the input. The names of its runs are made of it.
    pub number: u64,
    /// Where its lines are, in order.
    pub pieces: Vec<Piece>,
    /// How many bytes the worker may use for text and what it knows of the lines. If they do not suffice, there are
    /// several runs.
    pub room: u64,
    /// See [`Plan::block`].
    pub block: u64,
}

/// The lines of a file that begin in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name, as it is given and opened.
    pub path: ByteBuf,
    /// Where the bytes are.
    pub content: Content,
    /// The range's first byte.
    pub start: u64,
    /// The byte behind the range.
    pub end: u64,
}

/// Where a piece's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of that name.
    File,
    /// On the shelf, under this name: whole lines, all of them.
    Shelf(String),
    /// Here: whole lines, all of them.
    Bytes(ByteBuf),
    /// Nowhere: what is to be said of it.
    Missing(String),
}

impl Piece {
    fn os_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

/// A part of the result: the lines of all runs between two bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// Which one, in the order of the tasks; each pass has its own.
    pub number: u64,
    /// The first line is not before it; none is the beginning.
    pub from: Option<Bound>,
    /// The last line is before it; none is the end.
    pub to: Option<Bound>,
    /// Where these lines are in the runs, in the runs' order: somewhat more than them.
    pub parts: Vec<Part>,
}

/// A place in the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// It is before all lines that are greater than this one, and behind all that are less.
    pub line: ByteBuf,
    /// Of those equal to it, it is behind those of the runs before this one, before those of the runs behind it,
    pub run: usize,
    /// and before those of the run itself that begin here or later.
    pub at: u64,
}

/// A part of a run: whole lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The run's place among those that are merged.
    pub run: usize,
    /// Where its lines are.
    pub slice: Slice,
}

impl Task {
    /// The output of a task that could not be done: it panicked, or killed its worker again and again.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        let what = match self {
            Self::Chunk(Chunk { pieces, .. }) => {
                pieces.first().map_or("an empty chunk".to_owned(), |piece| {
                    format!("{} failed at byte {}", printable_path(piece.os_path()), piece.start)
                })
            }
            Self::Merge(merge) => format!("merge {} failed", merge.number),
        };
        Output::Failed(format!("{what}: {why}"))
    }
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Of a chunk: the runs that it is in now.
    Runs(Made),
    /// Of chunks: how much was read. (What [`Runs`] passes on.)
    Read(Totals),
    /// Of a merge: lines in order, each with its newline.
    Lines {
        /// Their text.
        text: ByteBuf,
        /// Their number.
        lines: u64,
    },
    /// Of either: why there is nothing. It ends the run.
    Failed(String),
}

/// What came of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its lines, sorted, in one run or several.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub runs: Vec<SortedRun>,
    /// How much was read.
    pub read: Totals,
    /// What the chunk was made of, if that was on the shelf: nobody will need it again.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub spent: Vec<String>,
}

/// Sorted lines on a shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortedRun {
    /// Their name there.
    pub name: String,
    /// How many bytes they are.
    pub bytes: u64,
    /// Where in them which lines are.
    pub index: Index,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files read.
    pub files: u64,
    /// Bytes read, with the newlines that were missing.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
    /// Lines of the result.
    pub sorted: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
        self.lines += more.lines;
        self.sorted += more.sorted;
    }
}

impl From<Totals> for report::Totals {
    fn from(Totals { files, bytes, lines, sorted }: Totals) -> Self {
        let counts = [("files", files), ("bytes", bytes), ("lines", lines), ("sorted", sorted)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

impl Query {
    /// The directory that relative names are relative to.
    fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}
