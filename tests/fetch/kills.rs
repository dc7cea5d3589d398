//! Workers that die repeatedly or hang: other workers do their downloads.

use std::{thread, time::Duration};

use cc_conformance::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::Action,
    subject::Subject,
};
use cc_peers::origin::{Origin, Settings};

use super::{
    faults::line,
    files::files,
    origin,
    run_result::{Invocation, RunResult},
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

/// More resources than downloads at once, with a timeout that a replaced worker does not reach.
pub(super) fn plain(origin: &Origin, count: usize) -> Invocation {
    let paths: Vec<String> = (0..count).map(|number| format!("/plain/{number}")).collect();
    Invocation::of(origin, paths.iter().map(String::as_str)).but(|settings| {
        (settings.concurrency, settings.timeout) = (8, Duration::from_secs(10));
    })
}

/// Asserts that all resources except these were fetched once and are complete files, and that there
/// is nothing else.
pub(super) fn assert_all_but(
    run_result: &RunResult,
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
    assert_eq!((&run_result.lines, &run_result.said), (&lines, &said));
    let mut names: Vec<_> = there().map(|number| number.to_string()).collect();
    names.sort();
    assert!(files(folder).keys().eq(&names), "{:?}", files(folder).keys());
    for number in there() {
        let Settings { seed, size, .. } = Settings::default();
        assert!(files(folder)[&number.to_string()] == cc_peers::origin::body(seed, number, size), "{number}");
    }
}

/// One resource kills each worker that fetches it. It is given up, and nothing else is. A worker
/// with several downloads in flight does not show at first which of them killed it.
fn again_and_again(subject: &Subject, action: Action) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    let (invocation, folder) = plain(&origin, 40).kept_in("kept");
    let fault = failpoint.fault("/plain/17", 1, action, 1000);
    let run_result = RunResult::whole(subject, &invocation.with(fault));
    assert_all_but(&run_result, &origin, 40, &[17], &folder);
    assert!((3..=5).contains(&failpoint.hits()), "hit {} times", failpoint.hits());
    assert_eq!(run_result.status, 1);
}

/// A worker that hangs is taken for dead when its download should have ended.
fn suspended(subject: &Subject) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    let (invocation, folder) = plain(&origin, 40).kept_in("kept");
    let fault = failpoint.fault("/plain/17", 0, Action::Suspend, 1);
    let invocation = invocation.but(|settings| settings.timeout = Duration::from_millis(400)).with(fault);
    assert_all_but(&RunResult::whole(subject, &invocation), &origin, 40, &[], &folder);
    assert_eq!(failpoint.hits(), 1, "no worker was suspended");
}

/// The part of a broken body is lost with its worker: another worker fetches it from the beginning.
/// All workers have such a part when one of them dies.
fn killed_with_parts(subject: &Subject) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    let paths = ["/reset/1", "/reset/2", "/reset/3", "/reset/4", "/drip/5"];
    let invocation = Invocation::of(&origin, paths).but(|settings| settings.concurrency = 4);
    let fault = failpoint.fault("/drip/5", 10_000, Action::Kill, 1);
    let run_result = RunResult::whole(subject, &invocation.with(fault));
    let url = |path: &str| format!("http://{}{path}", origin.address());
    let mut lines: Vec<_> = paths.iter().enumerate().map(|(nth, path)| line(&url(path), nth + 1)).collect();
    lines.sort();
    assert_eq!((run_result.lines, failpoint.hits()), (lines, 1));
}

/// Longer than a worker may leave pings unanswered.
const STALL: Duration = Duration::from_secs(4);

/// A slow disk or a large gzip file delays downloads but not the answers to pings: nothing is
/// fetched twice.
fn stalled(subject: &Subject) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::halting("failpoint"));
    let (invocation, folder) = plain(&origin, 40).kept_in("kept");
    let invocation = invocation.with(failpoint.fault("/plain/17", 1, Action::Block, 1));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = failpoint.reached();
            thread::sleep(STALL);
            failpoint.open();
        });
        assert_all_but(&RunResult::whole(subject, &invocation), &origin, 40, &[], &folder);
    });
    assert_eq!(origin.stats().requests, 40);
}
