//! The command line as a user types it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use rustix::process::geteuid;
use snapbox::{cmd::Command as Cmd, str};

use crate::{
    command_line::{self, poems},
    leftovers::{self, names},
    threads,
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-threads");

command_line::tests!(PROGRAM, ["threads", "rayon"]);
threads::tests!(PROGRAM);

#[test]
fn a_sort_onto_its_input_keeps_its_mode_and_a_missing_file_leaves_it_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    fs::write(&file, "10\n9\n10").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).expect("the owner may change the mode");
    let sort =
        || Cmd::new(PROGRAM).args(["--workers", "2", "sort", "-n", "-u", "-o", "file"]).current_dir(&dir);
    let missing = sort().args(["file", "gone"]).assert().code(2);
    missing.stdout_eq("").stderr_eq(str![[r#"
sort: cannot read: gone: No such file or directory

"#]]);
    assert_eq!(fs::read(&file).expect("the file exists"), b"10\n9\n10");
    sort().arg("file").assert().code(0).stdout_eq("");
    assert_eq!(fs::read(&file).expect("the file exists"), b"9\n10\n");
    assert_eq!(fs::metadata(&file).expect("the file exists").permissions().mode() & 0o777, 0o604);
}

#[test]
fn what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_of_others_is() {
    let runs = [&["sort", "-S", "4M", "-o", "sorted"][..]];
    leftovers::what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_of_others_is(PROGRAM, &runs);
}

/// When root replaces a file of another user, the file stays that user's. It loses its
/// set-user-ID bit, and does not become a program with root's rights.
#[test]
fn a_setuid_file_of_another_user_stays_that_users() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    let dir = poems();
    let path = dir.path().join("out");
    for args in [&["sort", "roses", "-o", "out"][..], &["mandelbrot", "--size", "64x64", "--out", "out"]] {
        fs::write(&path, "old").expect("written");
        chown(&path, Some(1000), Some(1001)).expect("root may change it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).expect("root may change it");
        Cmd::new(PROGRAM).args(args).current_dir(&dir).assert().code(0);
        let metadata = fs::metadata(&path).expect("the file exists");
        assert_eq!(
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
            (1000, 1001, 0o755),
            "{args:?}"
        );
        assert_ne!(fs::read(&path).expect("read"), b"old", "{args:?}");
    }
}

/// The content of the file is replaced and nothing else if the user may not create a file in the
/// folder (0o555) or not give it to the owner (0o777).
#[test]
fn a_file_that_may_be_written_but_not_replaced_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let (folder, program) = (dir.path().join("folder"), dir.path().join("program"));
    fs::create_dir(&folder).expect("made");
    // Copied by another process. If this one wrote the program, a child of another test could
    // inherit the descriptor. A program that is open for writing cannot be started (ETXTBSY).
    let copied = Command::new("cp").arg(PROGRAM).arg(&program).status().expect("cp is installed");
    assert!(copied.success());
    fs::write(folder.join("file"), "b\na\n").expect("written");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the owner may change the mode");
    };
    set(dir.path(), 0o755);
    set(&folder.join("file"), 0o666);
    let before = fs::metadata(folder.join("file")).expect("the file exists");
    for mode in [0o555, 0o777] {
        set(&folder, mode);
        let mut command = Command::new(&program);
        command.args(["sort", "file", "-o", "file"]).current_dir(&folder);
        if geteuid().is_root() {
            // As another user, since permissions do not apply to root.
            command.uid(65534).gid(65534);
        }
        assert!(command.status().expect("the program starts").success(), "{mode:o}");
        let metadata = fs::metadata(folder.join("file")).expect("the file exists");
        assert_eq!((metadata.uid(), metadata.mode()), (before.uid(), before.mode()), "{mode:o}");
        assert_eq!(fs::read(folder.join("file")).expect("read"), b"a\nb\n");
        assert_eq!(names(&folder), ["file"]);
    }
}

/// `clean` removes and lists the directory of a killed program, and leaves other directories alone.
#[test]
fn clean_lists_what_it_removes() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["cc-sort-0123456789abcdef", "cc-sort-notes"] {
        fs::create_dir(dir.path().join(name)).expect("made");
    }
    let run = || Cmd::new(PROGRAM).args(["clean", "."]).current_dir(&dir).assert().code(0);
    run().stdout_eq("removed ./cc-sort-0123456789abcdef\n");
    run().stdout_eq("");
    assert_eq!(names(dir.path()), ["cc-sort-notes"]);
}
