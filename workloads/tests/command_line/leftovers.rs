//! Tests that the temporary directories of killed runs are removed.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Starts a run of `args` in `dir` that has written temporary files to `dir/tmp`, and waits for
/// more input.
fn halfway(name: &str, dir: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(name);
    command.args(["--workers", "2"]).args(args).current_dir(dir).env("TMPDIR", dir.join("tmp"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
    let input = child.stdin.as_mut().expect("it is a pipe");
    // Several times the memory of the run: when it has read this, most of it is on the disk.
    input.write_all(&b"a line of many to be put in order\n".repeat(20 << 15)).expect("it is read");
    child
}

/// The directories of runs in `dir`, without those of handshakes with workers, which exist only for
/// a short time.
fn directories(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| !name.starts_with("cc-procs-"));
    names
}

/// The sorted names of a directory's entries.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// `runs` are arguments of runs that use a temporary directory.
pub(crate) fn what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_of_others_is(
    name: &str,
    runs: &[&[&str]],
) {
    for args in runs {
        for signal in [Signal::KILL, Signal::QUIT, Signal::ABORT] {
            let dir = tempfile::tempdir().expect("a directory");
            let tmp = dir.path().join("tmp");
            fs::create_dir(&tmp).expect("made");
            let other = halfway(name, dir.path(), args);
            let before = directories(&tmp);
            assert_eq!(before.len(), 1, "{args:?}: one directory for each run");
            let mut killed = halfway(name, dir.path(), args);
            let pid = Pid::from_raw(killed.id().cast_signed()).expect("not zero");
            kill_process(pid, signal).expect("the program still runs");
            assert!(!killed.wait().expect("waited for").success());
            let left = directories(&tmp);
            assert!(left.len() == 2 && left.contains(&before[0]), "{args:?}: {left:?}");
            let next = halfway(name, dir.path(), args);
            let now = directories(&tmp);
            assert!(
                now.len() == 2 && now.contains(&before[0]) && now != left,
                "{args:?}: {left:?}, then {now:?}"
            );
            for run in [other, next] {
                assert!(run.wait_with_output().expect("waited for").status.success());
            }
            assert_eq!(names(&tmp), [""; 0], "{args:?}");
            let hidden = names(dir.path()).into_iter().filter(|name| name.starts_with('.'));
            assert_eq!(hidden.collect::<Vec<_>>(), [""; 0], "temporary files of -o are left");
        }
    }
}
