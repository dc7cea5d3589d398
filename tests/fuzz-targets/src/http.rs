//! What a server answers to `fetch`: heads and bodies.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant, SystemTime},
};

use cc_workloads::fetch::{Download, Failure, Fetched, Job, Schedule, Settings, Trouble, Turn, Wanted};
use http::{
    HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{AUTHORIZATION, CONTENT_RANGE, ETAG, IF_RANGE, RANGE},
    response::Parts,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{pieces, random};

/// The most headers that the clients accept.
const HEADERS: usize = 128;
/// The longest that an answer can have a client wait.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// The head that bytes begin with, and what follows it.
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

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What a head means for a first request, by the rules of RFC 9112, 6.3. `None` means that the body
/// is of no interest.
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
    if !(200..300).contains(&status) || status == 206 {
        return None;
    }
    let encoding =
        head.headers.get("content-encoding").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    if !matches!(&*encoding, "" | "identity" | "gzip" | "x-gzip") {
        return None;
    }
    if status == 204 {
        return Some(Framing::Length(0));
    }
    let codings = elements("transfer-encoding");
    if !codings.is_empty() {
        let is_known = head.version == Version::HTTP_11 && codings.join(",").eq_ignore_ascii_case("chunked");
        return is_known.then_some(Framing::Chunked);
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

fn is_packed(head: &Parts) -> bool {
    let encoding = head.headers.get("content-encoding").map(|value| value.as_bytes().to_ascii_lowercase());
    encoding.is_some_and(|encoding| encoding.windows(4).any(|four| four == b"gzip"))
}

/// A resource, and what has become of it so far.
struct Resource {
    schedule: Schedule,
    began: Instant,
}

/// What an attempt came to.
enum Attempted {
    Done(Result<Fetched, Failure>),
    /// Another one is to be made.
    Again(Box<Download>),
}

impl Resource {
    fn new(retries: u32) -> (Self, Box<Download>) {
        let settings = Settings { retries, ..Settings::default() };
        let wanted = vec![Wanted::new("http://user:secret@origin.example:8080/folder/file?query")];
        let began = Instant::now();
        let mut resource = Self { schedule: Schedule::new(&Job { settings, wanted }, began), began };
        let Turn::Start(download) = resource.schedule.turn(began) else { panic!("it may begin") };
        (resource, download)
    }

    fn ended(&mut self, download: Box<Download>) -> Attempted {
        if let Some(output) = self.schedule.ended(download.finish(self.began)) {
            assert!(matches!(self.schedule.turn(self.began), Turn::Over));
            return Attempted::Done(output.outcome);
        }
        let mut now = self.began;
        loop {
            match self.schedule.turn(now) {
                Turn::Start(download) => return Attempted::Again(download),
                Turn::Wait(Some(until)) => {
                    assert!(now < until && until <= self.began + MOST_WAIT, "no wait is longer");
                    now = until;
                }
                Turn::Wait(None) | Turn::Settled(_) | Turn::Over => panic!("another attempt is to be made"),
            }
        }
    }

    fn outcome(&mut self, download: Box<Download>) -> Result<Fetched, Failure> {
        match self.ended(download) {
            Attempted::Done(outcome) => outcome,
            Attempted::Again(_) => panic!("there are no retries"),
        }
    }
}

/// Bytes as the head of an answer.
///
/// - A body is read if, and only if, its end is known. Only its framing says whether it is whole:
///   one byte less is an error, and bytes after its end are ignored.
/// - A redirect leads to http or https, without credentials in its address, and those of the first
///   address go to no other origin.
/// - No wait that a server asks for is longer than a minute.
pub fn http_head(bytes: &[u8]) {
    let Some((head, _)) = head(bytes) else { return };
    let framing = framing(&head);
    let (mut resource, mut download) = Resource::new(1);
    let flow = download.answered(&head, SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
    assert_eq!(flow.is_continue(), framing.is_some(), "{framing:?} of {head:?}");
    if let Some(framing) = framing {
        ends(&head, framing);
        return;
    }
    assert_ne!(download.received(b"nothing of it is taken"), ControlFlow::Continue(()));
    match resource.ended(download) {
        Attempted::Done(outcome) => assert!(outcome.is_err()),
        Attempted::Again(download) if download.url().path() == "/folder/file" => {}
        Attempted::Again(download) => redirected(&head, &download),
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
}

/// The outcome for a body with this head and content that ends in this way.
fn body(head: &Parts, content: &[&[u8]], end: Option<Trouble>) -> Result<Fetched, Failure> {
    let (mut resource, mut download) = Resource::new(0);
    if download.answered(head, SystemTime::UNIX_EPOCH).is_continue() {
        let _ = content.iter().try_for_each(|piece| download.received(piece));
    }
    if let Some(trouble) = end {
        download.broke(trouble);
    }
    resource.outcome(download)
}

/// The longest body whose end is tried.
const LONGEST: usize = 1 << 10;

/// Checks that only the end that the framing names is the end.
fn ends(head: &Parts, framing: Framing) {
    let (length, ends) = match framing {
        Framing::Length(length) => (usize::try_from(length).unwrap_or(usize::MAX), [true, false, false]),
        Framing::Chunked => (LONGEST, [true, false, false]),
        Framing::UntilClose => (LONGEST, [true, true, false]),
    };
    let content: Vec<u8> = (0..length.min(LONGEST)).map(|at| (at * 7) as u8).collect();
    for (end, is_end) in [None, Some(Trouble::Eof), Some(Trouble::Closed)].into_iter().zip(ends) {
        let outcome = body(head, &[&content], end.clone());
        let is_whole = is_end && length <= LONGEST && !is_packed(head);
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

/// The content that a client gives to a download of what follows a head, and how it ends.
fn content(framing: Framing, bytes: &[u8]) -> (Vec<u8>, Option<Trouble>) {
    match framing {
        Framing::Length(length) => {
            match usize::try_from(length).ok().and_then(|length| bytes.get(..length)) {
                Some(content) => (content.to_vec(), None),
                None => (bytes.to_vec(), Some(Trouble::Eof)),
            }
        }
        Framing::UntilClose => (bytes.to_vec(), Some(Trouble::Eof)),
        Framing::Chunked => {
            let mut content = Vec::new();
            let end = chunks(bytes, &mut content);
            (content, end)
        }
    }
}

/// Takes chunks apart (RFC 9112, 7.1).
fn chunks(mut bytes: &[u8], content: &mut Vec<u8>) -> Option<Trouble> {
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Some(Trouble::Eof) };
        let size = bytes[..end].split(|byte| *byte == b';').next().unwrap_or_default();
        let size = str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size else { return Some(Trouble::Malformed) };
        bytes = &bytes[end + 2..];
        if size == 0 {
            // Trailers are passed over.
            let is_whole = bytes.starts_with(b"\r\n") || bytes.windows(4).any(|four| four == b"\r\n\r\n");
            return if is_whole { None } else { Some(Trouble::Eof) };
        }
        let some = size.min(bytes.len());
        content.extend_from_slice(&bytes[..some]);
        bytes = &bytes[some..];
        match bytes.strip_prefix(b"\r\n") {
            Some(rest) if some == size => bytes = rest,
            _ if bytes.len() < 2 => return Some(Trouble::Eof),
            _ => return Some(Trouble::Malformed),
        }
    }
}

/// Bytes as a whole answer, head and body.
///
/// - The same comes of a body however its bytes arrive.
/// - It is whole only if its framing says so, and its digest is that of the content.
/// - A body that broke off and is resumed is the one that it would have been.
pub fn http_body(bytes: &[u8]) {
    let Some((head, rest)) = head(bytes) else { return };
    let Some(framing) = framing(&head) else { return };
    let (content, end) = content(framing, rest);
    let whole = body(&head, &[&content], end.clone());
    let is_end = end.is_none() || end == Some(Trouble::Eof) && framing == Framing::UntilClose;
    assert!(is_end || whole.is_err(), "it ended with {end:?}");
    if !is_packed(&head) {
        let (bytes, digest) = (content.len() as u64, xxh3_64(&content));
        let fetched = Fetched { status: head.status.as_u16(), bytes, digest };
        assert_eq!(whole, if is_end { Ok(fetched) } else { Err(failure(end.as_ref(), bytes)) });
    }
    let mut rng = random(bytes);
    let cut = pieces(&content, 1 + rng.usize(..10), &mut rng);
    let in_pieces = body(&head, &cut, end.clone());
    // How much may come of the part that has been received depends on where that ends.
    if !(whole == Err(Failure::Bomb) || in_pieces == Err(Failure::Bomb)) {
        assert_eq!(in_pieces, whole);
    }
    assert!(body(&head, &cut, Some(Trouble::TimedOut)).is_err(), "silence is no end");
    assert!(body(&head, &cut, Some(Trouble::Closed)).is_err(), "a reset is no end");
    if is_end && whole.is_ok() {
        resumed(&head, &content, &whole, &mut rng);
    }
}

fn failure(end: Option<&Trouble>, received: u64) -> Failure {
    match end {
        Some(Trouble::Malformed) => Failure::Malformed,
        _ => Failure::Short { received },
    }
}

/// Breaks a body off somewhere, and sends the rest with the next answer, or all of it if it cannot
/// be resumed.
fn resumed(head: &Parts, content: &[u8], whole: &Result<Fetched, Failure>, rng: &mut fastrand::Rng) {
    let at = rng.usize(..=content.len());
    let (mut resource, mut download) = Resource::new(1);
    let _ = download.answered(head, SystemTime::UNIX_EPOCH);
    let flow = download.received(&content[..at]);
    download.broke(Trouble::Closed);
    let mut download = match (flow, resource.ended(download)) {
        (_, Attempted::Again(download)) => download,
        // Of gzip that is broken no more is wanted; but then the whole was none, either.
        (_, Attempted::Done(outcome)) => panic!("it is tried again: {outcome:?}"),
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
        assert!(download.answered(&part, SystemTime::UNIX_EPOCH).is_continue(), "it is the rest");
        let _ = download.received(&content[at..]);
    } else {
        let _ = download.answered(head, SystemTime::UNIX_EPOCH);
        let _ = download.received(content);
    }
    if framing(head) == Some(Framing::UntilClose) {
        download.broke(Trouble::Eof);
    }
    match resource.ended(download) {
        Attempted::Done(outcome) => assert_eq!(outcome, *whole),
        Attempted::Again(_) => panic!("it is there"),
    }
}
