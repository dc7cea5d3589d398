//! The command line as a user types it.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use snapbox::{assert_data_eq, cmd::Command as Cmd, str};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-distributed");

command_line::tests!(PROGRAM, ["distributed"]);

/// More than a worker's start takes of a processor, in hundredths of a second.
const START: u64 = 20;

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
    // More than the pipe to us holds, so that the writer has to wait for us; but less than both pipes hold, so that
    // this test never waits for the program.
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

fn program() -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2"])
}

/// One pixel.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90\x77\x53\xde\
    \0\0\0\x0cIDAT\x78\xda\x63\xe0\x3a\x21\x07\0\x01\xd0\0\xf1\x1a\xa1\x42\x58\0\0\0\0IEND\xae\x42\x60\x82";

#[test]
fn a_picture_has_the_same_digest_however_it_is_cut_and_sent() {
    for tile in ["1x1", "4x30", "7x3"] {
        let run = program().args(["mandelbrot", "--size", "30x20", "--tile", tile]).assert().code(0);
        run.stdout_eq("2bcc814983bee1c5762b1bcdeb2023d3 30x20 max-iter 1000\n").stderr_eq("");
    }
}

#[test]
fn thumbnails_come_back_and_what_is_no_image_is_named() {
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
fn wrong_flags_of_either_are_status_2_and_help_names_the_right_ones() {
    program().args(["mandelbrot", "--tile", "0x3"]).assert().code(2).stdout_eq("");
    program().args(["resize", "."]).assert().code(2).stdout_eq("");
    for (workload, flag) in [("mandelbrot", "--max-iter"), ("resize", "--width")] {
        let out = program().args([workload, "--help"]).assert().code(0).get_output().stdout.clone();
        let out = String::from_utf8_lossy(&out).into_owned();
        assert!(out.contains(flag) && out.contains("--shared-fs"), "{out}");
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
        assert_eq!(child.try_wait().expect("it was started"), None, "it has ended");
        thread::yield_now();
    }
    assert_eq!(interrupt(&mut child).code(), Some(130));
}

/// Whether one of a program's workers has computed for longer than it takes to start. Whoever wants to know that has
/// to look: the kernel tells nobody what another process does with its time.
fn is_computing(program: &Child) -> bool {
    let parent = program.id().to_string();
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let ticks = stats.filter_map(|stat| {
        // Behind the name in parentheses: the state's letter, the parent, and nine fields on the time in user mode.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(1);
        (fields.next()? == parent).then(|| fields.nth(9)?.parse::<u64>().ok()).flatten()
    });
    ticks.max().is_some_and(|ticks| ticks >= START)
}

/// What its worker processes do is traced like what it does itself: they inherit where to.
#[test]
fn the_kernels_of_a_traced_run_are_its_workers() {
    let (dir, traces) = (poems(), tempfile::tempdir().expect("a temporary directory"));
    let mut command = Command::new(PROGRAM);
    command.args(["--workers", "2", "grep", "-r", "e"]).arg(dir.path()).env("CC_TRACE", traces.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the program starts");
    let parent = format!("\"parent\":{},", child.id());
    assert!(child.wait_with_output().expect("waited for").status.success());
    let files = fs::read_dir(traces.path()).expect("listed").map(|entry| entry.expect("an entry").path());
    let files = files.map(|path| fs::read_to_string(path).expect("a trace"));
    let kernels: Vec<String> = files.filter(|text| text.contains("\"part\":\"kernel\"")).collect();
    assert!(!kernels.is_empty() && kernels.iter().all(|text| text.contains(&parent)), "{kernels:?}");
}
