//! `wordcount`: counts how often each word occurs, and prints the most frequent words first.
//!
//! ```text
//! Job ── tasks() ──> Task ── Counter::task() ──> Partial
//!
//! Partial ─┬─ Read ─────────────────────────────> Ranking ──> bytes
//!          └─ Counts ── shuffle ──> Partition        ^
//!                        absorb()      └── rank() ───┘
//! ```
//!
//! Map: a [`Task`] is a few megabytes of text. A [`Counter`] counts the words of each task
//! separately, so a task that fails contributes nothing. Shuffle: the counts of a task are divided
//! into [`PARTITIONS`] parts by the words' hash, so all counts of a word belong to the same
//! [`Partition`]. Reduce: a partition absorbs its part of the counts of all tasks, in any order,
//! and is ranked at the end. The model decides which worker has which partition, and how the parts
//! get there.
//!
//! Outputs may arrive in any order. They are what was read of each task, and the ranked partitions,
//! which the [`Ranking`] merges at the end.

// All printing goes through `stdio`, which does not panic and reports write errors.
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
pub use shuffle::{Share, Spilled};
pub use tasks::Tasks;

/// The function that each model provides. It runs the job and pushes what was read of each task
/// once, as soon as the task is complete. It also pushes each partition, or each share of
/// partitions, once. Once a stop is requested, it cleans up and returns early.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What counts as a word, and how many words are printed: all that a worker needs besides its
/// tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `-i`: ignore case; words are printed in lowercase.
    pub ignore_case: bool,
    /// Minimum length of a word; shorter ones do not count.
    pub min_len: usize,
    /// Maximum words that are printed; `None` prints all.
    pub top: Option<usize>,
    /// The seed of the hash function, chosen for each run: an input cannot be crafted so that its
    /// words collide. All workers of a run have the same seed.
    pub seed: u64,
    /// The directory that relative names refer to; if empty, the current one of the process.
    pub base: ByteBuf,
}

impl Settings {
    /// The directory that relative names refer to.
    fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}

/// What to count, and in which files.
#[derive(Debug)]
pub struct Job {
    /// What counts as a word.
    pub settings: Settings,
    /// Files, directories (with `recursive`) and `-` for standard input. If there are none,
    /// standard input is read, or the current directory with `recursive`.
    pub roots: Vec<PathBuf>,
    /// `-r`: read directories recursively.
    pub recursive: bool,
}

impl Job {
    /// The job's tasks, in the order of the roots and of the names in each directory. The iterator
    /// reads directories and standard input on demand. It ends once a stop is requested, even while
    /// it waits for standard input.
    #[must_use]
    pub fn tasks(&self, grain: Grain, stop: &Stop) -> Tasks<'_> {
        Tasks::new(self, grain, stop)
    }

    /// The sink that ranks this job's words. Messages go to `out` at once, the words at the end.
    pub fn ranking<'a>(&self, out: &'a mut dyn Sink<Block>) -> Ranking<'a> {
        Ranking::new(self.settings.top, out)
    }
}

/// How coarse tasks are: the model's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// Maximum bytes of a piece. A task gets pieces until it has this many bytes.
    pub bytes: u64,
    /// Maximum pieces per task.
    pub files: usize,
}

impl Default for Grain {
    /// Four mebibytes, or 1024 files. With larger tasks, fewer counts are shuffled, since more
    /// occurrences of a word are counted together; but each worker needs more memory.
    fn default() -> Self {
        Self { bytes: 4 << 20, files: 1024 }
    }
}

/// About [`Grain::bytes`] of text. A task is plain data: any worker can do it, and it can be
/// repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What to count.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub pieces: Vec<Piece>,
}

/// A file, or the words of it that begin in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name, for messages and opening it.
    pub path: ByteBuf,
    /// Where the piece's bytes are.
    pub content: Content,
    /// The position of the range's first byte.
    pub start: u64,
    /// The position after the range's last byte; if `None`, the range ends with the file.
    pub end: Option<u64>,
}

/// Where a piece's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of the piece's name.
    File,
    /// In the piece: the words that begin in the range, each of them complete.
    Bytes(ByteBuf),
    /// The file cannot be read, for this reason.
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

    fn error(&self, why: String) -> ReadError {
        ReadError { path: self.path.clone(), at: self.start, why }
    }
}

impl Task {
    /// The result of a task that could not be completed: it panicked, or it killed its worker
    /// repeatedly.
    ///
    /// If the task has one piece, the failure is reported with the file's name. Otherwise the task
    /// is [split](Read::split): only the piece that caused the failure fails again, and the others
    /// count.
    #[must_use]
    pub fn failed(&self, why: &str) -> Read {
        let mut read = Read::default();
        if let [piece] = &self.pieces[..] {
            read.errors.push(piece.error(format!("failed at byte {}: {why}", piece.start)));
        } else {
            read.split = self.pieces.iter().map(|piece| Self { pieces: vec![piece.clone()] }).collect();
        }
        read
    }
}

/// What a model pushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// What was read of a task.
    Read(Read),
    /// A partition that has absorbed all counts, ranked.
    Ranked(Ranked),
}

/// What was read of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// How much was read.
    pub totals: Totals,
    /// The pieces that could not be read.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub errors: Vec<ReadError>,
    /// The tasks that replace this one, which failed as a whole.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub split: Vec<Task>,
}

/// A piece that could not be read, or only in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadError {
    /// The file's name.
    pub path: ByteBuf,
    /// The position of the piece in the file.
    pub at: u64,
    /// The reason, for the user.
    pub why: String,
}

/// How much work was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files of which at least the first range was read.
    pub files: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Words that count.
    pub words: u64,
    /// Distinct words.
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
