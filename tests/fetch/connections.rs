//! How connections are made and kept, and what requests say.

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::fetch::{Failure, RequestHeader, Settings, Trust};

use super::{
    run_result::{Invocation, RunResult},
    servers::{Authority, Server, ok, self_signed},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("certificates_are_checked", certificates),
        Case::new("https_may_lead_to_http_without_credentials", downgrade),
        Case::new("all_addresses_of_localhost_are_tried", localhost),
        Case::new("a_kept_connection_that_ends_is_replaced", replaced),
        Case::new("headers_of_the_command_line_are_sent", headers),
        Case::new("no_more_than_the_maximum_size", sizes),
        Case::new("without_gzip_bodies_are_as_they_came", no_gzip),
    ]
}

fn hello(_: &str, _: usize) -> Option<Vec<u8>> {
    ok("", b"hello")
}

fn fetched(subject: &Subject, urls: &[String], change: impl FnOnce(&mut Settings)) -> RunResult {
    let invocation = Invocation::urls(urls).but(|settings| {
        (settings.retries, settings.timeout) = (0, std::time::Duration::from_secs(20));
    });
    RunResult::whole(subject, &invocation.but(change))
}

fn line(status: u16, body: &[u8], url: &str) -> String {
    format!("{status}\t{}\t{:016x}\t{url}", body.len(), xxhash_rust::xxh3::xxh3_64(body))
}

fn certificates(subject: &Subject) {
    let (authority, other) = (Authority::new("test"), Authority::new("other"));
    let (own, of_own) = self_signed("localhost", false, 2100);
    let (own_ca, of_own_ca) = self_signed("localhost", true, 2100);
    let (misnamed_ca, of_misnamed_ca) = self_signed("elsewhere.test", true, 2100);
    let (expired_ca, of_expired_ca) = self_signed("localhost", true, 2001);
    let unknown = "TLS: the certificate's issuer is not trusted (see --cacert)";
    let expired = "TLS: the certificate has expired";
    let misnamed = "TLS: the certificate is not valid for localhost";
    let is_ca = "TLS: the certificate is an authority's, and not among those that are trusted (see --cacert)";
    let unusable = Trust::Unusable("SSL_CERT_FILE gone: No such file or directory".to_owned());
    let cases = [
        (Some(authority.server("localhost")), authority.trust(), None),
        (Some(authority.server("localhost")), other.trust(), Some(unknown)),
        (Some(authority.server("localhost")), Trust::System, Some(unknown)),
        (
            Some(authority.server("localhost")),
            unusable,
            Some("TLS: SSL_CERT_FILE gone: No such file or directory"),
        ),
        (Some(authority.server("elsewhere.test")), authority.trust(), Some(misnamed)),
        (Some(authority.server_until("localhost", 2001)), authority.trust(), Some(expired)),
        (Some(own.clone()), of_own, None),
        (Some(own), authority.trust(), Some(unknown)),
        (Some(own_ca.clone()), of_own_ca, None),
        (Some(own_ca), authority.trust(), Some(is_ca)),
        (Some(misnamed_ca), of_misnamed_ca, Some(misnamed)),
        (Some(expired_ca), of_expired_ca, Some(expired)),
        (None, authority.trust(), Some("TLS: the server does not speak TLS")),
    ];
    for (nth, (tls, trust, why)) in cases.into_iter().enumerate() {
        let server = Server::start("127.0.0.1", tls, hello);
        let url = format!("https://localhost:{}/", server.port());
        let run_result = fetched(subject, std::slice::from_ref(&url), |settings| settings.trust = trust);
        match why {
            Some(why) => assert_eq!(run_result.said, [format!("fetch: {url}: {why}")], "{nth}"),
            None => assert_eq!(
                (run_result.lines, run_result.said),
                (vec![line(200, b"hello", &url)], vec![]),
                "{nth}"
            ),
        }
    }
}

/// As with `curl -L`.
fn downgrade(subject: &Subject) {
    let authority = Authority::new("test");
    let plain = Server::start("127.0.0.1", None, hello);
    let answer = |head: &str, _: usize| {
        let port = head.split_whitespace().nth(1)?.trim_start_matches('/').to_owned();
        let location =
            format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: http://localhost:{port}/\r\n\r\n");
        Some(location.into_bytes())
    };
    let secure = Server::start("127.0.0.1", Some(authority.server("localhost")), answer);
    let url = format!("https://user:s3cret@localhost:{}/{}", secure.port(), plain.port());
    let shown = url.replace("user:s3cret@", "");
    let run_result = fetched(subject, &[url], |settings| settings.trust = authority.trust());
    assert_eq!((run_result.lines, run_result.said), (vec![line(200, b"hello", &shown)], vec![]));
    let (first, second) = (secure.heads().concat(), plain.heads().concat());
    assert!(first.contains("authorization: basic") && !second.contains("authorization"), "{first}{second}");
}

/// The servers listen at one of the addresses each. No server listens at the port of the third.
fn localhost(subject: &Subject) {
    let (six, four) = (Server::start("::1", None, hello), Server::start("127.0.0.1", None, hello));
    let none = Server::start("::1", None, hello).port();
    let urls = [six.port(), four.port(), none].map(|port| format!("http://localhost:{port}/"));
    let run_result = fetched(subject, &urls, |_| {});
    let mut lines = [0, 1].map(|nth: usize| line(200, b"hello", &urls[nth]));
    lines.sort();
    assert_eq!(run_result.lines, lines);
    let why = "cannot be reached: 127.0.0.1: Connection refused, ::1: Connection refused";
    assert_eq!(run_result.said, [format!("fetch: {}: {why}", urls[2])]);
}

/// The server answers the first request of a connection, and closes it when the second has come.
fn replaced(subject: &Subject) {
    let authority = Authority::new("test");
    for tls in [None, Some(authority.server("localhost"))] {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Server::start("127.0.0.1", tls, |_, nth| ok("", b"hello").filter(|_| nth == 0));
        let urls: Vec<_> =
            (0..6).map(|nth| format!("{scheme}://localhost:{}/{nth}", server.port())).collect();
        let run_result = fetched(subject, &urls, |settings| {
            (settings.concurrency, settings.trust) = (1, authority.trust());
        });
        let lines: Vec<_> = urls.iter().map(|url| line(200, b"hello", url)).collect();
        assert_eq!((run_result.lines, run_result.said), (lines, vec![]));
        let requests = server.heads().len();
        assert!(requests > urls.len(), "no connection was used again: {requests} requests");
    }
}

/// The first server redirects to the second, which is another origin.
fn headers(subject: &Subject) {
    let answer = |head: &str, _: usize| {
        let port = head.split_whitespace().nth(1)?.trim_start_matches('/').to_owned();
        let location =
            format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:{port}/\r\n\r\n");
        Some(location.into_bytes())
    };
    let (second, first) = (Server::start("127.0.0.1", None, hello), Server::start("127.0.0.1", None, answer));
    let url = format!("http://127.0.0.1:{}/{}", first.port(), second.port());
    let texts =
        ["X-One: 1", "x-one: 2", "Accept:", "Host: name.test", "Cookie: a=b", "authorization: bearer x"];
    let given = texts.map(|text| RequestHeader::parse(text).expect("it is one"));
    let agent = RequestHeader::user_agent("agent/1").expect("it is one");
    let run_result = fetched(subject, &[url], |settings| {
        settings.headers = given.into_iter().chain([agent]).collect();
    });
    assert_eq!((run_result.status, run_result.said), (0, vec![]));
    let lines = |server: &Server| {
        let head = server.heads().concat();
        let mut lines: Vec<_> =
            head.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let of_all = ["user-agent: agent/1", "x-one: 1", "x-one: 2"];
    let of_first = ["accept-encoding: gzip", "authorization: bearer x", "cookie: a=b", "host: name.test"];
    assert_eq!(lines(&first), [&of_first[..], &of_all].concat());
    let host = format!("host: 127.0.0.1:{}", second.port());
    assert_eq!(lines(&second), [&["accept-encoding: gzip", &host][..], &of_all].concat());
}

fn sizes(subject: &Subject) {
    let answer = |head: &str, _: usize| match head.split_whitespace().nth(1)? {
        "/length" => ok("", &[b'a'; 11]),
        "/fits" => ok("", &[b'a'; 10]),
        // Ten bytes, and a chunk after them.
        _ => Some(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\naaaaaaaaaa\r\n1\r\na\r\n0\r\n\r\n"
                .to_vec(),
        ),
    };
    let server = Server::start("127.0.0.1", None, answer);
    let urls = ["fits", "length", "chunks"].map(|path| format!("http://127.0.0.1:{}/{path}", server.port()));
    let run_result = fetched(subject, &urls, |settings| settings.max_size = Some(10));
    assert_eq!(run_result.lines, [line(200, &[b'a'; 10], &urls[0])]);
    let failed =
        run_result.outputs.iter().filter(|output| output.outcome == Err(Failure::TooLarge { max: 10 }));
    assert_eq!(failed.count(), 2, "{:?}", run_result.outputs);
    assert!(run_result.said[0].ends_with(": larger than 10 bytes (--max-size)"), "{:?}", run_result.said);
}

/// The body is no gzip, which only a client that decompresses would notice.
fn no_gzip(subject: &Subject) {
    let server = Server::start("127.0.0.1", None, |_, _| ok("content-encoding: gzip\r\n", b"as it is"));
    let url = format!("http://127.0.0.1:{}/", server.port());
    let run_result = fetched(subject, std::slice::from_ref(&url), |settings| settings.gzip = false);
    assert_eq!(run_result.lines, [line(200, b"as it is", &url)]);
    assert!(server.heads()[0].contains("\r\naccept-encoding: identity\r\n"), "{:?}", server.heads());
}
