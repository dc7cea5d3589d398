//! The headers of an answer that matter here.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
        LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
    },
    response::Parts,
};
use percent_encoding::{CONTROLS, percent_encode};
use url::Url;

use super::failure::Failure;

/// Maximum bytes of a body: no file can be longer, and the sum of two such lengths does not
/// overflow.
const MAX_BODY: u64 = i64::MAX as u64;

/// Maximum wait that a server can request; a longer one is cut to this.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The wait that the server requests: a number of seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A number that does not fit into 64 bits is above the maximum, too.
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => MAX_RETRY_AFTER,
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// How the end of a body is recognized (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes.
    Length(u64),
    /// After the last chunk and the trailers.
    Chunked,
    /// When the server closes the connection in an orderly way. A reset is not an end.
    UntilClose,
}

impl Framing {
    /// The length, if it is known.
    pub(super) fn length(self) -> Option<u64> {
        if let Self::Length(length) = self { Some(length) } else { None }
    }
}

/// How the end of this answer's body is recognized.
///
/// # Errors
///
/// [`Failure::Malformed`] if the headers contradict each other, so that no end can be trusted, and
/// [`Failure::Encoding`] for a transfer coding that was not requested.
pub(super) fn framing(head: &Parts) -> Result<Framing, Failure> {
    if has_no_body(head.status) {
        return Ok(Framing::Length(0));
    }
    match &transfer_codings(&head.headers)[..] {
        [] => Ok(content_length(&head.headers)?.map_or(Framing::UntilClose, Framing::Length)),
        // Overrides a Content-Length. HTTP/1.0 has no chunks, but servers that send them mean them.
        // A coding that is named twice is applied once: chunks never contain chunks.
        codings if codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked")) => {
            Ok(Framing::Chunked)
        }
        codings => Err(Failure::Encoding(codings.join(", "))),
    }
}

/// Whether answers of this status end with their head regardless of their headers.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The transfer codings, without `identity`, which is none.
fn transfer_codings(headers: &HeaderMap) -> Vec<String> {
    let mut codings = list(headers, TRANSFER_ENCODING);
    codings.retain(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    codings
}

/// Whether the connection can be used again after this answer. It cannot if the framing is odd: the
/// server may see the end of the body elsewhere (RFC 9112, 6.1).
pub(super) fn is_persistent(head: &Parts) -> bool {
    let is_odd = if has_no_body(head.status) {
        head.headers.contains_key(TRANSFER_ENCODING)
            || !matches!(content_length(&head.headers), Ok(None | Some(0)))
    } else {
        head.headers.contains_key(TRANSFER_ENCODING)
            && (head.version < Version::HTTP_11 || head.headers.contains_key(CONTENT_LENGTH))
    };
    let options = list(&head.headers, CONNECTION);
    let has = |option: &str| options.iter().any(|other| other.eq_ignore_ascii_case(option));
    !is_odd
        && head.status != StatusCode::SWITCHING_PROTOCOLS
        && !has("close")
        && (head.version >= Version::HTTP_11 || has("keep-alive"))
}

/// The range of a partial body, and the total length, if the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// The number of bytes of the range.
    pub(super) fn length(&self) -> u64 {
        self.end() - self.first
    }

    /// The offset after the last byte. Does not overflow, since no body is longer than
    /// [`MAX_BODY`].
    pub(super) fn end(&self) -> u64 {
        self.last + 1
    }
}

/// Parses `bytes 10-19/100`, or `bytes 10-19/*` for an unknown total.
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (range, total) = text(headers, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (digits(first)?, digits(last)?);
    let total = if total == "*" { None } else { Some(digits(total)?) };
    let fits = first <= last && last < MAX_BODY && total.is_none_or(|total| last < total);
    fits.then_some(ContentRange { first, last, total })
}

/// The length. It may be given several times if all values are equal.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let mut length = None;
    for text in list(headers, CONTENT_LENGTH) {
        let said = digits(&text).filter(|said| *said <= MAX_BODY).ok_or(Failure::Malformed)?;
        if length.replace(said).is_some_and(|other| other != said) {
            return Err(Failure::Malformed);
        }
    }
    Ok(length)
}

/// The body's ETag, if it is strong: only then do equal tags mean equal bytes.
pub(super) fn strong_tag(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned()
}

/// What was done to a body before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Encodings of which no decoder is here, and which were not requested (IANA, content codings).
const NOT_DECODED: [&str; 8] = ["aes128gcm", "br", "compress", "x-compress", "dcb", "dcz", "deflate", "zstd"];

/// The encoding of the body. Texts that name none, such as `none`, `utf-8` or `binary`, mean that
/// the body is as it should be.
///
/// # Errors
///
/// [`Failure::Encoding`] if it is an encoding that cannot be decoded.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let mut names = list(headers, CONTENT_ENCODING);
    names.iter_mut().for_each(|name| name.make_ascii_lowercase());
    names.retain(|name| NOT_DECODED.contains(&&**name) || is_gzip(name));
    match &names[..] {
        [] => Ok(Encoding::Identity),
        [name] if is_gzip(name) => Ok(Encoding::Gzip),
        _ => Err(Failure::Encoding(names.join(", "))),
    }
}

fn is_gzip(name: &str) -> bool {
    matches!(name, "gzip" | "x-gzip")
}

/// Whether the resource itself is a gzip file.
pub(super) fn is_gzip_file(headers: &HeaderMap) -> bool {
    let kind = text(headers, CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    matches!(kind, "application/gzip" | "application/x-gzip" | "application/x-gunzip" | "application/x-tgz")
}

/// The target of a redirect, without credentials: a server must not choose the credentials that are
/// sent.
pub(super) fn location(headers: &HeaderMap, base: &Url) -> Option<Url> {
    let text = single(headers, LOCATION)?.as_bytes().trim_ascii();
    // UTF-8 may be sent as it is. In a text of another charset, its bytes are what the server
    // knows.
    let text = str::from_utf8(text)
        .map_or_else(|_| percent_encode(text, CONTROLS).to_string().into(), Cow::Borrowed);
    if text.is_empty() {
        return None;
    }
    let mut target = base.join(&text).ok()?;
    // Fails only for URLs that cannot have credentials.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    target.set_fragment(None);
    Some(target)
}

/// The value of a header that occurs once, or several times with the same value.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.any(|other| other != first) { None } else { Some(first) }
}

/// The text of a header that occurs once, or several times with the same value.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    single(headers, name)?.to_str().ok().map(str::trim)
}

/// The elements of all headers of this name, which may be lists (RFC 9110, 5.6.1). Invalid UTF-8
/// stays invalid as an element.
fn list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let mut elements = Vec::new();
    for value in headers.get_all(name) {
        let value = String::from_utf8_lossy(value.as_bytes());
        elements.extend(value.split(',').map(|element| element.trim().to_owned()));
    }
    elements
}

/// Parses a number of digits only: `parse` alone would accept a sign.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn range(value: &str) -> Option<ContentRange> {
        content_range(&headers(CONTENT_RANGE, value))
    }

    fn wait(value: &str) -> Option<Duration> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        retry_after(&headers(RETRY_AFTER, value), now)
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(wait("Fri, 06 Nov 2099 08:49:37 GMT"), Some(MAX_RETRY_AFTER));
        assert!(["", "-1", "soon", "1.5"].iter().all(|text| wait(text).is_none()));
    }

    #[test]
    fn a_range_is_whole_or_none() {
        let known = ContentRange { first: 10, last: 19, total: Some(20) };
        assert_eq!(range("bytes 10-19/20"), Some(known));
        assert_eq!(range("bytes 10-19/*"), Some(ContentRange { total: None, ..known }));
        let wrong =
            ["bytes 10-20/20", "bytes 2-1/20", "bytes */20", "bytes 1-/2", "bytes +1-2/3", "lines 1-2/3", ""];
        assert!(wrong.iter().all(|text| range(text).is_none()));
        for last in ["9223372036854775807", "18446744073709551615", "18446744073709551616"] {
            assert_eq!(range(&format!("bytes 3-{last}/*")), None, "{last}");
        }
    }

    /// The head of an answer with these headers.
    fn head(status: u16, version: Version, headers: &[(HeaderName, &str)]) -> Parts {
        let mut answer = http::Response::builder().status(status).version(version);
        for (name, value) in headers {
            answer = answer.header(name, *value);
        }
        answer.body(()).unwrap().into_parts().0
    }

    fn framed(headers: &[(HeaderName, &str)]) -> Result<Framing, Failure> {
        framing(&head(200, Version::HTTP_11, headers))
    }

    #[test]
    fn the_end_of_a_body_is_its_length_its_last_chunk_or_that_of_the_connection() {
        assert_eq!(framed(&[(CONTENT_LENGTH, "5")]), Ok(Framing::Length(5)));
        assert_eq!(framed(&[(TRANSFER_ENCODING, "Chunked")]), Ok(Framing::Chunked));
        assert_eq!(framed(&[]), Ok(Framing::UntilClose));
    }

    #[test]
    fn chunks_override_a_length() {
        let both = [(CONTENT_LENGTH, "3"), (TRANSFER_ENCODING, "chunked")];
        assert_eq!(framed(&both), Ok(Framing::Chunked));
    }

    #[test]
    fn chunks_of_http_1_0_are_chunks_and_the_connection_is_not_used_again() {
        let old = head(200, Version::HTTP_10, &[(TRANSFER_ENCODING, "chunked"), (CONNECTION, "keep-alive")]);
        assert_eq!((framing(&old), is_persistent(&old)), (Ok(Framing::Chunked), false));
        let old = head(200, Version::HTTP_10, &[(CONTENT_LENGTH, "5"), (CONNECTION, "Keep-Alive")]);
        assert_eq!((framing(&old), is_persistent(&old)), (Ok(Framing::Length(5)), true));
        assert!(!is_persistent(&head(200, Version::HTTP_10, &[(CONTENT_LENGTH, "5")])));
    }

    #[test]
    fn a_connection_is_used_again_if_both_sides_agree_on_the_end() {
        let is_kept = |status, headers: &[_]| is_persistent(&head(status, Version::HTTP_11, headers));
        assert!(is_kept(200, &[(CONTENT_LENGTH, "5")]) && is_kept(200, &[(TRANSFER_ENCODING, "chunked")]));
        assert!(is_kept(204, &[]) && is_kept(204, &[(CONTENT_LENGTH, "0")]));
        assert!(!is_kept(204, &[(CONTENT_LENGTH, "5")]) && !is_kept(204, &[(TRANSFER_ENCODING, "chunked")]));
        assert!(!is_kept(200, &[(CONTENT_LENGTH, "5"), (TRANSFER_ENCODING, "chunked")]));
        assert!(!is_kept(200, &[(CONTENT_LENGTH, "5"), (CONNECTION, "x, Close")]));
    }

    #[test]
    fn transfer_codings_that_were_not_asked_for_are_named() {
        for odd in ["gzip, chunked", "chunked, gzip", "gzip"] {
            assert_eq!(framed(&[(TRANSFER_ENCODING, odd)]), Err(Failure::Encoding(odd.to_owned())));
        }
        let lines = [(TRANSFER_ENCODING, "gzip"), (TRANSFER_ENCODING, "chunked")];
        assert_eq!(framed(&lines), Err(Failure::Encoding("gzip, chunked".to_owned())));
        assert_eq!(framed(&[(TRANSFER_ENCODING, "identity"), (CONTENT_LENGTH, "3")]), Ok(Framing::Length(3)));
    }

    #[test]
    fn an_encoding_is_gzip_or_none_or_named() {
        let encoded = |value| encoding(&headers(CONTENT_ENCODING, value));
        for none in ["", "identity", "none", "UTF-8", "binary", "identity, none"] {
            assert_eq!(encoded(none), Ok(Encoding::Identity), "{none}");
        }
        for gzip in ["gzip", "X-GZip", "identity, gzip"] {
            assert_eq!(encoded(gzip), Ok(Encoding::Gzip), "{gzip}");
        }
        for other in ["br", "deflate", "gzip, gzip", "gzip, br"] {
            assert_eq!(encoded(other), Err(Failure::Encoding(other.to_owned())));
        }
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        for status in [204, 304] {
            let empty = framing(&head(status, Version::HTTP_11, &[(CONTENT_LENGTH, "5")]));
            assert_eq!(empty, Ok(Framing::Length(0)));
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_malformed() {
        for alike in [&[(CONTENT_LENGTH, "5"), (CONTENT_LENGTH, "5")][..], &[(CONTENT_LENGTH, "5, 5")]] {
            assert_eq!(framed(alike), Ok(Framing::Length(5)));
        }
        assert_eq!(framed(&[(CONTENT_LENGTH, "5"), (CONTENT_LENGTH, "6")]), Err(Failure::Malformed));
        for odd in ["", "5,", "5, 6", "+5", "-1", "0x5", "9223372036854775808", "18446744073709551615"] {
            assert_eq!(framed(&[(CONTENT_LENGTH, odd)]), Err(Failure::Malformed), "{odd}");
        }
    }

    #[test]
    fn a_location_brings_no_credentials() {
        let base = Url::parse("http://a/b/c").unwrap();
        let to = |text| location(&headers(LOCATION, text), &base).map(String::from);
        assert_eq!(to("d#e").as_deref(), Some("http://a/b/d"));
        assert_eq!(to("//u:p@h/x").as_deref(), Some("http://h/x"));
        assert_eq!(to("http://[").as_deref(), None);
        assert_eq!(to("").as_deref(), None);
    }

    #[test]
    fn a_location_may_be_more_than_ascii() {
        let base = Url::parse("http://a/b/c").unwrap();
        for (bytes, expected) in [
            ("/café".as_bytes(), "http://a/caf%C3%A9"),
            (b"/caf\xe9", "http://a/caf%E9"),
            ("//münchen.example/".as_bytes(), "http://xn--mnchen-3ya.example/"),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(bytes).unwrap())]);
            assert_eq!(location(&headers, &base).map(String::from).as_deref(), Some(expected));
        }
    }

    #[test]
    fn weak_tags_are_none() {
        assert!(strong_tag(&headers(ETAG, "\"a\"")).is_some());
        assert!(strong_tag(&headers(ETAG, "W/\"a\"")).is_none());
    }

    proptest! {
        #[test]
        fn a_range_that_is_written_is_read(first in 0u64..1000, more in 0u64..1000, rest in 1u64..1000) {
            let (last, total) = (first + more, first + more + rest);
            let read = range(&format!("bytes {first}-{last}/{total}"));
            prop_assert_eq!(read, Some(ContentRange { first, last, total: Some(total) }));
        }

        #[test]
        fn no_text_is_too_odd(text in "[ -~]{0,40}") {
            prop_assert!(wait(&text).is_none_or(|wait| wait <= MAX_RETRY_AFTER));
            prop_assert!(range(&text).is_none_or(|range| range.first <= range.last));
        }

        #[test]
        fn a_range_has_a_length_whatever_its_numbers(first: u64, last: u64, total: Option<u64>) {
            let total_text = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
            if let Some(range) = range(&format!("bytes {first}-{last}/{total_text}")) {
                prop_assert_eq!((range.first, range.end()), (first, last + 1));
                prop_assert_eq!(range.length(), last - first + 1);
            } else {
                prop_assert!(first > last || last >= MAX_BODY || total.is_some_and(|n| n <= last));
            }
        }

        #[test]
        fn no_head_is_too_odd(
            status in 200u16..600,
            is_old: bool,
            headers in prop::collection::vec((any::<bool>(), "[ -~]{0,24}|[0-9]{0,22}|chunked"), 0..4),
        ) {
            let name = |is_length| if is_length { CONTENT_LENGTH } else { TRANSFER_ENCODING };
            let headers: Vec<_> =
                headers.iter().map(|(is_length, value)| (name(*is_length), value.as_str())).collect();
            let version = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
            match framing(&head(status, version, &headers)) {
                Ok(Framing::Length(length)) => prop_assert!(length <= MAX_BODY),
                Ok(Framing::Chunked) => prop_assert!(!headers.is_empty()),
                Ok(Framing::UntilClose) => {
                    prop_assert!(headers.iter().all(|(name, _)| *name == TRANSFER_ENCODING));
                }
                Err(why) => prop_assert!(matches!(why, Failure::Malformed | Failure::Encoding(_))),
            }
        }
    }
}
