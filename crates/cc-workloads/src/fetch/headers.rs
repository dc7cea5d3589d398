//! The headers of an answer that decide what comes next.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LOCATION, RETRY_AFTER},
};
use url::Url;

/// A server that wants to be left alone for longer is asked again after this time nevertheless.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long the server wants to be left alone: a number of seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // More than 64 bits of seconds are too many in any case.
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => MAX_RETRY_AFTER,
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Which part of a body an answer has: the first byte, and how many there are in all, as far as the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) total: Option<u64>,
}

/// `bytes 10-19/100`, or with `*` for an unknown total.
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (range, total) = text(headers, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (digits(first)?, digits(last)?);
    let total = if total == "*" { None } else { Some(digits(total)?) };
    let fits = first <= last && total.is_none_or(|total| last < total);
    fits.then_some(ContentRange { first, last, total })
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    digits(text(headers, CONTENT_LENGTH)?)
}

/// The body's version, if the server promises that equal tags are equal bytes. A weak tag does not.
pub(super) fn strong_tag(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned()
}

/// The body's encoding, in small letters; none is as it is.
pub(super) fn encoding(headers: &HeaderMap) -> Option<String> {
    let named = headers.get(CONTENT_ENCODING)?;
    let named = String::from_utf8_lossy(named.as_bytes()).trim().to_ascii_lowercase();
    (!named.is_empty() && named != "identity").then_some(named)
}

/// Where a redirect leads to, without the credentials that it may name: whose they are, the server is not to say.
pub(super) fn location(headers: &HeaderMap, base: &Url) -> Option<Url> {
    let mut target = base.join(text(headers, LOCATION)?).ok()?;
    // Those that cannot have any have none.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    target.set_fragment(None);
    Some(target)
}

/// A header that is there once, or as often with the same value.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.any(|other| other != first) { None } else { first.to_str().ok().map(str::trim) }
}

/// A number of nothing but digits: `parse` alone would take a sign.
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
    }

    #[test]
    fn lengths_that_contradict_each_other_are_none() {
        let mut twice = headers(CONTENT_LENGTH, "5");
        twice.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert_eq!(content_length(&twice), Some(5));
        twice.append(CONTENT_LENGTH, HeaderValue::from_static("6"));
        assert_eq!(content_length(&twice), None);
    }

    #[test]
    fn a_location_brings_no_credentials() {
        let base = Url::parse("http://a/b/c").unwrap();
        let to = |text| location(&headers(LOCATION, text), &base).map(String::from);
        assert_eq!(to("d#e").as_deref(), Some("http://a/b/d"));
        assert_eq!(to("//u:p@h/x").as_deref(), Some("http://h/x"));
        assert_eq!(to("http://[").as_deref(), None);
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
    }
}
