//! The headers of requests that the command line adds or replaces.

use std::fmt;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, IF_RANGE, PROXY_AUTHORIZATION,
        RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};
use serde::{Deserialize, Serialize};

/// Maximum bytes of all such headers: servers accept heads of 8 KiB, and the rest of the head needs
/// room, too.
pub(crate) const MAX_HEADERS: usize = 6 << 10;

/// Headers that belong to the client: they say how the request ends, what becomes of the
/// connection, and which part of a body is missing.
const OF_THE_CLIENT: [HeaderName; 9] =
    [CONNECTION, CONTENT_LENGTH, EXPECT, IF_RANGE, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Headers that are not sent to another origin than the one that was asked for.
const OF_THE_ORIGIN: [HeaderName; 4] = [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];

/// A header that replaces the one that is sent otherwise. Plain data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    name: String,
    /// An empty value removes the header.
    #[serde(with = "serde_bytes")]
    value: Vec<u8>,
}

/// Does not show the value, which may be a password.
impl fmt::Debug for RequestHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestHeader").field(&self.name).finish()
    }
}

impl RequestHeader {
    /// Parses `Name: value`. An empty value removes the header.
    ///
    /// # Errors
    ///
    /// If no request can have this header, or only the client may set it: a text for a message,
    /// without the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("a header is a name, a colon and a value")?;
        let name: HeaderName = name.trim().parse().map_err(|_| "this is no name of a header")?;
        if OF_THE_CLIENT.contains(&name) {
            return Err(format!("{name} is set by the client"));
        }
        Self::new(&name, value.trim())
    }

    /// The header of a user agent.
    ///
    /// # Errors
    ///
    /// If no header can have this value: a text for a message.
    pub fn user_agent(value: &str) -> Result<Self, String> {
        Self::new(&USER_AGENT, value.trim())
    }

    fn new(name: &HeaderName, value: &str) -> Result<Self, String> {
        HeaderValue::try_from(value).map_err(|_| "the value has a control character")?;
        Ok(Self { name: name.as_str().to_owned(), value: value.into() })
    }

    /// Whether it has the same name.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// Bytes that the header takes in a request.
    #[must_use]
    pub fn size(&self) -> usize {
        self.name.len() + self.value.len() + ": \r\n".len()
    }

    fn parts(&self) -> Option<(HeaderName, HeaderValue)> {
        Some((self.name.parse().ok()?, super::handover::header(&self.value)?))
    }
}

/// Puts these headers in the place of those of the same name. `is_away` if the request goes to
/// another origin than the one that was asked for.
pub(super) fn apply(added: &[RequestHeader], is_away: bool, headers: &mut HeaderMap) {
    let mut seen: Vec<HeaderName> = Vec::new();
    for (name, value) in added.iter().filter_map(RequestHeader::parts) {
        if is_away && OF_THE_ORIGIN.contains(&name) {
            continue;
        }
        if !seen.contains(&name) {
            headers.remove(&name);
            seen.push(name.clone());
        }
        if !value.is_empty() {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HeaderMap};

    use super::*;

    fn applied(texts: &[&str], is_away: bool) -> HeaderMap {
        let added: Vec<_> = texts.iter().map(|text| RequestHeader::parse(text).unwrap()).collect();
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
        apply(&added, is_away, &mut headers);
        headers
    }

    #[test]
    fn a_header_replaces_or_removes_the_one_of_its_name() {
        assert_eq!(applied(&["accept: text/html"], false)["accept"], "text/html");
        assert!(applied(&["Accept:"], false).is_empty());
        let twice = applied(&["X-A: 1", "x-a:2", "Accept: a"], false);
        assert_eq!(twice.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(applied(&["X-A: ä"], false)["x-a"].as_bytes(), "ä".as_bytes());
    }

    #[test]
    fn what_belongs_to_an_origin_stays_there() {
        let texts = ["Authorization: Bearer s3cret", "cookie: a=b", "Host: other", "X-A: 1"];
        assert_eq!(applied(&texts, false).len(), 5);
        let away = applied(&texts, true);
        assert_eq!((away.len(), away["x-a"].as_bytes()), (2, &b"1"[..]));
    }

    #[test]
    fn what_no_request_can_have_is_refused() {
        for text in
            ["", "x", ": y", "a b: c", "x: a\r\ny: b", "x: \0", "Range: bytes=1-", "content-length: 1"]
        {
            let why = RequestHeader::parse(text).unwrap_err();
            assert!(!why.contains("a\r\ny"), "{text:?}: {why}");
        }
        assert!(!format!("{:?}", RequestHeader::parse("authorization: s3cret")).contains("s3cret"));
    }
}
