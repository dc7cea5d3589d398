//! The answer to a request: which bytes are sent when, and how it ends.

use std::{fmt::Write as _, io::Write as _, net::SocketAddr, time::Duration};

use flate2::{Compression, write::GzEncoder};

use super::Settings;

/// The parts of a request that decide its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) host: String,
    pub(super) authorization: Option<String>,
    pub(super) range: Option<String>,
    pub(super) if_range: Option<String>,
}

impl Request {
    /// The host's name, without the port.
    pub(super) fn host_name(&self) -> &str {
        self.host.rsplit_once(':').map_or(&self.host, |(name, _)| name)
    }

    /// The first byte of the requested range, if it is of this version.
    fn first(&self, tag: &str) -> Option<usize> {
        let first = self.range.as_deref()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        self.if_range.as_deref().is_none_or(|wanted| wanted == tag).then_some(first)
    }
}

/// A step of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Sends these bytes and closes the connection.
    Close(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Waits for the next request and closes without an answer, as a server does that closes an
    /// idle connection.
    Snub,
    /// Sends nothing until the client closes.
    Silence,
    /// Sends the same bytes repeatedly until the client closes.
    Flood(Vec<u8>),
}

/// The paths of resources with a fault, each with the result that a client must have: `None` if it
/// has the body in the end, otherwise the reason why not.
pub const FAULTS: &[(&str, Option<&str>)] = &[
    ("/busy/1", None),
    ("/limited/2", None),
    ("/error/3", Some("500 Internal Server Error")),
    ("/missing/4", Some("404 Not Found")),
    ("/drip/5", None),
    ("/reset/6", None),
    ("/changed/7", None),
    ("/whole/8", None),
    ("/wrong-part/9", None),
    ("/hop/3/10", None),
    ("/hop/11/11", Some("more than 10 redirects")),
    ("/circle/12", Some("redirect loop")),
    ("/nowhere/13", Some("a redirect without a valid address")),
    ("/file/14", Some("file is neither http nor https")),
    ("/ftp/15", Some("ftp is neither http nor https")),
    ("/long/16", None),
    ("/short/17", Some("the body ended early, after 100 bytes")),
    ("/gzip/18", None),
    ("/bomb/19", Some("decompresses to more than is allowed")),
    ("/cut/20", Some("broken gzip")),
    ("/packed/21", Some("encoded as \"br\", which was not requested")),
    ("/endless/22", Some("the answer is not HTTP, or its head has no end")),
    ("/hangup/23", Some("closed without an answer")),
    ("/garbage/24", Some("the answer is not HTTP, or its head has no end")),
    ("/unasked/25", Some("304 Not Modified")),
    ("/part/26", Some("the answer has another part of the body than requested")),
    ("/away/27", None),
    ("/chunked/28", None),
    ("/silent/29", Some("timed out")),
    ("/reset-open/30", Some("the body ended early, after 100 bytes")),
    ("/open/31", None),
    ("/length-and-chunks/32", None),
    ("/old-chunks/33", None),
    ("/coded/34", Some("encoded as \"gzip, chunked\", which was not requested")),
    ("/vast/35", Some("the answer is not HTTP, or its head has no end")),
    ("/two-lengths/36", Some("the answer is not HTTP, or its head has no end")),
    ("/headers/37", None),
    ("/large-head/38", Some("the answer is not HTTP, or its head has no end")),
    ("/trailers/39", Some("the answer is not HTTP, or its head has no end")),
    ("/no-last-chunk/40", Some("the body ended early, after 100 bytes")),
    ("/half-last-chunk/41", Some("the body ended early, after 100 bytes")),
    ("/vast-part/42", None),
    ("/parts/43", None),
];

/// The body of a resource: text, with a length from half of `most` to `most`. The same seed and
/// number make the same body.
#[must_use]
pub fn body(seed: u64, number: usize, most: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let length = random.usize(most / 2..=most);
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        let _ = writeln!(text, "{:x} of {number}", random.u32(..));
    }
    text.truncate(length);
    text
}

/// The URLs of `count` resources, spread over all hosts in turn.
pub(super) fn urls(address: SocketAddr, hosts: u8, count: usize) -> String {
    let mut list = String::new();
    for number in 0..count {
        let host = match number % usize::from(hosts) {
            0 => address.ip().to_string(),
            n => format!("127.0.0.{}", n + 1),
        };
        let _ = writeln!(list, "http://{host}:{}/plain/{number}", address.port());
    }
    list
}

/// A complete answer of status 200.
pub(super) fn ok(body: &[u8]) -> Vec<u8> {
    with(200, &[], body)
}

/// A complete answer.
fn with(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn refused(status: u16, wait: Option<&str>) -> Vec<Step> {
    let wait: Vec<_> = wait.map(|wait| ("retry-after", wait)).into_iter().collect();
    vec![Step::Send(with(status, &wait, b"no\n"))]
}

fn to(location: &str) -> Vec<Step> {
    vec![Step::Send(with(302, &[("location", location)], b"over there\n"))]
}

/// The script for a request. `before` is the number of earlier requests for the path.
pub(super) fn of(request: &Request, before: usize, settings: &Settings) -> Vec<Step> {
    let mut parts = request.path.trim_start_matches('/').split('/');
    let (kind, rest) = (parts.next().unwrap_or_default(), parts.collect::<Vec<_>>());
    let number = rest.last().and_then(|number| number.parse().ok()).unwrap_or(0);
    let body = || body(settings.seed, number, settings.size);
    match kind {
        "plain" if before == 0 && is_bad(settings, number) => refused(503, Some("0")),
        "~urls" => vec![Step::Send(ok(listed(request, settings, number).as_bytes()))],
        "busy" if before < 2 => refused(503, Some("0")),
        "limited" if before < 1 => refused(429, Some("1")),
        "error" => refused(500, None),
        "drip" => dripping(&body()),
        "trickle" => {
            vec![Step::Send(head(1 << 20)), Step::Pause(DRIP)].into_iter().chain(trickle()).collect()
        }
        "reset" | "break" | "changed" | "whole" | "wrong-part" | "vast-part" | "parts" => {
            broken(kind, request, before, &body())
        }
        "hop" => hop(&rest, number),
        "circle" => to(&format!("/back/{number}")),
        "back" => to(&format!("/circle/{number}")),
        "nowhere" => vec![Step::Send(with(302, &[], b""))],
        "file" => to("file:///etc/passwd"),
        "ftp" => to("ftp://127.0.0.1/x"),
        "away" => to(&format!("http://{}/stranger/{number}", other(request))),
        "stranger" if request.authorization.is_some() => refused(403, None),
        "private" if request.authorization.as_deref() != Some(PASS) => refused(401, None),
        "plain" | "busy" | "limited" | "stranger" | "private" => vec![Step::Send(ok(&body()))],
        "long" => vec![Step::Send([ok(&body()), b"HTTP/1.1 200 Forged\r\n\r\n".to_vec()].concat())],
        "short" => vec![Step::Close([head(1000), vec![b'x'; 100]].concat())],
        "gzip" | "bomb" | "cut" | "packed" => encoded(kind, &body()),
        "chunked" => chunked("HTTP/1.1 200 OK\r\n", &body()),
        "length-and-chunks" => chunked("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n", &body()),
        "old-chunks" => chunked("HTTP/1.0 200 OK\r\n", &body()),
        "reset-open" | "open" | "coded" | "vast" | "two-lengths" | "headers" | "large-head" | "trailers"
        | "no-last-chunk" | "half-last-chunk" | "empty" => framed(kind, &body()),
        "snub" => vec![Step::Send(ok(&body())), Step::Snub],
        "endless" => {
            vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Flood(b"x-more: and more\r\n".repeat(64))]
        }
        "hangup" => vec![Step::Close(vec![])],
        "garbage" => vec![Step::Close(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec())],
        "unasked" => vec![Step::Send(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec())],
        "part" => vec![Step::Send(with(206, &[("content-range", "bytes 5-9/100")], b"56789"))],
        "silent" => vec![Step::Silence],
        _ => refused(404, None),
    }
}

/// `user:secret`.
const PASS: &str = "Basic dXNlcjpzZWNyZXQ=";
const DRIP: Duration = Duration::from_millis(10);

fn is_bad(settings: &Settings, number: usize) -> bool {
    fastrand::Rng::with_seed(settings.seed.wrapping_add(number as u64)).u8(0..100) < settings.errors
}

fn listed(request: &Request, settings: &Settings, count: usize) -> String {
    request.host.parse().map_or_else(|_| String::new(), |address| urls(address, settings.hosts, count))
}

fn head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// A slow body, whose parts come faster than any client's timeout.
fn dripping(body: &[u8]) -> Vec<Step> {
    let parts = body.chunks((body.len() / 20).max(1));
    let parts = parts.flat_map(|part| [Step::Pause(DRIP), Step::Send(part.to_vec())]);
    std::iter::once(Step::Send(head(body.len()))).chain(parts).collect()
}

/// Single bytes with pauses, for longer than any client should wait.
fn trickle() -> impl Iterator<Item = Step> {
    (0..10_000).flat_map(|_| [Step::Send(b"x".to_vec()), Step::Pause(5 * DRIP)])
}

/// A body that breaks off, and the answers to requests for its remainder.
fn broken(kind: &str, request: &Request, before: usize, body: &[u8]) -> Vec<Step> {
    let tag = if kind == "changed" { format!("\"{before}\"") } else { "\"same\"".to_owned() };
    let first = request.first(&tag).filter(|first| kind != "whole" && *first < body.len());
    let from = match kind {
        "wrong-part" => first.map(|first| first + 1),
        _ => first,
    };
    let part = &body[from.unwrap_or(0)..];
    let range = match kind {
        // Every length that is computed from this range overflows.
        "vast-part" => format!("bytes {}-{}/*", from.unwrap_or(0), u64::MAX),
        // A part of the remainder: the whole is one byte longer.
        "parts" => format!("bytes {}-{}/{}", from.unwrap_or(0), body.len() - 1, body.len() + 1),
        _ => format!("bytes {}-{}/{}", from.unwrap_or(0), body.len() - 1, body.len()),
    };
    let answer = match from {
        Some(_) => with(206, &[("etag", &tag), ("content-range", &range)], part),
        None => with(200, &[("etag", &tag)], part),
    };
    if before >= 2 || part.len() < 2 {
        return vec![Step::Send(answer)];
    }
    // The client gets the bytes during the pause; a reset can discard bytes that it has not read.
    let half = answer.len() - part.len() / 2;
    let pause = if kind == "break" { DRIP } else { 5 * DRIP };
    vec![Step::Send(answer[..half].to_vec()), Step::Pause(pause), Step::Reset]
}

/// Answers whose body ends in an unusual way, or not at all.
fn framed(kind: &str, body: &[u8]) -> Vec<Step> {
    let answer =
        |headers: &str, body: &[u8]| [b"HTTP/1.1 200 OK\r\n", headers.as_bytes(), b"\r\n", body].concat();
    let (part, chunk) = ([b'x'; 100], [b"64\r\n", &[b'x'; 100][..], b"\r\n"].concat());
    match kind {
        "reset-open" => vec![Step::Send(answer("", &part)), Step::Pause(5 * DRIP), Step::Reset],
        "open" => vec![Step::Close(answer("", body))],
        "coded" => vec![Step::Send(answer("transfer-encoding: gzip, chunked\r\n", b"1\r\nx\r\n0\r\n\r\n"))],
        "vast" => vec![Step::Close(answer(&format!("content-length: {}\r\n", u64::MAX), &part))],
        "two-lengths" => vec![Step::Close(answer("content-length: 5\r\ncontent-length: 6\r\n", &part))],
        "headers" => {
            let many: String = (0..1000).map(|number| format!("x-{number}: v\r\n")).collect();
            vec![Step::Send(answer(&format!("{many}content-length: {}\r\n", body.len()), body))]
        }
        "large-head" => vec![Step::Send(answer(&format!("x: {}\r\n", "v".repeat(301 << 10)), b""))],
        "trailers" => {
            let begun = answer(CHUNKED, &[&chunk, &b"0\r\n"[..]].concat());
            vec![Step::Send(begun), Step::Flood(b"x-more: and more\r\n".repeat(64))]
        }
        "no-last-chunk" => vec![Step::Close(answer(CHUNKED, &chunk))],
        "half-last-chunk" => vec![Step::Close(answer(CHUNKED, &[&chunk, &b"0\r\n"[..]].concat()))],
        // An answer without a body, although its header has a length.
        _ => vec![Step::Send(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n".to_vec())],
    }
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// `/hop/COUNT/N`: COUNT relative redirects before the resource.
fn hop(rest: &[&str], number: usize) -> Vec<Step> {
    match rest.first().and_then(|count| count.parse::<usize>().ok()) {
        Some(count @ 1..) => to(&format!("../{}/{number}", count - 1)),
        _ => to(&format!("/plain/{number}")),
    }
}

/// This server, by another name.
fn other(request: &Request) -> String {
    let port = request.host.rsplit_once(':').map_or("80", |(_, port)| port);
    let name = if request.host_name() == "localhost" { "127.0.0.1" } else { "localhost" };
    format!("{name}:{port}")
}

fn encoded(kind: &str, body: &[u8]) -> Vec<Step> {
    if kind == "packed" {
        return vec![Step::Send(with(200, &[("content-encoding", "br")], body))];
    }
    let mut packed = if kind == "bomb" { packed(&vec![0; 16 << 20]) } else { packed(body) };
    if kind == "cut" {
        packed.truncate(packed.len() - 12);
    }
    vec![Step::Send(with(200, &[("content-encoding", "gzip")], &packed))]
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes everything")
}

fn chunked(head: &str, body: &[u8]) -> Vec<Step> {
    let mut answer = format!("{head}{CHUNKED}\r\n").into_bytes();
    for chunk in body.chunks(1000) {
        let _ = write!(answer, "{:x}\r\n", chunk.len());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    vec![Step::Send(answer)]
}
