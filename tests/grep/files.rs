//! Operands and what is below them: odd names, links, FIFOs, files that are missing or disappear,
//! large ones and many.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
};

use cc_conformance::{
    case::Case,
    failpoint::{Failpoint, fifo},
    fault::Action,
    subject::Subject,
};

use super::{
    corpus, gnu,
    invocation::Invocation,
    run_result::{RunResult, conforms},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("tree", tree),
        Case::new("odd_tree", odd_tree),
        Case::new("relative_names", relative_names),
        Case::new("troublesome_operands", troublesome_operands),
        Case::new("gnu_troublesome_operands", gnu_troublesome_operands).unless(gnu::missing).long_in_models(),
        Case::new("links_and_fifos_below_a_directory", links_and_fifos_below_a_directory),
        Case::new("fifo_operand", fifo_operand),
        Case::new("big_file", big_file),
        Case::new("gnu_big_file", gnu_big_file).unless(gnu::missing).long_in_models(),
        Case::new("long_line", long_line),
        Case::new("long_line_of_100_mb", long_line_of_100_mb).long(),
        Case::new("tree_of_100_000_files", tree_of_100_000_files).long(),
        Case::new("max_across_ranges", max_across_ranges),
        Case::new("empty_job", empty_job),
        Case::new("file_vanishes", file_vanishes),
        Case::new("file_shrinks", file_shrinks),
    ]
}

/// Operands that no user can read, and some that can be read although they look unusual. They are
/// made in the current directory unless they are there.
pub(super) fn troublesome() -> Vec<PathBuf> {
    let here = env::current_dir().expect("there is one").join("troublesome");
    if fs::create_dir(&here).is_ok() {
        fs::create_dir(here.join("directory")).expect("it can be made");
        fs::write(here.join("directory/file"), "needle in a directory\n").expect("it can be written");
        fs::write(here.join("no-permission"), "needle without permission\n").expect("it can be written");
        let no_permission = std::os::unix::fs::PermissionsExt::from_mode(0o0);
        fs::set_permissions(here.join("no-permission"), no_permission)
            .expect("the test may change its own file");
        for (link, target) in [("dangling", "nowhere"), ("loop", "loop"), ("link", "directory/file")] {
            symlink(target, here.join(link)).expect("a link can be made");
        }
    }
    let names = ["missing", "link", "dangling", "directory", "loop", "directory/file/not-a-directory"];
    let mut paths: Vec<PathBuf> = names.into_iter().map(|name| here.join(name)).collect();
    // The first can be opened but not read. The second has size 0 and can be read.
    paths.extend([here.join("no-permission"), "/proc/self/mem".into(), "/proc/version".into()]);
    paths
}

/// Whether this file can be opened but not read. GNU grep reports such a file and then counts its
/// lines as none.
pub(super) fn opens(file: &Path) -> bool {
    ["directory", "mem"].iter().any(|name| file.ends_with(name))
}

fn tree(subject: &Subject) {
    for flags in [&["-r", "-H"][..], &["-r", "-n"], &["-r", "-c", "-H"], &["-r", "-l"], &["-r", "-v", "-n"]] {
        conforms(subject, &Invocation::new("needle").flags(flags).at(corpus::path("many")));
    }
    conforms(
        subject,
        &Invocation::new("needle").flags(&["-r", "-H"]).at(corpus::path("big")).at(corpus::path("many")),
    );
}

fn odd_tree(subject: &Subject) {
    for flags in [&["-r", "-H", "-n"][..], &["-r", "-c", "-H"], &["-r", "-L"], &["-r", "-n", "-m3"]] {
        for pattern in ["needle", "a|e", "^$"] {
            conforms(subject, &Invocation::new(pattern).flags(flags).at(corpus::path("odd")));
        }
    }
}

/// Relative names are printed as they are, and mean the same file in every worker.
fn relative_names(subject: &Subject) {
    symlink(corpus::path("odd"), "odd").expect("a link can be made");
    env::set_current_dir("odd").expect("it is a directory");
    let needle = || Invocation::new("needle").flag("-H");
    conforms(subject, &needle().at("crlf").at("./no-newline").at("../odd/utf8").at("-dash"));
    conforms(subject, &needle().flag("-r").at("."));
    let everything = needle().flag("-r");
    conforms(subject, &everything);
    let run_result = RunResult::of(subject, &everything, &subject.ctx(2));
    assert!(run_result.out().starts_with(b"-dash:needle in -dash\n"), "names below nothing have no ./");
}

fn troublesome_operands(subject: &Subject) {
    let named =
        |invocation: Invocation| invocation.flag("-H").at_all(troublesome()).at(corpus::path("odd/crlf"));
    for flags in [&[][..], &["-s"], &["-q"], &["-l"], &["-L"], &["-c"], &["-r"], &["-r", "-s"]] {
        conforms(subject, &named(Invocation::new("needle").flags(flags)));
        conforms(subject, &named(Invocation::new("not there").flags(flags)));
    }
    let run_result = RunResult::of(subject, &named(Invocation::new("needle")), &subject.ctx(2));
    let said = String::from_utf8(run_result.err()).expect("the messages are text");
    for (name, why) in [
        ("missing", "No such file or directory"),
        ("dangling", "No such file or directory"),
        ("directory", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("not-a-directory", "Not a directory"),
        ("/proc/self/mem", "Input/output error"),
    ] {
        assert!(said.contains(&format!("{name}: {why}\n")), "no message about {name}: {said}");
    }
    assert_eq!(run_result.status, 2);
}

fn gnu_troublesome_operands(subject: &Subject) {
    for flags in [&[][..], &["-s"], &["-q"], &["-q", "-s"], &["-l"], &["-L"], &["-c"], &["-m1"]] {
        for pattern in ["needle", "not there"] {
            let invocation = Invocation::new(pattern).flags(flags).flag("-H");
            let counts = flags.contains(&"-c") || flags.contains(&"-L");
            let invocation =
                invocation.at_all(troublesome().into_iter().filter(|file| !counts || !opens(file)));
            let invocation = invocation.at(corpus::path("odd/crlf")).at("also missing");
            gnu::agrees(&invocation, &RunResult::of(subject, &invocation, &subject.ctx(2)), None);
        }
    }
}

/// A recursive search follows no link below its root, and opens no FIFO, because that would wait
/// for ever.
fn links_and_fifos_below_a_directory(subject: &Subject) {
    let _ = troublesome();
    fifo("troublesome/fifo".as_ref());
    symlink("directory", "troublesome/link-to-directory").expect("a link can be made");
    symlink("troublesome", "root").expect("a link can be made");
    for root in ["troublesome", "root"] {
        let invocation = Invocation::new("needle").flags(&["-r", "-H"]).at(root);
        conforms(subject, &invocation);
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        let out = String::from_utf8(run_result.out()).expect("text");
        assert!(out.starts_with(&format!("{root}/directory/file:needle in a directory\n")), "{out}");
        assert!(out.lines().count() <= 2, "only files are searched: {out}");
    }
}

/// A FIFO that is an operand is read, even if no process has opened it for writing yet.
fn fifo_operand(subject: &Subject) {
    fifo("fifo".as_ref());
    let text: Vec<u8> = (0..300_000).flat_map(|n| format!("line {n} of a FIFO\n").into_bytes()).collect();
    fs::write("file", &text).expect("it can be written");
    let invocation = |name| Invocation::new("9 of").flags(&["-n", "-c"]).flag("-m20000").at(name);
    let expected = RunResult::reference(&invocation("file"));
    let writer = thread::spawn(move || {
        // The write fails when the reader stops, which is before the end.
        let _ = fs::write("fifo", text);
    });
    let run_result = RunResult::of(subject, &invocation("fifo"), &subject.ctx(2));
    writer.join().expect("the writer does not panic");
    assert_eq!(run_result.out(), expected.out());
    assert_eq!(run_result.status, 0);
}

fn big_file(subject: &Subject) {
    for flags in [
        &["-n"][..],
        &["-c"],
        &["-v", "-c"],
        &["-o", "-n"],
        &["-n", "-m100"],
        &["-l"],
        &["-v", "-n", "-m90000"],
    ] {
        conforms(subject, &Invocation::new("needle").flags(flags).at(corpus::path("big")));
    }
    conforms(
        subject,
        &Invocation::new("hay").flags(&["-n"]).at(corpus::path("big")).at(corpus::path("odd/crlf")),
    );
    conforms(subject, &Invocation::new("[hy]").flags(&["-o", "-n"]).at(corpus::path("big")));
}

fn gnu_big_file(subject: &Subject) {
    for flags in [&["-n"][..], &["-v", "-n"], &["-o", "-n"], &["-n", "-m150"], &["-c"]] {
        let invocation =
            Invocation::new("needle").flags(flags).at(corpus::path("big")).at(corpus::path("odd/crossing"));
        gnu::agrees(&invocation, &RunResult::of(subject, &invocation, &subject.ctx(2)), None);
    }
}

fn long_line(subject: &Subject) {
    long_line_in(subject, corpus::path("long"), 3);
}

fn long_line_of_100_mb(subject: &Subject) {
    fs::write("long", corpus::long(100_000_000)).expect("it can be written");
    long_line_in(subject, "long".into(), 3);
}

/// A line of many times a task's size, between two short ones.
fn long_line_in(subject: &Subject, file: PathBuf, needles: usize) {
    let ask = |flags| Invocation::new("needle").flags(flags).at(file.clone());
    for flags in [&["-n"][..], &["-c"], &["-v", "-n"], &["-m1"], &["-o", "-n"]] {
        conforms(subject, &ask(flags));
    }
    let run_result = RunResult::of(subject, &ask(&["-o", "-n"]), &subject.ctx(2));
    assert_eq!(
        run_result.out(),
        ["2:needle\n".repeat(needles), "3:needle\n".to_owned()].concat().into_bytes()
    );
}

fn tree_of_100_000_files(subject: &Subject) {
    for dir in 0..1000 {
        let dir = PathBuf::from(format!("tree/{dir:03}"));
        fs::create_dir_all(&dir).expect("it can be made");
        for file in 0..100 {
            fs::write(dir.join(file.to_string()), format!("needle {file}\nhay\n"))
                .expect("it can be written");
        }
    }
    for flags in [&["-r", "-H", "-n"][..], &["-r", "-v", "-c"]] {
        conforms(subject, &Invocation::new("needle").flags(flags).at("tree"));
    }
}

/// `-m` limits the lines of a file, not of a range, and starts again with the next file.
fn max_across_ranges(subject: &Subject) {
    let flags = ["-m1", "-m20", "-m21", "-m22", "-m100", "-m239", "-m240", "-m241"];
    for (flag, max) in flags.into_iter().zip([1, 20, 21, 22, 100, 239, 240, 241]) {
        let invocation =
            Invocation::new("needle").flags(&["-n", flag]).at(corpus::path("big")).at(corpus::path("big"));
        conforms(subject, &invocation);
        conforms(subject, &invocation.flag("-v"));
        let invocation =
            Invocation::new("part").flags(&["-o", flag]).at(corpus::path("big")).at(corpus::path("long"));
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        assert_eq!(run_result.out(), b"part\n".repeat(max.min(corpus::PARTS)), "{invocation}");
    }
}

/// Jobs without files and without matches.
fn empty_job(subject: &Subject) {
    fs::create_dir("empty").expect("it can be made");
    conforms(subject, &Invocation::new("needle").flag("-r").at("empty"));
    conforms(subject, &Invocation::new("needle").at("/dev/null"));
    conforms(
        subject,
        &Invocation::new("needle").flags(&["-c", "-H"]).at("/dev/null").at(corpus::path("odd/empty")),
    );
    conforms(subject, &Invocation::new("needle").at("missing"));
}

/// A file that disappears before it is searched is reported by name, and its neighbours are
/// searched.
fn file_vanishes(subject: &Subject) {
    fs::create_dir("dir").expect("it can be made");
    for name in ["a", "b", "c"] {
        fs::write(format!("dir/{name}"), format!("needle {name}\n")).expect("it can be written");
    }
    let failpoint = Failpoint::halting("failpoint");
    let invocation = Invocation::new("needle").flags(&["-r", "-H"]).at("dir");
    let faulty = invocation.clone().with(failpoint.fault("dir/a", 0, Action::Block, 1));
    let run_result = thread::scope(|scope| {
        let failpoint = &failpoint;
        scope.spawn(move || {
            let _ = failpoint.reached();
            fs::remove_file("dir/b").expect("it was there");
            failpoint.open();
        });
        RunResult::of(subject, &faulty, &subject.ctx(2))
    });
    assert_eq!(failpoint.hits(), 1);
    if subject.facts.reads_ahead && run_result.status == 0 {
        assert_eq!(run_result.out(), b"dir/a:needle a\ndir/b:needle b\ndir/c:needle c\n");
        return; // the file was read before it was removed
    }
    assert_eq!(String::from_utf8_lossy(&run_result.out()), "dir/a:needle a\ndir/c:needle c\n");
    assert_eq!(String::from_utf8_lossy(&run_result.err()), "grep: dir/b: No such file or directory\n");
    assert_eq!(run_result.status, 2);
}

/// A file shrinks while its later ranges wait. The printed lines were in the file, in this order.
fn file_shrinks(subject: &Subject) {
    let text: Vec<u8> = (0..400_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    fs::write("file", &text).expect("it can be written");
    let failpoint = Failpoint::halting("failpoint");
    let invocation = Invocation::new("7").at("file").at(corpus::path("odd/crlf"));
    let whole = RunResult::reference(&invocation).out();
    let faulty = invocation.with(failpoint.fault("file", 1 << 20, Action::Block, 1));
    let run_result = thread::scope(|scope| {
        let failpoint = &failpoint;
        scope.spawn(move || {
            let _ = failpoint.reached();
            let file = fs::OpenOptions::new().write(true).open("file").expect("it is there");
            file.set_len(100_000).expect("it can be cut");
            failpoint.open();
        });
        RunResult::of(subject, &faulty, &subject.ctx(2))
    });
    assert_eq!(failpoint.hits(), 1);
    assert_eq!(String::from_utf8_lossy(&run_result.err()), "");
    assert_eq!(run_result.status, 0);
    let out = run_result.out();
    let mut lines = whole.split_inclusive(|byte| *byte == b'\n');
    for line in out.split_inclusive(|byte| *byte == b'\n') {
        assert!(lines.any(|whole| whole == line), "never in the file: {:?}", String::from_utf8_lossy(line));
    }
    // The first range was searched before the file shrank; where it ends is the model's decision.
    let first = text[..1 << 19].split_inclusive(|byte| *byte == b'\n').filter(|line| line.contains(&b'7'));
    assert!(out.starts_with(&first.flatten().copied().collect::<Vec<_>>()[..]), "the first range is missing");
}
