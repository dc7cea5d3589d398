//! Tests of runs for which the system refuses to create a thread, in the program or in one of its
//! worker processes. Such a run must end, with the whole output or with an error. It must never
//! exit with status 0 after a part of the output.
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

/// Address space of a thread's stack, in KiB. It is so large that a limit on the address space is a
/// limit on the number of threads.
const STACK: u64 = 1 << 20;

/// A number of threads that suffices for each process of a run with two workers.
pub(crate) const ENOUGH: u64 = 10;

/// Runs the program with address space for the stacks of this number of threads per process.
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

/// Whether the run succeeded. Panics if it failed without a message or hung.
pub(crate) fn is_done(threads: u64, output: &Output) -> bool {
    let message = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.code().is_some(), "with {threads} threads: {status} (killed if it hung)\n{message}");
    assert!(status.success() || !message.is_empty(), "with {threads} threads: {status} without a message");
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

/// Checks that each run that succeeds prints the same, with any number of threads.
fn prints_all_or_fails(program: &str, args: &[&str], dir: &Path) {
    let whole = run(program, ENOUGH, args, dir);
    assert!(is_done(ENOUGH, &whole), "the limit is too low: {whole:?}");
    for threads in 0..ENOUGH {
        let output = run(program, threads, args, dir);
        assert!(!is_done(threads, &output) || output.stdout == whole.stdout, "with {threads} threads");
    }
}
