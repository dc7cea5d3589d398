//! `wordcount`: how often each word occurs, the most frequent first.
//!
//! ```text
//! Job ── tasks() ──> Task ── Counter::task() ──> Partial ──┬── Read ───────────────────────────> Ranking ──> bytes
//!                                                          └── Counts ── shuffle ──> Partition     ^
//!                                                                          absorb()      └─ rank() ┘
//! ```
//!
//! Map: a [`Task`] is some megabytes of text, and a [`Counter`] counts the words of one by itself, so that what a
//! failed task had counted counts nowhere. Shuffle: the counts of a task come in [`PARTITIONS`] parts by the words'
//! hash, and every occurrence of a word, whoever counted it, belongs to the same [`Partition`]. Reduce: a partition
//! absorbs its part of all tasks' counts, in any order, and is ranked when there are no more. Which worker has which
//! partition, and how the parts get there, is the model's decision.
//!
//! Outputs may come in any order: what was read of each task, and each partition, ranked. The [`Ranking`] merges
//! those at the end.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod counter;
mod counts;
pub mod inputs;
mod ranking;
mod read;
mod scope;
pub mod sequential;
mod shuffle;
mod table;
mod tasks;
mod words;

use std::{
    ffi::OsStr,
    ops::AddAssign,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::Result,
    report,
    stop::Stop,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use counter::{Counter, Partial};
pub use counts::{Counts, PARTITIONS, Partition, Ranked, absorb, divided, partitions};
pub use ranking::Ranking;
pub use read::Loader;
pub use scope::Scope;
pub use shuffle::{Share, Shelved};
pub use tasks::Tasks;

/// What a model provides: runs the job and pushes what was read of every task once, as they are completed, and every
/// partition, or every share of partitions, once. Returns early, and cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What counts as a word, and how many are wanted: all that a worker must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `-i`: words that differ only in the case of their letters are one, in small letters.
    pub ignore_case: bool,
    /// Shorter words do not count.
    pub min_len: usize,
    /// So many words are wanted; none is all of them.
    pub top: Option<usize>,
    /// What the hash is mixed with. It is the run's own, so that nobody can write a text whose words all collide; one
    /// run's workers have it in common.
    pub seed: u64,
    /// The directory that relative names are relative to; the process's own if empty.
    pub base: ByteBuf,
}

impl Settings {
    /// The directory that relative names are relative to.
    fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}

/// What to count, and where.
#[derive(Debug)]
pub struct Job {
    /// What counts as a word.
    pub settings: Settings,
    /// Files, directories (with `recursive`) and `-` for standard input. None at all means standard input, or the
    /// current directory with `recursive`.
    pub roots: Vec<PathBuf>,
    /// `-r`: what is below a directory, too.
    pub recursive: bool,
}

impl Job {
    /// The job's tasks, in the order of the roots and of the names in a directory; the iterator walks directories and
    /// reads standard input as it is asked for more, and ends once a stop is requested, even while standard input has
    /// nothing to read.
    #[must_use]
    pub fn tasks(&self, grain: Grain, stop: &Stop) -> Tasks<'_> {
        Tasks::new(self, grain, stop)
    }

    /// The sink that puts this job's words in order. Messages go to `out` at once, the words at the end.
    pub fn ranking<'a>(&self, out: &'a mut dyn Sink<Block>) -> Ranking<'a> {
        Ranking::new(self.settings.top, out)
    }
}

/// How coarse tasks are: the model's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// Pieces of text are put into a task until there is so much; none of them is larger.
    pub bytes: u64,
    /// No more files than this in one task.
    pub files: usize,
}

impl Default for Grain {
    /// Four mebibytes, or 1024 files: twice as much text has a third more distinct words, so larger tasks leave less
    /// to be shuffled, but take more memory in every worker.
    fn default() -> Self {
        Self { bytes: 4 << 20, files: 1024 }
    }
}

/// About [`Grain::bytes`] of text. Plain data: it may be done anywhere, and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What to count.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub pieces: Vec<Piece>,
}

/// A file, or the words of it that begin in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name, as it is reported and opened.
    pub path: ByteBuf,
    /// Where the bytes are.
    pub content: Content,
    /// The range's first byte.
    pub start: u64,
    /// The byte behind the range; none is wherever the file ends.
    pub end: Option<u64>,
}

/// Where a piece's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of that name.
    File,
    /// Here: the words that begin in the range, whole.
    Bytes(ByteBuf),
    /// Nowhere, for this reason.
    Missing(String),
}

impl Piece {
    /// A whole file.
    #[must_use]
    pub fn file(path: impl Into<Vec<u8>>) -> Self {
        Self { path: ByteBuf::from(path.into()), content: Content::File, start: 0, end: None }
    }

    /// An operand that cannot be read.
    #[must_use]
    pub fn missing(path: impl Into<Vec<u8>>, why: String) -> Self {
        Self { content: Content::Missing(why), ..Self::file(path) }
    }

    fn os_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    fn trouble(&self, why: String) -> Trouble {
        Trouble { path: self.path.clone(), at: self.start, why }
    }
}

impl Task {
    /// What is said of a task that could not be done: it panicked, or killed its worker again and again.
    ///
    /// A task of one piece is reported by the file's name. One of many is to be done [apart](Read::apart), so that the
    /// culprit is found and its neighbours count.
    #[must_use]
    pub fn failed(&self, why: &str) -> Read {
        let mut read = Read::default();
        if let [piece] = &self.pieces[..] {
            read.troubles.push(piece.trouble(format!("failed at byte {}: {why}", piece.start)));
        } else {
            read.apart = self.pieces.iter().map(|piece| Self { pieces: vec![piece.clone()] }).collect();
        }
        read
    }
}

/// What a model pushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// What was read of a task.
    Read(Read),
    /// A partition that has absorbed everything, ranked.
    Ranked(Ranked),
}

/// What was read of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// How much.
    pub totals: Totals,
    /// What could not be read.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub troubles: Vec<Trouble>,
    /// The task failed as a whole: do these in its place.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub apart: Vec<Task>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The file's name.
    pub path: ByteBuf,
    /// Where in the file the range begins that was not counted, or not to its end.
    pub at: u64,
    /// The reason.
    pub why: String,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files counted, at least their first range.
    pub files: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Words that count.
    pub words: u64,
    /// How many of them are different.
    pub distinct: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
        self.words += more.words;
        self.distinct += more.distinct;
    }
}

impl From<Totals> for report::Totals {
    fn from(Totals { files, bytes, words, distinct }: Totals) -> Self {
        let counts = [("files", files), ("bytes", bytes), ("words", words), ("distinct", distinct)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}
