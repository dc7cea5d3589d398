//! Every fault of the origin, and what a client has to make of it.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use cc_conformance::{case::Case, subject::Subject};
use cc_peers::origin::{FAULTS, Origin, Settings, body};
use cc_workloads::fetch::Failure;

use super::{
    observe::{Asked, Observed},
    origin,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("every_fault", every_fault),
        Case::new("plain_ones", plain_ones),
        Case::new("nothing_is_wanted", nothing_is_wanted),
        Case::new("no_more_retries_than_allowed", no_more_retries),
        Case::new("credentials_stay_with_their_host", credentials),
        Case::new("nobody_listens", nobody_listens),
        Case::new("what_is_no_url", no_urls),
        Case::new("a_byte_now_and_then_is_not_enough", a_byte_now_and_then),
        Case::new("what_has_no_body_is_whole_without_one", empty),
        Case::new("a_kept_connection_that_the_server_closes_costs_no_retry", snubbed),
        Case::new("no_password_and_no_escape_is_shown", nothing_shown),
        Case::new("waits_longer_than_the_clock_reaches", vast_waits),
    ]
}

/// The line of a resource that is there.
pub(super) fn line(url: &str, number: usize) -> String {
    let settings = Settings::default();
    let body = body(settings.seed, number, settings.size);
    let digest = xxhash_rust::xxh3::xxh3_64(&body);
    format!("200\t{}\t{digest:016x}\t{url}", body.len())
}

pub(super) fn number(path: &str) -> usize {
    path.rsplit('/').next().and_then(|number| number.parse().ok()).expect("a path ends with a number")
}

fn url(origin: &Origin, path: &str) -> String {
    format!("http://{}{path}", origin.address())
}

fn every_fault(subject: &Subject) {
    let origin = origin(Settings::default());
    let observed = Observed::whole(subject, &Asked::of(&origin, FAULTS.iter().map(|(path, _)| *path)));
    let there = FAULTS.iter().filter(|(_, why)| why.is_none());
    let mut lines: Vec<_> = there.map(|(path, _)| line(&url(&origin, path), number(path))).collect();
    lines.sort();
    assert_eq!(observed.lines, lines);
    let failed = FAULTS.iter().filter_map(|(path, why)| Some((path, (*why)?)));
    let said: Vec<_> = failed.map(|(path, why)| format!("fetch: {}: {why}", url(&origin, path))).collect();
    assert_eq!(observed.said, said);
    assert_eq!(observed.status, 1);
}

fn plain_ones(subject: &Subject) {
    let origin = origin(Settings { errors: 30, ..Settings::default() });
    let paths: Vec<String> = (0..100).chain([5, 5]).map(|number| format!("/plain/{number}")).collect();
    let observed = Observed::whole(subject, &Asked::of(&origin, paths.iter().map(String::as_str)));
    let mut lines: Vec<_> = paths.iter().map(|path| line(&url(&origin, path), number(path))).collect();
    lines.sort();
    assert_eq!((&observed.lines, &observed.said), (&lines, &vec![]));
    assert_eq!((observed.status, observed.totals.fetched), (0, 102));
    let repeated = origin.stats().requests - paths.len();
    assert!((15..45).contains(&repeated), "{repeated} of a hundred were to fail once");
}

fn nothing_is_wanted(subject: &Subject) {
    let observed = Observed::whole(subject, &Asked::urls([""; 0]));
    assert_eq!((observed.status, observed.totals.fetched), (0, 0));
}

/// It is busy twice.
fn no_more_retries(subject: &Subject) {
    for (retries, status) in [(0, 1), (1, 1), (2, 0)] {
        let origin = origin(Settings::default());
        let asked = Asked::of(&origin, ["/busy/1"]).but(|settings| settings.retries = retries);
        let observed = Observed::whole(subject, &asked);
        assert_eq!((observed.status, origin.stats().requests), (status, retries as usize + 1));
        assert!(
            status == 0 || observed.said[0].ends_with(": 503 Service Unavailable"),
            "{:?}",
            observed.said
        );
    }
}

/// `/private` wants them, and `/stranger`, which `/away` leads to at another host, does not.
fn credentials(subject: &Subject) {
    let origin = origin(Settings::default());
    let at = |who: &str, path: &str| format!("http://{who}{}{path}", origin.address());
    let asked = Asked::urls([
        at("user:secret@", "/private/1"),
        at("user:secret@", "/away/2"),
        at("user:wrong@", "/private/3"),
        at("", "/private/4"),
    ]);
    let observed = Observed::whole(subject, &asked);
    assert_eq!(observed.lines.len(), 2, "{observed:?}");
    assert!(observed.said.iter().all(|said| said.ends_with(": 401 Unauthorized")), "{:?}", observed.said);
    assert!(!format!("{observed:?}").contains("secret"), "a password is shown");
}

fn nobody_listens(subject: &Subject) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has one");
    drop(listener);
    let asked = Asked::urls([format!("http://{address}/")]).but(|settings| settings.retries = 1);
    let observed = Observed::whole(subject, &asked);
    assert_eq!(observed.said, [format!("fetch: http://{address}/: cannot be reached: Connection refused")]);
}

fn no_urls(subject: &Subject) {
    let observed = Observed::whole(subject, &Asked::urls(["a", "file:///etc/passwd", "http://"]));
    assert_eq!(
        observed.said,
        [
            "fetch: a: relative URL without a base",
            "fetch: file:///etc/passwd: file is neither http nor https",
            "fetch: http://: empty host",
        ]
    );
}

/// Each comes in time, but they would take minutes.
fn a_byte_now_and_then(subject: &Subject) {
    let origin = origin(Settings::default());
    let asked = Asked::of(&origin, ["/trickle/1"]).but(|settings| {
        (settings.timeout, settings.retries) = (Duration::from_millis(150), 0);
    });
    let since = Instant::now();
    let observed = Observed::whole(subject, &asked);
    assert_eq!(observed.outputs[0].outcome, Err(Failure::TimedOut));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

/// 204 with a length: it is not waited for.
fn empty(subject: &Subject) {
    let origin = origin(Settings::default());
    let asked = Asked::of(&origin, ["/empty/1"]).but(|settings| settings.retries = 0);
    let observed = Observed::whole(subject, &asked);
    let digest = xxhash_rust::xxh3::xxh3_64(b"");
    assert_eq!(observed.lines, [format!("204\t0\t{digest:016x}\t{}", url(&origin, "/empty/1"))]);
}

/// The second request on each connection is read and gets no answer.
fn snubbed(subject: &Subject) {
    let origin = origin(Settings::default());
    let paths: Vec<String> = (0..8).map(|number| format!("/snub/{number}")).collect();
    let asked = Asked::of(&origin, paths.iter().map(String::as_str));
    let asked = asked.but(|settings| (settings.concurrency, settings.retries) = (1, 0));
    let observed = Observed::whole(subject, &asked);
    let mut lines: Vec<_> = paths.iter().map(|path| line(&url(&origin, path), number(path))).collect();
    lines.sort();
    assert_eq!((observed.lines, observed.said), (lines, vec![]));
}

fn nothing_shown(subject: &Subject) {
    let urls = ["ftp://u:s3cret@h/", "u:s3cret@h/x", "http://u:s3cret@[h/", "a\u{1b}[31mb", "http://a\"b/"];
    let observed = Observed::whole(subject, &Asked::urls(urls));
    assert_eq!(
        observed.said,
        [
            "fetch: ftp://h/: ftp is neither http nor https",
            "fetch: ***@h/x: u is neither http nor https",
            "fetch: http://***@[h/: invalid IPv6 address",
            "fetch: a\\u{1b}[31mb: relative URL without a base",
            "fetch: http://a\"b/: a host that cannot be asked for",
        ]
    );
}

/// More seconds than there are instants.
fn vast_waits(subject: &Subject) {
    let origin = origin(Settings::default());
    let vast = Duration::from_secs(1_000_000_000_000_000_000);
    for timeout in [vast, Duration::MAX] {
        let asked = Asked::of(&origin, ["/plain/1", "/reset/2", "/away/3"]);
        let asked = asked.but(|settings| (settings.timeout, settings.deadline) = (timeout, Some(timeout)));
        let observed = Observed::whole(subject, &asked);
        assert_eq!((observed.status, observed.said), (0, vec![]));
    }
}
