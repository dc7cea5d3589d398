//! Standing workers, as a user starts them on several machines; here on one.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-distributed");

/// `--suspect-after`, for a machine that is busy with other tests.
const SUSPECT_AFTER: &str = "1";

/// A directory with a token and a tree to search.
fn site() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    keep_secret(&dir.path().join("token"), "sesame-opens-the-door\n");
    keep_secret(&dir.path().join("wrong"), "barley-opens-no-door\n");
    fs::write(dir.path().join("secret"), "a needle outside of the root\n").expect("written");
    fs::create_dir_all(dir.path().join("tree/deep")).expect("made");
    for n in 0..200 {
        fs::write(dir.path().join(format!("tree/deep/{n:03}")), format!("hay\na needle {n}\n"))
            .expect("written");
    }
    dir
}

/// Writes a file that only its owner may read.
fn keep_secret(path: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).expect("made");
    file.write_all(text.as_bytes()).expect("written");
}

/// A standing worker. It is killed at the end, also when the test fails.
struct Worker {
    child: Child,
    address: String,
    log: Option<BufReader<ChildStderr>>,
}

impl Worker {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["worker", "--token-file", "token", "--slots", "1"]).args(args).current_dir(dir);
        Self::spawn(command.stderr(Stdio::null()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the worker starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        let log = child.stderr.take().map(BufReader::new);
        Self { child, address, log }
    }

    /// The next line of the log, without the part that differs from run to run.
    fn logged(&mut self) -> String {
        let mut line = String::new();
        self.log.as_mut().expect("piped").read_line(&mut line).expect("read");
        let mut parts = line.trim_end().splitn(4, ':');
        // The program, and the host and port of a peer.
        assert_eq!((parts.next(), parts.next()), (Some("worker"), Some(" 127.0.0.1")), "{line}");
        parts.nth(1).expect("there is more").trim_start().to_owned()
    }

    fn signal(&self, signal: Signal) {
        signal_to(&self.child, signal);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal_to(child: &Child, signal: Signal) {
    kill_process(pid(child.id()), signal).expect("the process is there");
}

fn pid(process: u32) -> Pid {
    process.try_into().ok().and_then(Pid::from_raw).expect("a process id")
}

/// A coordinator for these workers.
fn coordinator(dir: &Path, workers: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(dir).args(["--token-file", "token", "--suspect-after", SUSPECT_AFTER]);
    for worker in workers {
        command.args(["--worker", worker]);
    }
    command
}

fn grep(dir: &Path, workers: &[&str]) -> Command {
    let mut command = coordinator(dir, workers);
    command.arg("grep");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn local(dir: &Path, args: &[&str]) -> Output {
    Command::new(PROGRAM).arg("grep").args(args).current_dir(dir).output().expect("it runs")
}

/// A run of grep that gets its input line by line.
struct GrepRun {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl GrepRun {
    fn new(mut command: Command) -> Self {
        command.args(["-n", "e"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the run starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    fn send(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("written");
    }

    fn receive(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read");
        line.trim_end().to_owned()
    }

    fn end(self) -> Option<i32> {
        let Self { mut child, input, mut output } = self;
        drop(input);
        let mut more = String::new();
        output.read_to_string(&mut more).expect("read");
        assert_eq!(more, "", "each line is printed once");
        child.wait().expect("waited for").code()
    }
}

/// The child processes of this process.
fn children(of: u32) -> Vec<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = |pid| stat(pid).rsplit_once(')').map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default();
    let is_child = |pid: &u32| {
        let fields = fields(*pid);
        let mut fields = fields.split(' ');
        // A zombie does not count.
        fields.next() != Some("Z") && fields.next() == Some(&of.to_string())
    };
    let pids = fs::read_dir("/proc").expect("Linux").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// The workers of a run, as soon as there are this many. It polls, because the kernel sends no
/// event for the children of another process.
fn workers(of: u32, count: usize) -> Vec<u32> {
    let since = Instant::now();
    loop {
        let workers = children(of);
        if workers.len() == count {
            return workers;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "{workers:?} instead of {count} workers");
        thread::yield_now();
    }
}

/// A file descriptor that is readable when the process has ended.
fn watched(process: u32) -> OwnedFd {
    pidfd_open(pid(process), PidfdFlags::empty()).expect("the process is there")
}

/// Asserts that a process ends within five seconds.
fn assert_ends(process: &OwnedFd) {
    let soon = Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&soon)), Ok(1), "it goes on");
}

#[test]
fn standing_workers_do_one_run_after_the_other_and_two_at_once() {
    let dir = site();
    let (one, two) = (
        Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]),
        Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]),
    );
    let workers = [&*one.address, &*two.address];
    let start = |pattern: &str| {
        let mut command = grep(dir.path(), &workers);
        command.args(["-rn", pattern, "tree"]).stdout(Stdio::piped()).spawn().expect("it runs")
    };
    for _ in 0..3 {
        let (needles, hay) = (start("needle"), start("hay"));
        for (run, pattern) in [(needles, "needle"), (hay, "hay")] {
            let (got, wanted) =
                (run.wait_with_output().expect("it ends"), local(dir.path(), &["-rn", pattern, "tree"]));
            assert_eq!((got.status.code(), text(&got.stdout)), (Some(0), text(&wanted.stdout)));
        }
    }
}

#[test]
fn the_wrong_token_and_none_are_refused() {
    let dir = site();
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    for token in [&["--token-file", "wrong"][..], &[]] {
        let mut command = Command::new(PROGRAM);
        command.args(["--worker", &worker.address]).args(token).args(["grep", "e", "token"]);
        command.env("XDG_CONFIG_HOME", dir.path());
        let run = command.current_dir(dir.path()).output().expect("it runs");
        assert_eq!((run.status.code(), text(&run.stdout)), (Some(2), String::new()));
        assert_eq!(text(&run.stderr), format!("grep: {}: wrong token\n", worker.address));
    }
}

#[test]
fn a_worker_without_a_token_file_serves_the_coordinators_of_its_user_only() {
    let dir = site();
    let [here, elsewhere] = ["here", "elsewhere"].map(|home| dir.path().join(home));
    let mut command = Command::new(PROGRAM);
    command.args(["worker", "--listen", "127.0.0.1:0"]).env("XDG_CONFIG_HOME", &here);
    let mut worker = Worker::spawn(command.stderr(Stdio::piped()));
    let file = here.join("cc-distributed/token");
    assert!(worker.logged().ends_with(&format!("token file {}", file.display())));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let grep = |home: &Path| {
        let mut command = Command::new(PROGRAM);
        command.args(["--worker", &worker.address, "grep", "needle", "tree/deep/007"]);
        let run = command.current_dir(dir.path()).env("XDG_CONFIG_HOME", home).output().expect("it runs");
        (run.status.code(), text(&run.stdout), text(&run.stderr))
    };
    assert_eq!(grep(&here), (Some(0), "a needle 7\n".to_owned(), String::new()));
    let why = format!("grep: {}: wrong token\n", worker.address);
    assert_eq!(grep(&elsewhere), (Some(2), String::new(), why));
    // The user's own token is sent to no other machine.
    let run = Command::new(PROGRAM)
        .args(["--worker", "192.0.2.1:7000", "grep", "e", "/dev/null"])
        .env("XDG_CONFIG_HOME", &here)
        .output()
        .expect("it runs");
    let why = "grep: 192.0.2.1:7000 is not on this machine: give --token-file\n";
    assert_eq!((run.status.code(), &*text(&run.stderr)), (Some(2), why));
}

#[test]
fn a_token_that_others_may_read_is_refused() {
    let dir = site();
    fs::write(dir.path().join("open"), "known-to-all\n").expect("written");
    fs::set_permissions(dir.path().join("open"), Permissions::from_mode(0o644)).expect("set");
    let why = "token file open: others may read or change it: chmod 600 open\n";
    for (args, name) in [
        (&["worker", "--token-file", "open", "--listen", "127.0.0.1:0"][..], "worker"),
        (&["--token-file", "open", "--worker", "127.0.0.1:1", "grep", "e"], "grep"),
    ] {
        let run = Command::new(PROGRAM).args(args).current_dir(dir.path()).output().expect("it runs");
        assert_eq!((run.status.code(), text(&run.stderr)), (Some(2), format!("{name}: {why}")));
    }
}

#[test]
fn a_worker_that_comes_back_with_another_token_is_named_and_the_run_goes_on() {
    let dir = site();
    let first = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let second = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let mut command = grep(dir.path(), &[&first.address, &second.address]);
    command.stderr(Stdio::piped());
    let mut run = GrepRun::new(command);
    let mut messages = BufReader::new(run.child.stderr.take().expect("piped"));
    run.send("one");
    assert_eq!(run.receive(), "1:one");
    let address = second.address.clone();
    drop(second);
    let mut command = Command::new(PROGRAM);
    command.args(["worker", "--token-file", "wrong", "--listen", &address]).current_dir(dir.path());
    let _second = Worker::spawn(&mut command);
    let mut message = String::new();
    messages.read_line(&mut message).expect("read");
    assert_eq!(message, format!("grep: {address}: wrong token\n"));
    run.send("the first is sound");
    assert_eq!(run.receive(), "2:the first is sound");
    assert_eq!(run.end(), Some(0));
    message.clear();
    messages.read_to_string(&mut message).expect("read");
    assert_eq!(message, "", "it is reported once");
}

#[test]
fn a_worker_logs_its_sessions_and_refused_calls() {
    let dir = site();
    let mut command = Command::new(PROGRAM);
    command.args(["worker", "--token-file", "token", "--listen", "127.0.0.1:0", "--slots", "1"]);
    let mut worker = Worker::spawn(command.current_dir(dir.path()).stderr(Stdio::piped()));
    assert_eq!(worker.logged(), "started with 1 slots; token file token");
    let mut run = GrepRun::new(grep(dir.path(), &[&worker.address]));
    run.send("one");
    assert_eq!(run.receive(), "1:one");
    assert_eq!(worker.logged(), "session of grep has begun");
    run.child.kill().expect("killed");
    run.child.wait().expect("waited for");
    let ended = worker.logged();
    assert!(ended.starts_with("session of grep has ended with 0 tasks unfinished: "), "{ended}");
    let mut command = Command::new(PROGRAM);
    command.args(["--worker", &worker.address, "--token-file", "wrong", "grep", "e", "token"]);
    assert_eq!(command.current_dir(dir.path()).output().expect("it runs").status.code(), Some(2));
    assert_eq!(worker.logged(), "refused: wrong token");
}

/// Connections that send nothing.
fn silent(worker: &Worker, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(&worker.address).expect("it listens")).collect()
}

#[test]
fn connections_without_a_token_keep_no_coordinator_out_and_the_oldest_are_closed() {
    let dir = site();
    for (limit, strangers) in [("ulimit -n 40", 200), ("true", 200)] {
        let script = format!("{limit}; exec \"$0\" worker --token-file token --listen 127.0.0.1:0 --slots 1");
        let mut command = Command::new("sh");
        let worker = Worker::spawn(command.args(["-c", &script, PROGRAM]).current_dir(dir.path()));
        let mut strangers = silent(&worker, strangers);
        for _ in 0..2 {
            let run = grep(dir.path(), &[&worker.address]).args(["needle", "tree/deep/007"]).output();
            let run = run.expect("it runs");
            assert_eq!((run.status.code(), &*text(&run.stdout)), (Some(0), "a needle 7\n"), "{limit}");
        }
        // The oldest is closed long before its time is up, the youngest when its time is up.
        strangers[0].set_read_timeout(Some(Duration::from_secs(4))).expect("set");
        assert!(is_closed(&mut strangers[0]), "the oldest is closed");
        let last = strangers.last_mut().expect("there are many");
        last.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        assert!(is_closed(last), "the youngest is closed when its time is up");
    }
}

/// Waits until a connection is closed, and drops what it receives before.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// A run whose program was removed, so that it can start no more workers.
fn without_its_program(dir: &Path) -> GrepRun {
    let program = dir.join("program");
    // Copied by another process. If this process had the copy open for writing, a child that
    // another test starts at that moment would inherit the descriptor, and a program that is open
    // for writing cannot be started.
    let copied = Command::new("cp").arg(PROGRAM).arg(&program).status().expect("cp is there");
    assert!(copied.success());
    let mut command = Command::new(&program);
    command.args(["--workers", "2", "grep"]).stderr(Stdio::piped());
    let mut run = GrepRun::new(command);
    run.send("one");
    assert_eq!(run.receive(), "1:one");
    let workers = workers(run.child.id(), 2);
    fs::remove_file(program).expect("removed");
    workers.into_iter().for_each(|worker| kill_process(pid(worker), Signal::KILL).expect("it is there"));
    run
}

#[test]
fn a_run_whose_workers_cannot_be_started_any_more_says_why() {
    let dir = site();
    let mut run = without_its_program(dir.path());
    let since = Instant::now();
    // The input stays open, so the run does not end for lack of tasks.
    assert_eq!(run.receive(), "");
    let mut why = String::new();
    run.child.stderr.take().expect("piped").read_to_string(&mut why).expect("read");
    assert_eq!(why, "grep: no worker can be started: No such file or directory\n");
    assert_eq!(run.child.wait().expect("waited for").code(), Some(2));
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
}

#[test]
fn a_stop_ends_a_run_whose_workers_cannot_be_started_any_more() {
    let dir = site();
    let mut run = without_its_program(dir.path());
    assert!(soon(|| children(run.child.id()).is_empty()));
    let since = Instant::now();
    signal_to(&run.child, Signal::TERM);
    let status = run.child.wait().expect("waited for");
    // On a busy machine the run may have given up before the signal.
    assert!(matches!(status.code(), Some(143 | 2)), "{status}");
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[test]
fn a_listener_beyond_loopback_needs_a_token() {
    let run = Command::new(PROGRAM).args(["worker", "--listen", "0.0.0.0:0"]).output().expect("it runs");
    let why = "0.0.0.0:0 is not on loopback: give --token-file, with the secret that its coordinators have";
    assert_eq!((run.status.code(), text(&run.stderr)), (Some(2), format!("worker: {why}\n")));
}

#[test]
fn names_are_served_below_the_root_only() {
    let dir = site();
    std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("tree/link")).expect("linked");
    let search = |worker: &Worker| {
        let mut command = grep(dir.path(), &[&worker.address]);
        let secret = dir.path().join("secret");
        command
            .args(["--shared-fs", "-h", "needle", "tree/deep/007", "tree/link", "tree/../secret"])
            .arg(secret);
        let run = command.output().expect("it runs");
        (run.status.code(), text(&run.stdout), text(&run.stderr))
    };
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0", "--root", "tree"]);
    let (status, out, err) = search(&worker);
    assert_eq!((status, &*out), (Some(2), "a needle 7\n"));
    assert_eq!(err.matches("Outside of the worker's root").count(), 3, "{err}");

    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let (status, out, err) = search(&worker);
    assert_eq!((status, &*out), (Some(2), ""));
    assert!(err.contains("started without --root"), "{err}");
}

#[test]
fn requests_are_sent_only_by_a_worker_that_was_started_for_it() {
    let dir = site();
    let fetch = |worker: &Worker| {
        let mut command = coordinator(dir.path(), &[&worker.address]);
        let run = command.args(["fetch", "--retries", "0", "http://127.0.0.1:1/"]).output().expect("it runs");
        (run.status.code(), text(&run.stderr))
    };
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let why = "the worker was started without --requests, so it refuses fetch";
    let why = format!("fetch: {}: {why}\n", worker.address);
    assert_eq!(fetch(&worker), (Some(2), why));
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0", "--requests"]);
    let why = "fetch: http://127.0.0.1:1/: cannot be reached: Connection refused\n".to_owned();
    assert_eq!(fetch(&worker), (Some(1), why));
}

#[test]
fn an_image_is_served_below_the_root_only_and_its_contents_anywhere() {
    let dir = site();
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0", "--root", "tree"]);
    let resize = |options: &[&str]| {
        let mut command = coordinator(dir.path(), &[&worker.address]);
        command.args(options).args(["resize", "--width", "9", "secret", "tree/deep/007"]);
        let run = command.output().expect("it runs");
        (run.status.code(), text(&run.stderr))
    };
    // Neither file is an image. Only a process that opens the file can find that out.
    let (status, err) = resize(&["--shared-fs"]);
    assert_eq!((status, err.lines().count()), (Some(1), 2), "{err}");
    assert!(err.contains("resize: secret: Outside of the worker's root\n"), "{err}");
    let (status, err) = resize(&[]);
    assert_eq!((status, err.lines().count()), (Some(1), 2), "{err}");
    assert!(!err.contains("Outside"), "{err}");
}

#[test]
fn pictures_of_two_runs_are_not_mixed_up() {
    let dir = site();
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let start = |size: &str| {
        let mut command = coordinator(dir.path(), &[&worker.address]);
        command.args(["mandelbrot", "--size", size, "--tile", "8x8"]).stdout(Stdio::piped());
        command.spawn().expect("it runs")
    };
    let alone = |size: &str| {
        let run = Command::new(PROGRAM).args(["--workers", "1", "mandelbrot", "--size", size]).output();
        text(&run.expect("it runs").stdout)
    };
    let runs = ["300x200", "200x300"].map(|size| (size, start(size)));
    for (size, run) in runs {
        let run = run.wait_with_output().expect("it ends");
        assert_eq!((run.status.code(), text(&run.stdout)), (Some(0), alone(size)));
    }
}

/// Runs wordcount, and returns its exit status and its output.
fn words(mut run: Command, args: &[&str]) -> (Option<i32>, String, String) {
    let run = run.args(["wordcount", "-r"]).args(args).output().expect("it runs");
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

#[test]
fn words_are_counted_with_contents_and_with_names() {
    let dir = site();
    let one = Worker::start(dir.path(), &["--listen", "127.0.0.1:0", "--root", "tree"]);
    let two = Worker::start(dir.path(), &["--listen", "127.0.0.1:0", "--root", "."]);
    for (options, args, found) in [
        (&[][..], &["tree"][..], "200\ta\n200\thay\n200\tneedle\n"),
        (&["--shared-fs"], &["tree"], "200\ta\n200\thay\n200\tneedle\n"),
        (&[], &["--top", "1", "secret"], "1\ta\n"),
    ] {
        let mut run = coordinator(dir.path(), &[&one.address, &two.address]);
        run.args(options);
        let (status, out, err) = words(run, args);
        assert!(out.starts_with(found), "{out}");
        assert_eq!((status, &*err), (Some(0), ""));
    }
    let mut run = coordinator(dir.path(), &[&one.address]);
    run.arg("--shared-fs");
    let (status, out, err) = words(run, &["secret"]);
    assert_eq!((status, &*out), (Some(1), ""));
    assert_eq!(err, "wordcount: secret: Outside of the worker's root\n");
    // The sessions have ended, and with them their spill stores.
    assert!(soon(|| ![&one, &two].iter().any(|worker| has_a_store(worker.child.id()))));
}

/// Whether this becomes true within ten seconds. It polls, because the kernel sends no event for
/// the files of another process.
fn soon(mut is_true: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !is_true() {
        if since.elapsed() > Duration::from_secs(10) {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Whether this process has an unlinked file open, which is a spill store.
fn has_a_store(pid: u32) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|file| {
        let file = file.to_string_lossy();
        file.ends_with(" (deleted)") && !file.starts_with("/memfd:")
    })
}

#[test]
fn the_counts_of_a_lost_worker_are_counted_again() {
    for signal in [Signal::KILL, Signal::STOP] {
        let dir = site();
        let workers = [(); 2].map(|()| Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]));
        let mut run = coordinator(dir.path(), &[&workers[0].address, &workers[1].address]);
        let run = run.arg("wordcount").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut run = run.expect("the run starts");
        let mut input = run.stdin.take().expect("piped");
        // More than one task, from a stream, which cannot be read again.
        input.write_all(&b"once twice twice\n".repeat(100_000)).expect("written");
        let has_counted = |worker: &&Worker| has_a_store(worker.child.id());
        assert!(soon(|| workers.iter().any(|worker| has_counted(&worker))));
        workers.iter().find(has_counted).expect("one of them has a store").signal(signal);
        writeln!(input, "thrice thrice thrice").expect("written");
        drop(input);
        let run = run.wait_with_output().expect("it ends");
        let counts = "200000\ttwice\n100000\tonce\n3\tthrice\n";
        assert_eq!((run.status.code(), &*text(&run.stdout)), (Some(0), counts));
    }
}

#[test]
fn the_runs_of_a_lost_worker_are_sorted_again() {
    let numbers = |from: u32, to: u32| -> Vec<String> {
        (from..to).map(|n| format!("{:010} {n}\n", n.wrapping_mul(2_654_435_761))).collect()
    };
    let mut sorted = numbers(0, 100_000);
    sorted.sort();
    for signal in [Signal::KILL, Signal::STOP] {
        let dir = site();
        let workers = [(); 2].map(|()| Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]));
        let mut run = coordinator(dir.path(), &[&workers[0].address, &workers[1].address]);
        let run = run.args(["sort", "-S", "1K"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut run = run.expect("the run starts");
        let mut input = run.stdin.take().expect("piped");
        // More than one chunk, from a stream, which cannot be read again.
        input.write_all(numbers(0, 60_000).concat().as_bytes()).expect("written");
        let has_runs = |worker: &&Worker| has_a_store(worker.child.id());
        assert!(soon(|| workers.iter().any(|worker| has_runs(&worker))));
        workers.iter().find(has_runs).expect("one of them has a store").signal(signal);
        input.write_all(numbers(60_000, 100_000).concat().as_bytes()).expect("written");
        drop(input);
        let run = run.wait_with_output().expect("it ends");
        assert_eq!(run.status.code(), Some(0));
        assert!(text(&run.stdout) == sorted.concat(), "wrong lines after {signal:?}");
    }
}

#[test]
fn lines_are_sorted_by_workers_that_see_the_file_and_by_others() {
    let dir = site();
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0", "--root", "tree"]);
    let sort = |options: &[&str], file| {
        let mut run = coordinator(dir.path(), &[&worker.address]);
        let run = run.args(options).args(["sort", file]).output().expect("it runs");
        (run.status.code(), text(&run.stdout), text(&run.stderr))
    };
    for options in [&[][..], &["--shared-fs"]] {
        let (status, out, err) = sort(options, "tree/deep/007");
        assert_eq!((status, &*out, &*err), (Some(0), "a needle 7\nhay\n", ""));
    }
    assert_eq!(sort(&[], "secret").0, Some(0));
    let (status, out, err) = sort(&["--shared-fs"], "secret");
    assert_eq!((status, &*out), (Some(2), ""));
    assert_eq!(err, "sort: cannot read: secret: Outside of the worker's root\n");
    assert!(soon(|| !has_a_store(worker.child.id())));
}

#[test]
fn a_missing_temporary_directory_has_a_substitute() {
    let dir = site();
    let mut command = Command::new(PROGRAM);
    command.args(["worker", "--token-file", "token", "--listen", "127.0.0.1:0"]);
    let worker = Worker::spawn(command.current_dir(dir.path()).env("TMPDIR", "/nowhere"));
    let (status, _, err) = words(coordinator(dir.path(), &[&worker.address]), &["tree"]);
    assert_eq!((status, &*err), (Some(0), ""));
    let run = coordinator(dir.path(), &[&worker.address]).args(["sort", "tree/deep/007"]).output();
    let run = run.expect("it runs");
    let lines = "a needle 7\nhay\n".to_owned();
    assert_eq!((run.status.code(), text(&run.stdout), text(&run.stderr)), (Some(0), lines, String::new()));
}

#[test]
fn a_worker_hangs_another_joins_and_dies_and_the_first_comes_back() {
    let dir = site();
    let first = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    // An address at which no worker listens yet.
    let later =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("an address").to_string();
    let mut run = GrepRun::new(grep(dir.path(), &[&first.address, &later]));
    run.send("one");
    assert_eq!(run.receive(), "1:one");

    first.signal(Signal::STOP);
    run.send("the hung one has this");
    let second = Worker::start(dir.path(), &["--listen", &later]);
    assert_eq!(run.receive(), "2:the hung one has this");

    first.signal(Signal::CONT);
    second.signal(Signal::KILL);
    run.send("only the first is left");
    assert_eq!(run.receive(), "3:only the first is left");
    assert_eq!(run.end(), Some(0));
}

#[test]
fn a_run_without_workers_gives_up_and_says_so() {
    let dir = site();
    let worker = Worker::start(dir.path(), &["--listen", "127.0.0.1:0"]);
    let mut command = grep(dir.path(), &[&worker.address]);
    command.args(["--suspect-after", "0.2"]).stderr(Stdio::piped());
    let mut run = GrepRun::new(command);
    run.send("one");
    assert_eq!(run.receive(), "1:one");
    let address = worker.address.clone();
    drop(worker);
    // The input stays open, so the run does not end for lack of tasks.
    assert_eq!(run.receive(), "");
    let mut why = String::new();
    run.child.stderr.take().expect("piped").read_to_string(&mut why).expect("read");
    assert!(why.starts_with(&format!("grep: no worker left: {address}: ")), "{why}");
    assert_eq!(run.child.wait().expect("waited for").code(), Some(2));
}

#[test]
fn a_local_worker_is_replaced() {
    for (signal, times) in [(Signal::KILL, 4), (Signal::STOP, 1)] {
        let mut command = Command::new(PROGRAM);
        command.args(["--workers", "1", "--suspect-after", SUSPECT_AFTER, "grep"]);
        let mut run = GrepRun::new(command);
        for n in 1..=times {
            run.send("before");
            assert_eq!(run.receive(), format!("{}:before", 2 * n - 1));
            let [worker] = children(run.child.id())[..] else { panic!("one worker") };
            kill_process(pid(worker), signal).expect("it is there");
            run.send("here and there");
            assert_eq!(run.receive(), format!("{}:here and there", 2 * n));
        }
        assert_eq!(run.end(), Some(0));
    }
}

#[test]
fn a_local_cluster_ends_when_its_coordinator_is_killed() {
    let mut command = Command::new(PROGRAM);
    command.args(["--workers", "3", "grep"]);
    let mut run = GrepRun::new(command);
    run.send("one");
    assert_eq!(run.receive(), "1:one");
    let workers: Vec<OwnedFd> = workers(run.child.id(), 3).into_iter().map(watched).collect();
    run.child.kill().expect("killed");
    run.child.wait().expect("waited for");
    workers.iter().for_each(assert_ends);
}
