//! The verdict on a run.

use std::{
    collections::HashSet,
    fmt::{self, Display},
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
};

use crate::inputs::Files;

/// The order of the output's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The order of the reference.
    Same,
    /// The order in which tasks are completed.
    Any,
}

/// The result of the reference.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) stdout: Vec<u8>,
    pub(crate) files: Files,
    pub(crate) order: Order,
    /// Whether every complete line of a failed run must be a line of the reference.
    pub(crate) lines_are_final: bool,
}

/// Effects that are no fault in this run, because of what was done to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Memory was limited, so a process may abort.
    pub(crate) abort: bool,
    /// The signals that were sent to the program.
    pub(crate) signals: [Option<i32>; 2],
    /// The output was not read, so it may be incomplete.
    pub(crate) unread: bool,
    /// Temporary files may be left.
    pub(crate) temporary: bool,
}

/// The observed result of a run.
#[derive(Debug, Default)]
pub(crate) struct RunResult {
    /// `None` if the program did not end in time.
    pub(crate) status: Option<ExitStatus>,
    /// For a message: the time limit that the program exceeded, that of the run or that of a stop.
    pub(crate) hung: String,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The output directory afterwards.
    pub(crate) files: Files,
    /// Processes that were left.
    pub(crate) processes: Vec<String>,
    /// Files that were left in the temporary directory.
    pub(crate) temporary: Vec<String>,
    /// Wrong replies of a server.
    pub(crate) wrong: Vec<String>,
    /// Requests that a server should have answered and did not.
    pub(crate) unanswered: Vec<String>,
}

/// The verdict on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The reference's output, and status 0.
    Right,
    /// Another status, with a reason on standard error.
    Error,
    /// It ended because of a signal, or because its output was closed.
    Stopped,
    /// An allocation failed, and memory was limited.
    Abort,
    /// Wrong output, or a wrong status.
    Wrong(String),
    /// A panic, in any process.
    Panic(String),
    /// It did not end in time.
    Hang(String),
    /// Processes or files were left.
    Left(String),
}

impl Verdict {
    /// The letter for tables.
    pub(crate) const fn letter(&self) -> char {
        match self {
            Self::Right => 'r',
            Self::Error => 'e',
            Self::Stopped => 's',
            Self::Abort => 'a',
            Self::Wrong(_) => 'W',
            Self::Panic(_) => 'P',
            Self::Hang(_) => 'H',
            Self::Left(_) => 'L',
        }
    }

    /// Whether it is a fault of the program.
    pub(crate) const fn is_bad(&self) -> bool {
        self.letter().is_ascii_uppercase()
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => f.write_str("right"),
            Self::Error => f.write_str("an error message"),
            Self::Stopped => f.write_str("stopped"),
            Self::Abort => f.write_str("abort"),
            Self::Wrong(why) => write!(f, "WRONG: {why}"),
            Self::Panic(why) => write!(f, "PANIC: {why}"),
            Self::Hang(why) => write!(f, "HANG: {why}"),
            Self::Left(why) => write!(f, "LEFT: {why}"),
        }
    }
}

/// Messages of libraries that abort for lack of memory.
const OUT_OF_MEMORY: [&str; 4] =
    ["memory allocation of", "failed to allocate", "Cannot allocate memory", "out of memory"];

/// Judges a run. `old` is the content of the output directory before the run.
pub(crate) fn judge(
    result: &RunResult,
    expected: Option<&Expected>,
    old: &Files,
    allowed: Allowed,
) -> Verdict {
    let stderr = String::from_utf8_lossy(&result.stderr);
    let no_memory = allowed.abort && OUT_OF_MEMORY.iter().any(|words| stderr.contains(words));
    let Some(status) = result.status else { return Verdict::Hang(result.hung.clone()) };
    let ended_itself = status.signal().is_none();
    let verdict = remains(result, ended_itself && !no_memory && !allowed.temporary)
        .or_else(|| {
            expected.and_then(|expected| wrong_files(&result.files, &expected.files, old, ended_itself))
        })
        .unwrap_or_else(|| by_status(result, status, expected, allowed, no_memory));
    match (panic(&stderr), &verdict) {
        // Wrong output is reported before a panic, which often is its cause.
        (Some(_), Verdict::Wrong(_)) if ended_itself => verdict,
        (Some(line), _) if !no_memory => Verdict::Panic(line),
        _ => verdict,
    }
}

/// A fault in what was left, or in what clients were told.
fn remains(result: &RunResult, are_files_judged: bool) -> Option<Verdict> {
    if let Some(process) = result.processes.first() {
        return Some(Verdict::Left(format!("process {process}")));
    }
    if let Some(why) = result.wrong.first() {
        return Some(Verdict::Wrong(why.clone()));
    }
    if let Some(name) = result.temporary.first().filter(|_| are_files_judged) {
        return Some(Verdict::Left(format!(
            "{} in the temporary directory, as {name}",
            result.temporary.len()
        )));
    }
    result.unanswered.first().map(|why| Verdict::Hang(why.clone()))
}

fn panic(stderr: &str) -> Option<String> {
    let says = |line: &&str| line.contains("panicked at") || line.contains("stack backtrace");
    let at = stderr.lines().position(|line| says(&line))?;
    Some(stderr.lines().skip(at).take(2).collect::<Vec<_>>().join(" "))
}

/// A fault in the files: neither the reference's nor those from before.
fn wrong_files(found: &Files, new: &Files, old: &Files, ended_itself: bool) -> Option<Verdict> {
    for (path, contents) in found {
        let shown = path.display();
        let (is_new, is_old) = (new.get(path) == Some(contents), old.get(path) == Some(contents));
        if !is_new && !is_old {
            if new.contains_key(path) {
                return Some(Verdict::Wrong(format!("{shown} is neither the old file nor the new one")));
            }
            if ended_itself {
                return Some(Verdict::Left(format!("{shown} among the output files")));
            }
        }
    }
    let lost = old.keys().find(|path| !found.contains_key(*path))?;
    Some(Verdict::Wrong(format!("{} existed before the run and is gone", lost.display())))
}

fn by_status(
    result: &RunResult,
    status: ExitStatus,
    expected: Option<&Expected>,
    allowed: Allowed,
    no_memory: bool,
) -> Verdict {
    if let (Some(0), Some(expected)) = (status.code(), expected) {
        return complete(result, expected, allowed);
    }
    if let Some(why) = expected.and_then(|expected| invented(&result.stdout, expected)) {
        return Verdict::Wrong(why);
    }
    let mut signals = allowed.signals.iter().flatten();
    if signals.any(|&signal| status.code() == Some(128 + signal) || status.signal() == Some(signal)) {
        return Verdict::Stopped;
    }
    match (status.code(), status.signal()) {
        (Some(0), _) => Verdict::Right,
        (Some(141), _) if allowed.unread => Verdict::Stopped,
        (Some(101), _) => Verdict::Panic("status 101".to_owned()),
        (Some(_), _) if result.stderr.is_empty() => Verdict::Wrong(format!("{status}, and no reason")),
        (Some(_), _) => Verdict::Error,
        (None, _) if no_memory => Verdict::Abort,
        (None, _) => Verdict::Wrong(format!("{status}: {}", first_line(&result.stderr))),
    }
}

fn first_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().next().unwrap_or_default().to_owned()
}

/// Checks that a run with status 0 has all results of the reference.
fn complete(result: &RunResult, expected: &Expected, allowed: Allowed) -> Verdict {
    let is_same = match expected.order {
        Order::Same => result.stdout == expected.stdout,
        Order::Any => sorted(&result.stdout) == sorted(&expected.stdout),
    };
    if !is_same && !allowed.unread {
        let (got, all) = (result.stdout.len(), expected.stdout.len());
        return Verdict::Wrong(format!("status 0, and the output differs: {got} bytes instead of {all}"));
    }
    match expected.files.iter().find(|(path, contents)| result.files.get(*path) != Some(*contents)) {
        Some((path, _)) => Verdict::Wrong(format!("status 0, and {} is not what it must be", path.display())),
        None => Verdict::Right,
    }
}

fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// A complete line of output that the reference does not have.
fn invented(stdout: &[u8], expected: &Expected) -> Option<String> {
    if !expected.lines_are_final {
        return None;
    }
    let known: HashSet<&[u8]> = expected.stdout.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = stdout.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let line = whole.into_iter().find(|line| !known.contains(*line))?;
    Some(format!("a line that the reference does not have: {:?}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            stdout: b"one\ntwo\n".to_vec(),
            files: Files::from([("result".into(), b"new".to_vec())]),
            order: Order::Same,
            lines_are_final: true,
        }
    }

    fn old() -> Files {
        Files::from([("result".into(), b"old".to_vec())])
    }

    /// A right run; the status is as `wait` returns it.
    fn right() -> RunResult {
        let Expected { stdout, files, .. } = expected();
        RunResult { status: Some(ExitStatus::from_raw(0)), stdout, files, ..RunResult::default() }
    }

    /// A run that has failed, with a message.
    fn failed() -> RunResult {
        let status = Some(ExitStatus::from_raw(2 << 8));
        RunResult {
            status,
            stdout: b"one\ntw".to_vec(),
            stderr: b"no space".to_vec(),
            files: old(),
            ..right()
        }
    }

    fn letter(result: &RunResult) -> char {
        judge(result, Some(&expected()), &old(), Allowed::default()).letter()
    }

    #[test]
    fn what_is_right_or_says_why_not_is_no_fault() {
        assert_eq!(letter(&right()), 'r');
        assert_eq!(letter(&failed()), 'e');
    }

    #[test]
    fn output_that_is_not_true_is_wrong() {
        assert_eq!(letter(&RunResult { stdout: b"one\n".to_vec(), ..right() }), 'W');
        assert_eq!(letter(&RunResult { stdout: b"two\none\n".to_vec(), ..right() }), 'W');
        assert_eq!(letter(&RunResult { stdout: b"three\n".to_vec(), ..failed() }), 'W');
        assert_eq!(letter(&RunResult { stderr: Vec::new(), ..failed() }), 'W');
        assert_eq!(letter(&RunResult { wrong: vec!["an older value".to_owned()], ..right() }), 'W');
    }

    #[test]
    fn a_file_is_the_old_one_or_the_new_one() {
        let with = |contents: &str| Files::from([("result".into(), contents.into())]);
        assert_eq!(letter(&RunResult { files: with("new"), ..failed() }), 'e');
        assert_eq!(letter(&RunResult { files: with("ne"), ..failed() }), 'W');
        assert_eq!(letter(&RunResult { files: Files::new(), ..failed() }), 'W');
        assert_eq!(letter(&RunResult { files: with("old"), ..right() }), 'W');
    }

    #[test]
    fn a_panic_is_a_fault_whatever_comes_of_it() {
        let stderr = b"thread 'x' panicked at y.rs:1:1:\nno thread\n".to_vec();
        assert_eq!(letter(&RunResult { stderr: stderr.clone(), ..right() }), 'P');
        assert_eq!(letter(&RunResult { stderr: stderr.clone(), stdout: Vec::new(), ..right() }), 'W');
        assert_eq!(letter(&RunResult { stderr, ..failed() }), 'P');
        assert_eq!(letter(&RunResult { status: Some(ExitStatus::from_raw(101 << 8)), ..failed() }), 'P');
    }

    #[test]
    fn what_is_left_is_a_fault() {
        assert_eq!(letter(&RunResult { processes: vec!["7 worker".to_owned()], ..right() }), 'L');
        assert_eq!(letter(&RunResult { temporary: vec!["cc-sort-1".to_owned()], ..right() }), 'L');
        let files = Files::from([("result".into(), b"new".to_vec()), (".part".into(), b"n".to_vec())]);
        assert_eq!(letter(&RunResult { files, ..right() }), 'L');
    }

    #[test]
    fn what_does_not_end_hangs() {
        assert_eq!(letter(&RunResult { status: None, ..right() }), 'H');
        assert_eq!(letter(&RunResult { unanswered: vec!["no reply".to_owned()], ..right() }), 'H');
    }

    #[test]
    fn an_abort_is_allowed_where_memory_is_limited_only() {
        let aborted = RunResult {
            status: Some(ExitStatus::from_raw(6)),
            stderr: b"memory allocation of 7 bytes failed".to_vec(),
            ..failed()
        };
        assert_eq!(letter(&aborted), 'W');
        let allowed = Allowed { abort: true, ..Allowed::default() };
        assert_eq!(judge(&aborted, Some(&expected()), &old(), allowed), Verdict::Abort);
        assert!(judge(&RunResult { stderr: Vec::new(), ..aborted }, None, &old(), allowed).is_bad());
    }

    #[test]
    fn a_program_ends_by_a_signal_only_if_it_was_sent_one() {
        let stopped =
            RunResult { status: Some(ExitStatus::from_raw(143 << 8)), stderr: Vec::new(), ..failed() };
        assert_eq!(letter(&stopped), 'W');
        let allowed = Allowed { signals: [Some(15), None], ..Allowed::default() };
        assert_eq!(judge(&stopped, Some(&expected()), &old(), allowed), Verdict::Stopped);
        let killed = RunResult { status: Some(ExitStatus::from_raw(9)), ..failed() };
        assert!(judge(&killed, Some(&expected()), &old(), allowed).is_bad());
    }
}
