//! Workers that die again and again, or say nothing more: what they had is fetched by others.

use std::{thread, time::Duration};

use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    subject::Subject,
    trap::Trap,
};
use cc_peers::origin::{Origin, Settings};

use super::{
    faults::line,
    files::files,
    observe::{Asked, Observed},
    origin,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("suspended_worker_is_replaced", suspended).needs(Needs::Processes),
        Case::new("killed_while_it_has_parts_of_others", killed_with_parts).needs(Needs::Processes),
        Case::new("stalled_in_a_body_is_not_taken_for_dead", stalled).needs(Needs::Processes),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| again_and_again(subject, action);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
    }
    cases
}

/// More than there may be at once, of a patience that no death outlasts.
pub(super) fn plain(origin: &Origin, count: usize) -> Asked {
    let paths: Vec<String> = (0..count).map(|number| format!("/plain/{number}")).collect();
    Asked::of(origin, paths.iter().map(String::as_str)).but(|settings| {
        (settings.concurrency, settings.timeout) = (8, Duration::from_secs(10));
    })
}

/// All but these are there, once, as files that are whole; nothing else is.
pub(super) fn assert_all_but(
    observed: &Observed,
    origin: &Origin,
    count: usize,
    lost: &[usize],
    folder: &std::path::Path,
) {
    let there = || (0..count).filter(|number| !lost.contains(number));
    let url = |number| format!("http://{}/plain/{number}", origin.address());
    let mut lines: Vec<_> = there().map(|number| line(&url(number), number)).collect();
    lines.sort();
    let said: Vec<_> =
        lost.iter().map(|number| format!("fetch: {}: killed its worker three times", url(*number))).collect();
    assert_eq!((&observed.lines, &observed.said), (&lines, &said));
    let mut names: Vec<_> = there().map(|number| number.to_string()).collect();
    names.sort();
    assert!(files(folder).keys().eq(&names), "{:?}", files(folder).keys());
    for number in there() {
        let Settings { seed, size, .. } = Settings::default();
        assert!(files(folder)[&number.to_string()] == cc_peers::origin::body(seed, number, size), "{number}");
    }
}

/// One is the death of whoever fetches it. It is given up, and nothing else is. Whoever has many at once cannot know at first
/// which it was.
fn again_and_again(subject: &Subject, action: Action) {
    let (origin, trap) = (origin(Settings::default()), Trap::new("trap"));
    let (asked, folder) = plain(&origin, 40).kept_in("kept");
    let fault = trap.fault("/plain/17", 1, action, 1000);
    let observed = Observed::whole(subject, &asked.with(fault));
    assert_all_but(&observed, &origin, 40, &[17], &folder);
    assert!((3..=5).contains(&trap.strikes()), "struck {} times", trap.strikes());
    assert_eq!(observed.status, 1);
}

/// A worker that hangs is taken for dead when it should have been done.
fn suspended(subject: &Subject) {
    let (origin, trap) = (origin(Settings::default()), Trap::new("trap"));
    let (asked, folder) = plain(&origin, 40).kept_in("kept");
    let fault = trap.fault("/plain/17", 0, Action::Suspend, 1);
    let asked = asked.but(|settings| settings.timeout = Duration::from_millis(400)).with(fault);
    assert_all_but(&Observed::whole(subject, &asked), &origin, 40, &[], &folder);
    assert_eq!(trap.strikes(), 1, "no worker was suspended");
}

/// What has come of a body that broke off is lost with its worker: it comes again, from the beginning, from another. All workers
/// have such a part when one of them dies.
fn killed_with_parts(subject: &Subject) {
    let (origin, trap) = (origin(Settings::default()), Trap::new("trap"));
    let paths = ["/reset/1", "/reset/2", "/reset/3", "/reset/4", "/drip/5"];
    let asked = Asked::of(&origin, paths).but(|settings| settings.concurrency = 4);
    let fault = trap.fault("/drip/5", 10_000, Action::Kill, 1);
    let observed = Observed::whole(subject, &asked.with(fault));
    let url = |path: &str| format!("http://{}{path}", origin.address());
    let mut lines: Vec<_> = paths.iter().enumerate().map(|(nth, path)| line(&url(path), nth + 1)).collect();
    lines.sort();
    assert_eq!((observed.lines, trap.strikes()), (lines, 1));
}

/// Longer than a worker may be silent.
const STALL: Duration = Duration::from_secs(4);

/// A disk that takes its time, or a large gzip, holds up what fetches, and not what answers pings:
/// nothing is fetched twice.
fn stalled(subject: &Subject) {
    let (origin, trap) = (origin(Settings::default()), Trap::halting("trap"));
    let (asked, folder) = plain(&origin, 40).kept_in("kept");
    let asked = asked.with(trap.fault("/plain/17", 1, Action::Block, 1));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = trap.reached();
            thread::sleep(STALL);
            trap.open();
        });
        assert_all_but(&Observed::whole(subject, &asked), &origin, 40, &[], &folder);
    });
    assert_eq!(origin.stats().requests, 40);
}
