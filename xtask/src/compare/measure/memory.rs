//! The memory of a process tree.

use std::{fs, time::Duration};

use crate::process::tree;

/// The method, as the notes of the table describe it.
pub(crate) const METHOD: &str = "anonymous + shared PSS of the process tree, the smaller of two readings, every 2 ms in \
                                 separate rounds: within 10 % if held for longer, less for a shorter peak; if a run \
                                 is too short to sample, ru_maxrss of its largest process";

/// The time between two samples.
pub(crate) const INTERVAL: Duration = Duration::from_millis(2);

/// What a process tree uses at one moment, or the maximum of each figure over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub bytes: u64,
    pub threads: u64,
    pub processes: u64,
}

impl Usage {
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            threads: self.threads.max(other.threads),
            processes: self.processes.max(other.processes),
        }
    }
}

/// What all descendants use now, except for the process `without`. The page cache does not count. A
/// page that several processes share counts once (PSS).
///
/// The processes cannot all be read at the same moment. If a page becomes shared after the first of
/// its processes was read and before the second one was, the sum counts a part of it twice. So all
/// processes are read twice, in opposite orders, and the smaller sum is used: memory that is in use
/// throughout is in both sums.
pub(crate) fn sample(without: Option<u32>) -> Usage {
    let mut descendants = tree::descendants().unwrap_or_default();
    descendants.retain(|process| Some(process.pid) != without);
    let forward: u64 = descendants.iter().map(|process| memory_of(process.pid)).sum();
    let backward: u64 = descendants.iter().rev().map(|process| memory_of(process.pid)).sum();
    Usage {
        bytes: forward.min(backward),
        threads: descendants.iter().map(|process| process.threads).sum(),
        processes: descendants.len() as u64,
    }
}

/// The memory of a process in bytes; zero if it has ended, or belongs to another user.
fn memory_of(pid: u32) -> u64 {
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
