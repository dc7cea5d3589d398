//! A process and its descendants, as `/proc` shows them.

use std::{fmt::Write, fs, path::PathBuf, process, thread, time::Duration};

/// The children of a process, zombies included.
#[must_use]
pub fn children(of: u32) -> Vec<u32> {
    parents().into_iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| pid).collect()
}

/// A process and all its descendants.
#[must_use]
pub fn family(of: u32) -> Vec<u32> {
    let parents = parents();
    let mut family = vec![of];
    let mut visited = 0;
    while let Some(&member) = family.get(visited) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(pid, _)| pid));
        visited += 1;
    }
    family
}

/// All processes, each with its parent.
fn parents() -> Vec<(u32, u32)> {
    let parent = |pid| Some((pid, stat(&format!("/proc/{pid}/stat"))?.1));
    numbers("/proc".into()).into_iter().filter_map(parent).collect()
}

/// The threads of a process.
#[must_use]
pub fn threads(of: u32) -> Vec<u32> {
    numbers(format!("/proc/{of}/task").into())
}

/// Waits until every other thread of the family has been asleep in five observations in a row. By
/// then the queues are full and every thread that can go on has gone on. It polls, because the
/// kernel has no event for a thread that falls asleep.
pub fn wait_until_quiet() {
    let me = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    let mut quiet = 0;
    while quiet < 5 {
        thread::sleep(Duration::from_millis(1));
        let busy = family(process::id()).into_iter().any(|pid| {
            threads(pid).into_iter().any(|task| {
                let state = stat(&format!("/proc/{pid}/task/{task}/stat")).map(|(state, _)| state);
                task != me && matches!(state, Some('R' | 'D'))
            })
        });
        quiet = if busy { 0 } else { quiet + 1 };
    }
}

/// Waits until every thread of a process that suspends itself has stopped. The process announces
/// this a moment before it happens, and the kernel informs only its parent.
pub fn wait_until_stopped(pid: u32) {
    while !describe(pid).lines().all(|line| line.contains(": T in ") || line.contains(": t in ")) {
        thread::yield_now();
    }
}

/// The anonymous and shared memory of the family, in bytes. Each process counts its proportional
/// share (PSS) of shared pages.
#[must_use]
pub fn memory() -> u64 {
    family(process::id()).into_iter().map(memory_of).sum()
}

fn memory_of(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kilobytes = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    let wanted = |line: &&str| line.starts_with("Pss_Anon:") || line.starts_with("Pss_Shmem:");
    rollup.lines().filter(wanted).filter_map(kilobytes).sum::<u64>() * 1024
}

/// Describes what every thread of the family is doing, for the report of a hang.
#[must_use]
pub fn describe(of: u32) -> String {
    let mut text = String::new();
    for pid in family(of) {
        for task in threads(pid) {
            let read =
                |what| fs::read_to_string(format!("/proc/{pid}/task/{task}/{what}")).unwrap_or_default();
            let state = stat(&format!("/proc/{pid}/task/{task}/stat")).map_or('?', |(state, _)| state);
            let name = read("comm");
            let waits = read("wchan");
            let call = read("syscall");
            let (name, call) = (name.trim(), call.split_whitespace().next().unwrap_or("?"));
            let _ = writeln!(
                text,
                "  process {pid} thread {task} {name}: {state} in {waits}, system call {call}"
            );
        }
    }
    text
}

fn numbers(dir: PathBuf) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The state of a thread and the parent of its process.
fn stat(path: &str) -> Option<(char, u32)> {
    let stat = fs::read_to_string(path).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
