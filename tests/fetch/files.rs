//! The files that are written, and their names.

use std::{collections::BTreeMap, fs, path::Path};

use cc_conformance::{
    case::Case, failpoint::Failpoint, fault::Action, stops::assert_prompt, subject::Subject,
};
use cc_peers::origin::{Settings, body};
use cc_workloads::{Cause, fetch::Wanted};

use super::{
    origin,
    run_result::{Invocation, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("files_are_whole_and_have_names", kept),
        Case::new("a_file_from_another_run_is_replaced", replaced),
        Case::new("a_link_is_replaced", a_link),
        Case::new("what_fails_leaves_no_file", failed),
        Case::new("a_stop_leaves_no_file", stopped),
        Case::new("a_directory_that_is_gone", gone),
    ]
}

pub(super) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read"));
    let read = |path| fs::read(path).expect("it can be read");
    entries.map(|entry| (entry.file_name().into_string().expect("it is text"), read(entry.path()))).collect()
}

pub(super) fn content(number: usize) -> Vec<u8> {
    let Settings { seed, size, .. } = Settings::default();
    body(seed, number, size)
}

fn kept(subject: &Subject) {
    let origin = origin(Settings::default());
    let paths = ["/plain/1", "/gzip/1", "/reset/1", "/hop/2/7", "/plain/%2e%2e%2f8", "/plain/.9"];
    let (invocation, folder) = Invocation::of(&origin, paths).kept_in("kept");
    assert_eq!(RunResult::whole(subject, &invocation).status, 0);
    let expected = [("1", 1), ("1-2", 1), ("1-3", 1), ("7", 7), ("_.._8", 0), ("_.9", 0)];
    let expected = expected.map(|(name, number)| (name.to_owned(), content(number)));
    assert!(files(&folder) == BTreeMap::from(expected), "{:?}", files(&folder).keys());
    let mode = |path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("it is there").permissions())
    };
    fs::write("other", "").expect("a file can be made");
    assert_eq!(mode(folder.join("1")), mode("other".into()), "files are as others are");
}

fn replaced(subject: &Subject) {
    let origin = origin(Settings::default());
    let (invocation, folder) = Invocation::of(&origin, ["/plain/1", "/missing/2"]).kept_in("kept");
    fs::write(folder.join("1"), "old").expect("a file can be made");
    fs::write(folder.join("2"), "old").expect("a file can be made");
    assert_eq!(RunResult::whole(subject, &invocation).status, 1);
    assert!(files(&folder) == BTreeMap::from([("1".into(), content(1)), ("2".into(), b"old".to_vec())]));
}

/// A link in the output directory is replaced, and its target is not touched.
fn a_link(subject: &Subject) {
    let origin = origin(Settings::default());
    let (invocation, folder) = Invocation::of(&origin, ["/plain/1"]).kept_in("kept");
    fs::write("precious", "mine").expect("a file can be made");
    std::os::unix::fs::symlink("../precious", folder.join("1")).expect("a link can be made");
    assert_eq!(RunResult::whole(subject, &invocation).status, 0);
    assert!(fs::symlink_metadata(folder.join("1")).is_ok_and(|there| there.is_file()), "the link is there");
    assert_eq!(
        (fs::read("precious").expect("it is there"), files(&folder)["1"].clone()),
        (b"mine".to_vec(), content(1))
    );
}

fn failed(subject: &Subject) {
    let origin = origin(Settings::default());
    let paths = ["/short/1", "/bomb/2", "/cut/3", "/missing/4", "/packed/5", "/part/6"];
    let (invocation, folder) = Invocation::of(&origin, paths).kept_in("kept");
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!((run_result.totals.failed, files(&folder)), (6, BTreeMap::new()));
}

fn stopped(subject: &Subject) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    let (invocation, folder) = Invocation::of(&origin, ["/trickle/1", "/trickle/2"]).kept_in("kept");
    let invocation = invocation.but(|settings| settings.timeout = std::time::Duration::from_secs(30));
    let invocation = invocation.with(failpoint.fault("/trickle/1", 1, Action::Note, 1));
    let ctx = subject.ctx(2);
    let took = super::stops::stopped_when(
        &ctx,
        || until_a_body_has_begun(&failpoint),
        || {
            assert_eq!(RunResult::of(subject, &invocation, &ctx).outputs, []);
        },
    );
    assert_prompt(took);
    assert_eq!((files(&folder), ctx.stop.cause()), (BTreeMap::new(), Some(Cause::Test)));
}

/// Polls until the failpoint's directory has a file.
fn until_a_body_has_begun(failpoint: &Failpoint) {
    while failpoint.hits() == 0 {
        std::thread::yield_now();
    }
}

/// Each resource is reported as not saved, and nothing else fails.
fn gone(subject: &Subject) {
    let origin = origin(Settings::default());
    let mut invocation =
        Invocation::of(&origin, ["/plain/1"]).but(|settings| settings.out = Some("gone".into()));
    invocation.0.wanted.push(Wanted::new("x"));
    let run_result = RunResult::whole(subject, &invocation);
    assert!(
        run_result.said[0].ends_with("cannot be saved: No such file or directory"),
        "{:?}",
        run_result.said
    );
}
