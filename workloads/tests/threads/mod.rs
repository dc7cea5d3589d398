//! Where the system refuses a thread, to a program or to one of its worker processes. Whichever of
//! them it is, the run ends with all of the output or with an error: never with a part of it and
//! status 0, and never not at all.
//!
//! Each program's tests include this file as `threads`, and call [`tests`] with the program.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Makes a test of each of these for a program.
macro_rules! tests {
    ($program:expr) => {
        mod threads_tests {
            use super::*;

            #[test]
            fn grep_counts_all_or_fails() {
                $crate::threads::grep_counts_all_or_fails($program);
            }

            #[test]
            fn mandelbrot_computes_all_or_fails() {
                $crate::threads::mandelbrot_computes_all_or_fails($program);
            }

            #[test]
            fn wordcount_counts_all_or_fails() {
                $crate::threads::wordcount_counts_all_or_fails($program);
            }
        }
    };
}
pub(crate) use tests;

/// The address space that a thread takes for its stack, in KiB: so few threads fit that they can be
/// counted.
const STACK: u64 = 1 << 20;

/// More than all threads of any process of a run with two workers.
pub(crate) const ENOUGH: u64 = 10;

/// Runs the program where there is room for so many threads.
pub(crate) fn run(program: &str, threads: u64, args: &[&str], dir: &Path) -> Output {
    let limit = threads * STACK + STACK / 2;
    Command::new("timeout")
        .args(["--signal=KILL", "60", "sh", "-c", "ulimit -v $0 && exec \"$@\"", &limit.to_string()])
        .arg(program)
        .args(["--workers", "2"])
        .args(args)
        .env("RUST_MIN_STACK", (STACK << 10).to_string())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("it can be started")
}

pub(crate) fn lines(count: u32) -> String {
    (0..count).rev().map(|n| format!("{n:06}\n")).collect()
}

/// Whether the run was done. If it was not, it says why.
pub(crate) fn is_done(threads: u64, output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.code().is_some(), "with {threads} threads: {status} (killed if it hung)\n{said}");
    assert!(status.success() || !said.is_empty(), "with {threads} threads: {status} without a word");
    status.success()
}

pub(crate) fn grep_counts_all_or_fails(program: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    (0..200).for_each(|n| fs::write(dir.path().join(format!("{n}.txt")), lines(100)).expect("written"));
    for threads in 0..=ENOUGH {
        let output = run(program, threads, &["grep", "-r", "-h", "0", "."], dir.path());
        let found = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert!(!is_done(threads, &output) || found == 200 * 100, "with {threads} threads: {found} lines");
        assert!(threads < ENOUGH || output.status.success(), "the limit is too low: {output:?}");
    }
}

pub(crate) fn mandelbrot_computes_all_or_fails(program: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    prints_all_or_fails(program, &["mandelbrot", "--size", "64x64"], dir.path());
}

pub(crate) fn wordcount_counts_all_or_fails(program: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let files = ["one", "two", "three"];
    files.iter().for_each(|file| fs::write(dir.path().join(file), lines(100)).expect("written"));
    prints_all_or_fails(program, &["wordcount", "one", "two", "three"], dir.path());
}

/// Panics if what a run prints that is done depends on how many threads there may be.
fn prints_all_or_fails(program: &str, args: &[&str], dir: &Path) {
    let whole = run(program, ENOUGH, args, dir);
    assert!(is_done(ENOUGH, &whole), "the limit is too low: {whole:?}");
    for threads in 0..ENOUGH {
        let output = run(program, threads, args, dir);
        assert!(!is_done(threads, &output) || output.stdout == whole.stdout, "with {threads} threads");
    }
}
