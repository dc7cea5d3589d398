//! Where a request goes, and who asks.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::Failure;

/// A longer address is refused: ones of 8,000 bytes are what everybody is to understand (RFC 9110, 4.1).
const LONGEST: usize = 8000;

/// Only what is spoken here, and fits into a request.
pub(super) fn fetchable(url: Url) -> Result<Url, Failure> {
    if url.as_str().len() > LONGEST {
        Err(Failure::Url(format!("longer than {LONGEST} bytes")))
    } else if !matches!(url.scheme(), "http" | "https") {
        Err(Failure::Scheme(url.scheme().to_owned()))
    } else if Uri::try_from(bare(&url).as_str()).is_err() {
        // `url` lets characters into a host that have no place in a request.
        Err(Failure::Url("a host that cannot be asked for".to_owned()))
    } else {
        Ok(url)
    }
}

fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    strip(&mut url);
    url
}

/// A URL that was refused, for messages: without what is before its host, which may be a password.
/// What is no URL is looked through by hand, since `user:password@host` without a scheme is a
/// common slip.
pub(super) fn shown(text: &str) -> String {
    if let Ok(url) = Url::parse(text)
        && url.host_str().is_some_and(|host| !host.is_empty())
    {
        return bare(&url).into();
    }
    // A password may have slashes that end the authority too early, which is why it is no URL. It
    // may also stand before the scheme or a port, so the authority is looked for only before the
    // last `@`.
    match text.rfind('@') {
        Some(at) => format!("{}***{}", &text[..authority(&text[..at])], &text[at..]),
        None => text.to_owned(),
    }
}

/// Where the authority would begin in the beginning of what is no URL: after a scheme (RFC 3986,
/// 3.1) that a slash follows, and all slashes.
fn authority(text: &str) -> usize {
    let is_of_a_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme = text.find(|c| !is_of_a_scheme(c)).filter(|end| text[*end..].starts_with(":/"));
    let start = scheme.map_or(0, |colon| colon + 1);
    text.len() - text[start..].trim_start_matches('/').len()
}

pub(super) fn host(url: &Url) -> Arc<str> {
    url.host_str().expect("a URL of http has a host").into()
}

/// What a URL has before its host (RFC 7617).
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

/// What is shown and asked has no credentials, and no fragment.
pub(super) fn strip(url: &mut Url) {
    // Fails only for what cannot have any.
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
