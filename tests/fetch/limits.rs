//! The limits of concurrent requests, and of their rate.

use std::time::{Duration, Instant};

use cc_conformance::{case::Case, subject::Subject};
use cc_peers::origin::{Origin, Settings};
use cc_workloads::fetch::Failure;

use super::{
    origin,
    run_result::{Invocation, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("no_more_at_a_host_than_allowed", per_host),
        Case::new("no_more_at_once_than_allowed", at_once),
        Case::new("many_at_once", many_at_once),
        Case::new("who_has_to_come_back_later_keeps_nobody_waiting", later),
        Case::new("too_many_requests_hold_the_whole_host", held),
        Case::new("redirects_do_not_evade_the_limit_of_a_host", redirected),
        Case::new("the_deadline", deadline),
        Case::new("more_than_there_are_descriptors", descriptors),
        Case::new("bodies_that_wait_for_their_rest_take_few_descriptors", parked),
    ]
}

/// A client that exceeds a limit has done so within this time. A client that is slower passes
/// unnoticed: no correct client fails for lack of time.
const LATENCY: Duration = Duration::from_millis(50);

/// An origin with two hosts, which answer once `together` requests are in flight.
fn slow(together: usize) -> Settings {
    Settings { latency: LATENCY, together, hosts: 2, ..Settings::default() }
}

/// `count` resources at each of the two hosts.
fn at_two_hosts(origin: &Origin, count: usize) -> Invocation {
    let port = origin.address().port();
    let hosts = ["127.0.0.1", "127.0.0.2"];
    let urls = (0..count).flat_map(|n| hosts.map(|host| format!("http://{host}:{port}/plain/{n}")));
    Invocation::urls(urls).but(patient)
}

/// A long timeout: a client that gave up and retried would have two requests at the origin.
fn patient(settings: &mut cc_workloads::fetch::Settings) {
    settings.timeout = Duration::from_secs(60);
}

/// The expected peak: the reference sends one request after the other.
fn expected(subject: &Subject, peak: usize) -> usize {
    if subject.facts.is_reference { 1 } else { peak }
}

fn per_host(subject: &Subject) {
    let origin = origin(slow(expected(subject, 6)));
    let invocation = at_two_hosts(&origin, 20).but(|settings| settings.per_host = 3);
    assert_eq!(RunResult::whole(subject, &invocation).status, 0);
    let stats = origin.stats();
    for host in stats.hosts.values() {
        assert_eq!(host.peak, expected(subject, 3), "{stats:?}");
    }
    assert_eq!(stats.peak, expected(subject, 6));
}

fn at_once(subject: &Subject) {
    let origin = origin(slow(expected(subject, 5)));
    let invocation = at_two_hosts(&origin, 20).but(|settings| settings.concurrency = 5);
    assert_eq!(RunResult::whole(subject, &invocation).status, 0);
    assert_eq!(origin.stats().peak, expected(subject, 5), "at once");
}

fn many_at_once(subject: &Subject) {
    let origin = origin(slow(expected(subject, 400)));
    let invocation =
        at_two_hosts(&origin, 200).but(|settings| (settings.concurrency, settings.per_host) = (400, 200));
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!((run_result.status, run_result.totals.fetched), (0, 400));
}

/// Only one request may be in flight, and the first resource asks to be retried in a second. The
/// others are fetched meanwhile.
fn later(subject: &Subject) {
    let origin = origin(Settings { hosts: 2, ..Settings::default() });
    let port = origin.address().port();
    let others = (0..10).map(|n| format!("http://127.0.0.2:{port}/plain/{n}"));
    let invocation =
        Invocation::urls([format!("http://127.0.0.1:{port}/limited/1")].into_iter().chain(others));
    let run_result = RunResult::whole(subject, &invocation.but(|settings| settings.concurrency = 1));
    let last = run_result.outputs.last().expect("there are some");
    assert_eq!((last.index, run_result.status), (0, 0));
    assert!(last.elapsed >= Duration::from_secs(1), "back after {:?}", last.elapsed);
}

/// No request goes to the host for a second.
fn held(subject: &Subject) {
    let origin = origin(Settings::default());
    let invocation = Invocation::of(&origin, ["/limited/1", "/plain/2", "/plain/3"])
        .but(|settings| settings.concurrency = 1);
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!((run_result.outputs[0].index, run_result.status), (0, 0), "{:?}", run_result.outputs);
}

/// Each resource redirects to the other host, which has a limit of its own.
fn redirected(subject: &Subject) {
    let origin = origin(Settings { hosts: 1, ..slow(expected(subject, 2)) });
    let paths: Vec<String> = (0..20).map(|number| format!("/away/{number}")).collect();
    let invocation =
        Invocation::of(&origin, paths.iter().map(String::as_str)).but(|settings| settings.per_host = 2);
    assert_eq!(RunResult::whole(subject, &invocation.but(patient)).status, 0);
    let stats = origin.stats();
    assert!(stats.hosts["localhost"].peak <= expected(subject, 2), "{stats:?}");
    assert_eq!(stats.hosts["127.0.0.1"].peak, expected(subject, 2), "{stats:?}");
}

/// At the deadline, both the downloads in flight and those that have not begun fail.
fn deadline(subject: &Subject) {
    let origin = origin(Settings::default());
    let invocation =
        Invocation::of(&origin, ["/plain/0"].into_iter().chain(["/silent/1"; 6])).but(|settings| {
            settings.timeout = Duration::from_secs(60);
            (settings.per_host, settings.deadline) = (3, Some(Duration::from_millis(400)));
        });
    let since = Instant::now();
    let run_result = RunResult::whole(subject, &invocation);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let late = run_result.outputs.iter().filter(|output| output.outcome == Err(Failure::Deadline));
    assert_eq!((late.count(), run_result.totals.fetched), (6, 1), "{run_result:?}");
}

/// A model that needs a descriptor per request reports the lack of descriptors before the first
/// request.
fn descriptors(subject: &Subject) {
    let origin = origin(Settings::default());
    cc_conformance::bounds::limit_descriptors(100);
    let paths: Vec<String> = (0..200).map(|number| format!("/plain/{number}")).collect();
    let invocation =
        Invocation::of(&origin, paths.iter().map(String::as_str)).but(|settings| settings.concurrency = 200);
    let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
    if expected(subject, 2) == 1 {
        assert_eq!((run_result.error, run_result.status), (None, 0));
    } else {
        let why = run_result.error.expect("there are not enough");
        assert!(why.starts_with("--concurrency 200 takes") && why.contains("may have 100"), "{why}");
        assert_eq!(origin.stats().requests, 0);
    }
}

/// Each body breaks off twice, and waits ten times as long as that takes. Without a limit, more
/// files would be open at once than this process may have.
fn parked(subject: &Subject) {
    let origin = origin(Settings::default());
    cc_conformance::bounds::limit_descriptors(100);
    let paths: Vec<String> = (0..400).map(|number| format!("/break/{number}")).collect();
    let (invocation, folder) = Invocation::of(&origin, paths.iter().map(String::as_str)).kept_in("kept");
    let invocation = invocation.but(patient).but(|settings| settings.concurrency = 8);
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!((run_result.status, run_result.said), (0, vec![]));
    assert_eq!(super::files::files(&folder).len(), paths.len());
}
