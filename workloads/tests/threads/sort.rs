//! A test of a sort that replaces its input, for which the system refuses to create a thread.
//! cc-distributed has no such test.

use std::fs;

use crate::{
    cli::PROGRAM,
    threads::{ENOUGH, is_done, lines, run},
};

#[test]
fn sort_leaves_the_file_as_it_was_or_sorted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, unsorted) = (dir.path().join("file"), lines(100_000));
    let mut sorted: Vec<&str> = unsorted.lines().collect();
    sorted.sort_unstable();
    for threads in 0..=ENOUGH {
        fs::write(&file, &unsorted).expect("written");
        let output = run(PROGRAM, threads, &["sort", "-S", "2M", "-o", "file", "file"], dir.path());
        let left = fs::read_to_string(&file).expect("it is there");
        let expected = if is_done(threads, &output) { sorted.clone() } else { unsorted.lines().collect() };
        assert!(left.lines().eq(expected), "with {threads} threads, {} bytes are left", left.len());
        assert!(threads < ENOUGH || output.status.success(), "the limit is too low: {output:?}");
    }
}
