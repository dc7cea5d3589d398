//! Where a request goes, and who asks.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::Failure;

/// A longer address is refused: ones of 8,000 bytes are what everybody is to understand (RFC 9110, 4.1).
const LONGEST: usize = 8000;

/// Only what is spoken here, and fits into a request.
pub(super) fn fetchable(url: Url) -> Result<Url, Failure> {
    if url.as_str().len() > LONGEST {
        Err(Failure::Url(format!("longer than {LONGEST} bytes")))
    } else if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(Failure::Scheme(url.scheme().to_owned()))
    }
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
