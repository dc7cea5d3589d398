//! `grep`: reports the lines that match a regular expression, in the order of the files and of
//! their lines.
//!
//! The data flow of a job, without concurrency, which each model adds:
//!
//! ```text
//! Job ── tasks() ──> Task ── Search::task() ──> Output ── Printer ──> bytes, exit status
//!                     ^                            │
//!                     └───── Output::remainder ────┘
//! ```
//!
//! A [`Task`] names about a mebibyte of input: many small files, or a range of a large one. Tasks
//! are made without knowing the sizes of files, since a `stat` call per file would slow the search.
//! A worker that finds a large file returns the ranges that it did not search in
//! [`Output::remainder`]. A task that cannot be completed has an output, too ([`Task::failed`]).
//! The printer computes all that depends on earlier ranges: line numbers, `-m`, "binary file
//! matches", `-c` and `-l`.

// All printing goes through `stdio`, which does not panic and reports write errors.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod filter;
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
    identity::OutputFile,
    report,
    stop::Stop,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use filter::Filter;
pub use print::Printer;
pub use read::Loader;
pub use scope::Scope;
pub use search::Search;
pub use tasks::Tasks;

/// The function that each model provides. It runs the job and pushes each output once, in the order
/// of the tasks. The outputs of a [`remainder`](Output::remainder) directly follow the output that
/// it belongs to. Once a stop is requested, the function cleans up and returns early.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// What to search for and how to report it: all that a worker needs besides its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Alternative patterns, in the syntax of the `regex` crate without Unicode classes. Bytes that
    /// are not UTF-8 stand for themselves.
    pub patterns: Vec<ByteBuf>,
    /// `-F`: the patterns are literal.
    pub fixed: bool,
    /// `-i`: ASCII letters match in either case.
    pub ignore_case: bool,
    /// `-w`: a match begins and ends at a word boundary.
    pub word: bool,
    /// `-x`: a match is a whole line.
    pub line: bool,
    /// `-v`: select the lines that do not match.
    pub invert: bool,
    /// `-z`: lines end with NUL, not with a newline.
    pub null_data: bool,
    /// What to do with files that contain NUL.
    pub binary: BinaryFiles,
    /// `-m`: maximum selected lines per file.
    pub max: Option<u64>,
    /// What to report of the selected lines.
    pub report: Report,
    /// `-n`: print each line with its number.
    pub line_numbers: bool,
    /// Print each line with its file's name.
    pub names: bool,
    /// `-A`, `-B`, `-C`: the lines to print around selected lines. `Some` of no lines still
    /// separates groups of lines.
    pub context: Option<Context>,
    /// The line between groups of adjacent lines, if there is context.
    pub separator: Option<ByteBuf>,
    /// `--color`: highlight matches, names, numbers and separators for a terminal.
    pub color: bool,
    /// `-s`: no messages about files that cannot be read.
    pub no_messages: bool,
    /// The directory that relative names refer to; if empty, the current one of the process.
    pub base: ByteBuf,
}

/// What to do with binary files: those that contain NUL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum BinaryFiles {
    /// Print only whether they match
    #[default]
    Binary,
    /// Treat them as text
    Text,
    /// Assume that they do not match
    WithoutMatch,
}

/// How many lines to print around a selected line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Lines before it.
    pub before: u64,
    /// Lines after it.
    pub after: u64,
}

/// What a query reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The selected lines.
    #[default]
    Lines,
    /// `-o`: each match on a line of its own.
    Matches,
    /// `-c`: the number of selected lines of each file.
    Count,
    /// `-l`: the names of files with a selected line.
    FilesWith,
    /// `-L`: the names of files without a selected line.
    FilesWithout,
    /// `-q`: nothing; the exit status says whether any line is selected.
    Status,
}

impl Report {
    /// Whether text of the files is printed, so that binary files need special treatment.
    #[must_use]
    pub fn prints_text(self) -> bool {
        matches!(self, Self::Lines | Self::Matches)
    }

    /// Whether the first selected line of a file decides the report, so that the search can end
    /// there.
    #[must_use]
    pub fn first_line_decides(self) -> bool {
        matches!(self, Self::FilesWith | Self::FilesWithout | Self::Status)
    }
}

impl Query {
    /// The directory that relative names refer to.
    fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }

    /// The byte that ends a printed line.
    fn terminator(&self) -> u8 {
        if self.null_data { 0 } else { b'\n' }
    }

    /// The bytes after which a file may be cut. NUL ends the lines of a binary file, as in GNU
    /// grep: a hole of a gigabyte is not one long line.
    fn line_ends(&self) -> LineEnds {
        match self {
            Self { null_data: true, .. } => LineEnds([0, 0]),
            Self { binary: BinaryFiles::Text, .. } => LineEnds([b'\n', b'\n']),
            _ => LineEnds([b'\n', 0]),
        }
    }

    /// Whether files that contain NUL are binary.
    fn detects_binary(&self) -> bool {
        !self.null_data && self.binary != BinaryFiles::Text
    }

    /// Whether the printer formats the lines. Otherwise the search does, which is faster. Whether a
    /// context line is printed depends on other ranges of the file, and so may its colour.
    fn is_formatted_by_printer(&self) -> bool {
        self.report.prints_text() && (self.context.is_some() || self.color)
    }

    /// Whether no line of any file can be selected.
    fn selects_nothing(&self) -> bool {
        let matches_all = !self.line && !self.word && self.patterns.iter().all(|pattern| pattern.is_empty());
        self.max == Some(0)
            || if self.invert { matches_all && !self.patterns.is_empty() } else { self.patterns.is_empty() }
    }
}

/// The bytes that end lines; the two may be equal.
#[derive(Clone, Copy, Debug)]
struct LineEnds([u8; 2]);

impl LineEnds {
    fn first(self, bytes: &[u8]) -> Option<usize> {
        memchr::memchr2(self.0[0], self.0[1], bytes)
    }

    fn last(self, bytes: &[u8]) -> Option<usize> {
        memchr::memrchr2(self.0[0], self.0[1], bytes)
    }
}

/// A query and the files to search.
#[derive(Debug)]
pub struct Job {
    /// What to search for.
    pub query: Query,
    /// Files, directories (with `recursive`) and `-` for standard input, in order. If there are
    /// none, standard input is searched, or the current directory with `recursive`.
    pub roots: Vec<PathBuf>,
    /// `-r`: search directories recursively.
    pub recursive: bool,
    /// The file that the text is printed to. It is reported and skipped where it is an input:
    /// otherwise the search would find what it prints itself.
    pub output: Option<OutputFile>,
    /// The files and directories to leave out.
    pub filter: Filter,
    cutoff: Arc<tasks::SharedCutoff>,
}

impl Job {
    /// A job.
    #[must_use]
    pub fn new(query: Query, roots: Vec<PathBuf>, recursive: bool) -> Self {
        let (filter, output, cutoff) = Default::default();
        Self { query, roots, recursive, output, filter, cutoff }
    }

    /// The job's tasks, in order. The iterator reads directories and standard input on demand. It
    /// ends once a stop is requested, even while it waits for standard input.
    pub fn tasks(&self, grain: Grain, stop: &Stop) -> Tasks<'_> {
        Tasks::new(self, grain, stop)
    }

    /// The sink that prints this job's outputs to `out`.
    pub fn printer<'a>(&'a self, out: &'a mut dyn Sink<Block>) -> Printer<'a> {
        Printer::new(self, out)
    }

    /// Leaves a standard input that can be positioned where GNU grep does, for the next program
    /// that reads it: after the last selected line if `-m` has ended the search, otherwise at its
    /// end.
    ///
    /// For the end of a run, after its last task was taken from [`tasks`](Self::tasks).
    pub fn position_stdin(&self) {
        self.cutoff.position_stdin();
    }

    /// Whether `task`, from the [`Output::remainder`] of the output that was pushed last, still has
    /// to be done. It has not if its file is finished: `-m` is reached, a binary file has matched,
    /// or a range of the file has failed.
    #[must_use]
    pub fn wants(&self, task: &Task) -> bool {
        !task.pieces.first().is_some_and(|piece| piece.start > 0 && self.cutoff.is_finished(&piece.path))
    }
}

/// How coarse tasks are: the model's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// A task ends after this many bytes of input, or a quarter as many of output, and returns what
    /// is left as its remainder.
    pub bytes: u64,
    /// Maximum files per task.
    pub files: usize,
}

impl Default for Grain {
    /// A mebibyte, or 32 files. With smaller tasks, the cost of handing over a task is noticeable;
    /// with larger ones, the other workers idle while the last task of a run is done.
    fn default() -> Self {
        Self { bytes: 1 << 20, files: 32 }
    }
}

/// About [`Grain::bytes`] of input, or one longer line. A task is plain data: any worker can do it,
/// and it can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What to search, in order.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub pieces: Vec<Piece>,
    /// The bytes of input after which the remainder is returned.
    pub limit: u64,
}

/// A file, or the lines of it that begin in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name, for printing and opening it.
    pub path: ByteBuf,
    /// Where the piece's bytes are.
    pub content: Content,
    /// The position of the range's first byte.
    pub start: u64,
    /// The position after the range's last byte; if `None`, the range ends with the file.
    pub end: Option<u64>,
    /// Whether this is the last piece of its file.
    pub last: bool,
}

/// Where a piece's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of the piece's name.
    File,
    /// In the piece: whole lines from its start on.
    Bytes(ByteBuf),
    /// The same, of an input that can be read only once. A file may have the same name.
    Stream(ByteBuf),
    /// The file cannot be searched, for this reason.
    Missing(String),
}

impl Content {
    /// These bytes of the same input, instead of its own.
    fn with(&self, bytes: &[u8]) -> Self {
        let bytes = ByteBuf::from(bytes);
        if let Self::Stream(_) = self { Self::Stream(bytes) } else { Self::Bytes(bytes) }
    }
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

    fn is_stream(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }

    fn os_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

impl Task {
    /// The output of a task that could not be completed: it panicked, or it killed its worker
    /// repeatedly.
    ///
    /// If the task has one piece, the failure is reported with the file's name. Otherwise each
    /// piece is returned as a task of its own: only the piece that caused the failure fails again.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        let mut output = Output::default();
        if let [piece] = &self.pieces[..] {
            output.found.push(Found::failed(piece, why.to_owned()));
        } else {
            for piece in &self.pieces {
                output.remainder.push(Part::Task(Self { pieces: vec![piece.clone()], limit: self.limit }));
            }
        }
        output
    }
}

/// The result of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What was found in the pieces, in their order.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub found: Vec<Found>,
    /// The totals of the files of which nothing is reported.
    pub others: Totals,
    /// The tasks that are left of this one. Their outputs follow this output.
    pub remainder: Remainder,
}

/// How much work was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Files searched, at least in part.
    pub files: u64,
    /// Bytes searched. If a line decides the report of its file early, bytes count up to its end.
    pub bytes: u64,
    /// Lines selected.
    pub lines: u64,
    /// Matches reported: with `-o` each match, otherwise one per selected line.
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

/// What was found in a block of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    path: ByteBuf,
    /// The position of the searched lines in the file.
    at: u64,
    /// The number of bytes searched.
    bytes: u64,
    /// The number of line terminators in these bytes; counted only with `-n`.
    newlines: u64,
    /// Lines selected.
    selected: u64,
    /// Matches reported.
    matches: u64,
    /// What to print.
    text: ByteBuf,
    /// The rows of `text`, if they depend on the earlier ranges of the file.
    rows: Vec<Row>,
    /// The ends of selected lines, in a range that is not the first of its file: with `-m` of all
    /// selected lines, otherwise of the first one. The earlier ranges decide which of them is the
    /// last line that counts.
    ends: Vec<u32>,
    /// The lines of `text` that the printer formats: selected ones, and the lines around them that
    /// may be context. Those around the borders of the range are context if earlier or later ranges
    /// have selected lines there.
    lines: Vec<Line>,
    /// The matches in `text` that the printer highlights, or prints with `-o`; in order.
    marks: Vec<Mark>,
    /// Whether the input is a stream.
    is_stream: bool,
    binary: Binary,
    /// Whether the file ends here, or its later ranges are not needed.
    ended: bool,
    error: Option<FileError>,
}

/// A row of a range's text. Its line number, and whether it is printed, depend on earlier ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// The row's position in the text.
    at: u32,
    /// The number of lines of the range before the row's line.
    line: u32,
    /// The number of selected lines of the range before the row's line.
    nth: u32,
}

/// A line of a range's text that the printer formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// The line's position in the text, which has the whole line.
    at: u32,
    /// The line's position in the range.
    start: u32,
    /// The number of lines of the range before it; only with `-n`.
    line: u32,
    is_selected: bool,
}

/// A match in a range's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Its position in the text.
    start: u32,
    /// The position after it.
    end: u32,
}

/// Whether a range has NUL bytes, which make its file binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Binary {
    /// There is no NUL.
    #[default]
    No,
    /// There is a NUL, so the file is binary from there on.
    Seen,
    /// There is a NUL, and a line of the binary part is selected.
    Matched,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FileError {
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
            is_stream: piece.is_stream(),
            ended: true,
            error: Some(FileError::Failed(why)),
            ..Self::default()
        }
    }
}

/// The tasks that are left of a task, in order: an iterator that makes each of them on demand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remainder(#[serde(deserialize_with = "cc_core::bounded::list")] VecDeque<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Task(Task),
    /// The lines of a file that begin in a range, in tasks of `step` bytes.
    Range {
        path: ByteBuf,
        next: u64,
        /// The position after the range's last byte. If it is not above `next`, the range ends with
        /// the file: files in `/proc` have a size of zero.
        end: u64,
        /// Whether the file ends with the range.
        last: bool,
        step: u64,
        limit: u64,
    },
}

impl Remainder {
    /// Whether no tasks are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the tasks of `more`.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    fn push(&mut self, part: Part) {
        self.0.push_back(part);
    }
}

impl Iterator for Remainder {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        match self.0.pop_front()? {
            Part::Task(task) => Some(task),
            Part::Range { path, next, end, last, step, limit } => {
                let task_end = next.saturating_add(step);
                let is_last = task_end >= end;
                let piece = Piece {
                    path: path.clone(),
                    content: Content::File,
                    start: next,
                    end: (next < end).then_some(task_end.min(end)),
                    last: last && is_last,
                };
                if !is_last {
                    self.0.push_front(Part::Range { path, next: task_end, end, last, step, limit });
                }
                Some(Task { pieces: vec![piece], limit })
            }
        }
    }
}
