//! Input and output files. An input that cannot be read ends the run with its name; an existing
//! output is unchanged until the result is complete.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use cc_conformance::{case::Case, failpoint::Failpoint, fault::Action, subject::Subject};
use rustix::process::geteuid;

use super::{
    corpus::{self, LARGE},
    invocation::Invocation,
    run_result::{RunResult, assert_same},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("missing_file", missing_file),
        Case::new("folder_as_operand", folder_as_operand),
        Case::new("unreadable_file", unreadable_file).unless(may_read_everything),
        Case::new("file_whose_reading_fails", file_whose_reading_fails),
        Case::new("output_is_new", output_is_new),
        Case::new("output_onto_an_input", output_onto_an_input),
        Case::new("output_through_a_link", output_through_a_link),
        Case::new("output_after_a_failure", output_after_a_failure),
        Case::new("output_into_no_folder", output_into_no_folder),
        Case::new("no_temporary_folder", no_temporary_folder),
    ]
}

/// The last of many inputs cannot be read. Nothing is printed, and no file is written.
fn cannot_read(subject: &Subject, name: &Path) -> String {
    let invocation = Invocation::of("large", &[]).at(name);
    let printed = RunResult::of(subject, &invocation, &subject.ctx(2));
    assert_eq!(printed.out, b"");
    let written = RunResult::of(subject, &invocation.into("out"), &subject.ctx(2));
    assert!(!Path::new("out").exists(), "something was written");
    assert_eq!(printed.error, written.error);
    printed.why()
}

fn missing_file(subject: &Subject) {
    let why = cannot_read(subject, Path::new("no such file"));
    assert_eq!(why, "cannot read: no such file: No such file or directory");
}

fn folder_as_operand(subject: &Subject) {
    fs::create_dir("folder").expect("it can be made");
    assert_eq!(cannot_read(subject, Path::new("folder")), "read failed: folder: Is a directory");
}

fn may_read_everything() -> Option<&'static str> {
    geteuid().is_root().then_some("the superuser may read every file")
}

fn unreadable_file(subject: &Subject) {
    fs::write("secret", "a\n").expect("it can be written");
    fs::set_permissions("secret", Permissions::from_mode(0o000)).expect("the test may change its own file");
    assert_eq!(cannot_read(subject, Path::new("secret")), "cannot read: secret: Permission denied");
}

/// The file can be opened, but not read.
fn file_whose_reading_fails(subject: &Subject) {
    let why = cannot_read(subject, Path::new("/proc/self/mem"));
    assert!(why.contains("/proc/self/mem: Input/output error"), "{why}");
}

/// The files in the current directory: names, contents and permissions.
fn all() -> BTreeMap<String, (Vec<u8>, u32)> {
    let entries = fs::read_dir(".").expect("it can be read").map(|entry| entry.expect("it can be read"));
    let files = entries.filter(|entry| entry.metadata().is_ok_and(|kind| kind.is_file()));
    let of = |path: &Path| {
        let mode = fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
        (fs::read(path).expect("it is there"), mode)
    };
    files.map(|file| (file.file_name().into_string().expect("it is text"), of(&file.path()))).collect()
}

fn output_is_new(subject: &Subject) {
    fs::write("other", "").expect("it can be written");
    let usual = all()["other"].1;
    for part in ["odd/zeros", "large", "odd/empty"] {
        let invocation = Invocation::of(part, &[]).into("new");
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        assert_eq!((&*run_result.out, &run_result.error), (&b""[..], &None));
        let expected = corpus::expected(part, "plain");
        assert_eq!(run_result.totals, expected.totals);
        assert_same(&all()["new"].0, &expected.out);
        assert_eq!((all()["new"].1, all().len()), (usual, 2), "not as a new file is");
        fs::remove_file("new").expect("it was made");
    }
}

/// Copies of a file in the current directory, with unusual permissions.
fn inputs() -> Invocation {
    let mut invocation = Invocation::new(&["-k1,1"]);
    for (name, _) in LARGE {
        fs::copy(corpus::path("large").join(name), name).expect("it can be copied");
        fs::set_permissions(name, Permissions::from_mode(0o640)).expect("the test may change its own file");
        invocation = invocation.at(name);
    }
    invocation
}

/// The input is replaced after everything has been read, and keeps its permissions.
fn output_onto_an_input(subject: &Subject) {
    for memory in [0, 256 << 20] {
        let invocation = inputs().in_memory_of(memory).into("b");
        let expected = corpus::expected("large", "first_field");
        let before = all();
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        assert_eq!((run_result.error, run_result.totals), (None, expected.totals));
        let mut now = all();
        let (text, mode) = now.remove("b").expect("it was there");
        assert_same(&text, &expected.out);
        assert_eq!(mode, 0o640, "the permissions have changed");
        assert!(before.len() == now.len() + 1 && now.iter().all(|(name, file)| before[name] == *file));
    }
}

/// If the output is a link, the file that it names is replaced.
fn output_through_a_link(subject: &Subject) {
    let invocation = inputs().into("link");
    symlink("c", "link").expect("it can be made");
    let expected = corpus::expected("large", "first_field");
    assert_eq!(RunResult::of(subject, &invocation, &subject.ctx(2)).error, None);
    assert!(fs::symlink_metadata("link").is_ok_and(|kind| kind.is_symlink()), "the link is gone");
    assert_same(&all()["c"].0, &expected.out);
}

/// After any failure the input is unchanged, and there are no other files.
fn output_after_a_failure(subject: &Subject) {
    // In the first phase, in a pass, and when half of the result has been written.
    for (nth, (place, from)) in [("c", 0), ("merge", 0), ("merge", LATE_MERGE)].into_iter().enumerate() {
        let invocation = inputs().into("b");
        let before = all();
        let failpoint = Failpoint::new(&format!("failpoint-{nth}"));
        let invocation = invocation.with(failpoint.fault(place, from, Action::Panic, 1));
        let why = RunResult::of(subject, &invocation, &subject.ctx(2)).why();
        assert!(why.ends_with("panicked: planned"), "{why}");
        assert!(all() == before, "a file was touched");
    }
}

/// A merge of the last phase: no pass has this number of merges.
pub(super) const LATE_MERGE: u64 = 50;

fn output_into_no_folder(subject: &Subject) {
    let invocation = Invocation::of("large", &[]).into("none/out");
    let why = RunResult::of(subject, &invocation, &subject.ctx(2)).why();
    assert_eq!(why, "open failed: none/out: No such file or directory");
}

fn no_temporary_folder(subject: &Subject) {
    let mut job = Invocation::of("large", &[]).job();
    job.temporary = "none".into();
    let mut pushes = 0;
    let ran = subject.try_run::<super::Sort>(&job, &subject.ctx(2), &mut Counts(&mut pushes));
    let why = ran.expect_err("there is no room").to_string();
    let what = if subject.facts.has_nameless_files {
        "write failed:"
    } else {
        "cannot create a temporary directory in"
    };
    assert_eq!(why, format!("{what} none: No such file or directory"));
    assert_eq!(pushes, 0);
}

struct Counts<'a>(&'a mut usize);

impl<T> cc_workloads::Sink<T> for Counts<'_> {
    fn push(&mut self, _: T) -> std::ops::ControlFlow<()> {
        *self.0 += 1;
        std::ops::ControlFlow::Continue(())
    }
}
