//! `grep`: report the lines that match a regular expression, in the order of the files and of their lines.
//!
//! The way of one job, with the concurrency left out (each model has its own):
//!
//! ```text
//! Job ── tasks() ──> Task ── Search::task() ──> Output ── Printer ──> bytes, exit status
//!                     ^                            │
//!                     └──────── Output::rest ──────┘
//! ```
//!
//! A [`Task`] names about a mebibyte of input: many small files or a range of a large one. Nobody asks for a
//! file's size beforehand, since a `stat` for each would be felt; the worker that finds a file large hands
//! the ranges it did not search back in [`Output::rest`]. A task that cannot be done has an output, too
//! ([`Task::failed`]). The printer folds what needs the order: line numbers and `-m` across ranges, "binary
//! file matches", `-c` and `-l`.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod print;
mod read;
mod scope;
mod search;
pub mod sequential;
mod tasks;

use std::{
    collections::VecDeque,
    ffi::OsStr,
    ops::AddAssign,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::Result,
    report,
    stop::Stop,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use print::Printer;
pub use read::Loader;
pub use scope::Scope;
pub use search::Search;
pub use tasks::Tasks;

/// What a model provides: runs the job and pushes every output once, in the order of the tasks, each output's
/// [`rest`](Output::rest) directly behind it. Returns early, and cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What to search for and how to report it: all that a worker must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Alternatives, in the syntax of the `regex` crate without Unicode classes; bytes that are not UTF-8
    /// stand for themselves.
    pub patterns: Vec<ByteBuf>,
    /// `-F`: the patterns are literal.
    pub fixed: bool,
    /// `-i`: ASCII letters match in either case.
    pub ignore_case: bool,
    /// `-w`: a match begins and ends at a word boundary.
    pub word: bool,
    /// `-v`: select the lines that do not match.
    pub invert: bool,
    /// `-m`: leave a file after so many selected lines.
    pub max: Option<u64>,
    /// What to report of the selected lines.
    pub report: Report,
    /// `-n`: each line with its number.
    pub line_numbers: bool,
    /// Each line with its file's name.
    pub names: bool,
    /// `-s`: no word about files that cannot be read.
    pub no_messages: bool,
    /// The directory that relative names are relative to; the process's own if empty.
    pub base: ByteBuf,
}

/// What a query reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The selected lines.
    #[default]
    Lines,
    /// `-o`: each match on a line of its own.
    Matches,
    /// `-c`: how many lines each file has selected.
    Count,
    /// `-l`: the names of files with a selected line.
    FilesWith,
    /// `-L`: the names of files without one.
    FilesWithout,
    /// `-q`: nothing; the exit status says whether any line is selected.
    Status,
}

impl Report {
    /// Whether text of the files is printed, so that it matters whether it is binary.
    #[must_use]
    pub fn prints_text(self) -> bool {
        matches!(self, Self::Lines | Self::Matches)
    }

    /// Whether a file's first selected line settles what is said of it.
    #[must_use]
    pub fn first_line_settles(self) -> bool {
        matches!(self, Self::FilesWith | Self::FilesWithout | Self::Status)
    }
}

impl Query {
    /// The directory that relative names are relative to.
    fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}

/// A query and where to ask it.
#[derive(Debug)]
pub struct Job {
    /// What to search for.
    pub query: Query,
    /// Files, directories (with `recursive`) and `-` for standard input, in order. None at all means standard
    /// input, or the current directory with `recursive`.
    pub roots: Vec<PathBuf>,
    /// `-r`: search what is below a directory.
    pub recursive: bool,
    cutoff: Arc<tasks::SharedCutoff>,
}

impl Job {
    /// A job.
    #[must_use]
    pub fn new(query: Query, roots: Vec<PathBuf>, recursive: bool) -> Self {
        Self { query, roots, recursive, cutoff: Arc::default() }
    }

    /// The job's tasks, in order; the iterator walks directories and reads standard input as it is asked for
    /// more, and ends once a stop is requested, even while standard input has nothing to read.
    pub fn tasks(&self, grain: Grain, stop: &Stop) -> Tasks<'_> {
        Tasks::new(self, grain, stop)
    }

    /// The sink that prints this job's outputs to `out`.
    pub fn printer<'a>(&'a self, out: &'a mut dyn Sink<Block>) -> Printer<'a> {
        Printer::new(self, out)
    }

    /// Whether `task`, from the [`Output::rest`] of what was pushed last, is still worth doing: not if the file
    /// is settled meanwhile (`-m` is reached, a binary file has matched, a range of it has failed).
    #[must_use]
    pub fn wants(&self, task: &Task) -> bool {
        !task.pieces.first().is_some_and(|piece| piece.start > 0 && self.cutoff.of(&piece.path))
    }
}

/// How coarse tasks are: the model's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// A task is done after so many bytes of input, or a quarter as many of output; the rest is handed back.
    pub bytes: u64,
    /// No more files than this in one task.
    pub files: usize,
}

impl Default for Grain {
    /// A mebibyte, or 32 files: with less the cost of handing a task over shows, with more the last task of a
    /// run is waited for.
    fn default() -> Self {
        Self { bytes: 1 << 20, files: 32 }
    }
}

/// About [`Grain::bytes`] of input, or one longer line. Plain data: it may be done anywhere, and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What to search, in order.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub pieces: Vec<Piece>,
    /// The bytes after which the rest is handed back.
    pub limit: u64,
}

/// A file, or the lines of it that begin in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name, as it is printed and opened.
    pub path: ByteBuf,
    /// Where the bytes are.
    pub content: Content,
    /// The range's first byte.
    pub start: u64,
    /// The byte behind the range; none is wherever the file ends.
    pub end: Option<u64>,
    /// Whether this is the last piece of its file.
    pub last: bool,
}

/// Where a piece's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of that name.
    File,
    /// Here: whole lines from the piece's start.
    Bytes(ByteBuf),
    /// Nowhere, for this reason.
    Missing(String),
}

impl Piece {
    /// A whole file.
    #[must_use]
    pub fn file(path: impl Into<Vec<u8>>) -> Self {
        Self { path: ByteBuf::from(path.into()), content: Content::File, start: 0, end: None, last: true }
    }

    /// An operand that cannot be searched.
    #[must_use]
    pub fn missing(path: impl Into<Vec<u8>>, why: String) -> Self {
        Self { content: Content::Missing(why), ..Self::file(path) }
    }

    fn os_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

impl Task {
    /// The output of a task that could not be done: it panicked, or killed its worker again and again.
    ///
    /// A task of one piece is reported by the file's name. One of many hands its pieces back one by one, so that
    /// the culprit is found and its neighbours are unaffected.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        let mut output = Output::default();
        if let [piece] = &self.pieces[..] {
            output.found.push(Found::failed(piece, why.to_owned()));
        } else {
            for piece in &self.pieces {
                output.rest.push(Part::Task(Self { pieces: vec![piece.clone()], limit: self.limit }));
            }
        }
        output
    }
}

/// What came of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What there is to say, in the order of the pieces.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub found: Vec<Found>,
    /// The totals of the files there is nothing to say of.
    pub others: Totals,
    /// What was too big for one go: do these next, in this place of the order.
    pub rest: Rest,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files searched, at least in part.
    pub files: u64,
    /// Bytes searched. A file that was left early counts up to the end of the line that decided it.
    pub bytes: u64,
    /// Lines selected.
    pub lines: u64,
    /// Matches reported: with `-o` each one, otherwise one per selected line.
    pub matches: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
        self.lines += more.lines;
        self.matches += more.matches;
    }
}

impl From<Totals> for report::Totals {
    fn from(Totals { files, bytes, lines, matches }: Totals) -> Self {
        let counts = [("files", files), ("bytes", bytes), ("lines", lines), ("matches", matches)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

/// What was found in a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    path: ByteBuf,
    /// Where in the file the searched lines begin.
    at: u64,
    /// How many bytes were searched.
    bytes: u64,
    /// How many line terminators are in them; counted only if line numbers are wanted.
    newlines: u64,
    /// Lines selected.
    selected: u64,
    /// Matches reported.
    matches: u64,
    /// What to print.
    text: ByteBuf,
    /// The rows of `text`, if those are not settled before the earlier ranges of the file are known.
    rows: Vec<Row>,
    /// Where the selected lines end, in a range that is not the first: with `-m` of all, otherwise of the first,
    /// which may turn out to be the last that counts.
    ends: Vec<u32>,
    binary: Binary,
    /// Nothing more of this file follows, or is wanted.
    ended: bool,
    trouble: Option<Trouble>,
}

/// A row of a range's text whose line number, or whose being wanted at all, depends on earlier ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// Where in the text it begins.
    at: u32,
    /// How many lines of the range come before its line.
    line: u32,
    /// How many selected lines of the range come before its line.
    nth: u32,
}

/// What the NUL bytes of a range say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Binary {
    /// There are none.
    #[default]
    No,
    /// The file is binary from here on.
    Seen,
    /// And a line of the binary part is selected.
    Matched,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Trouble {
    /// The file cannot be opened or read at all.
    Unreadable(String),
    /// A range of it could not be searched.
    Failed(String),
}

impl Found {
    fn failed(piece: &Piece, why: String) -> Self {
        Self {
            path: piece.path.clone(),
            at: piece.start,
            ended: true,
            trouble: Some(Trouble::Failed(why)),
            ..Self::default()
        }
    }
}

/// What is left of a task, in order: an iterator over further tasks, each made when it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest(#[serde(deserialize_with = "cc_core::bounded::list")] VecDeque<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Task(Task),
    /// The lines of a file that begin in a range, `step` bytes a task.
    Range {
        path: ByteBuf,
        next: u64,
        /// The byte behind the range. A file that has no size, as in `/proc`, is read on from `next`.
        end: u64,
        /// Whether the file ends with the range.
        last: bool,
        step: u64,
        limit: u64,
    },
}

impl Rest {
    /// Whether there is nothing left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `more` behind what is left.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    fn push(&mut self, part: Part) {
        self.0.push_back(part);
    }
}

impl Iterator for Rest {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        match self.0.pop_front()? {
            Part::Task(task) => Some(task),
            Part::Range { path, next, end, last, step, limit } => {
                let stop = next.saturating_add(step);
                let is_last = stop >= end;
                let piece = Piece {
                    path: path.clone(),
                    content: Content::File,
                    start: next,
                    end: (next < end).then_some(stop.min(end)),
                    last: last && is_last,
                };
                if !is_last {
                    self.0.push_front(Part::Range { path, next: stop, end, last, step, limit });
                }
                Some(Task { pieces: vec![piece], limit })
            }
        }
    }
}
