//! How many requests there are at once, and when.

use std::time::{Duration, Instant};

use cc_conformance::{case::Case, subject::Subject};
use cc_peers::origin::{Origin, Settings};
use cc_workloads::fetch::Failure;

use super::{
    observe::{Asked, Observed},
    origin,
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

/// Whoever begins more than is allowed has begun it by then. Nothing waits for that: who does not is not seen doing it, at worst.
const LATENCY: Duration = Duration::from_millis(50);

/// At two hosts, who answer when so many requests are under way.
fn slow(together: usize) -> Settings {
    Settings { latency: LATENCY, together, hosts: 2, ..Settings::default() }
}

/// So many resources at each of two hosts.
fn at_two_hosts(origin: &Origin, count: usize) -> Asked {
    let port = origin.address().port();
    let hosts = ["127.0.0.1", "127.0.0.2"];
    let urls = (0..count).flat_map(|n| hosts.map(|host| format!("http://{host}:{port}/plain/{n}")));
    Asked::urls(urls).but(patient)
}

/// Who gives up asks again, while the origin is still busy with the first time.
fn patient(settings: &mut cc_workloads::fetch::Settings) {
    settings.timeout = Duration::from_secs(60);
}

/// One after the other is all that the reference does.
fn expected(subject: &Subject, peak: usize) -> usize {
    if subject.facts.is_reference { 1 } else { peak }
}

fn per_host(subject: &Subject) {
    let origin = origin(slow(expected(subject, 6)));
    let asked = at_two_hosts(&origin, 20).but(|settings| settings.per_host = 3);
    assert_eq!(Observed::whole(subject, &asked).status, 0);
    let stats = origin.stats();
    for host in stats.hosts.values() {
        assert_eq!(host.peak, expected(subject, 3), "{stats:?}");
    }
    assert_eq!(stats.peak, expected(subject, 6));
}

fn at_once(subject: &Subject) {
    let origin = origin(slow(expected(subject, 5)));
    let asked = at_two_hosts(&origin, 20).but(|settings| settings.concurrency = 5);
    assert_eq!(Observed::whole(subject, &asked).status, 0);
    assert_eq!(origin.stats().peak, expected(subject, 5), "at once");
}

fn many_at_once(subject: &Subject) {
    let origin = origin(slow(expected(subject, 400)));
    let asked =
        at_two_hosts(&origin, 200).but(|settings| (settings.concurrency, settings.per_host) = (400, 200));
    let observed = Observed::whole(subject, &asked);
    assert_eq!((observed.status, observed.totals.fetched), (0, 400));
}

/// There is one place, and the first is told to come back in a second.
fn later(subject: &Subject) {
    let origin = origin(Settings { hosts: 2, ..Settings::default() });
    let port = origin.address().port();
    let others = (0..10).map(|n| format!("http://127.0.0.2:{port}/plain/{n}"));
    let asked = Asked::urls([format!("http://127.0.0.1:{port}/limited/1")].into_iter().chain(others));
    let observed = Observed::whole(subject, &asked.but(|settings| settings.concurrency = 1));
    let last = observed.outputs.last().expect("there are some");
    assert_eq!((last.index, observed.status), (0, 0));
    assert!(last.elapsed >= Duration::from_secs(1), "back after {:?}", last.elapsed);
}

/// The host is left alone for a second, by all.
fn held(subject: &Subject) {
    let origin = origin(Settings::default());
    let asked =
        Asked::of(&origin, ["/limited/1", "/plain/2", "/plain/3"]).but(|settings| settings.concurrency = 1);
    let observed = Observed::whole(subject, &asked);
    assert_eq!((observed.outputs[0].index, observed.status), (0, 0), "{:?}", observed.outputs);
}

/// Each leads to the other host, which has a limit of its own.
fn redirected(subject: &Subject) {
    let origin = origin(Settings { hosts: 1, ..slow(expected(subject, 2)) });
    let paths: Vec<String> = (0..20).map(|number| format!("/away/{number}")).collect();
    let asked = Asked::of(&origin, paths.iter().map(String::as_str)).but(|settings| settings.per_host = 2);
    assert_eq!(Observed::whole(subject, &asked.but(patient)).status, 0);
    let stats = origin.stats();
    assert!(stats.hosts["localhost"].peak <= expected(subject, 2), "{stats:?}");
    assert_eq!(stats.hosts["127.0.0.1"].peak, expected(subject, 2), "{stats:?}");
}

/// What is under way and what has not begun: all of it has failed by then.
fn deadline(subject: &Subject) {
    let origin = origin(Settings::default());
    let asked = Asked::of(&origin, ["/plain/0"].into_iter().chain(["/silent/1"; 6])).but(|settings| {
        settings.timeout = Duration::from_secs(60);
        (settings.per_host, settings.deadline) = (3, Some(Duration::from_millis(400)));
    });
    let since = Instant::now();
    let observed = Observed::whole(subject, &asked);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let late = observed.outputs.iter().filter(|output| output.outcome == Err(Failure::Deadline));
    assert_eq!((late.count(), observed.totals.fetched), (6, 1), "{observed:?}");
}

/// Whoever needs one for each request says so before the first.
fn descriptors(subject: &Subject) {
    let origin = origin(Settings::default());
    cc_conformance::bounds::limit_descriptors(100);
    let paths: Vec<String> = (0..200).map(|number| format!("/plain/{number}")).collect();
    let asked =
        Asked::of(&origin, paths.iter().map(String::as_str)).but(|settings| settings.concurrency = 200);
    let observed = Observed::of(subject, &asked, &subject.ctx(2));
    if expected(subject, 2) == 1 {
        assert_eq!((observed.error, observed.status), (None, 0));
    } else {
        let why = observed.error.expect("there are not enough");
        assert!(why.starts_with("--concurrency 200 takes") && why.contains("may have 100"), "{why}");
        assert_eq!(origin.stats().requests, 0);
    }
}

/// Each breaks off twice, and waits ten times as long as it takes to break off: without a limit,
/// more files would be open at a time than this process may have.
fn parked(subject: &Subject) {
    let origin = origin(Settings::default());
    cc_conformance::bounds::limit_descriptors(100);
    let paths: Vec<String> = (0..400).map(|number| format!("/break/{number}")).collect();
    let (asked, folder) = Asked::of(&origin, paths.iter().map(String::as_str)).kept_in("kept");
    let asked = asked.but(patient).but(|settings| settings.concurrency = 8);
    let observed = Observed::whole(subject, &asked);
    assert_eq!((observed.status, observed.said), (0, vec![]));
    assert_eq!(super::files::files(&folder).len(), paths.len());
}
