//! How much memory a tree of processes has.

use std::{fs, time::Duration};

use crate::process::tree;

/// How it is measured, for those who read the figures.
pub(crate) const METHOD: &str = "anonymous + shared PSS of the process tree, the lesser of two readings every 2 ms, in \
                                 rounds of their own: within 10 % of what is held for longer, less of a shorter peak; \
                                 where a run was too short to be seen, ru_maxrss of its largest process";

/// The time between two samples.
pub(crate) const EVERY: Duration = Duration::from_millis(2);

/// What a tree of processes has at one moment, or the most of each that it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub bytes: u64,
    pub threads: u64,
    pub processes: u64,
}

impl Held {
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            threads: self.threads.max(other.threads),
            processes: self.processes.max(other.processes),
        }
    }
}

/// What all descendants have now, but for one. The page cache is not theirs; a page that several
/// share counts once.
///
/// They cannot be asked all at the same moment, and while the second is asked, pages of the first
/// may become shared with it, which counts them twice. So they are asked there and back. What was
/// too much on the way there is too little on the way back, or the other way round, and the lesser
/// sum is the answer: what is held for longer is in both.
pub(crate) fn sample(without: Option<u32>) -> Held {
    let mut descendants = tree::descendants().unwrap_or_default();
    descendants.retain(|process| Some(process.pid) != without);
    let there: u64 = descendants.iter().map(|process| held(process.pid)).sum();
    let back: u64 = descendants.iter().rev().map(|process| held(process.pid)).sum();
    Held {
        bytes: there.min(back),
        threads: descendants.iter().map(|process| process.threads).sum(),
        processes: descendants.len() as u64,
    }
}

/// What a process has now; nothing of another user's, or one that has ended meanwhile.
fn held(pid: u32) -> u64 {
    bytes(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default())
}

fn bytes(rollup: &str) -> u64 {
    let counted = |line: &&str| line.starts_with("Pss_Anon:") || line.starts_with("Pss_Shmem:");
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    rollup.lines().filter(counted).filter_map(kib).sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_and_shared_are_added_and_files_are_not() {
        let rollup = "Pss:     900 kB\nPss_Anon:   20 kB\nPss_File:  800 kB\nPss_Shmem:    3 kB\n";
        assert_eq!(bytes(rollup), 23 << 10);
    }
}
