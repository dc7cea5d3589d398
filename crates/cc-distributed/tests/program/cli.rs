//! The command line, as a user types it.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
};

use snapbox::cmd::Command as Cmd;

use crate::{
    command_line::{self, assert_interrupted},
    threads, workers,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-distributed");

command_line::tests!(PROGRAM, ["distributed"]);
threads::tests!(PROGRAM);

/// More processor time than the start of a worker needs, in hundredths of a second.
const START: u64 = 20;

fn program() -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2"])
}

/// An image of one pixel.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90\x77\x53\xde\
    \0\0\0\x0cIDAT\x78\xda\x63\xe0\x3a\x21\x07\0\x01\xd0\0\xf1\x1a\xa1\x42\x58\0\0\0\0IEND\xae\x42\x60\x82";

#[test]
fn thumbnails_are_written_and_a_file_that_is_no_image_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("dot.png"), DOT).expect("written");
    fs::write(dir.path().join("text.jpg"), "no image").expect("written");
    for options in [&[][..], &["--shared-fs"]] {
        let run = program().args(options).args(["resize", "--width", "8", "--out", "small", "."]);
        let out = run.current_dir(dir.path()).assert().code(1).stdout_eq("").get_output().stderr.clone();
        let out = String::from_utf8_lossy(&out).into_owned();
        assert!(out.starts_with("resize: ./text.jpg: ") && out.lines().count() == 1, "{out}");
        let small = fs::read(dir.path().join("small/dot.png")).expect("the thumbnail is there");
        assert_eq!(small[..8], DOT[..8]);
        fs::remove_dir_all(dir.path().join("small")).expect("removed");
    }
}

#[test]
fn help_names_the_switch_of_this_model() {
    for workload in ["mandelbrot", "resize"] {
        let out = program().args([workload, "--help"]).assert().code(0).get_output().stdout.clone();
        let out = String::from_utf8_lossy(&out).into_owned();
        assert!(out.contains("--shared-fs"), "{out}");
    }
}

#[test]
fn ctrl_c_ends_a_picture_that_takes_long() {
    let mut command = Command::new(PROGRAM);
    command.args([
        "--workers",
        "2",
        "mandelbrot",
        "--region",
        "-0.1,-0.1,0.1,0.1",
        "--max-iter",
        "100000000",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    while !is_computing(&child) {
        assert_eq!(child.try_wait().expect("it was started"), None, "it has ended too early");
        thread::yield_now();
    }
    assert_interrupted(&mut child);
}

/// Whether a worker of a program has used more processor time than its start needs. The caller has
/// to poll it: the kernel sends no event for the time of another process.
fn is_computing(program: &Child) -> bool {
    let parent = program.id().to_string();
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let ticks = stats.filter_map(|stat| {
        // After the name in parentheses: the state, the parent, and nine fields later the time in
        // user mode.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(1);
        (fields.next()? == parent).then(|| fields.nth(9)?.parse::<u64>().ok()).flatten()
    });
    ticks.max().is_some_and(|ticks| ticks >= START)
}

#[test]
fn the_kernels_of_a_traced_run_are_its_workers() {
    workers::the_kernels_of_a_traced_run_are_its_workers(PROGRAM);
}
