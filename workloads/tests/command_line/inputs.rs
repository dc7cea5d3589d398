//! Inputs that are not plain files: the output itself, names that only the program can open, files
//! whose size is not what they claim, and the terminal of a background job.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use super::{alone, assert_printed, program, redirected, until};

/// Runs a program and checks that it says nothing.
fn assert_silent(out: &Output, what: &str) {
    assert_eq!((String::from_utf8_lossy(&out.stderr), out.status.code()), ("".into(), Some(0)), "{what}");
}

/// What GNU's programs do: `grep` skips its output, the others have read it before they write.
pub(crate) fn the_output_may_be_among_the_inputs(name: &str, models: &[&str]) {
    for model in models {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| scratch.path().join(name);
        let run =
            |args: &[&str], redirection: &str| redirected(name, model, args, scratch.path(), redirection);
        fs::create_dir(at("d")).expect("made");
        fs::write(at("d/found"), "b hello\na hello\n").expect("written");
        for redirection in ["> d/out", ">> d/out"] {
            let out = run(&["grep", "-r", "hello", "d"], redirection);
            assert_printed(&out, 2, "", model);
            let message = String::from_utf8_lossy(&out.stderr);
            assert_eq!(message, "grep: d/out: input file is also the output\n", "{model} {redirection}");
        }
        let lines = "d/found:b hello\nd/found:a hello\n";
        assert_eq!(fs::read_to_string(at("d/out")).expect("written"), lines.repeat(2), "{model}");
        let out = run(&["grep", "hello"], "< d/found >> d/found");
        let message = "grep: (standard input): input file is also the output\n";
        assert_eq!((out.status.code(), &*out.stderr), (Some(2), message.as_bytes()), "{model}");
        for flag in ["-q", "-c", "-l", "-m1"] {
            assert_silent(&run(&["grep", flag, "hello", "d/found"], ">> d/found"), flag);
        }

        let sums = [
            ("f", &["sort", "f"][..], ">> f", "b\na\na\nb\n"),
            ("f", &["sort", "f", "-o", "f"], "", "a\nb\n"),
            ("f", &["sort"], "< f >> f", "b\na\na\nb\n"),
            ("f", &["wordcount", "f"], ">> f", "b\na\n1\ta\n1\tb\n"),
            ("d/f", &["wordcount", "-r", "d"], ">> d/f", "b\na\n1\ta\n1\tb\n"),
        ];
        fs::remove_file(at("d/found")).and_then(|()| fs::remove_file(at("d/out"))).expect("removed");
        for (file, args, redirection, expected) in sums {
            fs::write(at(file), "b\na\n").expect("written");
            assert_silent(&run(args, redirection), &format!("{model} {args:?}"));
            assert_eq!(fs::read_to_string(at(file)).expect("there"), expected, "{model} {args:?}");
        }
    }
}

/// A worker is another process in some models: there the name means something else.
pub(crate) fn names_that_only_the_program_can_open(name: &str, models: &[&str]) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir(at("d")).expect("made");
    fs::write(at("d/f"), "b word\na word\n").expect("written");
    fs::write(at("urls"), "# none\n").expect("written");
    std::os::unix::fs::symlink("/dev/fd/3", at("link")).expect("made");
    let stdin = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].map(|file| (file, "< d/f"));
    let third =
        ["/dev/fd/3", "/proc/self/fd/3", "/proc/thread-self/fd/3", "/dev/fd/../fd/3", "link", "./link"];
    let third = third.map(|file| (file, "3< d/f"));
    for model in models {
        let run = |args: &[&str], redirection: &str| {
            let out = redirected(name, model, args, scratch.path(), redirection);
            assert_silent(&out, &format!("{model} {args:?} {redirection}"));
            String::from_utf8(out.stdout).expect("it is text")
        };
        for (file, redirection) in stdin.iter().chain(&third) {
            let (b, a) = (format!("{file}:1:b word\n"), format!("{file}:2:a word\n"));
            assert_eq!(run(&["grep", "-nH", "word", file], redirection), b + &a, "{model}");
            assert_eq!(run(&["sort", file], redirection), "a word\nb word\n", "{model} {file}");
            assert_eq!(run(&["wordcount", file], redirection), "2\tword\n1\ta\n1\tb\n", "{model} {file}");
        }
        let below = run(&["grep", "-r", "b", "/dev/fd/3/"], "3< d");
        assert_eq!(below, "/dev/fd/3/f:b word\n", "{model}");
        assert_eq!(run(&["wordcount", "-r", "link"], "3< d"), "2\tword\n1\ta\n1\tb\n", "{model}");
        let sorted = run(&["sort", "-S1b", "-T", "/dev/fd/3", "d/f"], "3< d");
        assert_eq!(sorted, "a word\nb word\n", "{model}");
        if *model != "rayon" {
            assert_eq!(run(&["fetch", "-i", "/dev/fd/3"], "3< urls"), "", "{model}");
        }
        run(&["mandelbrot", "--size", "30x20", "--out", "set.png"], "");
        let made = run(&["resize", "--width", "15", "/dev/fd/3"], "3< set.png");
        assert!(made.ends_with(" 15x10 /dev/fd/3\n"), "{model}: {made}");
    }
}

/// Files in `/sys` claim a page, and files in `/proc` nothing.
pub(crate) fn a_file_need_not_have_the_size_that_it_claims(name: &str, models: &[&str]) {
    for file in ["/sys/devices/system/cpu/online", "/proc/version"] {
        let text = fs::read_to_string(file).expect("Linux has it");
        let metadata = fs::metadata(file).expect("Linux has it");
        assert_ne!(metadata.len(), text.len() as u64, "{file}");
        for model in models {
            let run = |args: &[&str], redirection: &str| {
                let out = redirected(name, model, args, Path::new("/"), redirection);
                assert_silent(&out, &format!("{model} {args:?}"));
                String::from_utf8(out.stdout).expect("it is text")
            };
            assert_eq!(run(&["grep", ".", file], ""), text, "{model}");
            assert_eq!(run(&["sort", file], ""), text, "{model}");
            assert_eq!(run(&["sort"], &format!("< {file}")), text, "{model}");
            assert_eq!(run(&["sort", file, file], ""), text.repeat(2), "{model}");
            assert_eq!(run(&["wordcount", file], ""), run(&["wordcount"], &format!("< {file}")), "{model}");
        }
    }
}

/// A terminal whose foreground is a shell: the programs that it starts are background jobs.
struct Terminal(File);

impl Terminal {
    fn new() -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
        Self(terminal.into())
    }

    /// A shell of its own session that runs this script with a program and its arguments.
    fn shell(&self, script: &str, command: &Command) -> Command {
        let slave = ptsname(&self.0, Vec::new()).expect("it has a name");
        let slave = open(&*slave, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it is ours");
        let mut shell = Command::new("setsid");
        shell.args(["--ctty", "sh", "-mc", script]).arg(command.get_program()).args(command.get_args());
        shell.stdin(Stdio::from(slave)).stdout(Stdio::piped());
        shell
    }
}

fn is_stopped(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).expect("it still runs");
    stat.rsplit_once(')').is_some_and(|(_, fields)| fields.starts_with(" T"))
}

/// `timeout` ends a stopped program with SIGTERM and then SIGCONT. It must not stop again before it
/// has handled the SIGTERM.
pub(crate) fn a_background_job_that_reads_the_terminal_ends_at_sigterm(name: &str, models: &[&str]) {
    let _alone = alone();
    for model in models {
        for args in [&["grep", "x"][..], &["sort"], &["wordcount"], &["wordcount", "/dev/stdin"]] {
            let mut terminal = Terminal::new();
            let job = program(name, model, args, Path::new("."));
            // The shell reads its standard error, or it would end when the job is stopped.
            let script = r#""$0" "$@" 2>&1 & echo $!; read _ <&2; wait $!; echo $?"#;
            let (reader, mut release) = std::io::pipe().expect("a pipe");
            let mut shell = terminal.shell(script, &job);
            let mut shell = shell.stderr(Stdio::from(reader)).spawn().expect("there is a shell");
            let mut output = BufReader::new(shell.stdout.take().expect("piped"));
            let mut number = String::new();
            output.read_line(&mut number).expect("read");
            let job = Pid::from_raw(number.trim().parse().expect("a number")).expect("it is not 0");
            terminal.0.write_all(b"a line\n").expect("written");
            until("the job is stopped", || is_stopped(job));
            kill_process(job, Signal::TERM)
                .and_then(|()| kill_process(job, Signal::CONT))
                .expect("it is ours");
            release.write_all(b"\n").expect("written");
            let mut status = String::new();
            output.read_to_string(&mut status).expect("read");
            assert_eq!(status, "143\n", "{model} {args:?}");
            shell.wait().expect("it is ours");
        }
    }
}

/// An operand may be the name of anything, and is named as it was given.
pub(crate) fn odd_names_are_names(name: &str, models: &[&str]) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let odd = OsStr::from_bytes(b"\xff");
    for file in [OsStr::new("-"), OsStr::new("(standard input)"), odd] {
        fs::write(scratch.path().join(file), "word\n").expect("written");
    }
    for model in models {
        let run = |args: &[&OsStr]| {
            let mut command = program(name, model, &["wordcount"], scratch.path());
            command.args(args).output().expect("started")
        };
        let found = run(&[OsStr::new("./-"), OsStr::new("(standard input)"), odd, OsStr::new("-")]);
        assert_printed(&found, 0, "3\tword\n", model);
        let missing = run(&[OsStr::new(""), OsStr::from_bytes(b"none\xff")]);
        assert_printed(&missing, 1, "", model);
        let message = String::from_utf8_lossy(&missing.stderr);
        let why = "No such file or directory";
        assert_eq!(message, format!("wordcount: : {why}\nwordcount: none\\xff: {why}\n"), "{model}");
    }
}

pub(crate) fn versions_and_unknown_flags_are_answered(name: &str, models: &[&str]) {
    let version = env!("CARGO_PKG_VERSION");
    for model in models {
        for args in [&["--version"][..], &["grep", "--version"], &["sort", "--version"], &["kv", "--version"]]
        {
            let out = program(name, model, args, Path::new(".")).output().expect("started");
            let workload = args
                .iter()
                .find(|arg| !arg.starts_with("--"))
                .map_or_else(String::new, |name| format!("{name} "));
            assert_printed(&out, 0, &format!("cc-workloads {workload}{version}\n"), model);
        }
        for workload in ["grep", "sort", "wordcount", "resize", "fetch", "mandelbrot", "kv"] {
            let out = program(name, model, &[workload, "--no-such-flag"], Path::new(".")).output();
            let out = out.expect("started");
            assert_printed(&out, 2, "", workload);
            let message = String::from_utf8_lossy(&out.stderr);
            assert!(message.contains("--no-such-flag") && !message.contains(" -- "), "{workload}: {message}");
        }
    }
}
