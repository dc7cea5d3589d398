//! The command line as a user types it.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use snapbox::{assert_data_eq, cmd::Command as Cmd, str};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-actors");

command_line::tests!(PROGRAM, ["actors"]);

fn grep() -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2", "grep"])
}

/// A directory with two files to search.
fn poems() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("roses"), "Roses are red,\nviolets are blue,\n").expect("written");
    fs::write(dir.path().join("sugar"), "sugar is sweet\r\nand so are you").expect("written");
    dir
}

/// A grep for `e` that reads what the test writes.
fn interactive(flags: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["--workers", "2", "grep"]).args(flags).arg("e");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts")
}

fn interrupt(child: &mut Child) -> ExitStatus {
    let pid = Pid::from_raw(child.id().try_into().expect("a process id")).expect("not zero");
    kill_process(pid, Signal::INT).expect("the program still runs");
    let asked = Instant::now();
    let status = child.wait().expect("waited for");
    // Twice what is promised, for a machine that is busy with other tests.
    assert!(asked.elapsed() < Duration::from_millis(400), "ended {:?} after SIGINT", asked.elapsed());
    status
}

#[test]
fn lines_of_many_files_carry_names_in_the_order_asked_for() {
    let dir = poems();
    let out = grep().args(["are", "sugar", "roses"]).current_dir(&dir).assert().code(0);
    out.stdout_eq(str![[r#"
sugar:and so are you
roses:Roses are red,
roses:violets are blue,

"#]]);
}

#[test]
fn a_directory_is_searched_in_the_order_of_paths() {
    let dir = poems();
    grep().args(["-rin", "R.*E"]).current_dir(&dir).assert().code(0).stdout_eq(str![[r#"
roses:1:Roses are red,
roses:2:violets are blue,
sugar:1:sugar is sweet[..]
sugar:2:and so are you

"#]]);
}

#[test]
fn any_number_of_searchers_and_credits_gives_the_same() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for n in 0..100 {
        fs::write(dir.path().join(format!("{n:02}")), "a line\n".repeat(n * 50)).expect("written");
    }
    // Its output is many times what a task may put out, so a rest has rests.
    fs::write(dir.path().join("50"), "a long line\n".repeat(100_000)).expect("written");
    let output = |workers: &str, window: &str| {
        let run = Cmd::new(PROGRAM).args(["--workers", workers, "--window", window, "grep", "-ron", "."]);
        run.current_dir(&dir).assert().code(0).get_output().stdout.clone()
    };
    let expected = output("1", "1");
    assert_eq!(expected.iter().filter(|byte| **byte == b'\n').count(), 100_000 * 11 + (4950 - 50) * 50 * 6);
    for (workers, window) in [("1", "16"), ("2", "1"), ("3", "5"), ("16", "2"), ("16", "200")] {
        // Not `assert_eq`, which would print all of it.
        assert!(output(workers, window) == expected, "{workers} searchers, {window} credits");
    }
}

#[test]
fn standard_input_is_searched_and_no_match_is_status_1() {
    grep().args(["-o", "b.."]).stdin("abcd\nxbyz\n").assert().code(0).stdout_eq(str![[r#"
bcd
byz

"#]]);
    grep().arg("q").stdin("abcd\n").assert().code(1).stdout_eq("");
}

#[test]
fn a_missing_file_is_named_and_the_rest_is_searched() {
    let dir = poems();
    let run = grep().args(["-h", "sweet", "missing", ".", "sugar"]).current_dir(&dir).assert().code(2);
    run.stdout_eq(str!["sugar is sweet[..]\n"]).stderr_eq(str![[r#"
grep: missing: No such file or directory
grep: .: Is a directory

"#]]);
    grep().args(["-qs", "sweet", "missing", "sugar"]).current_dir(&dir).assert().code(0).stderr_eq("");
}

#[test]
fn a_wrong_pattern_or_flag_is_status_2() {
    let out = grep().args(["a(b", "-"]).assert().code(2).get_output().stderr.clone();
    assert_data_eq!(
        String::from_utf8_lossy(&out).lines().next().unwrap_or(""),
        str![r#"grep: pattern "a(b": regex parse error:"#]
    );
    grep().arg("--no-such-flag").assert().code(2);
    grep().assert().code(2).stderr_eq(str![[r#"
grep: no pattern: give one as the first operand or with -e

"#]]);
}

#[test]
fn a_line_is_reported_while_the_input_is_still_open_and_ctrl_c_is_130() {
    let mut child = interactive(&["-n"]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    input.write_all(b"one\nsix\n").expect("written");
    let mut line = String::new();
    output.read_line(&mut line).expect("read");
    assert_eq!(line, "1:one\n");
    assert_eq!(interrupt(&mut child).code(), Some(130));
}

#[test]
fn ctrl_c_ends_it_while_nobody_reads_the_output() {
    let mut child = interactive(&[]);
    let mut input = child.stdin.take().expect("piped");
    // More than the pipe to us holds, so that the writer has to wait for us; but less than both
    // pipes hold, so that this test never waits for the program.
    for _ in 0..80 {
        input.write_all(&[b'e', b'\n'].repeat(512)).expect("written");
    }
    assert_eq!(interrupt(&mut child).code(), Some(130));
}

#[test]
fn a_closed_pipe_ends_it_silently() {
    let mut child = interactive(&[]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = child.stdout.take().expect("piped");
    input.write_all(b"yes\n").expect("written");
    output.read_exact(&mut [0; 4]).expect("read");
    drop(output);
    // Until it notices, it reads on; after that the pipe to it is closed too.
    while input.write_all(b"yes\n").is_ok() {}
    assert_eq!(child.wait().expect("waited for").code(), Some(141));
}

#[test]
fn enough_is_enough_on_an_input_without_end() {
    for (flags, printed) in [(["-m1"], "yes\n"), (["-q"], "")] {
        let mut child = interactive(&flags);
        let mut input = child.stdin.take().expect("piped");
        while input.write_all(b"yes\n").is_ok() {}
        let mut output = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
        assert_eq!(output, printed);
        assert_eq!(child.wait().expect("waited for").code(), Some(0));
    }
}

/// Another workload, by two workers.
fn run(workload: &str, args: &[&str]) -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2", workload]).args(args)
}

#[test]
fn a_tiny_picture_is_the_references_however_it_is_cut() {
    for tile in ["1x1", "4x3", "999x999"] {
        let picture = run("mandelbrot", &["--size", "30x20", "--tile", tile]);
        picture.assert().code(0).stdout_eq("2bcc814983bee1c5762b1bcdeb2023d3 30x20 max-iter 1000\n");
    }
}

#[test]
fn a_picture_becomes_a_thumbnail_and_what_is_none_is_named() {
    let dir = poems();
    run("mandelbrot", &["--size", "30x20", "--out", "set.png"]).current_dir(&dir).assert().code(0);
    let thumbnails = run("resize", &["--width", "15", "set.png", "missing.png", "roses"]);
    let done = thumbnails.current_dir(&dir).assert().code(1).stdout_eq("[..] 15x10 set.png\n");
    let messages = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(messages.contains("resize: missing.png: No such file or directory\n"), "{messages}");
    assert!(messages.contains("resize: roses: "), "{messages}");
    assert_eq!(messages.lines().count(), 2, "{messages}");
}

#[test]
fn help_and_wrong_flags_of_the_other_workloads() {
    for workload in ["resize", "mandelbrot"] {
        run(workload, &["--help"]).assert().code(0);
        run(workload, &["--no-such-flag"]).assert().code(2);
    }
}
