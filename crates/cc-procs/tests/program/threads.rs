//! Where the system refuses a thread. Whichever of them it is, the run ends with all of the output
//! or with an error: never with a part of it and status 0, and never not at all.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// The address space that a thread takes for its stack, in KiB: so few threads fit that they can be
/// counted.
const STACK: u64 = 1 << 20;

/// More than all threads of a run with two workers.
const ENOUGH: u64 = 10;

/// Runs the program where there is room for so many threads.
fn run(threads: u64, args: &[&str], dir: &Path) -> Output {
    let limit = threads * STACK + STACK / 2;
    Command::new("timeout")
        .args(["--signal=KILL", "60", "sh", "-c", "ulimit -v $0 && exec \"$@\"", &limit.to_string()])
        .arg(env!("CARGO_BIN_EXE_cc-procs"))
        .args(["--workers", "2"])
        .args(args)
        .env("RUST_MIN_STACK", (STACK << 10).to_string())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("it can be started")
}

fn lines(count: u32) -> String {
    (0..count).rev().map(|n| format!("{n:06}\n")).collect()
}

/// Whether the run was done. If it was not, it says why.
fn is_done(threads: u64, output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.code().is_some(), "with {threads} threads: {status} (killed if it hung)\n{said}");
    assert!(status.success() || !said.is_empty(), "with {threads} threads: {status} without a word");
    status.success()
}

#[test]
fn sort_leaves_the_file_as_it_was_or_sorted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, unsorted) = (dir.path().join("file"), lines(100_000));
    let mut sorted: Vec<&str> = unsorted.lines().collect();
    sorted.sort_unstable();
    for threads in 0..=ENOUGH {
        fs::write(&file, &unsorted).expect("written");
        let output = run(threads, &["sort", "-S", "2M", "-o", "file", "file"], dir.path());
        let left = fs::read_to_string(&file).expect("it is there");
        let expected = if is_done(threads, &output) { sorted.clone() } else { unsorted.lines().collect() };
        assert!(left.lines().eq(expected), "with {threads} threads, {} bytes are left", left.len());
        assert!(threads < ENOUGH || output.status.success(), "the limit is too low: {output:?}");
    }
}

#[test]
fn grep_counts_all_or_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    (0..200).for_each(|n| fs::write(dir.path().join(format!("{n}.txt")), lines(100)).expect("written"));
    for threads in 0..=ENOUGH {
        let output = run(threads, &["grep", "-r", "-h", "0", "."], dir.path());
        let found = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert!(!is_done(threads, &output) || found == 200 * 100, "with {threads} threads: {found} lines");
        assert!(threads < ENOUGH || output.status.success(), "the limit is too low: {output:?}");
    }
}

#[test]
fn mandelbrot_computes_all_or_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["mandelbrot", "--size", "64x64"];
    let whole = run(ENOUGH, &args, dir.path());
    assert!(is_done(ENOUGH, &whole), "the limit is too low: {whole:?}");
    for threads in 0..ENOUGH {
        let output = run(threads, &args, dir.path());
        assert!(!is_done(threads, &output) || output.stdout == whole.stdout, "with {threads} threads");
    }
}
