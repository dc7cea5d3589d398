//! Every fault of the origin, and the result that a client must have.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use cc_conformance::{case::Case, subject::Subject};
use cc_peers::origin::{FAULTS, Origin, Settings, body};
use cc_workloads::fetch::Failure;

use super::{
    origin,
    run_result::{Invocation, RunResult},
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

/// The line of a resource that was fetched.
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
    let run_result =
        RunResult::whole(subject, &Invocation::of(&origin, FAULTS.iter().map(|(path, _)| *path)));
    let there = FAULTS.iter().filter(|(_, why)| why.is_none());
    let mut lines: Vec<_> = there.map(|(path, _)| line(&url(&origin, path), number(path))).collect();
    lines.sort();
    assert_eq!(run_result.lines, lines);
    let failed = FAULTS.iter().filter_map(|(path, why)| Some((path, (*why)?)));
    let said: Vec<_> = failed.map(|(path, why)| format!("fetch: {}: {why}", url(&origin, path))).collect();
    assert_eq!(run_result.said, said);
    assert_eq!(run_result.status, 1);
}

fn plain_ones(subject: &Subject) {
    let origin = origin(Settings { errors: 30, ..Settings::default() });
    let paths: Vec<String> = (0..100).chain([5, 5]).map(|number| format!("/plain/{number}")).collect();
    let run_result = RunResult::whole(subject, &Invocation::of(&origin, paths.iter().map(String::as_str)));
    let mut lines: Vec<_> = paths.iter().map(|path| line(&url(&origin, path), number(path))).collect();
    lines.sort();
    assert_eq!((&run_result.lines, &run_result.said), (&lines, &vec![]));
    assert_eq!((run_result.status, run_result.totals.fetched), (0, 102));
    let repeated = origin.stats().requests - paths.len();
    assert!((15..45).contains(&repeated), "{repeated} retries, where about 30 of 100 resources fail once");
}

fn nothing_is_wanted(subject: &Subject) {
    let run_result = RunResult::whole(subject, &Invocation::urls([""; 0]));
    assert_eq!((run_result.status, run_result.totals.fetched), (0, 0));
}

/// The resource answers 503 twice.
fn no_more_retries(subject: &Subject) {
    for (retries, status) in [(0, 1), (1, 1), (2, 0)] {
        let origin = origin(Settings::default());
        let invocation = Invocation::of(&origin, ["/busy/1"]).but(|settings| settings.retries = retries);
        let run_result = RunResult::whole(subject, &invocation);
        assert_eq!((run_result.status, origin.stats().requests), (status, retries as usize + 1));
        assert!(
            status == 0 || run_result.said[0].ends_with(": 503 Service Unavailable"),
            "{:?}",
            run_result.said
        );
    }
}

/// `/private` needs credentials. `/stranger`, on another host, where `/away` redirects to, must not
/// get them.
fn credentials(subject: &Subject) {
    let origin = origin(Settings::default());
    let at = |user: &str, path: &str| format!("http://{user}{}{path}", origin.address());
    let invocation = Invocation::urls([
        at("user:secret@", "/private/1"),
        at("user:secret@", "/away/2"),
        at("user:wrong@", "/private/3"),
        at("", "/private/4"),
    ]);
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!(run_result.lines.len(), 2, "{run_result:?}");
    assert!(run_result.said.iter().all(|said| said.ends_with(": 401 Unauthorized")), "{:?}", run_result.said);
    assert!(!format!("{run_result:?}").contains("secret"), "a password is shown");
}

fn nobody_listens(subject: &Subject) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has one");
    drop(listener);
    let invocation = Invocation::urls([format!("http://{address}/")]).but(|settings| settings.retries = 1);
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!(run_result.said, [format!("fetch: http://{address}/: cannot be reached: Connection refused")]);
}

fn no_urls(subject: &Subject) {
    let run_result = RunResult::whole(subject, &Invocation::urls(["a", "file:///etc/passwd", "http://"]));
    assert_eq!(
        run_result.said,
        [
            "fetch: a: relative URL without a base",
            "fetch: file:///etc/passwd: file is neither http nor https",
            "fetch: http://: empty host",
        ]
    );
}

/// Each byte comes in time, but the whole would take minutes.
fn a_byte_now_and_then(subject: &Subject) {
    let origin = origin(Settings::default());
    let invocation = Invocation::of(&origin, ["/trickle/1"]).but(|settings| {
        (settings.timeout, settings.retries) = (Duration::from_millis(150), 0);
    });
    let since = Instant::now();
    let run_result = RunResult::whole(subject, &invocation);
    assert_eq!(run_result.outputs[0].outcome, Err(Failure::TimedOut));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

/// An answer of status 204 with a length: the client does not wait for a body.
fn empty(subject: &Subject) {
    let origin = origin(Settings::default());
    let invocation = Invocation::of(&origin, ["/empty/1"]).but(|settings| settings.retries = 0);
    let run_result = RunResult::whole(subject, &invocation);
    let digest = xxhash_rust::xxh3::xxh3_64(b"");
    assert_eq!(run_result.lines, [format!("204\t0\t{digest:016x}\t{}", url(&origin, "/empty/1"))]);
}

/// The second request on each connection is read and gets no answer.
fn snubbed(subject: &Subject) {
    let origin = origin(Settings::default());
    let paths: Vec<String> = (0..8).map(|number| format!("/snub/{number}")).collect();
    let invocation = Invocation::of(&origin, paths.iter().map(String::as_str));
    let invocation = invocation.but(|settings| (settings.concurrency, settings.retries) = (1, 0));
    let run_result = RunResult::whole(subject, &invocation);
    let mut lines: Vec<_> = paths.iter().map(|path| line(&url(&origin, path), number(path))).collect();
    lines.sort();
    assert_eq!((run_result.lines, run_result.said), (lines, vec![]));
}

fn nothing_shown(subject: &Subject) {
    let urls = ["ftp://u:s3cret@h/", "u:s3cret@h/x", "http://u:s3cret@[h/", "a\u{1b}[31mb", "http://a\"b/"];
    let run_result = RunResult::whole(subject, &Invocation::urls(urls));
    assert_eq!(
        run_result.said,
        [
            "fetch: ftp://h/: ftp is neither http nor https",
            "fetch: ***@h/x: u is neither http nor https",
            "fetch: http://***@[h/: invalid IPv6 address",
            "fetch: a\\u{1b}[31mb: relative URL without a base",
            "fetch: http://a\"b/: the host cannot appear in a request",
        ]
    );
}

/// Waits of more seconds than an `Instant` can add.
fn vast_waits(subject: &Subject) {
    let origin = origin(Settings::default());
    let vast = Duration::from_secs(1_000_000_000_000_000_000);
    for timeout in [vast, Duration::MAX] {
        let invocation = Invocation::of(&origin, ["/plain/1", "/reset/2", "/away/3"]);
        let invocation =
            invocation.but(|settings| (settings.timeout, settings.deadline) = (timeout, Some(timeout)));
        let run_result = RunResult::whole(subject, &invocation);
        assert_eq!((run_result.status, run_result.said), (0, vec![]));
    }
}
