//! Tests of programs with worker processes, in addition to those of all programs.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::command_line::poems;

/// Worker processes are traced, too: they inherit the directory of the traces from their parent.
pub(crate) fn the_kernels_of_a_traced_run_are_its_workers(name: &str) {
    let (dir, traces) = (poems(), tempfile::tempdir().expect("a temporary directory"));
    let mut command = Command::new(name);
    command.args(["--workers", "2", "grep", "-r", "e"]).arg(dir.path()).env("CC_TRACE", traces.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the program starts");
    let parent = format!("\"parent\":{},", child.id());
    assert!(child.wait_with_output().expect("waited for").status.success());
    let files = fs::read_dir(traces.path()).expect("listed").map(|entry| entry.expect("an entry").path());
    let files = files.map(|path| fs::read_to_string(path).expect("a trace"));
    let kernels: Vec<String> = files.filter(|text| text.contains("\"part\":\"kernel\"")).collect();
    assert!(!kernels.is_empty() && kernels.iter().all(|text| text.contains(&parent)), "{kernels:?}");
}
