//! The command line as a user types it.

#[path = "../../../../workloads/tests/command_line/mod.rs"]
mod command_line;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use snapbox::{assert_data_eq, cmd::Command as Cmd, str};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-threads");

command_line::tests!(PROGRAM, ["threads", "rayon"]);

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
fn every_variant_says_the_same() {
    let dir = poems();
    for model in ["threads", "rayon"] {
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
fn a_sort_onto_its_input_keeps_its_mode_and_a_missing_file_leaves_it_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    fs::write(&file, "10\n9\n10").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).expect("it is ours");
    let sort =
        || Cmd::new(PROGRAM).args(["--workers", "2", "sort", "-n", "-u", "-o", "file"]).current_dir(&dir);
    let missing = sort().args(["file", "gone"]).assert().code(2);
    missing.stdout_eq("").stderr_eq(str![[r#"
sort: cannot read: gone: No such file or directory

"#]]);
    assert_eq!(fs::read(&file).expect("it is there"), b"10\n9\n10");
    sort().arg("file").assert().code(0).stdout_eq("");
    assert_eq!(fs::read(&file).expect("it is there"), b"9\n10\n");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o604);
}

/// Runs that have a temporary directory.
const RUNS: &[&[&str]] = &[&["sort", "-S", "4M", "-o", "sorted"]];

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
            let before = names(&tmp);
            assert_eq!(before.len(), 1, "{args:?}: one directory for each run");
            let mut killed = halfway(dir.path(), args);
            let pid = Pid::from_raw(killed.id().cast_signed()).expect("not zero");
            kill_process(pid, signal).expect("the program still runs");
            assert!(!killed.wait().expect("waited for").success());
            let left = names(&tmp);
            assert!(left.len() == 2 && left.contains(&before[0]), "{args:?}: {left:?}");
            let next = halfway(dir.path(), args);
            let now = names(&tmp);
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

/// As root replaces a file of another user: it stays that user's, and is not a program with root's
/// rights.
#[test]
fn a_setuid_file_of_another_user_stays_that_users() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    let dir = poems();
    let path = dir.path().join("out");
    for args in [&["sort", "roses", "-o", "out"][..], &["mandelbrot", "--size", "64x64", "--out", "out"]] {
        fs::write(&path, "old").expect("written");
        chown(&path, Some(1000), Some(1001)).expect("root may");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).expect("root may");
        Cmd::new(PROGRAM).args(args).current_dir(&dir).assert().code(0);
        let there = fs::metadata(&path).expect("it is there");
        assert_eq!((there.uid(), there.gid(), there.mode() & 0o7777), (1000, 1001, 0o755), "{args:?}");
        assert_ne!(fs::read(&path).expect("read"), b"old", "{args:?}");
    }
}

/// Without a right to make files beside it, or to give one to the owner, the content is replaced
/// and nothing else.
#[test]
fn a_file_that_may_be_written_but_not_replaced_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let (folder, program) = (dir.path().join("folder"), dir.path().join("program"));
    fs::create_dir(&folder).expect("made");
    // By another process: a child that a test beside this one starts meanwhile would inherit the
    // descriptor that is written to, and a program that is open for writing cannot be started.
    let copied = Command::new("cp").arg(PROGRAM).arg(&program).status().expect("cp is there");
    assert!(copied.success());
    fs::write(folder.join("file"), "b\na\n").expect("written");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    set(dir.path(), 0o755);
    set(&folder.join("file"), 0o666);
    let before = fs::metadata(folder.join("file")).expect("it is there");
    for mode in [0o555, 0o777] {
        set(&folder, mode);
        let mut command = Command::new(&program);
        command.args(["sort", "file", "-o", "file"]).current_dir(&folder);
        if geteuid().is_root() {
            // As another user, since root may do everything.
            command.uid(65534).gid(65534);
        }
        assert!(command.status().expect("the program starts").success(), "{mode:o}");
        let there = fs::metadata(folder.join("file")).expect("it is there");
        assert_eq!((there.uid(), there.mode()), (before.uid(), before.mode()), "{mode:o}");
        assert_eq!(fs::read(folder.join("file")).expect("read"), b"a\nb\n");
        assert_eq!(names(&folder), ["file"]);
    }
}

/// What `clean` says of a directory that a killed program has left, and of what is none.
#[test]
fn clean_lists_what_it_removes() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["cc-sort-0123456789abcdef", "cc-sort-notes"] {
        fs::create_dir(dir.path().join(name)).expect("made");
    }
    let run = || Cmd::new(PROGRAM).args(["clean", "."]).current_dir(&dir).assert().code(0);
    run().stdout_eq("removed ./cc-sort-0123456789abcdef\n");
    run().stdout_eq("");
    assert_eq!(names(dir.path()), ["cc-sort-notes"]);
}
