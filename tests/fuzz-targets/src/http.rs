//! Input of `fetch` from a server: heads and bodies.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant, SystemTime},
};

use cc_workloads::fetch::{
    Action, Download, Failure, Fetched, Job, RequestHeader, Schedule, Settings, TransportError, Wanted,
    http1::Answer,
};
use http::{
    HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{AUTHORIZATION, CONTENT_RANGE, COOKIE, ETAG, IF_RANGE, RANGE},
    response::Parts,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{pieces, random};

/// Maximum number of headers that the clients accept.
const HEADERS: usize = 128;
/// Encodings that are not decoded, in lower case.
const NOT_DECODED: &[&str] = &["aes128gcm", "br", "compress", "x-compress", "dcb", "dcz", "deflate", "zstd"];
/// Maximum wait that an answer can impose.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// The head at the start of the bytes, and the bytes after it.
fn head(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(bytes).ok()? else { return None };
    let version = if parsed.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut head = Response::builder().status(parsed.code?).version(version);
    for header in parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        head = head.header(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some((head.body(()).ok()?.into_parts().0, &bytes[length..]))
}

/// How the end of a body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The framing of the body for a first request, by RFC 9112, 6.3. `None` if the body is not read.
fn framing(head: &Parts) -> Option<Framing> {
    let elements = |name: &str| -> Vec<String> {
        let values = head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let joined: Vec<_> = values.collect();
        if joined.is_empty() {
            vec![]
        } else {
            joined.join(",").split(',').map(|it| it.trim().to_owned()).collect()
        }
    };
    let status = head.status.as_u16();
    if !(200..300).contains(&status) {
        return None;
    }
    let encodings = elements("content-encoding");
    let is = |encoding: &String, names: &[&str]| names.iter().any(|name| encoding.eq_ignore_ascii_case(name));
    let packed = encodings.iter().filter(|encoding| is(encoding, &["gzip", "x-gzip"])).count();
    if packed > 1 || encodings.iter().any(|encoding| is(encoding, NOT_DECODED)) {
        return None;
    }
    if status == 204 {
        return Some(Framing::Length(0));
    }
    let mut codings = elements("transfer-encoding");
    codings.retain(|coding| !is(coding, &["", "identity"]));
    if !codings.is_empty() {
        return codings.iter().all(|coding| is(coding, &["chunked"])).then_some(Framing::Chunked);
    }
    let lengths = elements("content-length");
    let Some(first) = lengths.first() else { return Some(Framing::UntilClose) };
    let is_number = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !lengths.iter().all(is_number) {
        return None;
    }
    let number: u64 = first.parse().ok().filter(|length| i64::try_from(*length).is_ok())?;
    lengths.iter().all(|other| other.parse() == Ok(number)).then_some(Framing::Length(number))
}

/// Whether the body may be gzip that is decoded. A type of gzip files says that it is not.
fn is_packed(head: &Parts) -> bool {
    let is_gzip = |element: &str| ["gzip", "x-gzip"].contains(&&*element.trim().to_ascii_lowercase());
    let has_gzip = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).split(',').any(is_gzip);
    head.headers.get_all("content-encoding").iter().any(has_gzip)
}

/// Whether the head is one whose result the model here does not tell: that of a range, which
/// depends on the range, and that of a gzip file, whose encoding does not count.
fn is_special(head: &Parts) -> bool {
    head.status == StatusCode::PARTIAL_CONTENT || is_packed(head) && head.headers.contains_key("content-type")
}

/// A download of one resource, with its schedule.
struct Resource {
    schedule: Schedule,
    began: Instant,
}

/// The result of an attempt.
enum Attempted {
    Done(Result<Fetched, Failure>),
    /// There must be another attempt.
    Retry(Box<Download>),
}

impl Resource {
    fn new(retries: u32) -> (Self, Box<Download>) {
        let headers = vec![RequestHeader::parse("cookie: a=b").expect("it is a header")];
        let settings = Settings { retries, headers, ..Settings::default() };
        let wanted = vec![Wanted::new("http://user:secret@origin.example:8080/folder/file?query")];
        let began = Instant::now();
        let mut resource = Self { schedule: Schedule::new(&Job { settings, wanted }, began), began };
        let Action::Start(download) = resource.schedule.poll(began) else { panic!("it may begin") };
        (resource, download)
    }

    fn ended(&mut self, download: Box<Download>) -> Attempted {
        if let Some(output) = self.schedule.complete(download.finish(self.began)) {
            assert!(matches!(self.schedule.poll(self.began), Action::Done));
            return Attempted::Done(output.outcome);
        }
        let mut now = self.began;
        loop {
            match self.schedule.poll(now) {
                Action::Start(download) => return Attempted::Retry(download),
                Action::Wait(Some(until)) => {
                    assert!(now < until && until <= self.began + MOST_WAIT, "no wait is longer");
                    now = until;
                }
                Action::Wait(None) | Action::Emit(_) | Action::Done => {
                    panic!("another attempt is to be made")
                }
            }
        }
    }

    fn outcome(&mut self, download: Box<Download>) -> Result<Fetched, Failure> {
        match self.ended(download) {
            Attempted::Done(outcome) => outcome,
            Attempted::Retry(_) => panic!("there are no retries"),
        }
    }
}

/// Takes bytes as the head of an answer.
///
/// - A body is read if and only if its end is known. Only its framing decides whether it is
///   complete: one byte less is an error, and bytes after its end are ignored.
/// - A redirect leads to http or https, without credentials in its address. The credentials of the
///   first address go to no other origin.
/// - No wait that a server requests is longer than a minute.
pub fn http_head(bytes: &[u8]) {
    let Some((head, _)) = head(bytes) else { return };
    if is_special(&head) {
        return;
    }
    let framing = framing(&head);
    let (mut resource, mut download) = Resource::new(1);
    let flow = download.on_head(&head, SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
    assert_eq!(flow.is_continue(), framing.is_some(), "{framing:?} of {head:?}");
    if let Some(framing) = framing {
        ends(&head, framing);
        return;
    }
    assert_ne!(download.on_body(b"nothing of it is taken"), ControlFlow::Continue(()));
    match resource.ended(download) {
        Attempted::Done(outcome) => assert!(outcome.is_err()),
        Attempted::Retry(download) if download.url().path() == "/folder/file" => {}
        Attempted::Retry(download) => redirected(&head, &download),
    }
}

fn redirected(head: &Parts, download: &Download) {
    assert!(matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308));
    let (url, request) = (download.url(), download.request());
    assert!(matches!(url.scheme(), "http" | "https") && url.as_str().len() <= 8000);
    assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None));
    let place = (url.scheme(), url.host_str(), url.port_or_known_default());
    let is_same = place == ("http", Some("origin.example"), Some(8080));
    assert_eq!(request.headers().contains_key(AUTHORIZATION), is_same, "{url}");
    assert_eq!(request.headers().contains_key(COOKIE), is_same, "{url}");
}

/// The outcome for a body with this head and content, and this end of the connection.
fn body(head: &Parts, content: &[&[u8]], end: Option<TransportError>) -> Result<Fetched, Failure> {
    let (mut resource, mut download) = Resource::new(0);
    if download.on_head(head, SystemTime::UNIX_EPOCH).is_continue() {
        let _ = content.iter().try_for_each(|piece| download.on_body(piece));
    }
    if let Some(error) = end {
        download.on_error(error);
    }
    resource.outcome(download)
}

/// Maximum size of a body whose possible ends are all tried.
const LONGEST: usize = 1 << 10;

/// Checks that only the end that the framing determines counts.
fn ends(head: &Parts, framing: Framing) {
    let (length, ends) = match framing {
        Framing::Length(length) => (usize::try_from(length).unwrap_or(usize::MAX), [true, false, false]),
        Framing::Chunked => (LONGEST, [true, false, false]),
        Framing::UntilClose => (LONGEST, [true, true, false]),
    };
    let content: Vec<u8> = (0..length.min(LONGEST)).map(|at| (at * 7) as u8).collect();
    for (end, is_end) in [None, Some(TransportError::Eof), Some(TransportError::Closed)].into_iter().zip(ends)
    {
        let outcome = body(head, &[&content], end.clone());
        let is_whole = is_end && length <= LONGEST && (!is_packed(head) || length == 0);
        assert_eq!(outcome.is_ok(), is_whole, "{outcome:?} of {framing:?} that ends with {end:?}");
        let digest = xxh3_64(&content);
        let expected = Fetched { status: head.status.as_u16(), bytes: content.len() as u64, digest };
        assert!(outcome.is_err() || outcome == Ok(expected));
    }
    if let (Framing::Length(_), Some((_, short))) = (framing, content.split_last()) {
        let received = short.len() as u64;
        if !is_packed(head) {
            assert_eq!(body(head, &[short], None), Err(Failure::Short { received }));
            if length <= LONGEST {
                let longer = body(head, &[&content, b"more"], None);
                assert_eq!(longer, body(head, &[&content], None), "bytes after the end are ignored");
            }
        }
    }
}

/// The content and the end of the bytes after a head, as a client passes them to a download.
fn content(framing: Framing, bytes: &[u8]) -> (Vec<u8>, Option<TransportError>) {
    match framing {
        Framing::Length(length) => {
            match usize::try_from(length).ok().and_then(|length| bytes.get(..length)) {
                Some(content) => (content.to_vec(), None),
                None => (bytes.to_vec(), Some(TransportError::Eof)),
            }
        }
        Framing::UntilClose => (bytes.to_vec(), Some(TransportError::Eof)),
        Framing::Chunked => {
            let mut content = Vec::new();
            let end = chunks(bytes, &mut content);
            (content, end)
        }
    }
}

/// Decodes chunks (RFC 9112, 7.1).
fn chunks(mut bytes: &[u8], content: &mut Vec<u8>) -> Option<TransportError> {
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return Some(TransportError::Eof);
        };
        let size = bytes[..end].split(|byte| *byte == b';').next().unwrap_or_default();
        let size = str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size else { return Some(TransportError::Malformed) };
        bytes = &bytes[end + 2..];
        if size == 0 {
            // Trailers are ignored.
            let is_whole = bytes.starts_with(b"\r\n") || bytes.windows(4).any(|four| four == b"\r\n\r\n");
            return if is_whole { None } else { Some(TransportError::Eof) };
        }
        let some = size.min(bytes.len());
        content.extend_from_slice(&bytes[..some]);
        bytes = &bytes[some..];
        match bytes.strip_prefix(b"\r\n") {
            Some(rest) if some == size => bytes = rest,
            _ if bytes.len() < 2 => return Some(TransportError::Eof),
            _ => return Some(TransportError::Malformed),
        }
    }
}

/// The outcome of an answer whose bytes arrive in these pieces, before the connection ends.
fn received(pieces: &[&[u8]]) -> Attempted {
    let (mut resource, mut download) = Resource::new(0);
    let mut answer = Answer::default();
    let mut end = Some(TransportError::Eof);
    for piece in pieces {
        match answer.receive(piece, &mut download, SystemTime::UNIX_EPOCH) {
            Ok(ControlFlow::Continue(())) => continue,
            Ok(ControlFlow::Break(())) => end = None,
            Err(error) => end = Some(error),
        }
        break;
    }
    end.into_iter().for_each(|error| answer.fail(error, &mut download));
    resource.ended(download)
}

/// Takes bytes as they come from a connection: the result does not depend on how they arrive.
fn answer(bytes: &[u8]) {
    let mut rng = random(bytes);
    let cut = pieces(bytes, 1 + rng.usize(..10), &mut rng);
    match (received(&[bytes]), received(&cut)) {
        // Whether the received part is taken for a bomb depends on where it ends.
        (Attempted::Done(whole), Attempted::Done(in_pieces)) => assert!(
            whole == in_pieces || [&whole, &in_pieces].contains(&&Err(Failure::Bomb)),
            "{whole:?}, and in pieces {in_pieces:?}"
        ),
        (Attempted::Retry(whole), Attempted::Retry(in_pieces)) => assert_eq!(whole.url(), in_pieces.url()),
        _ => panic!("an answer is a redirect only if it arrives in one piece"),
    }
}

/// Takes bytes as a complete answer, head and body.
///
/// - The answer is the same in one piece and in many.
/// - The result does not depend on how the bytes of the body arrive.
/// - The body is complete only if its framing says so, and its digest is that of the content.
/// - A body that broke off and was resumed equals the uninterrupted one.
pub fn http_body(bytes: &[u8]) {
    answer(bytes);
    let Some((head, rest)) = head(bytes) else { return };
    if is_special(&head) {
        return;
    }
    let Some(framing) = framing(&head) else { return };
    let (content, end) = content(framing, rest);
    let whole = body(&head, &[&content], end.clone());
    let is_end = end.is_none() || end == Some(TransportError::Eof) && framing == Framing::UntilClose;
    assert!(is_end || whole.is_err(), "it ended with {end:?}");
    if !is_packed(&head) {
        let (bytes, digest) = (content.len() as u64, xxh3_64(&content));
        let fetched = Fetched { status: head.status.as_u16(), bytes, digest };
        assert_eq!(whole, if is_end { Ok(fetched) } else { Err(failure(end.as_ref(), bytes)) });
    }
    let mut rng = random(bytes);
    let cut = pieces(&content, 1 + rng.usize(..10), &mut rng);
    let in_pieces = body(&head, &cut, end.clone());
    // Whether the received part is taken for a bomb depends on where it ends.
    if !(whole == Err(Failure::Bomb) || in_pieces == Err(Failure::Bomb)) {
        assert_eq!(in_pieces, whole);
    }
    assert!(body(&head, &cut, Some(TransportError::TimedOut)).is_err(), "silence is no end");
    assert!(body(&head, &cut, Some(TransportError::Closed)).is_err(), "a reset is no end");
    if is_end && whole.is_ok() {
        resumed(&head, &content, &whole, &mut rng);
    }
}

fn failure(end: Option<&TransportError>, received: u64) -> Failure {
    match end {
        Some(TransportError::Malformed) => Failure::Malformed,
        _ => Failure::Short { received },
    }
}

/// Breaks off a body at a random position. The next answer has the remainder, or all of it if the
/// body cannot be resumed.
fn resumed(head: &Parts, content: &[u8], whole: &Result<Fetched, Failure>, rng: &mut fastrand::Rng) {
    let at = rng.usize(..=content.len());
    let (mut resource, mut download) = Resource::new(1);
    let _ = download.on_head(head, SystemTime::UNIX_EPOCH);
    let flow = download.on_body(&content[..at]);
    download.on_error(TransportError::Closed);
    let mut download = match (flow, resource.ended(download)) {
        (_, Attempted::Retry(download)) => download,
        // A broken gzip body is not retried; but then the complete body was broken as well.
        (_, Attempted::Done(outcome)) => panic!("there must be another attempt: {outcome:?}"),
    };
    let request = download.request();
    let tag = head.headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    let can_resume = at > 0 && tag.is_some();
    let range = request.headers().get(RANGE).map(|range| range.to_str().expect("it is ASCII").to_owned());
    assert_eq!(range, can_resume.then(|| format!("bytes={at}-")));
    assert_eq!(request.headers().get(IF_RANGE), tag.filter(|_| can_resume));
    let length = content.len();
    if can_resume && at < length {
        let mut part = head.clone();
        part.status = StatusCode::PARTIAL_CONTENT;
        part.headers.remove("content-length");
        let range = format!("bytes {at}-{}/{length}", length - 1);
        part.headers.insert(CONTENT_RANGE, HeaderValue::try_from(range).expect("it is ASCII"));
        assert!(download.on_head(&part, SystemTime::UNIX_EPOCH).is_continue(), "it is the remainder");
        let _ = download.on_body(&content[at..]);
    } else {
        let _ = download.on_head(head, SystemTime::UNIX_EPOCH);
        let _ = download.on_body(content);
    }
    if framing(head) == Some(Framing::UntilClose) {
        download.on_error(TransportError::Eof);
    }
    match resource.ended(download) {
        Attempted::Done(outcome) => assert_eq!(outcome, *whole),
        Attempted::Retry(_) => panic!("it is there"),
    }
}
