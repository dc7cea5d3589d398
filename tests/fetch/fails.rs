//! Faults within the work: a download panics, and no other is lost.

use cc_conformance::{case::Case, failpoint::Failpoint, fault::Action, subject::Subject};
use cc_peers::origin::{Origin, Settings};

use super::{
    faults::line,
    files::files,
    origin,
    run_result::{Invocation, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("panic_before_a_request", |subject| one_panics(subject, BEFORE)),
        Case::new("panic_within_a_body", |subject| one_panics(subject, WITHIN)),
        Case::new("panic_at_every_resource", all_panic),
    ]
}

/// Before the request is sent.
const BEFORE: u64 = 0;
/// When the first part of the body has arrived, before it is written.
const WITHIN: u64 = 1;

/// More resources than downloads at once.
const COUNT: usize = 40;

/// Maximum downloads at once. It is so small that every place is used again, also that of a
/// download that panicked.
const AT_ONCE: usize = 4;

fn plain(origin: &Origin) -> Invocation {
    let paths: Vec<String> = (0..COUNT).map(|number| format!("/plain/{number}")).collect();
    Invocation::of(origin, paths.iter().map(String::as_str)).but(|settings| settings.concurrency = AT_ONCE)
}

/// The resource is reported by name, is not retried, and leaves no file. All others are fetched.
fn one_panics(subject: &Subject, from: u64) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    let (invocation, folder) = plain(&origin).kept_in("kept");
    let fault = failpoint.fault("/plain/7", from, Action::Panic, 1000);
    let run_result = RunResult::whole(subject, &invocation.with(fault));
    let url = |number| format!("http://{}/plain/{number}", origin.address());
    assert_eq!(run_result.said, [format!("fetch: {}: panicked: planned", url(7))]);
    let others = || (0..COUNT).filter(|number| *number != 7);
    let mut lines: Vec<_> = others().map(|number| line(&url(number), number)).collect();
    lines.sort();
    assert_eq!((run_result.lines, run_result.status, failpoint.hits()), (lines, 1, 1));
    let mut names: Vec<_> = others().map(|number| number.to_string()).collect();
    names.sort();
    assert!(files(&folder).keys().eq(&names), "{:?}", files(&folder).keys());
}

/// Every download panics, and each is reported.
fn all_panic(subject: &Subject) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    let fault = failpoint.fault("", WITHIN, Action::Panic, 1000);
    let run_result = RunResult::whole(subject, &plain(&origin).with(fault));
    let panicked = run_result.said.iter().filter(|said| said.ends_with(": panicked: planned"));
    assert_eq!((panicked.count(), run_result.totals.failed, failpoint.hits()), (COUNT, COUNT as u64, COUNT));
}
