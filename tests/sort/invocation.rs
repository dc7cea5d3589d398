//! A job as a user would type it.

use std::{env, path::PathBuf};

use cc_conformance::fault::{Fault, Plan};
use cc_workloads::sort::{Job, Key, Query};

use super::corpus;

/// A job, with the faults that are planned for it.
#[derive(Clone, Default)]
pub(super) struct Invocation {
    /// Flags that GNU sort has too: `-n`, `-r`, `-u`, `-b`, `-tX` and `-kF[,F][bnr]`.
    pub(super) flags: Vec<String>,
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
        query(&self.flags)
    }

    pub(super) fn job(&self) -> Job {
        let Self { files, memory, output, .. } = self.clone();
        Job { query: self.query(), files, memory, temporary: env::temp_dir(), output }
    }
}

/// The query that the flags mean.
fn query(flags: &[String]) -> Query {
    let mut query = Query::default();
    let (mut all, mut given) = (Key::default(), vec![]);
    for flag in flags {
        let (letter, rest) = flag[1..].split_at(1);
        match letter {
            "u" => query.unique = true,
            "t" => query.separator = rest.bytes().next(),
            "k" => given.push(rest),
            letters => set(&mut all, letters),
        }
    }
    query.keys = given.into_iter().map(|text| key(text, all)).collect();
    if query.keys.is_empty() && all != Key::default() {
        query.keys.push(all);
    }
    query
}

/// A key of `-k`. The global flags apply to a key without flags of its own.
fn key(text: &str, all: Key) -> Key {
    let (from, to) = text.split_once(',').map_or((text, None), |(from, to)| (from, Some(to)));
    let split = |text: &str| {
        let letters = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, letters) = text.split_at(letters);
        (number.parse::<usize>().expect("a field has a number"), letters.to_owned())
    };
    let ((from, letters), to) = (split(from), to.map(split));
    let says_nothing = letters.is_empty() && to.as_ref().is_none_or(|(_, letters)| letters.is_empty());
    let mut key = if says_nothing { all } else { Key::default() };
    set(&mut key, &letters);
    // `b` after the end field has no effect.
    set(&mut key, &to.iter().map(|(_, letters)| letters.replace('b', "")).collect::<String>());
    Key { from: from - 1, to: to.map(|(to, _)| to), ..key }
}

fn set(key: &mut Key, letters: &str) {
    for letter in letters.chars() {
        match letter {
            'n' => key.numeric = true,
            'r' => key.reverse = true,
            'b' => key.skip_blanks = true,
            _ => panic!("{letter} is no flag"),
        }
    }
}
