//! Who was at work when, in every thread of every process of a run: what `cargo xtask compare --trace` draws.
//!
//! The kernels and the sinks open spans, so that no model knows of them. Off, which is the rule, a span costs one relaxed load.
//! On, it is a line in a file of its process, written whole when it ends: a worker that is killed takes with it no more than
//! what it was doing. The clock is the machine's, the same for all its processes.
//!
//! `tracing` with `tracing-chrome` keeps what it has seen until a guard is dropped, which a process that is killed, or
//! that exits, never does, and counts from when the process began, which says nothing beside another process.

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

/// The environment variable that names the directory for the files, one for each process, `PID.jsonl`. Worker processes
/// inherit it. Unset or empty, or if no file can be made there, nothing is traced.
pub const TRACE_DIR: &str = "CC_TRACE";

/// A line of JSON in a process's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// The first line.
    Process {
        /// Its id.
        pid: u32,
        /// The id of the process that started it.
        parent: u32,
        /// Its command line.
        args: Vec<String>,
    },
    /// Before the first span of a thread.
    Thread {
        /// Its id.
        thread: u32,
        /// Its name, or `thread` if it has none.
        name: String,
    },
    /// What a thread did from then to then.
    Span {
        /// The thread's id.
        thread: u32,
        /// What it did.
        name: Cow<'static, str>,
        /// Whose work that is.
        part: Part,
        /// When it began, by [`now`].
        start_ns: u64,
        /// When it ended, by [`now`].
        end_ns: u64,
    },
}

/// Whose work a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A task's, which the model has shared out.
    Kernel,
    /// Done by one thread for all tasks: finding what there is to do, and what the sink does.
    Serial,
}

/// Something that is being done. It ends when this is dropped.
#[must_use = "it ends when it is dropped"]
pub struct Span(Option<Open>);

struct Open {
    file: &'static File,
    thread: u32,
    name: &'static str,
    part: Part,
    start_ns: u64,
}

/// Not asked yet whether to trace.
const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

thread_local! {
    /// This thread's id, once its name is in the file.
    static THREAD: OnceLock<u32> = const { OnceLock::new() };
}

/// A worker begins this part of a task.
#[inline]
pub fn span(name: &'static str) -> Span {
    Span::open(name, Part::Kernel)
}

/// A thread begins something that it does for all tasks.
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
    let thread = THREAD.try_with(|known| *known.get_or_init(|| introduce(file))).ok()?;
    Some(Open { file, thread, name, part, start_ns: now() })
}

impl Open {
    #[cold]
    fn end(self) {
        let Self { file, thread, name, part, start_ns } = self;
        write(file, &Record::Span { thread, name: name.into(), part, start_ns, end_ns: now() });
    }
}

/// This process's file, if there is to be one.
fn file() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| create(Path::new(&env::var_os(TRACE_DIR)?)));
    STATE.store(if file.is_some() { ON } else { OFF }, Relaxed);
    file.as_ref()
}

fn create(folder: &Path) -> Option<File> {
    if folder.as_os_str().is_empty() {
        return None;
    }
    let pid = process::id();
    let file = OpenOptions::new().append(true).create(true).open(folder.join(format!("{pid}.jsonl"))).ok()?;
    let args = env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    write(&file, &Record::Process { pid, parent: parent_id(), args });
    Some(file)
}

/// Says who this thread is.
fn introduce(file: &File) -> u32 {
    let thread = gettid().as_raw_nonzero().get().unsigned_abs();
    let name = thread::current().name().unwrap_or("thread").to_owned();
    write(file, &Record::Thread { thread, name });
    thread
}

/// In one piece behind all that is there: other threads write, too. A trace that cannot be written is no reason to fail.
fn write(mut file: &File, record: &Record) {
    let mut line = serde_json::to_vec(record).expect("plain data serializes");
    line.push(b'\n');
    let _ = file.write_all(&line);
}
