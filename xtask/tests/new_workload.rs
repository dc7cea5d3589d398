//! `cargo xtask new-workload` in a copy of the workspace.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Copies a folder, without what Git and cargo keep in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != ".git" && name != "target" {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).expect("copied");
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
