//! A full disk: the run ends with an error that says so, and leaves no files.
//!
//! A limit on file sizes makes the same call fail in a chosen phase. On a machine where the test
//! may mount a small file system, it is filled as well.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::Stop;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use super::{Sort, invocation::Invocation, run_result::RunResult, stdin};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("no_room_for_the_input", |subject| no_room(subject, 100 << 10, &Invocation::new(&[]))),
        Case::new("no_room_for_a_run", |subject| no_room(subject, 100 << 10, &Invocation::of("large", &[]))),
        Case::new("no_room_for_a_pass", |subject| no_room(subject, 1 << 20, &Invocation::of("large", &[]))),
        Case::new("no_room_for_the_result", |subject| {
            no_room(subject, 3 << 20, &Invocation::of("large", &[]).into("out"));
        }),
        Case::new("full_file_system", full_file_system).unless(may_not_mount),
    ]
}

/// Runs with `bytes` as the limit on file sizes.
fn no_room(subject: &Subject, bytes: u64, invocation: &Invocation) {
    fs::write("out", "as it was").expect("it can be written");
    let text = stdin::large();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), ..before }).expect("it is a lower limit");
    let run_result = RunResult::with_stdin(subject, invocation, &subject.ctx(2), &text);
    setrlimit(Resource::Fsize, before).expect("it is the former limit");
    assert_eq!(run_result.out, b"", "lines of a failed run");
    let why = run_result.why();
    assert!(why.ends_with(": File too large"), "{why}");
    // Where one file has all runs of a worker, it reaches the limit before the result does.
    let is_result = invocation.output.is_some() && !subject.facts.has_nameless_files;
    assert_eq!(why == "write failed: out: File too large", is_result, "another file: {why}");
    assert_eq!(fs::read("out").expect("it was there"), b"as it was");
    assert_eq!(fs::read_dir(".").expect("it can be read").count(), 1, "there are files besides the output");
}

fn may_not_mount() -> Option<&'static str> {
    let may = || {
        let dir = tempfile::tempdir().ok()?;
        Mounted::at(dir.path(), "4k").map(drop)
    };
    may().is_none().then_some("no file system can be mounted here")
}

/// A file system in memory, unmounted on drop.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn at(path: &'a Path, size: &str) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        let status = mount.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success()).then(|| Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "it cannot be unmounted");
    }
}

/// Six megabytes of runs do not fit into a file system of four.
fn full_file_system(subject: &Subject) {
    fs::create_dir("small").expect("it can be made");
    let small = Mounted::at(Path::new("small"), "4m").expect("it could be mounted before");
    let mut job = Invocation::of("large", &[]).job();
    job.temporary = "small".into();
    let mut out = Nothing;
    let mut sorted = job.sorted(&Stop::new(), &mut out).expect("there is no file to open");
    let ran = subject.try_run::<Sort>(&job, &subject.ctx(2), &mut sorted);
    let why = ran.and_then(|()| sorted.finish()).expect_err("it did not fit").to_string();
    assert!(why.starts_with("write failed: ") && why.ends_with(": No space left on device"), "{why}");
    assert_eq!(fs::read_dir("small").expect("it can be read").count(), 0, "something is left");
    drop(small);
}

struct Nothing;

impl cc_workloads::Sink<cc_workloads::Block> for Nothing {
    fn push(&mut self, _: cc_workloads::Block) -> std::ops::ControlFlow<()> {
        panic!("lines of a failed run");
    }
}
