//! The command line as a user types it.

use std::fs;

use snapbox::cmd::Command as Cmd;

use crate::{command_line, threads};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-actors");

command_line::tests!(PROGRAM, ["actors"]);
threads::tests!(PROGRAM);

#[test]
fn the_output_does_not_depend_on_the_number_of_workers_or_credits() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for n in 0..100 {
        fs::write(dir.path().join(format!("{n:02}")), "a line\n".repeat(n * 50)).expect("written");
    }
    // Its output is many times the limit of one task, so a remainder has remainders itself.
    fs::write(dir.path().join("50"), "a long line\n".repeat(100_000)).expect("written");
    let output = |workers: &str, window: &str| {
        let run = Cmd::new(PROGRAM).args(["--workers", workers, "--window", window, "grep", "-ron", "."]);
        run.current_dir(&dir).assert().code(0).get_output().stdout.clone()
    };
    let expected = output("1", "1");
    assert_eq!(expected.iter().filter(|byte| **byte == b'\n').count(), 100_000 * 11 + (4950 - 50) * 50 * 6);
    for (workers, window) in [("1", "16"), ("2", "1"), ("3", "5"), ("16", "2"), ("16", "200")] {
        // Not `assert_eq`, which would print megabytes.
        assert!(output(workers, window) == expected, "{workers} workers, {window} credits");
    }
}
