//! What a run's end is worth.

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
    /// That of the reference.
    Same,
    /// As tasks are completed.
    Any,
}

/// What the reference made.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) stdout: Vec<u8>,
    pub(crate) files: Files,
    pub(crate) order: Order,
    /// Whether a run that fails may write nothing but lines of the reference.
    pub(crate) lines_are_final: bool,
}

/// What is no fault in this run, though it would be in another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Memory was limited: an allocation that fails ends a process.
    pub(crate) abort: bool,
    /// The signals that were sent to the program.
    pub(crate) signals: [Option<i32>; 2],
    /// The output is not read: it need not be complete.
    pub(crate) unread: bool,
    /// Temporary files may be left.
    pub(crate) temporary: bool,
}

/// What was seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// None if the program did not end in time.
    pub(crate) status: Option<ExitStatus>,
    /// What it did not end by in time, for a message: its limit, or a stop.
    pub(crate) hung: String,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The output directory afterwards.
    pub(crate) files: Files,
    /// The processes that were still there.
    pub(crate) processes: Vec<String>,
    /// What was still in the temporary directory.
    pub(crate) temporary: Vec<String>,
    /// What clients of a server were told and must not have been.
    pub(crate) wrong: Vec<String>,
    /// What clients waited for without an end.
    pub(crate) unanswered: Vec<String>,
}

/// What a run's end is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The reference's output, and status 0.
    Right,
    /// Another status, and a reason on standard error.
    Error,
    /// It has ended because it was told to.
    Stopped,
    /// An allocation failed where memory was limited.
    Abort,
    /// Output or status that is not true.
    Wrong(String),
    /// A panic, in any process.
    Panic(String),
    /// It did not end in time.
    Hang(String),
    /// Processes or files that were left.
    Left(String),
}

impl Verdict {
    /// A letter for tables.
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
            Self::Error => f.write_str("an error in words"),
            Self::Stopped => f.write_str("stopped"),
            Self::Abort => f.write_str("abort"),
            Self::Wrong(why) => write!(f, "WRONG: {why}"),
            Self::Panic(why) => write!(f, "PANIC: {why}"),
            Self::Hang(why) => write!(f, "HANG: {why}"),
            Self::Left(why) => write!(f, "LEFT: {why}"),
        }
    }
}

/// What libraries say before they abort because there is no memory.
const OUT_OF_MEMORY: [&str; 4] =
    ["memory allocation of", "failed to allocate", "Cannot allocate memory", "out of memory"];

/// Decides. `old` is what was in the output directory before.
pub(crate) fn judge(seen: &Observed, expected: Option<&Expected>, old: &Files, allowed: Allowed) -> Verdict {
    let stderr = String::from_utf8_lossy(&seen.stderr);
    let no_memory = allowed.abort && OUT_OF_MEMORY.iter().any(|words| stderr.contains(words));
    let Some(status) = seen.status else { return Verdict::Hang(seen.hung.clone()) };
    let ended_itself = status.signal().is_none();
    let verdict = remains(seen, ended_itself && !no_memory && !allowed.temporary)
        .or_else(|| {
            expected.and_then(|expected| wrong_files(&seen.files, &expected.files, old, ended_itself))
        })
        .unwrap_or_else(|| by_status(seen, status, expected, allowed, no_memory));
    match (panic(&stderr), &verdict) {
        // Output that is not true is worse than a panic, which often is its cause.
        (Some(_), Verdict::Wrong(_)) if ended_itself => verdict,
        (Some(line), _) if !no_memory => Verdict::Panic(line),
        _ => verdict,
    }
}

/// What is left, and what clients have seen.
fn remains(seen: &Observed, are_files_judged: bool) -> Option<Verdict> {
    if let Some(process) = seen.processes.first() {
        return Some(Verdict::Left(format!("process {process}")));
    }
    if let Some(why) = seen.wrong.first() {
        return Some(Verdict::Wrong(why.clone()));
    }
    if let Some(name) = seen.temporary.first().filter(|_| are_files_judged) {
        return Some(Verdict::Left(format!(
            "{} in the temporary directory, as {name}",
            seen.temporary.len()
        )));
    }
    seen.unanswered.first().map(|why| Verdict::Hang(why.clone()))
}

fn panic(stderr: &str) -> Option<String> {
    let says = |line: &&str| line.contains("panicked at") || line.contains("stack backtrace");
    let at = stderr.lines().position(|line| says(&line))?;
    Some(stderr.lines().skip(at).take(2).collect::<Vec<_>>().join(" "))
}

/// Files that are neither the reference's nor what was there before.
fn wrong_files(found: &Files, new: &Files, old: &Files, ended_itself: bool) -> Option<Verdict> {
    for (path, contents) in found {
        let shown = path.display();
        let (is_new, is_old) = (new.get(path) == Some(contents), old.get(path) == Some(contents));
        if !is_new && !is_old {
            if new.contains_key(path) {
                return Some(Verdict::Wrong(format!("{shown} is neither the old file nor the new one")));
            }
            if ended_itself {
                return Some(Verdict::Left(format!("{shown} beside the output")));
            }
        }
    }
    let lost = old.keys().find(|path| !found.contains_key(*path))?;
    Some(Verdict::Wrong(format!("{} has been there before and is gone", lost.display())))
}

fn by_status(
    seen: &Observed,
    status: ExitStatus,
    expected: Option<&Expected>,
    allowed: Allowed,
    no_memory: bool,
) -> Verdict {
    if let (Some(0), Some(expected)) = (status.code(), expected) {
        return complete(seen, expected, allowed);
    }
    if let Some(why) = expected.and_then(|expected| invented(&seen.stdout, expected)) {
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
        (Some(_), _) if seen.stderr.is_empty() => Verdict::Wrong(format!("{status}, and no reason")),
        (Some(_), _) => Verdict::Error,
        (None, _) if no_memory => Verdict::Abort,
        (None, _) => Verdict::Wrong(format!("{status}: {}", first_line(&seen.stderr))),
    }
}

fn first_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().next().unwrap_or_default().to_owned()
}

/// A run with status 0 has made all that the reference makes.
fn complete(seen: &Observed, expected: &Expected, allowed: Allowed) -> Verdict {
    let is_same = match expected.order {
        Order::Same => seen.stdout == expected.stdout,
        Order::Any => sorted(&seen.stdout) == sorted(&expected.stdout),
    };
    if !is_same && !allowed.unread {
        let (got, all) = (seen.stdout.len(), expected.stdout.len());
        return Verdict::Wrong(format!("status 0, and {got} of {all} bytes of output, or others"));
    }
    match expected.files.iter().find(|(path, contents)| seen.files.get(*path) != Some(*contents)) {
        Some((path, _)) => Verdict::Wrong(format!("status 0, and {} is not what it must be", path.display())),
        None => Verdict::Right,
    }
}

fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// A whole line that the reference does not have.
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

    /// A run that is right; `status` as `wait` gives it.
    fn right() -> Observed {
        let Expected { stdout, files, .. } = expected();
        Observed { status: Some(ExitStatus::from_raw(0)), stdout, files, ..Observed::default() }
    }

    /// One that has failed, and says so.
    fn failed() -> Observed {
        let status = Some(ExitStatus::from_raw(2 << 8));
        Observed {
            status,
            stdout: b"one\ntw".to_vec(),
            stderr: b"no space".to_vec(),
            files: old(),
            ..right()
        }
    }

    fn letter(seen: &Observed) -> char {
        judge(seen, Some(&expected()), &old(), Allowed::default()).letter()
    }

    #[test]
    fn what_is_right_or_says_why_not_is_no_fault() {
        assert_eq!(letter(&right()), 'r');
        assert_eq!(letter(&failed()), 'e');
    }

    #[test]
    fn output_that_is_not_true_is_wrong() {
        assert_eq!(letter(&Observed { stdout: b"one\n".to_vec(), ..right() }), 'W');
        assert_eq!(letter(&Observed { stdout: b"two\none\n".to_vec(), ..right() }), 'W');
        assert_eq!(letter(&Observed { stdout: b"three\n".to_vec(), ..failed() }), 'W');
        assert_eq!(letter(&Observed { stderr: Vec::new(), ..failed() }), 'W');
        assert_eq!(letter(&Observed { wrong: vec!["an older value".to_owned()], ..right() }), 'W');
    }

    #[test]
    fn a_file_is_the_old_one_or_the_new_one() {
        let with = |contents: &str| Files::from([("result".into(), contents.into())]);
        assert_eq!(letter(&Observed { files: with("new"), ..failed() }), 'e');
        assert_eq!(letter(&Observed { files: with("ne"), ..failed() }), 'W');
        assert_eq!(letter(&Observed { files: Files::new(), ..failed() }), 'W');
        assert_eq!(letter(&Observed { files: with("old"), ..right() }), 'W');
    }

    #[test]
    fn a_panic_is_a_fault_whatever_comes_of_it() {
        let stderr = b"thread 'x' panicked at y.rs:1:1:\nno thread\n".to_vec();
        assert_eq!(letter(&Observed { stderr: stderr.clone(), ..right() }), 'P');
        assert_eq!(letter(&Observed { stderr: stderr.clone(), stdout: Vec::new(), ..right() }), 'W');
        assert_eq!(letter(&Observed { stderr, ..failed() }), 'P');
        assert_eq!(letter(&Observed { status: Some(ExitStatus::from_raw(101 << 8)), ..failed() }), 'P');
    }

    #[test]
    fn what_is_left_is_a_fault() {
        assert_eq!(letter(&Observed { processes: vec!["7 worker".to_owned()], ..right() }), 'L');
        assert_eq!(letter(&Observed { temporary: vec!["cc-sort-1".to_owned()], ..right() }), 'L');
        let files = Files::from([("result".into(), b"new".to_vec()), (".part".into(), b"n".to_vec())]);
        assert_eq!(letter(&Observed { files, ..right() }), 'L');
    }

    #[test]
    fn what_does_not_end_hangs() {
        assert_eq!(letter(&Observed { status: None, ..right() }), 'H');
        assert_eq!(letter(&Observed { unanswered: vec!["no reply".to_owned()], ..right() }), 'H');
    }

    #[test]
    fn an_abort_is_allowed_where_memory_is_limited_only() {
        let aborted = Observed {
            status: Some(ExitStatus::from_raw(6)),
            stderr: b"memory allocation of 7 bytes failed".to_vec(),
            ..failed()
        };
        assert_eq!(letter(&aborted), 'W');
        let allowed = Allowed { abort: true, ..Allowed::default() };
        assert_eq!(judge(&aborted, Some(&expected()), &old(), allowed), Verdict::Abort);
        assert!(judge(&Observed { stderr: Vec::new(), ..aborted }, None, &old(), allowed).is_bad());
    }

    #[test]
    fn a_program_ends_by_a_signal_only_if_it_was_sent_one() {
        let stopped =
            Observed { status: Some(ExitStatus::from_raw(143 << 8)), stderr: Vec::new(), ..failed() };
        assert_eq!(letter(&stopped), 'W');
        let allowed = Allowed { signals: [Some(15), None], ..Allowed::default() };
        assert_eq!(judge(&stopped, Some(&expected()), &old(), allowed), Verdict::Stopped);
        let killed = Observed { status: Some(ExitStatus::from_raw(9)), ..failed() };
        assert!(judge(&killed, Some(&expected()), &old(), allowed).is_bad());
    }
}
