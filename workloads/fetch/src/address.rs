//! URLs and credentials.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::Failure;

/// Maximum bytes of a URL: every recipient should support 8,000 (RFC 9110, 4.1).
const MAX_URL: usize = 8000;

/// Parses a URL that a user has written. The parser would drop tabs and line ends, which make one
/// URL of two.
pub(super) fn parsed(text: &str) -> Result<Url, Failure> {
    if text.trim_matches([' ', '\t', '\r', '\n']).contains(['\t', '\r', '\n']) {
        return Err(Failure::Url("a tab or a line end within a URL".to_owned()));
    }
    Url::parse(text).map_err(|error| Failure::Url(error.to_string()))
}

/// Accepts a URL that is http or https and that a request can contain.
pub(super) fn fetchable(url: Url) -> Result<Url, Failure> {
    if url.as_str().len() > MAX_URL {
        Err(Failure::Url(format!("longer than {MAX_URL} bytes")))
    } else if !matches!(url.scheme(), "http" | "https") {
        Err(Failure::Scheme(url.scheme().to_owned()))
    } else if Uri::try_from(bare(&url).as_str()).is_err() {
        // `url` accepts characters in a host that are invalid in a request.
        Err(Failure::Url("the host cannot appear in a request".to_owned()))
    } else {
        Ok(url)
    }
}

fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    strip(&mut url);
    url
}

/// A rejected URL for messages, without the text before its host, which may contain a password. An
/// unparsable URL is searched for it by hand, because `user:password@host` without a scheme is a
/// common mistake.
pub(super) fn shown(text: &str) -> String {
    if let Ok(url) = Url::parse(text)
        && url.host_str().is_some_and(|host| !host.is_empty())
    {
        return bare(&url).into();
    }
    // A password may contain slashes, which end the authority too early; that may be the reason why
    // the URL is invalid. It may also precede a scheme or a port. So the authority is searched for
    // only before the last `@`.
    match text.rfind('@') {
        Some(at) => format!("{}***{}", &text[..authority(&text[..at])], &text[at..]),
        None => text.to_owned(),
    }
}

/// The offset at which the authority of an unparsable URL would begin: after a scheme (RFC 3986,
/// 3.1) that is followed by a slash, and after all slashes.
fn authority(text: &str) -> usize {
    let is_of_a_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme = text.find(|c| !is_of_a_scheme(c)).filter(|end| text[*end..].starts_with(":/"));
    let start = scheme.map_or(0, |colon| colon + 1);
    text.len() - text[start..].trim_start_matches('/').len()
}

pub(super) fn host(url: &Url) -> Arc<str> {
    url.host_str().expect("a URL of http has a host").into()
}

/// The credentials in a URL (RFC 7617).
pub(super) fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Removes the credentials and the fragment, which are neither displayed nor sent in the URL.
pub(super) fn strip(url: &mut Url) {
    // Fails only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (text, expected) in [
            ("ftp://user:s3cret@h/x", "ftp://h/x"),
            ("https://user:s3cret@h/#s", "https://h/"),
            ("http://user:s3cret@[h/", "http://***@[h/"),
            ("http://user:s3cret@/", "http://***@/"),
            ("http://user:s3cr@et@a b/c@d", "http://***@d"),
            ("user:s3cret@h/x", "***@h/x"),
            ("//user:s3cret@h/x", "//***@h/x"),
            ("//s3cret@:/", "//***@:/"),
            ("//s3cret@:/@", "//***@"),
            ("x:/user:s3cret@h/x", "x:/***@h/x"),
            ("mailto:a@b", "***@b"),
            ("http://user:s3/cret@h/x", "http://***@h/x"),
            ("s3cret@h:/x", "***@h:/x"),
            ("s3cret@http://h/x", "***@http://h/x"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn two_urls_are_not_one() {
        for text in ["http://h/a\thttp://h/b", "http://h/a\rhttp://h/b", "http://h\n/"] {
            assert!(matches!(parsed(text), Err(Failure::Url(why)) if why.contains("a tab")), "{text:?}");
        }
        assert!(parsed(" http://h/a\t\n").is_ok());
    }

    #[test]
    fn a_host_that_no_request_can_name_is_refused() {
        for text in ["http://{host}/x", "http://a\"b/x", "http://a`b/"] {
            let refused = Url::parse(text).map(fetchable);
            assert!(matches!(refused, Err(_) | Ok(Err(Failure::Url(_)))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_wrong_no_password_is_shown(
            scheme in "|[a-z]{1,6}:|[a-z]{1,6}:/{1,3}|//",
            user in "[a-z:%]{0,5}",
            host in "[a-z .\\[\\]{}0-9:]{0,8}",
            path in "(/[a-z@]{0,5})?",
        ) {
            let shown = shown(&format!("{scheme}{user}SECRET@{host}{path}"));
            prop_assert!(!shown.to_lowercase().contains("secret"), "{shown}");
        }

        #[test]
        fn what_can_be_fetched_can_be_asked_for(text in "https?://[ -~]{0,24}") {
            if let Ok(Ok(url)) = Url::parse(&text).map(fetchable) {
                prop_assert!(Uri::try_from(bare(&url).as_str()).is_ok_and(|uri| uri.host().is_some()));
            }
        }
    }
}
