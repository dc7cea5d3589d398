//! Traces: which thread of which process did what, and when. `cargo xtask compare --trace` draws
//! them.
//!
//! The kernels and the sinks open spans, so the models contain no tracing code. With tracing off,
//! the default, a span costs one relaxed load. With tracing on, each span is a line in a file of
//! its process, written when the span ends; a worker that is killed loses only its open spans.
//! Times are those of the machine's monotonic clock, which all its processes share.
//!
//! `tracing` with `tracing-chrome` does not fit. It buffers events until a guard is dropped, which
//! does not happen in a process that is killed or that exits. Its times begin with the process, so
//! those of two processes cannot be compared.

use std::{
    borrow::Cow,
    env,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::process::parent_id,
    path::Path,
    process,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    thread,
};

use rustix::{
    thread::gettid,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

/// The environment variable with the directory for the trace files, one per process, `PID.jsonl`.
/// Worker processes inherit it. Nothing is traced if it is unset or empty, or if the file cannot be
/// created.
pub const TRACE_DIR: &str = "CC_TRACE";

/// A line of JSON in a trace file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// A process: the first line of its file.
    Process {
        /// The process's id.
        pid: u32,
        /// The id of the process that started it.
        parent: u32,
        /// The command line.
        args: Vec<String>,
    },
    /// A thread: before its first span.
    Thread {
        /// The thread's id.
        thread: u32,
        /// The thread's name, or `thread` if it has none.
        name: String,
    },
    /// What a thread did during an interval.
    Span {
        /// The thread's id.
        thread: u32,
        /// What it did.
        name: Cow<'static, str>,
        /// Whose work it is.
        part: Part,
        /// When it began, on the clock of [`now`].
        start_ns: u64,
        /// When it ended, on the clock of [`now`].
        end_ns: u64,
    },
}

/// Whose work a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A part of one task, in a worker.
    Kernel,
    /// Work that one thread does for all tasks: listing the tasks, and the sink.
    Serial,
}

/// An open span. It ends when it is dropped.
#[must_use = "the span ends when it is dropped"]
pub struct Span(Option<Open>);

struct Open {
    file: &'static File,
    thread: u32,
    name: &'static str,
    part: Part,
    start_ns: u64,
}

/// The environment was not checked yet.
const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

thread_local! {
    /// This thread's id, set when the file has its `Thread` record.
    static THREAD: OnceLock<u32> = const { OnceLock::new() };
}

/// Begins a span for a part of a task.
#[inline]
pub fn span(name: &'static str) -> Span {
    Span::open(name, Part::Kernel)
}

/// Begins a span for work that one thread does for all tasks.
#[inline]
pub fn serial(name: &'static str) -> Span {
    Span::open(name, Part::Serial)
}

/// Nanoseconds of the machine's monotonic clock.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

impl Span {
    #[inline]
    fn open(name: &'static str, part: Part) -> Self {
        if STATE.load(Relaxed) == OFF { Self(None) } else { Self(begin(name, part)) }
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.end();
        }
    }
}

#[cold]
fn begin(name: &'static str, part: Part) -> Option<Open> {
    let file = file()?;
    let thread = THREAD.try_with(|known| *known.get_or_init(|| record_thread(file))).ok()?;
    Some(Open { file, thread, name, part, start_ns: now() })
}

impl Open {
    #[cold]
    fn end(self) {
        let Self { file, thread, name, part, start_ns } = self;
        write(file, &Record::Span { thread, name: name.into(), part, start_ns, end_ns: now() });
    }
}

/// The file of this process, if tracing is on.
fn file() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| create(Path::new(&env::var_os(TRACE_DIR)?)));
    STATE.store(if file.is_some() { ON } else { OFF }, Relaxed);
    file.as_ref()
}

fn create(dir: &Path) -> Option<File> {
    if dir.as_os_str().is_empty() {
        return None;
    }
    let pid = process::id();
    let file = OpenOptions::new().append(true).create(true).open(dir.join(format!("{pid}.jsonl"))).ok()?;
    let args = env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    write(&file, &Record::Process { pid, parent: parent_id(), args });
    Some(file)
}

/// Writes the thread's record and returns its id.
fn record_thread(file: &File) -> u32 {
    let thread = gettid().as_raw_nonzero().get().unsigned_abs();
    let name = thread::current().name().unwrap_or("thread").to_owned();
    write(file, &Record::Thread { thread, name });
    thread
}

/// Appends a record with a single `write` (`O_APPEND`), so that lines of several threads do not
/// mix. Errors are ignored: a missing trace must not fail the run.
fn write(mut file: &File, record: &Record) {
    let mut line = serde_json::to_vec(record).expect("plain data serializes");
    line.push(b'\n');
    let _ = file.write_all(&line);
}
