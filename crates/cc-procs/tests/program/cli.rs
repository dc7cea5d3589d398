//! The command line as a user types it.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    num::{NonZeroU32, NonZeroUsize},
    ops::ControlFlow,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use cc_workloads::{
    Block, Ctx, Sink,
    mandelbrot::{Job, View, sequential},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use snapbox::{assert_data_eq, cmd::Command as Cmd, str};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-procs");

command_line::tests!(PROGRAM, ["procs"]);

fn grep() -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2", "grep"])
}

/// The plans of the conformance suite are for its own program: this one has no code that carries
/// them out.
#[test]
fn a_fault_plan_does_nothing_here() {
    let dir = poems();
    let (plan, trap) = (dir.path().join("plan"), dir.path().join("trap"));
    fs::create_dir(&trap).expect("made");
    let fault = |action: &str| {
        format!(r#"{{"name": "", "from": 0, "action": "{action}", "times": 9, "dir": {trap:?}}}"#)
    };
    fs::write(&plan, format!(r#"{{"faults": [{}, {}]}}"#, fault("Note"), fault("Kill"))).expect("written");
    let run =
        grep().args(["-c", "are", "roses", "sugar"]).current_dir(&dir).env("CC_CONFORMANCE_FAULTS", &plan);
    run.assert().code(0).stdout_eq(str![[r#"
roses:2
sugar:1

"#]]);
    assert_eq!(fs::read_dir(&trap).expect("it is there").count(), 0, "a fault has struck");
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

fn pid(raw: impl TryInto<i32>) -> Pid {
    raw.try_into().ok().and_then(Pid::from_raw).expect("a process id")
}

/// The worker processes of a program.
fn workers(program: &Child) -> Vec<Pid> {
    let parent = format!(" {} ", program.id());
    let processes = fs::read_dir("/proc").expect("listed").filter_map(|entry| {
        let entry = entry.ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name in parentheses: the state's letter, then the parent.
        let (_, rest) = stat.rsplit_once(')')?;
        rest[2..].starts_with(&parent).then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    processes.map(|raw: i32| pid(raw)).collect()
}

/// Calls `end`, and waits until the processes are gone that it is the end of.
fn gone(processes: &[Pid], end: impl FnOnce()) {
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

/// Writes a line and waits until it is reported, so that it is known where the run is.
fn exchange(input: &mut impl Write, output: &mut impl BufRead, line: &str) {
    input.write_all(line.as_bytes()).expect("written");
    let mut reported = String::new();
    output.read_line(&mut reported).expect("read");
    assert_eq!(reported, line);
}

fn interrupt(child: &mut Child) -> ExitStatus {
    let pid = pid(child.id());
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

#[test]
fn killed_workers_are_replaced_and_nothing_is_lost_or_doubled() {
    let mut child = interactive(&[]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    for line in ["one\n", "three\n", "five\n"] {
        exchange(&mut input, &mut output, line);
        let workers = workers(&child);
        assert!(!workers.is_empty());
        gone(&workers, || signal(&workers, Signal::KILL));
    }
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "");
    assert_eq!(child.wait().expect("waited for").code(), Some(0));
}

#[test]
fn a_worker_that_is_killed_in_the_middle_is_replaced() {
    let mut child = interactive(&["-c"]);
    let mut input = child.stdin.take().expect("piped");
    let text = "yes\nno\n".repeat(100_000);
    // Twice only, or chance might make it three times for one task.
    for kill in [false, true, false, true, false] {
        input.write_all(text.as_bytes()).expect("written");
        for worker in workers(&child).into_iter().filter(|_| kill) {
            // Whatever it is at: starting, working, or idle. It may be gone already.
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
    let mut child = interactive(&[]);
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    exchange(&mut input, &mut output, "one\n");
    let workers = workers(&child);
    signal(&workers, Signal::STOP);
    input.write_all(b"three\n").expect("written");
    gone(&workers, || assert_eq!(interrupt(&mut child).code(), Some(130)));
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
    gone(&workers(&child), || child.kill().expect("killed"));
    child.wait().expect("waited for");
    assert_eq!(fs::read_dir(&tmp).expect("listed").count(), 0);
}

#[test]
fn nothing_is_left_when_the_program_is_killed_at_its_start() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    for _ in 0..20 {
        let mut command = Command::new(PROGRAM);
        // One worker, so that the one that is seen is the one to wait for.
        command
            .args(["--workers", "1", "grep", "e"])
            .env("TMPDIR", tmp.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        child.stdin.take().expect("piped").write_all(b"one\n").expect("written");
        let workers = loop {
            let workers = workers(&child);
            if !workers.is_empty() || child.try_wait().expect("known").is_some() {
                break workers;
            }
        };
        gone(&workers, || child.kill().expect("killed"));
        child.wait().expect("waited for");
        let left: Vec<_> = fs::read_dir(&tmp).expect("listed").collect();
        assert!(left.is_empty(), "{left:?}, workers {workers:?}");
    }
}

#[test]
fn workers_that_cannot_be_started_are_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = dir.path().join("grep");
    // By another process: a child that a test beside this one starts meanwhile would inherit the
    // descriptor that is written to, and a program that is open for writing cannot be started.
    let copied = Command::new("cp").arg(PROGRAM).arg(&copy).status().expect("cp is there");
    assert!(copied.success());
    let mut command = Command::new(&copy);
    command.args(["grep", "e"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    fs::remove_file(&copy).expect("removed");
    // The input stays open: the run must not wait for more of it.
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"one\n").expect("written");
    let mut message = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut message).expect("read");
    assert_eq!(message, "grep: worker process: No such file or directory\n");
    assert_eq!(child.wait().expect("waited for").code(), Some(2));
}

#[test]
fn workers_that_never_get_ready_are_an_error() {
    let run = grep().arg("e").stdin("one\n").env("TMPDIR", "/no/such/directory").assert().code(2);
    let message = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(message.contains("\ngrep: worker process: not ready: "), "{message}");
}

/// Another workload, in two workers.
fn run(workload: &str, args: &[&str]) -> Cmd {
    Cmd::new(PROGRAM).args(["--workers", "2", workload]).args(args)
}

#[test]
fn a_tiny_picture_is_the_references_however_it_is_cut() {
    for tile in ["1x1", "4x3", "999x999"] {
        let picture = run("mandelbrot", &["--size", "40x30", "--max-iter", "100", "--tile", tile]);
        let out = picture.assert().code(0).get_output().stdout.clone();
        assert_eq!(String::from_utf8_lossy(&out), reference(40, 30, 100));
    }
}

/// What is printed for a picture of the default region.
fn reference(width: u32, height: u32, max_iter: u32) -> String {
    struct Ignored;
    impl Sink<Block> for Ignored {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            panic!("{block:?}");
        }
    }
    let pixels = |n| NonZeroU32::new(n).expect("not zero");
    let job = Job::new(View { max_iter, ..View::new(pixels(width), pixels(height)) });
    let mut ignored = Ignored;
    let mut picture = job.picture(&mut ignored);
    sequential::run(&job, &Ctx::new(NonZeroUsize::MIN), &mut picture).expect("computed");
    format!("{:032x} {width}x{height} max-iter {max_iter}\n", picture.digest())
}

#[test]
fn an_image_that_is_none_is_named_and_status_is_1() {
    let dir = poems();
    fs::write(dir.path().join("rose.jpg"), "not an image").expect("written");
    let run = run("resize", &["--width", "10", "rose.jpg", "missing.png"]).current_dir(&dir).assert().code(1);
    let messages = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    let mut messages: Vec<_> = messages.lines().collect();
    messages.sort_unstable();
    assert_eq!(messages[0], "resize: missing.png: No such file or directory");
    assert!(messages[1].starts_with("resize: rose.jpg: "), "{messages:?}");
    assert_eq!(messages.len(), 2);
}

#[test]
fn help_and_wrong_flags_of_the_other_workloads() {
    for workload in ["resize", "mandelbrot"] {
        run(workload, &["--help"]).assert().code(0);
        run(workload, &["--no-such-flag"]).assert().code(2);
    }
}

#[test]
fn a_picture_is_whole_though_workers_were_killed_and_ctrl_c_is_130() {
    let picture = |size: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["--workers", "2", "mandelbrot", "--size", size, "--max-iter", "500"]);
        command.stdout(Stdio::piped()).spawn().expect("the program starts")
    };
    let mut child = picture("600x600");
    let worker = loop {
        if let Some(&worker) = workers(&child).first() {
            break worker;
        }
    };
    // Whatever it is at: starting or working. It may be gone already.
    let _ = kill_process(worker, Signal::KILL);
    let mut line = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut line).expect("read");
    assert_eq!(line, reference(600, 600, 500));
    assert_eq!(child.wait().expect("waited for").code(), Some(0));

    let mut child = picture("8000x8000");
    while workers(&child).len() < 2 {}
    assert_eq!(interrupt(&mut child).code(), Some(130));
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

/// Runs that have a temporary directory.
const RUNS: &[&[&str]] = &[&["sort", "-S", "4M", "-o", "sorted"], &["wordcount"]];

/// A run of `args` that has put files into `tmp` below `dir`, and waits for the rest of its input.
fn halfway(dir: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["--workers", "2"]).args(args).current_dir(dir).env("TMPDIR", dir.join("tmp"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
    let input = child.stdin.as_mut().expect("it is a pipe");
    // Five times the memory that it has: when all of this is read, most of it is on the disk.
    input.write_all(&b"a line of many to be put in order\n".repeat(20 << 15)).expect("it is read");
    child
}

/// The directories of runs. Those of handshakes come and go.
fn directories(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| !name.starts_with("cc-procs-"));
    names
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_of_others_is() {
    for args in RUNS {
        for signal in [Signal::KILL, Signal::QUIT, Signal::ABORT] {
            let dir = tempfile::tempdir().expect("a directory");
            let tmp = dir.path().join("tmp");
            fs::create_dir(&tmp).expect("made");
            let other = halfway(dir.path(), args);
            let before = directories(&tmp);
            assert_eq!(before.len(), 1, "{args:?}: one directory for each run");
            let mut killed = halfway(dir.path(), args);
            let pid = Pid::from_raw(killed.id().cast_signed()).expect("not zero");
            kill_process(pid, signal).expect("the program still runs");
            assert!(!killed.wait().expect("waited for").success());
            let left = directories(&tmp);
            assert!(left.len() == 2 && left.contains(&before[0]), "{args:?}: {left:?}");
            let next = halfway(dir.path(), args);
            let now = directories(&tmp);
            assert!(
                now.len() == 2 && now.contains(&before[0]) && now != left,
                "{args:?}: {left:?}, then {now:?}"
            );
            for run in [other, next] {
                assert!(run.wait_with_output().expect("waited for").status.success());
            }
            assert_eq!(names(&tmp), [""; 0], "{args:?}");
            let beside = names(dir.path()).into_iter().filter(|name| name.starts_with('.'));
            assert_eq!(beside.collect::<Vec<_>>(), [""; 0], "of the file of -o, nothing is left");
        }
    }
}
