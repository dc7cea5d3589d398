//! Tests of all programs, with every model: a write error is a failure, a signal ends every wait,
//! and a file name in a message cannot control the terminal. [`inputs`] tests inputs of all
//! workloads, [`grep`], [`pictures`] and [`sort`](mod@sort) test workloads.
//!
//! Each program's tests include this file as `command_line`, and call [`tests`] with the program
//! and its models.

mod grep;
mod inputs;
mod pictures;
mod sort;

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionread,
    pipe::{PipeFlags, fcntl_getpipe_size, pipe_with},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use tempfile::TempDir;

pub(crate) use self::{grep::*, inputs::*, pictures::*, sort::*};

/// Makes a test of each of these functions for a program with these models.
macro_rules! tests {
    (@each $arguments:tt $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::command_line::$name $arguments;
            }
        )*
    };
    ($program:expr, $models:expr) => {
        mod command_line_tests {
            use super::*;

            $crate::command_line::tests! { @each ($program, &$models)
                results_that_cannot_be_written_are_no_success
                a_message_that_cannot_be_written_shows_in_the_status
                a_pipe_that_does_not_block_is_waited_for
                a_signal_ends_a_run_that_is_done_but_for_its_output
                a_hangup_that_was_ignored_stays_ignored
                a_second_signal_ends_a_stop_that_is_stuck
                a_signal_ends_a_tile_without_end
                a_name_does_not_command_the_terminal

                the_output_may_be_among_the_inputs
                names_that_only_the_program_can_open
                a_file_need_not_have_the_size_that_it_claims
                a_background_job_that_reads_the_terminal_ends_at_sigterm
                odd_names_are_names
                versions_and_unknown_flags_are_answered

                lines_of_many_files_carry_names_in_the_order_asked_for
                a_directory_is_searched_in_the_order_of_paths
                every_variant_says_the_same
                standard_input_is_searched_and_no_match_is_status_1
                a_missing_file_is_named_and_the_rest_is_searched
                a_wrong_pattern_or_flag_is_status_2
                a_line_is_reported_while_the_input_is_still_open_and_ctrl_c_is_130
                ctrl_c_ends_it_while_the_output_is_not_read
                a_closed_pipe_ends_it_silently
                enough_is_enough_on_an_input_without_end

                a_tiny_picture_is_the_references_however_it_is_cut
                a_picture_becomes_a_thumbnail_and_what_is_none_is_named
                help_and_wrong_flags_of_the_other_workloads

                sort_has_the_flags_of_gnu_sort
                a_missing_temporary_directory_matters_only_if_it_is_needed
            }
        }
    };
}
pub(crate) use tests;

/// Held by tests that measure how soon a program ends, so that they do not run at the same time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory with two files to search.
pub(crate) fn poems() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("roses"), "Roses are red,\nviolets are blue,\n").expect("written");
    fs::write(dir.path().join("sugar"), "sugar is sweet\r\nand so are you").expect("written");
    dir
}

/// A directory with a file of two lines.
fn scratch() -> TempDir {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    fs::write(scratch.path().join("f"), "b\na\n").expect("written");
    scratch
}

fn program(program: &str, model: &str, args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--model", model, "--workers", "2"]).args(args).current_dir(dir).stdin(Stdio::null());
    command
}

/// Starts a program, and closes this process's copies of the pipe ends that the program uses: the
/// command holds them.
fn started(command: &mut Command) -> Child {
    let child = command.spawn().expect("started");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    child
}

/// Runs a program with a redirection by the shell.
fn redirected(name: &str, model: &str, args: &[&str], dir: &Path, redirection: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {redirection}")).arg(name);
    if args.first().is_none_or(|arg| !arg.starts_with("--")) {
        shell.args(["--model", model, "--workers", "2"]);
    }
    shell.args(args).current_dir(dir).stdin(Stdio::null()).output().expect("there is a shell")
}

/// Checks a program's exit status and what it printed.
fn assert_printed(out: &Output, status: i32, printed: &str, what: &str) {
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(status), "{what}: {message}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), printed, "{what}: {message}");
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("Linux has it")
}

pub(crate) fn results_that_cannot_be_written_are_no_success(name: &str, models: &[&str]) {
    let scratch = scratch();
    for model in models {
        let some: [&[&str]; 7] = [
            &["--help"],
            &["--list-models"],
            &["grep", "a", "f"],
            &["sort", "f"],
            &["wordcount", "f"],
            &["mandelbrot", "--size", "8x8"],
            &["kv", "--listen", "127.0.0.1:0"],
        ];
        for (redirection, why) in [(">/dev/full", "No space left"), (">&-", "Bad file descriptor")] {
            for args in some {
                let out = redirected(name, model, args, scratch.path(), redirection);
                let message = String::from_utf8_lossy(&out.stderr);
                assert_eq!(out.status.code(), Some(2), "{model} {args:?} {redirection}: {message}");
                let is_unsupported = message.contains(" has no "); // not every variant has all workloads
                let is_reported = message.contains("write error: ") && message.contains(why);
                assert!(is_reported || is_unsupported, "{model} {args:?}: {message}");
            }
            let none: [(&[&str], i32); 3] =
                [(&["grep", "z", "f"], 1), (&["grep", "-q", "a", "f"], 0), (&["sort", "f", "-o", "out"], 0)];
            for (args, status) in none {
                let out = redirected(name, model, args, scratch.path(), redirection);
                assert_eq!((out.status.code(), out.stderr), (Some(status), Vec::new()), "{model} {args:?}");
            }
        }
        // The program opens /dev/null in place of a closed descriptor, and writing to that is an
        // error. An output that the user redirects to /dev/null must not be.
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").expect("it is there");
        let status = program(name, model, &["sort", "f"], scratch.path()).stdout(null).status();
        assert_eq!(status.expect("started").code(), Some(0), "{model}");
    }
}

pub(crate) fn a_message_that_cannot_be_written_shows_in_the_status(name: &str, models: &[&str]) {
    let scratch = scratch();
    for model in models {
        let some: [&[&str]; 6] = [
            &["grep", "a", "missing", "f"],
            &["grep", "(", "f"],
            &["sort", "missing"],
            &["wordcount", "missing"],
            &["resize", "--width", "8", "missing"],
            &["grep", "--no-such-flag"],
        ];
        for args in some {
            for redirection in ["2>/dev/full", "2>&-"] {
                let out = redirected(name, model, args, scratch.path(), redirection);
                assert_eq!(out.status.code(), Some(2), "{model} {args:?} {redirection}");
                let results: &[u8] =
                    if args.contains(&"missing") && args[0] == "grep" { b"f:a\n" } else { b"" };
                assert_eq!(out.stdout, results, "{model} {args:?} {redirection}");
            }
            let mut both = program(name, model, args, scratch.path());
            let status = both.stdout(full()).stderr(full()).status().expect("started");
            assert_eq!(status.code(), Some(2), "{model} {args:?}");
        }
    }
}

/// Writes a file with more text than a pipe holds, but not more than a pipe and the program's own
/// output queue hold together.
fn lines(dir: &Path) {
    let text: String = (0..12_000).map(|n| format!("line {n}\n")).collect();
    fs::write(dir.join("lines"), text).expect("written");
}

/// A pipe: the reading end for the test, and the writing end for a program.
fn pipe(flags: PipeFlags) -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(flags | PipeFlags::CLOEXEC).expect("a pipe");
    (File::from(reader), writer)
}

/// Waits until a condition holds that the program under test brings about. Panics after a deadline.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1)); // between two checks
    }
}

fn until_full(pipe: impl AsFd) {
    let size = fcntl_getpipe_size(&pipe).expect("it is a pipe") as u64;
    // A write begins in a new page, so a pipe is full before it holds as many bytes as its size.
    until("the pipe is full", || ioctl_fionread(&pipe).expect("it is a pipe") > size / 2);
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The names of a program's threads.
fn threads(child: &Child) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

/// Waits until only the threads that outlive the run are left.
fn until_done(child: &Child) {
    until("the run is done", || {
        let threads = threads(child);
        let others = threads.iter().filter(|name| !["output", "signals", "stop"].contains(&name.as_str()));
        threads.iter().any(|name| name == "signals") && others.count() == 1
    });
}

fn signal(child: &Child) {
    kill_process(pid(child), Signal::INT).expect("the program still runs");
}

/// Interrupts a program. Returns the time until it ended, and its exit status.
fn interrupt(child: &mut Child) -> (Duration, Option<i32>) {
    let interrupted_at = Instant::now();
    signal(child);
    let status = ended(child, Duration::from_secs(10));
    (interrupted_at.elapsed(), status)
}

/// Interrupts a program, and checks that it ends soon with the status of an interrupted one.
pub(crate) fn assert_interrupted(child: &mut Child) {
    let (took, status) = interrupt(child);
    assert_eq!(status, Some(130));
    // Twice the documented limit, since the machine may be busy with other tests.
    assert!(took < Duration::from_millis(400), "ended {took:?} after SIGINT");
}

/// Waits for a program and returns its exit status. Kills it if it does not end in time.
fn ended(child: &mut Child, within: Duration) -> Option<i32> {
    let end = pidfd_open(pid(child), PidfdFlags::empty()).expect("it is ours");
    let timeout = Timespec::try_from(within).expect("seconds");
    let has_ended = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&timeout)).expect("waited for") == 1;
    if !has_ended {
        child.kill().expect("it is ours");
    }
    let status = child.wait().expect("it is ours");
    assert!(has_ended, "it did not end within {within:?}");
    status.code()
}

pub(crate) fn a_pipe_that_does_not_block_is_waited_for(name: &str, models: &[&str]) {
    let scratch = scratch();
    lines(scratch.path());
    let absent: Vec<String> = (0..2000).map(|n| format!("{n:0>40}")).collect();
    let messages: Vec<&str> =
        [&["grep", "x"][..], &absent.iter().map(|name| &**name).collect::<Vec<_>>()].concat();
    for model in models {
        let some = [
            (&["grep", ".", "lines"][..], false),
            (&["sort", "lines"], false),
            (&["wordcount", "lines"], false),
            (&messages, true),
        ];
        for (args, is_message) in some {
            let (reader, writer) = pipe(PipeFlags::NONBLOCK);
            let mut command = program(name, model, args, scratch.path());
            let command = if is_message { command.stderr(writer) } else { command.stdout(writer) };
            let mut child = command.spawn().expect("started");
            command.stdout(Stdio::null()).stderr(Stdio::null());
            until_full(&reader);
            rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::empty()).expect("it is ours");
            let mut read = Vec::new();
            { reader }.read_to_end(&mut read).expect("it blocks now");
            let status = child.wait().expect("it is ours").code();
            let newlines = read.iter().filter(|byte| **byte == b'\n').count();
            let expected = if is_message { (Some(2), 2000) } else { (Some(0), 12_000) };
            assert_eq!(
                (status, newlines >= expected.1),
                (expected.0, true),
                "{model} {}: {newlines}",
                args[0]
            );
        }
    }
}

pub(crate) fn a_signal_ends_a_run_that_is_done_but_for_its_output(name: &str, models: &[&str]) {
    let _alone = alone();
    let scratch = scratch();
    lines(scratch.path());
    for model in models {
        let some: [&[&str]; 3] = [&["grep", ".", "lines"], &["sort", "lines"], &["wordcount", "lines"]];
        for args in some {
            let (reader, writer) = pipe(PipeFlags::empty());
            let mut child = started(program(name, model, args, scratch.path()).stdout(writer));
            until_full(&reader);
            until_done(&child);
            let (took, status) = interrupt(&mut child);
            assert_eq!(status, Some(130), "{model} {args:?}");
            assert!(took < Duration::from_secs(1), "{model} {args:?} took {took:?}");
        }
    }
}

/// `nohup` starts programs with an ignored hangup. If the program did not ignore it, the exit
/// status would be that of the hangup, the first of the two signals.
pub(crate) fn a_hangup_that_was_ignored_stays_ignored(name: &str, models: &[&str]) {
    let _alone = alone();
    let scratch = scratch();
    lines(scratch.path());
    for model in models {
        let (reader, writer) = pipe(PipeFlags::empty());
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", name, "--model", model, "--workers", "2"]);
        shell.args(["grep", ".", "lines"]).current_dir(&scratch).stdin(Stdio::null());
        let mut child = started(shell.stdout(writer));
        until_full(&reader);
        until_done(&child);
        kill_process(pid(&child), Signal::HUP).expect("it still runs");
        assert_eq!(interrupt(&mut child).1, Some(130), "{model}");
    }
}

/// The program is stuck since its report to the harness goes to a full pipe that is never read, and
/// a stop does not interrupt that write.
pub(crate) fn a_second_signal_ends_a_stop_that_is_stuck(name: &str, models: &[&str]) {
    let _alone = alone();
    let scratch = scratch();
    for model in models {
        let (reader, writer) = pipe(PipeFlags::NONBLOCK);
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).expect("it is ours");
        let mut command = program(name, model, &["mandelbrot", "--size", "8x8"], scratch.path());
        let mut child = started(command.stdin(writer).env("CC_REPORT_FD", "0").stdout(Stdio::null()));
        until("it writes the report", || descriptors_of_input(&child) == 2);
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("it is ours") {
                break status;
            }
            if begun.elapsed() > Duration::from_secs(10) {
                child.kill().expect("it is ours");
                panic!("{model} is stuck");
            }
            signal(&child);
            thread::sleep(Duration::from_millis(1)); // between two signals
        };
        assert_eq!(status.signal(), Some(2), "{model}: SIGINT has ended it");
        assert!(
            begun.elapsed() >= Duration::from_millis(100),
            "{model}: signals in quick succession count once"
        );
        drop(reader);
    }
}

/// The number of descriptors of a program that refer to the pipe of its standard input.
fn descriptors_of_input(child: &Child) -> usize {
    let fds = format!("/proc/{}/fd", child.id());
    let Ok(input) = fs::read_link(format!("{fds}/0")) else { return 0 };
    let all = fs::read_dir(&fds).into_iter().flatten().flatten();
    all.filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path == input)).count()
}

/// The processor time of a program and its workers, in ticks of the kernel's clock.
fn ticks(child: &Child) -> u64 {
    let processes = fs::read_dir("/proc").expect("listed").flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let of = |stat: String| {
        let pid = stat.split(' ').next()?.parse::<u32>().ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let parent = fields.get(1)?.parse::<u32>().ok()?;
        if pid != child.id() && parent != child.id() {
            return None;
        }
        fields.get(11)?.parse::<u64>().ok()
    };
    stats.filter_map(of).sum()
}

pub(crate) fn a_signal_ends_a_tile_without_end(name: &str, models: &[&str]) {
    let _alone = alone();
    let scratch = scratch();
    for model in models {
        let args = ["mandelbrot", "--max-iter", "4000000000"];
        let mut child = started(program(name, model, &args, scratch.path()).stdout(Stdio::null()));
        until("the workers compute", || ticks(&child) > 20);
        let (took, status) = interrupt(&mut child);
        assert_eq!(status, Some(130), "{model}");
        assert!(took < Duration::from_secs(1), "{model} took {took:?}");
    }
}

pub(crate) fn a_name_does_not_command_the_terminal(name: &str, models: &[&str]) {
    let scratch = scratch();
    let file = "a\x1b[31m\nb\u{9b}2J";
    for model in models {
        let some: [&[&str]; 4] =
            [&["grep", "a", file], &["sort", file], &["wordcount", file], &["resize", "--width", "8", file]];
        for args in some {
            let out = program(name, model, args, scratch.path()).output().expect("started");
            let message = String::from_utf8(out.stderr).expect("a message");
            let is_plain = |line: &str| !line.chars().any(char::is_control);
            assert!(message.ends_with('\n') && is_plain(message.trim_end()), "{model} {args:?}: {message:?}");
            assert!(
                message.contains(r"a\u{1b}[31m\nb\u{9b}2J: No such file"),
                "{model} {args:?}: {message:?}"
            );
        }
    }
}
