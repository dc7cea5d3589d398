//! The command line as a user types it.

use std::{
    fs,
    io::{Read, Write},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use snapbox::cmd::Command as Cmd;

use crate::{
    command_line::{self, interactive},
    threads::{self, ENOUGH, is_done, run},
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-async");

const MODELS: [&str; 2] = ["async", "async-single"];

command_line::tests!(PROGRAM, MODELS);
threads::tests!(PROGRAM);

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

/// The names of the threads of a running program.
#[cfg(target_os = "linux")]
fn thread_names(child: &Child) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("it runs");
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.expect("listed")).trim().to_owned()).collect()
}

/// The same, after each thread but the first has set its name. A new thread has the program's name.
#[cfg(target_os = "linux")]
fn named_threads(child: &Child) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let threads = thread_names(child);
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
    for (model, has_more) in [("async", true), ("async-single", false)] {
        let mut child = interactive(PROGRAM, model, &[]);
        let mut input = child.stdin.take().expect("piped");
        input.write_all(b"yes\n").expect("written");
        child.stdout.take().expect("piped").read_exact(&mut [0; 4]).expect("read");
        let threads = named_threads(&child);
        // Besides the calling thread, every program has two threads for signals and one for output.
        let in_every_program = ["signals", "stop", "output"];
        let others = threads.iter().filter(|name| !in_every_program.contains(&&***name)).count();
        assert_eq!(others > 1, has_more, "{model}: {threads:?}");
        drop(input);
        assert_eq!(child.wait().expect("waited for").code(), Some(0));
    }
}

/// The runtime of `fetch` has a thread for each worker. The system may refuse the second after it
/// has created the first; the run must then end with an error, and not hang.
#[test]
fn fetch_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    for threads in 0..=ENOUGH {
        let output = run(PROGRAM, threads, &["fetch", "--retries", "0", "http://127.0.0.1:1/"], dir.path());
        assert!(!is_done(threads, &output), "there is no server, so no run succeeds: {output:?}");
    }
}
