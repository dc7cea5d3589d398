//! A job as a user would type it.

use std::{env, ffi::OsString, path::PathBuf};

use cc_conformance::fault::{Fault, Plan};
use cc_workloads::sort::{Job, Query, cli};

use super::corpus;

/// A job, with the faults that are planned for it.
#[derive(Clone, Default)]
pub(super) struct Invocation {
    /// Flags that GNU sort has too, without files.
    pub(super) flags: Vec<String>,
    /// Whether lines with equal keys are compared as bytes. Otherwise `-s` is one of the flags.
    pub(super) is_unstable: bool,
    pub(super) files: Vec<PathBuf>,
    /// The memory limit. By default the least that is possible, a megabyte per worker.
    pub(super) memory: u64,
    pub(super) output: Option<PathBuf>,
    pub(super) faults: Plan,
}

impl Invocation {
    /// A job with this order, without operands.
    pub(super) fn new(flags: &[&str]) -> Self {
        Self { flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Self::default() }
    }

    /// A job over a part of the corpus: a file, or all files of a folder in the order of their
    /// names.
    pub(super) fn of(part: &str, flags: &[&str]) -> Self {
        corpus::files(part).into_iter().fold(Self::new(flags), Self::at)
    }

    /// Adds an operand.
    pub(super) fn at(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// Sets the memory limit.
    pub(super) fn in_memory_of(self, bytes: u64) -> Self {
        Self { memory: bytes, ..self }
    }

    /// Sets the output file.
    pub(super) fn into(self, file: impl Into<PathBuf>) -> Self {
        Self { output: Some(file.into()), ..self }
    }

    /// Adds a planned fault.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    pub(super) fn query(&self) -> Query {
        self.parsed().expect("the flags are valid")
    }

    /// The query that the flags mean, or `None` if they are invalid.
    pub(super) fn parsed(&self) -> Option<Query> {
        let words: Vec<OsString> =
            ["sort".to_owned()].into_iter().chain(self.all_flags()).map(Into::into).collect();
        cli::job(&words).map(|job| job.query)
    }

    /// The flags, with `-s` if it is meant.
    pub(super) fn all_flags(&self) -> Vec<String> {
        let stable = (!self.is_unstable).then(|| "-s".to_owned());
        stable.into_iter().chain(self.flags.iter().cloned()).collect()
    }

    pub(super) fn job(&self) -> Job {
        let Self { files, memory, output, .. } = self.clone();
        Job { query: self.query(), files, memory, temporary: env::temp_dir(), output }
    }
}
