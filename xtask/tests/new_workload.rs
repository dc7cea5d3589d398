//! Runs `cargo xtask new-workload` in a copy of the workspace and checks that the copy compiles.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Copies a folder without `.git` and `target`.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be created");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != ".git" && name != "target" {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).expect("the file can be copied");
        }
    }
}

#[test]
#[ignore = "checks a whole workspace; .ci/run runs it after all dependencies have been checked"]
fn the_stubs_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy(root, scratch.path());
    xtask::new_workload::make(scratch.path(), "demo").unwrap();
    // The same target directory, so that everything that the workload does not change is reused.
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
