//! Faults within: whoever fetches something panics, and that is all that is lost.

use cc_conformance::{case::Case, fault::Action, subject::Subject, trap::Trap};
use cc_peers::origin::{Origin, Settings};

use super::{
    faults::line,
    files::files,
    observe::{Asked, Observed},
    origin,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("panic_before_a_request", |subject| one_panics(subject, BEFORE)),
        Case::new("panic_within_a_body", |subject| one_panics(subject, WITHIN)),
        Case::new("panic_at_every_resource", all_panic),
    ]
}

/// Before anything is asked for.
const BEFORE: u64 = 0;
/// With a first part of the body, before it is taken.
const WITHIN: u64 = 1;

/// More resources than there may be at once.
const COUNT: usize = 40;

/// So that whoever has panicked is needed again.
const AT_ONCE: usize = 4;

fn plain(origin: &Origin) -> Asked {
    let paths: Vec<String> = (0..COUNT).map(|number| format!("/plain/{number}")).collect();
    Asked::of(origin, paths.iter().map(String::as_str)).but(|settings| settings.concurrency = AT_ONCE)
}

/// It is reported by name and not tried again, nothing of it is left behind, and all others are there.
fn one_panics(subject: &Subject, from: u64) {
    let (origin, trap) = (origin(Settings::default()), Trap::new("trap"));
    let (asked, folder) = plain(&origin).kept_in("kept");
    let fault = trap.fault("/plain/7", from, Action::Panic, 1000);
    let observed = Observed::whole(subject, &asked.with(fault));
    let url = |number| format!("http://{}/plain/{number}", origin.address());
    assert_eq!(observed.said, [format!("fetch: {}: panicked: planned", url(7))]);
    let others = || (0..COUNT).filter(|number| *number != 7);
    let mut lines: Vec<_> = others().map(|number| line(&url(number), number)).collect();
    lines.sort();
    assert_eq!((observed.lines, observed.status, trap.strikes()), (lines, 1, 1));
    let mut names: Vec<_> = others().map(|number| number.to_string()).collect();
    names.sort();
    assert!(files(&folder).keys().eq(&names), "{:?}", files(&folder).keys());
}

/// There is always somebody to fail at the next.
fn all_panic(subject: &Subject) {
    let (origin, trap) = (origin(Settings::default()), Trap::new("trap"));
    let fault = trap.fault("", WITHIN, Action::Panic, 1000);
    let observed = Observed::whole(subject, &plain(&origin).with(fault));
    let panicked = observed.said.iter().filter(|said| said.ends_with(": panicked: planned"));
    assert_eq!((panicked.count(), observed.totals.failed, trap.strikes()), (COUNT, COUNT as u64, COUNT));
}
