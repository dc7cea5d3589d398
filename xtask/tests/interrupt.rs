//! A SIGINT to xtask alone ends a build immediately, with all its processes.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Signal, kill_process, test_kill_process},
};

/// A fake cargo: a build starts a "compiler", writes its process id to a FIFO, and never ends.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
build) cat "$FOREVER" & echo $! > "$STARTED"; wait ;;
*) exec "$REAL_CARGO" "$@" ;;
esac
"#;

fn fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("there is no such file yet");
}

#[test]
fn an_interrupted_build_leaves_no_process() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("cargo"), CARGO).unwrap();
    fs::set_permissions(path("cargo"), Permissions::from_mode(0o755)).unwrap();
    fifo(&path("started"));
    fifo(&path("forever"));
    let xtask = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["compare", "mandelbrot"])
        .env("CARGO", path("cargo"))
        .env("REAL_CARGO", env!("CARGO"))
        .env("STARTED", path("started"))
        .env("FOREVER", path("forever"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Opening the FIFO `started` blocks until the build runs. The compiler blocks forever, because
    // it opens the FIFO `forever`, which never has a writer.
    let mut compiler = String::new();
    BufReader::new(File::open(path("started")).unwrap()).read_line(&mut compiler).unwrap();
    let compiler = Pid::from_raw(compiler.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(compiler).is_ok());

    kill_process(Pid::from_child(&xtask), Signal::INT).unwrap();
    let ended = xtask.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(stderr.contains("building") && stderr.ends_with("interrupted\n"), "{stderr}");
    assert!(test_kill_process(compiler).is_err(), "the compiler survived the build");
}
