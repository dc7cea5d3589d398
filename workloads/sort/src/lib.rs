//! `sort`: sorts the lines of files, in memory or, if they do not fit, with temporary files.
//!
//! The data flow of a job, without concurrency, which each model adds:
//!
//! ```text
//! Job ── chunks() ──> Task ── Sorter::task() ──> Output ── Runs ──> runs in the blob store
//!                                                                     │  (too many: passes first)
//!        merges() ──> Task ── Sorter::task() ──> Output ── Sorted ──> sorted lines
//! ```
//!
//! In the first phase a [`Task`] is a [`Chunk`]: a range of the input, or several small files. A
//! worker sorts it, writes one or more *runs* to a [`BlobStore`], and returns an index of each. In
//! the second phase, a task is a [`Merge`]: a range of the *result*, of up to about two mebibytes.
//! The indexes tell where its lines are in each run, so merges are independent of each other. A
//! worker returns the text, and the outputs are pushed in the order of the tasks. The bounds of a
//! merge are exact: line, run, and position in the run. Any number of equal lines can therefore be
//! divided, and they stay in the order of the input.
//!
//! If there are more runs than a merge can read from, some are first merged into longer ones
//! ([`Runs::pass`]), by tasks of the same kind.
//!
//! A result that lacks a line is worse than none, so any failure ([`Output::Failed`]) ends the run.

// All printing goes through `stdio`, which does not panic and reports write errors.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod chunks;
pub mod cli;
mod external;
mod general;
mod index;
pub mod inputs;
mod keys;
mod line_reader;
mod load;
mod loser_tree;
mod malloc;
mod merge;
mod merge_files;
mod numeric;
mod plan;
mod reader;
mod records;
mod runs;
mod scope;
pub mod sequential;
mod sorted;
mod sorter;
mod split;
mod version;

use std::{
    ffi::OsStr,
    ops::AddAssign,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_core::{
    blobs::{BlobRange, BlobStore, DirStore},
    contract::{Block, Ctx, Sink},
    error::{Error, Result},
    printable::printable_path,
    report,
    stop::Stop,
    stream::Cut,
    temporary,
};
use memchr::memrchr;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use chunks::Chunks;
pub use external::{Tasks, external};
pub use index::Index;
pub use plan::Plan;
pub use runs::{Pass, Runs, Writer};
pub use scope::Scope;
pub use sorted::Sorted;
pub use sorter::Sorter;
pub use split::Merges;

/// The function that each model provides. It runs the job and pushes what [`Runs`] passes on, then
/// the outputs of the last merges, each once and in the order of the tasks. Once a stop is
/// requested, it cleans up and returns early.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// How lines are ordered: all that a worker needs besides its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// `-k`: the keys, by descending priority. If there are none, whole lines are compared.
    pub keys: Vec<Key>,
    /// `-t`: the byte that separates fields. If `None`, a field begins where a blank follows
    /// another byte.
    pub separator: Option<u8>,
    /// `-u`: keep only the first of equal lines.
    pub unique: bool,
    /// `-z`: a NUL ends each line, instead of a newline.
    pub zero_terminated: bool,
    /// The directory that relative names refer to; if empty, the current one of the process.
    pub base: ByteBuf,
}

/// A key: a part of a line that is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The number of fields before the key.
    pub from: usize,
    /// The number of bytes between the beginning of its first field and the key.
    pub from_byte: usize,
    /// The number of fields up to the key's end; if `None`, the key ends with the line.
    pub to: Option<usize>,
    /// The number of bytes from the beginning of its last field to the key's end; if zero, the key
    /// ends with that field.
    pub to_byte: usize,
    /// How the key is compared.
    pub order: Order,
    /// `f`: lower-case letters are equal to upper-case letters.
    pub fold_case: bool,
    /// `d` and `i`: which bytes are not compared.
    pub ignore: Ignore,
    /// `r`: the order is reversed.
    pub reverse: bool,
    /// `b` at the beginning: leading blanks are not part of the key, and `from_byte` counts from
    /// the byte after them.
    pub skip_blanks: bool,
    /// `b` at the end: `to_byte` counts from the byte after the blanks that its field begins with.
    pub skip_end_blanks: bool,
}

/// How a key is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// As bytes.
    #[default]
    Bytes,
    /// `n`: as a decimal number of any length.
    Numeric,
    /// `g`: as a floating-point number of double precision.
    General,
    /// `h`: by the unit (`K`, `M`, `G`, …), and then as a decimal number.
    Human,
    /// `M`: as the English name of a month.
    Month,
    /// `V`: as a name with version numbers.
    Version,
}

/// Which bytes of a key are not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ignore {
    /// All bytes are compared.
    #[default]
    Nothing,
    /// `i`: only printable ASCII characters are compared.
    Nonprinting,
    /// `d`: only blanks, letters and digits of ASCII are compared.
    Nondictionary,
}

impl Key {
    /// Whether the key is the whole line, compared as bytes.
    fn is_bytes_of_the_line(&self) -> bool {
        *self == Self { reverse: self.reverse, ..Self::default() }
    }
}

/// The beginning of the message about a directory in which no temporary files can be made.
const NO_TEMPORARY_DIR: &str = "cannot create a temporary directory in";

/// What to sort, and with how much memory.
#[derive(Debug)]
pub struct Job {
    /// How lines are ordered.
    pub query: Query,
    /// Files and `-` for standard input, in order. If there are none, standard input is sorted.
    pub files: Vec<PathBuf>,
    /// `-S`: maximum bytes of memory of all processes together.
    pub memory: u64,
    /// `-T`: the directory for temporary files.
    pub temporary: PathBuf,
    /// `-o`: the file for the result, which may be one of `files`; if `None`, it is printed.
    pub output: Option<PathBuf>,
}

impl Job {
    /// Plans how this run uses its memory. Fails if one of the files cannot be read.
    pub fn plan(&self, ctx: &Ctx) -> Result<Plan> {
        let plan = Plan::new(self.memory, ctx.workers, ctx.window, chunks::size(self)?);
        malloc::return_freed_memory(plan.room);
        Ok(plan)
    }

    /// The directory for temporary files. It is that of the job, unless that cannot be used and the
    /// input may fit into memory: then the models that keep runs in files nevertheless use a
    /// directory of the system. A stream ends the run when it has turned out to be too large for
    /// that (see [`Job::chunks`]).
    #[must_use]
    pub fn temporary_dir(&self) -> PathBuf {
        let usable = temporary::usable_dir(&self.temporary);
        if usable != self.temporary && self.is_too_large() { self.temporary.clone() } else { usable }
    }

    /// Whether the input is known not to fit into memory.
    fn is_too_large(&self) -> bool {
        matches!(chunks::size(self), Ok(Some(size)) if size > self.usable_memory())
    }

    /// The bytes of input that may be kept outside of the job's directory for temporary files, if
    /// that cannot be used.
    fn usable_memory(&self) -> u64 {
        const LEAST: u64 = 1 << 20;
        self.memory.max(LEAST)
    }

    /// A blob store in a temporary directory, which all processes of this machine can use. A model
    /// whose workers are threads can use a store in memory, if the [plan](Plan::in_memory) allows
    /// it.
    pub fn folder(&self) -> Result<DirStore> {
        DirStore::new(&self.temporary_dir(), "cc-sort-")
            .map_err(|error| Error::Failed(format!("{NO_TEMPORARY_DIR} {error}")))
    }

    /// The tasks of the first phase, in order. The iterator reads streams (standard input, pipes)
    /// on demand and copies them to the blob store. It ends once a stop is requested, even while it
    /// waits for a stream.
    pub fn chunks<'a>(&'a self, plan: &Plan, blobs: &'a dyn BlobStore, stop: &Stop) -> Chunks<'a> {
        Chunks::new(self, plan, blobs, stop)
    }

    /// The sink of this job's outputs. It prints to `out`, or writes the output file. If that is a
    /// pipe, a stop ends the wait for its reader.
    pub fn sorted<'a>(&self, stop: &Stop, out: &'a mut dyn Sink<Block>) -> Result<Sorted<'a>> {
        Sorted::new(self.output.as_deref(), stop, out)
    }
}

/// A part of the work. A task is plain data: any worker that can access the blob store can do it,
/// and it can be repeated.
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
    /// The chunk's number, in the order of the input. The names of its runs contain it.
    pub number: u64,
    /// The files, or parts of them, that the chunk consists of, in order.
    pub pieces: Vec<Piece>,
    /// Maximum bytes that the worker uses for the text and the records of the lines. A chunk that
    /// needs more becomes several runs.
    pub room: u64,
    /// See [`Plan::block`].
    pub block: u64,
}

/// The lines of a file that begin in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name, for messages and opening it.
    pub path: ByteBuf,
    /// Where the piece's bytes are.
    pub content: Content,
    /// The position of the range's first byte.
    pub start: u64,
    /// The position after the range's last byte.
    pub end: u64,
}

/// Where a piece's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of the piece's name.
    File,
    /// In the blob of this name: all lines of the piece, each complete.
    Blob(String),
    /// In the piece: all its lines, each complete.
    Bytes(ByteBuf),
    /// The file cannot be read; this is the message.
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
    /// The merge's number, in the order of the tasks of its pass.
    pub number: u64,
    /// The lower bound; if `None`, the merge begins with the first line of the result.
    pub from: Option<Bound>,
    /// The upper bound; if `None`, the merge ends with the last line of the result.
    pub to: Option<Bound>,
    /// The parts of the runs that contain these lines, in the order of the runs. They also contain
    /// some lines outside of the bounds.
    pub parts: Vec<Part>,
}

/// A position between two lines of the result. The lines before it are those for which (line, run,
/// position in the run) is less than the three fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The line that is compared first; it need not occur in the input.
    pub line: ByteBuf,
    /// The number of a run: decides for lines that equal `line`.
    pub run: usize,
    /// A position in this run: decides for equal lines of the same run.
    pub at: u64,
}

/// A part of a run: complete lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The number of the run among those that are merged.
    pub run: usize,
    /// The range of the run's blob.
    pub slice: BlobRange,
}

impl Task {
    /// The output of a task that could not be completed: it panicked, or it killed its worker
    /// repeatedly.
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

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The result of a chunk: its runs.
    Runs(Made),
    /// What was read for a chunk; [`Runs`] passes it on instead of the runs.
    Read(Totals),
    /// The result of a merge: sorted lines, each with its newline.
    Lines {
        /// The text of the lines.
        text: ByteBuf,
        /// The number of lines.
        lines: u64,
    },
    /// The reason why a task failed. It ends the run.
    Failed(String),
}

/// The result of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The chunk's lines, in one or more sorted runs.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub runs: Vec<SortedRun>,
    /// How much was read.
    pub read: Totals,
    /// The names of the blobs that the chunk was read from. They are not needed any more.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub spent: Vec<String>,
}

/// Sorted lines in a blob store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortedRun {
    /// The name of the blob.
    pub name: String,
    /// The number of bytes.
    pub bytes: u64,
    /// The positions of some of its lines.
    pub index: Index,
}

/// How much work was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files read.
    pub files: u64,
    /// Bytes read, including newlines that were added at the ends of files.
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
    /// The byte that ends each line.
    #[must_use]
    pub fn delimiter(&self) -> u8 {
        if self.zero_terminated { 0 } else { b'\n' }
    }

    /// The function that finds the position after the last whole line of a text.
    fn after_last_line(&self) -> Cut {
        if self.zero_terminated {
            |bytes| memrchr(0, bytes).map(|end| end + 1)
        } else {
            |bytes| memrchr(b'\n', bytes).map(|end| end + 1)
        }
    }

    /// The directory that relative names refer to.
    fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}
