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

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-async");

command_line::tests!(PROGRAM, ["async", "async-single"]);
const MODELS: [&str; 2] = ["async", "async-single"];

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
fn interactive(model: &str, flags: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["--model", model, "--workers", "2", "grep"]).args(flags).arg("e");
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
fn every_variant_says_the_same() {
    let dir = poems();
    for model in MODELS {
        let run = Cmd::new(PROGRAM).args(["--model", model, "grep", "-c", "are", "roses", "sugar"]);
        run.current_dir(&dir).assert().code(0).stdout_eq(str![[r#"
roses:2
sugar:1

"#]]);
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
    for model in MODELS {
        let mut child = interactive(model, &["-n"]);
        let mut input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        for (text, found) in [("one\nsix\n", "1:one\n"), ("three\n", "3:three\n")] {
            input.write_all(text.as_bytes()).expect("written");
            let mut line = String::new();
            output.read_line(&mut line).expect("read");
            assert_eq!(line, found);
        }
        assert_eq!(interrupt(&mut child).code(), Some(130));
    }
}

#[test]
fn ctrl_c_ends_it_while_nobody_reads_the_output() {
    for model in MODELS {
        let mut child = interactive(model, &[]);
        let mut input = child.stdin.take().expect("piped");
        // More than the pipe to us holds, so that the writer has to wait for us; but less than both pipes hold,
        // since with a single thread nobody reads on meanwhile.
        for _ in 0..80 {
            input.write_all(&[b'e', b'\n'].repeat(512)).expect("written");
        }
        assert_eq!(interrupt(&mut child).code(), Some(130));
    }
}

#[test]
fn a_closed_pipe_ends_it_silently() {
    for model in MODELS {
        let mut child = interactive(model, &[]);
        let mut input = child.stdin.take().expect("piped");
        let mut output = child.stdout.take().expect("piped");
        input.write_all(b"yes\n").expect("written");
        output.read_exact(&mut [0; 4]).expect("read");
        drop(output);
        // Until it notices, it reads on; after that the pipe to it is closed too.
        while input.write_all(b"yes\n").is_ok() {}
        assert_eq!(child.wait().expect("waited for").code(), Some(141));
    }
}

#[test]
fn enough_is_enough_on_an_input_without_end() {
    for model in MODELS {
        for (flags, printed) in [(["-m1"], "yes\n"), (["-q"], "")] {
            let mut child = interactive(model, &flags);
            let mut input = child.stdin.take().expect("piped");
            while input.write_all(b"yes\n").is_ok() {}
            let mut output = String::new();
            child.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
            assert_eq!(output, printed);
            assert_eq!(child.wait().expect("waited for").code(), Some(0));
        }
    }
}

#[test]
fn a_large_file_in_many_tasks_comes_out_in_order_with_the_right_line_numbers() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let line = |n: usize| format!("line {n} of a file of more than one task\n");
    let text: String = (1..=100_000).map(line).collect();
    fs::write(dir.path().join("large"), text).expect("written");
    let found: String = (1..=100_000).step_by(2).map(|n| format!("{n}:{}", line(n))).collect();
    for model in MODELS {
        let run =
            Cmd::new(PROGRAM).args(["--model", model, "--workers", "2", "grep", "-n", "[13579] of", "large"]);
        let out = run.current_dir(&dir).assert().code(0).get_output().stdout.clone();
        assert!(out == found.as_bytes(), "{model}");
    }
}

/// Another workload, by two workers.
fn run(model: &str, workload: &str, args: &[&str]) -> Cmd {
    Cmd::new(PROGRAM).args(["--model", model, "--workers", "2", workload]).args(args)
}

#[test]
fn a_tiny_picture_is_the_references_however_it_is_cut() {
    for (model, tile) in
        MODELS.into_iter().flat_map(|model| ["1x1", "4x3", "999x999"].map(|tile| (model, tile)))
    {
        let picture = run(model, "mandelbrot", &["--size", "30x20", "--tile", tile]);
        picture.assert().code(0).stdout_eq("2bcc814983bee1c5762b1bcdeb2023d3 30x20 max-iter 1000\n");
    }
}

#[test]
fn a_picture_becomes_a_thumbnail_and_what_is_none_is_named() {
    for model in MODELS {
        let dir = poems();
        run(model, "mandelbrot", &["--size", "30x20", "--out", "set.png"]).current_dir(&dir).assert().code(0);
        let thumbnails = run(model, "resize", &["--width", "15", "set.png", "missing.png", "roses"]);
        let done = thumbnails.current_dir(&dir).assert().code(1).stdout_eq("[..] 15x10 set.png\n");
        let messages = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
        assert!(messages.contains("resize: missing.png: No such file or directory\n"), "{messages}");
        assert!(messages.contains("resize: roses: "), "{messages}");
        assert_eq!(messages.lines().count(), 2, "{messages}");
    }
}

#[test]
fn help_and_wrong_flags_of_the_other_workloads() {
    for workload in ["resize", "mandelbrot"] {
        run("async", workload, &["--help"]).assert().code(0);
        run("async", workload, &["--no-such-flag"]).assert().code(2);
    }
}

/// The threads of a program that is running.
#[cfg(target_os = "linux")]
fn threads(child: &Child) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("it runs");
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.expect("listed")).trim().to_owned()).collect()
}

/// The same, when each but the first has given itself its name: until then it has the program's.
#[cfg(target_os = "linux")]
fn named_threads(child: &Child) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let threads = threads(child);
        if threads.iter().filter(|name| *name == "cc-async").count() == 1 {
            return threads;
        }
        assert!(Instant::now() < deadline, "threads without names: {threads:?}");
        thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_thread_is_one_thread() {
    for (model, of_its_own) in [("async", true), ("async-single", false)] {
        let mut child = interactive(model, &[]);
        let mut input = child.stdin.take().expect("piped");
        input.write_all(b"yes\n").expect("written");
        child.stdout.take().expect("piped").read_exact(&mut [0; 4]).expect("read");
        let threads = named_threads(&child);
        // Besides the calling thread there are those of every program: two for signals, one for the
        // output.
        let of_every_program = ["signals", "stop", "output"];
        let more = threads.iter().filter(|name| !of_every_program.contains(&&***name)).count() > 1;
        assert_eq!(more, of_its_own, "{model}: {threads:?}");
        drop(input);
        assert_eq!(child.wait().expect("waited for").code(), Some(0));
    }
}
