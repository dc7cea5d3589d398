//! A job as a user would type it: one value that makes both a [`Job`] and GNU grep's arguments.

use std::{ffi::OsString, fmt, os::unix::ffi::OsStringExt, path::PathBuf};

use cc_conformance::fault::{Fault, Plan};
use cc_workloads::grep::{Filter, Job, Query, cli};
use serde_bytes::ByteBuf;

/// A job, with the faults that are planned for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Invocation {
    flags: Vec<&'static str>,
    /// The query that the flags and patterns mean.
    pub(super) query: Query,
    roots: Vec<PathBuf>,
    recursive: bool,
    filter: Filter,
    /// The planned faults.
    pub(super) faults: Plan,
}

/// Every flag that changes what is shown of one file. Each is tested alone and with every other.
pub(super) const FLAGS: &[&str] = &[
    "-i",
    "-v",
    "-w",
    "-x",
    "-n",
    "-H",
    "-o",
    "-c",
    "-l",
    "-L",
    "-q",
    "-s",
    "-F",
    "-z",
    "-a",
    "-I",
    "-A1",
    "-B2",
    "-C3",
    "--color=always",
    "-m1",
    "-m40",
];

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

    /// Adds a flag; one that has a value is one word with it. What it means is up to the command
    /// line under test.
    pub(super) fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        // Names are printed only if asked for, independent of the number of files.
        let words = ["grep", "-h"].iter().chain(&self.flags).chain(&["-e", ""]);
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let job = cli::job(&words).expect("the flags are grep's").expect("the flags are valid");
        self.query = Query { patterns: self.query.patterns, ..job.query };
        (self.recursive, self.filter) = (job.recursive, job.filter);
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
        let mut job = Job::new(self.query.clone(), self.roots.clone(), self.recursive);
        job.filter = self.filter.clone();
        job
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

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grep")?;
        let args = self.args();
        let shown = args.iter().take(10).try_for_each(|arg| write!(f, " {arg:?}"));
        let more = args.len().saturating_sub(10);
        shown.and_then(|()| if more > 0 { write!(f, " … ({more} more)") } else { Ok(()) })
    }
}
