//! The command line as a user types it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use snapbox::{cmd::Command as Cmd, str};

use crate::{
    command_line::{self, assert_interrupted, interactive, poems, reference},
    leftovers, threads, workers,
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-procs");

command_line::tests!(PROGRAM, ["procs"]);
threads::tests!(PROGRAM);

fn grep() -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2", "grep"])
}

/// The conformance suite's fault plans are for the suite's own program. This program does not
/// contain the code that executes them.
#[test]
fn a_fault_plan_does_nothing_here() {
    let dir = poems();
    let plan = dir.path().join("plan");
    let failpoint = dir.path().join("failpoint");
    fs::create_dir(&failpoint).expect("made");
    let fault = |action: &str| {
        format!(r#"{{"name": "", "from": 0, "action": "{action}", "times": 9, "dir": {failpoint:?}}}"#)
    };
    fs::write(&plan, format!(r#"{{"faults": [{}, {}]}}"#, fault("Note"), fault("Kill"))).expect("written");
    let run =
        grep().args(["-c", "are", "roses", "sugar"]).current_dir(&dir).env("CC_CONFORMANCE_FAULTS", &plan);
    run.assert().code(0).stdout_eq(str![[r#"
roses:2
sugar:1

"#]]);
    assert_eq!(fs::read_dir(&failpoint).expect("it exists").count(), 0, "a failpoint was hit");
}

/// The worker processes of a program.
fn workers_of(program: &Child) -> Vec<Pid> {
    let parent = format!(" {} ", program.id());
    let processes = fs::read_dir("/proc").expect("listed").filter_map(|entry| {
        let entry = entry.ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name in parentheses: the state's letter, then the parent.
        let (_, rest) = stat.rsplit_once(')')?;
        rest[2..].starts_with(&parent).then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    processes.filter_map(Pid::from_raw).collect()
}

/// Calls `end`, which ends the processes, and waits until they are gone.
fn wait_until_gone(processes: &[Pid], end: impl FnOnce()) {
    let open = |&pid| pidfd_open(pid, PidfdFlags::empty()).ok();
    let fds: Vec<_> = processes.iter().filter_map(open).collect();
    end();
    for fd in fds {
        let timeout = Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)), Ok(1));
    }
}

fn signal(processes: &[Pid], signal: Signal) {
    processes.iter().for_each(|&pid| kill_process(pid, signal).expect("it lives"));
}

/// Writes a line and waits until it is reported: then the run has no task in flight.
fn exchange(input: &mut impl Write, output: &mut impl BufRead, line: &str) {
    input.write_all(line.as_bytes()).expect("written");
    let mut reported = String::new();
    output.read_line(&mut reported).expect("read");
    assert_eq!(reported, line);
}

#[test]
fn killed_workers_are_replaced_and_nothing_is_lost_or_doubled() {
    let mut child = interactive(PROGRAM, "procs", &[]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    for line in ["one\n", "three\n", "five\n"] {
        exchange(&mut input, &mut output, line);
        let workers = workers_of(&child);
        assert!(!workers.is_empty());
        wait_until_gone(&workers, || signal(&workers, Signal::KILL));
    }
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "");
    assert_eq!(child.wait().expect("waited for").code(), Some(0));
}

#[test]
fn a_worker_that_is_killed_in_the_middle_is_replaced() {
    let mut child = interactive(PROGRAM, "procs", &["-c"]);
    let mut input = child.stdin.take().expect("piped");
    let text = "yes\nno\n".repeat(100_000);
    // Twice only: a third death could count against the same task.
    for kill in [false, true, false, true, false] {
        input.write_all(text.as_bytes()).expect("written");
        for worker in workers_of(&child).into_iter().filter(|_| kill) {
            // It may be starting, working or idle, or may have ended already.
            let _ = kill_process(worker, Signal::KILL);
        }
    }
    drop(input);
    let mut output = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
    assert_eq!(output, "500000\n");
    assert_eq!(child.wait().expect("waited for").code(), Some(0));
}

#[test]
fn a_suspended_worker_does_not_hold_up_ctrl_c() {
    let mut child = interactive(PROGRAM, "procs", &[]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    exchange(&mut input, &mut output, "one\n");
    let workers = workers_of(&child);
    signal(&workers, Signal::STOP);
    input.write_all(b"three\n").expect("written");
    wait_until_gone(&workers, || assert_interrupted(&mut child));
}

#[test]
fn nothing_is_left_when_the_program_is_killed() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(PROGRAM);
    command.args(["grep", "e"]).env("TMPDIR", tmp.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    exchange(&mut input, &mut output, "one\n");
    wait_until_gone(&workers_of(&child), || child.kill().expect("killed"));
    child.wait().expect("waited for");
    assert_eq!(fs::read_dir(&tmp).expect("listed").count(), 0);
}

#[test]
fn nothing_is_left_when_the_program_is_killed_at_its_start() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    for _ in 0..20 {
        let mut command = Command::new(PROGRAM);
        // One worker: with several, the test would not know whether it has seen all.
        command
            .args(["--workers", "1", "grep", "e"])
            .env("TMPDIR", tmp.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        child.stdin.take().expect("piped").write_all(b"one\n").expect("written");
        let workers = loop {
            let workers = workers_of(&child);
            if !workers.is_empty() || child.try_wait().expect("known").is_some() {
                break workers;
            }
        };
        wait_until_gone(&workers, || child.kill().expect("killed"));
        child.wait().expect("waited for");
        let left: Vec<_> = fs::read_dir(&tmp).expect("listed").collect();
        assert!(left.is_empty(), "{left:?}, workers {workers:?}");
    }
}

#[test]
fn workers_that_cannot_be_started_are_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("grep");
    // Another process copies it. Here, a child that a concurrent test starts would inherit the
    // descriptor for writing, and a program that is open for writing cannot be started (ETXTBSY).
    let copied = Command::new("cp").arg(PROGRAM).arg(&copy).status().expect("cp exists");
    assert!(copied.success());
    let mut command = Command::new(&copy);
    command.args(["grep", "e"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    fs::remove_file(&copy).expect("removed");
    // The input stays open: the run must end without waiting for more of it.
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"one\n").expect("written");
    let mut message = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut message).expect("read");
    assert_eq!(message, "grep: worker process: No such file or directory\n");
    assert_eq!(child.wait().expect("waited for").code(), Some(2));
}

#[test]
fn a_missing_temporary_directory_has_a_substitute() {
    grep().arg("e").stdin("one\n").env("TMPDIR", "/no/such/directory").assert().code(0).stdout_eq("one\n");
}

#[test]
fn a_picture_is_complete_after_a_worker_was_killed_and_ctrl_c_is_130() {
    let picture = |size: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["--workers", "2", "mandelbrot", "--size", size, "--max-iter", "500"]);
        command.stdout(Stdio::piped()).spawn().expect("the program starts")
    };
    let mut child = picture("600x600");
    let worker = loop {
        if let Some(&worker) = workers_of(&child).first() {
            break worker;
        }
    };
    // It may be starting or working, or may have ended already.
    let _ = kill_process(worker, Signal::KILL);
    let mut line = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut line).expect("read");
    assert_eq!(line, reference(600, 600, 500));
    assert_eq!(child.wait().expect("waited for").code(), Some(0));

    let mut child = picture("8000x8000");
    while workers_of(&child).len() < 2 {}
    assert_interrupted(&mut child);
}

#[test]
fn the_kernels_of_a_traced_run_are_its_workers() {
    workers::the_kernels_of_a_traced_run_are_its_workers(PROGRAM);
}

#[test]
fn what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_of_others_is() {
    let runs = [&["sort", "-S", "4M", "-o", "sorted"][..], &["wordcount"]];
    leftovers::what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_of_others_is(PROGRAM, &runs);
}
