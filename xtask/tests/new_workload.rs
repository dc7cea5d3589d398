//! `cargo xtask new-workload` in a copy of the workspace.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What Git knows of the workspace, in a folder of its own.
fn copy(root: &Path, to: &Path) {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    let listed = listed.expect("there is git");
    assert!(listed.status.success(), "this is no checkout");
    for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        let (from, to) = (root.join(name), to.join(name));
        fs::create_dir_all(to.parent().expect("a file lies in a folder")).expect("made");
        // A file may be deleted and still be known.
        if from.exists() {
            fs::copy(from, to).expect("copied");
        }
    }
}

#[test]
#[ignore = "checks a whole workspace; .ci/run does it when all dependencies have been checked"]
fn what_is_made_compiles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy(root, scratch.path());
    xtask::new_workload::make(scratch.path(), "demo").unwrap();
    // Of this target directory, all that has nothing to do with the new workload is used again.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let cargo = env::var_os("CARGO").expect("cargo runs tests");
    let checked = Command::new(cargo)
        .args(["check", "--workspace", "--all-targets", "--offline"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{text}");
}
