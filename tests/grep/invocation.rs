//! A job as a user would type it: one value that makes both a [`Job`] and GNU grep's arguments.

use std::{ffi::OsString, fmt, os::unix::ffi::OsStringExt, path::PathBuf};

use cc_conformance::fault::{Fault, Plan};
use cc_workloads::grep::{Job, Query, Report};
use serde_bytes::ByteBuf;

/// A job, with the faults that are planned for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Invocation {
    flags: Vec<&'static str>,
    /// The query that the flags and patterns mean.
    pub(super) query: Query,
    roots: Vec<PathBuf>,
    recursive: bool,
    /// The planned faults.
    pub(super) faults: Plan,
}

/// Every flag that changes what is shown of one file. Each is tested alone and with every other.
pub(super) const FLAGS: &[&str] =
    &["-i", "-v", "-w", "-n", "-H", "-o", "-c", "-l", "-L", "-q", "-s", "-F", "-m1", "-m40"];

impl Invocation {
    /// A search for `pattern`.
    pub(super) fn new(pattern: impl Into<Vec<u8>>) -> Self {
        Self::default().or(pattern)
    }

    /// Adds a pattern, as a further `-e`.
    pub(super) fn or(mut self, pattern: impl Into<Vec<u8>>) -> Self {
        self.query.patterns.push(ByteBuf::from(pattern.into()));
        self
    }

    /// Adds a flag; `-m` and its number are one word.
    pub(super) fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        let query = &mut self.query;
        match flag {
            "-i" => query.ignore_case = true,
            "-v" => query.invert = true,
            "-w" => query.word = true,
            "-n" => query.line_numbers = true,
            "-H" => query.names = true,
            "-s" => query.no_messages = true,
            "-F" => query.fixed = true,
            "-o" | "-c" | "-l" | "-L" | "-q" => query.report = report(&self.flags),
            "-r" => self.recursive = true,
            _ => {
                let number = flag.strip_prefix("-m").and_then(|number| number.parse().ok());
                query.max = Some(number.expect("a flag of grep"));
            }
        }
        self
    }

    /// Adds several flags.
    pub(super) fn flags(self, flags: &[&'static str]) -> Self {
        flags.iter().fold(self, |invocation, flag| invocation.flag(flag))
    }

    /// Adds an operand.
    pub(super) fn at(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.push(root.into());
        self
    }

    /// Adds several operands.
    pub(super) fn at_all(self, roots: impl IntoIterator<Item = PathBuf>) -> Self {
        roots.into_iter().fold(self, Self::at)
    }

    /// Adds a planned fault. It has no effect on GNU grep.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Makes the job; each run needs one of its own.
    pub(super) fn job(&self) -> Job {
        Job::new(self.query.clone(), self.roots.clone(), self.recursive)
    }

    /// GNU grep's arguments.
    pub(super) fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = self.flags.iter().map(OsString::from).collect();
        // Names are printed only if asked for, independent of the number of files. Of `-h` and `-H`
        // the last counts.
        args.extend((!self.query.names).then(|| "-h".into()));
        args.extend((!self.query.fixed).then(|| "-E".into()));
        for pattern in &self.query.patterns {
            args.push("-e".into());
            args.push(OsString::from_vec(pattern.clone().into_vec()));
        }
        args.push("--".into());
        args.extend(self.roots.iter().map(|root| root.clone().into_os_string()));
        args
    }
}

/// The report that the flags select. Of several flags for a report, the first in this order counts.
fn report(flags: &[&str]) -> Report {
    let reports = [
        ("-q", Report::Status),
        ("-l", Report::FilesWith),
        ("-L", Report::FilesWithout),
        ("-c", Report::Count),
        ("-o", Report::Matches),
    ];
    // -l and -L override each other: the later one counts.
    let last = flags.iter().rev().find(|flag| ["-l", "-L"].contains(flag));
    let counts = |flag: &str| flags.contains(&flag) && (!["-l", "-L"].contains(&flag) || last == Some(&flag));
    reports.into_iter().find(|(flag, _)| counts(flag)).map_or(Report::Lines, |(_, report)| report)
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grep")?;
        let args = self.args();
        let shown = args.iter().take(10).try_for_each(|arg| write!(f, " {arg:?}"));
        let more = args.len().saturating_sub(10);
        shown.and_then(|()| if more > 0 { write!(f, " … ({more} more)") } else { Ok(()) })
    }
}
