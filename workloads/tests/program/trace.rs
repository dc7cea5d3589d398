//! The trace that the reference writes, and that it writes none if tracing is off.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path, process::Command};

use cc_workloads::trace::{Part, Record, TRACE_DIR, now};

/// Runs the reference in the directory `at` and returns what it printed. The trace goes to the
/// directory `traced`, relative to `at`.
fn picture(at: &Path, traced: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cc-workloads"));
    command.args(["mandelbrot", "--size", "64x64"]).current_dir(at).env("TMPDIR", at).env_remove(TRACE_DIR);
    let done = command.envs(traced.map(|folder| (TRACE_DIR, folder))).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// The names of all files in a directory.
fn files(at: &Path) -> Vec<String> {
    fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn records(path: &Path) -> Vec<Record> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_kernels_span_is_written_with_its_thread_and_its_time() {
    let at = tempfile::tempdir().unwrap();
    let before = now();
    picture(at.path(), Some("."));
    let after = now();
    let [name] = &files(at.path())[..] else { panic!("{:?}", files(at.path())) };
    let records = records(&at.path().join(name));
    let Record::Process { pid, parent, args } = &records[0] else { panic!("{:?}", records[0]) };
    assert_eq!((format!("{pid}.jsonl"), *parent), (name.clone(), std::process::id()));
    assert_eq!(args[1..], ["mandelbrot", "--size", "64x64"]);
    let main = records.iter().find_map(|record| match record {
        Record::Thread { thread, name } if name == "main" => Some(*thread),
        _ => None,
    });
    let of = |wanted: &str| {
        let span = |record: &Record| match record {
            Record::Span { thread, name, part, start_ns, end_ns } if name == wanted => {
                assert!(before <= *start_ns && start_ns <= end_ns && *end_ns <= after, "{record:?}");
                Some((Some(*thread), *part))
            }
            _ => None,
        };
        records.iter().filter_map(span).collect::<Vec<_>>()
    };
    let tiles = of("iterate");
    assert!(!tiles.is_empty() && tiles.iter().all(|tile| *tile == (main, Part::Kernel)), "{tiles:?}");
    assert_eq!(of("place"), vec![(main, Part::Serial); tiles.len()]);
}

#[test]
fn nothing_is_written_and_nothing_changes_when_tracing_is_off() {
    let at = tempfile::tempdir().unwrap();
    let outputs = [None, Some(""), Some("missing")].map(|traced| picture(at.path(), traced));
    assert_eq!(files(at.path()), Vec::<String>::new());
    assert!(outputs.iter().all(|output| *output == outputs[0] && !output.is_empty()));
    assert_eq!(picture(at.path(), Some(".")), outputs[0]);
    assert_eq!(files(at.path()).len(), 1);
}
