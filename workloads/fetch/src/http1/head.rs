//! The head of an answer.

use std::borrow::Cow;

use http::{
    HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    response::Parts,
};
use httparse::{EMPTY_HEADER, ParserConfig, Status};

use crate::failure::TransportError;

/// Maximum headers of an answer, as in curl.
const MAX_HEADERS: usize = 5000;

/// What every answer starts with.
const START: &[u8] = b"HTTP/";

/// Whether these bytes can be the beginning of a head.
pub(super) fn is_possible(head: &[u8]) -> bool {
    let some = head.len().min(START.len());
    head[..some] == START[..some]
}

/// The length of the head, with the empty line that ends it, if that has arrived. `before` bytes
/// were searched earlier. A line may end without a carriage return (RFC 9112, 2.2).
pub(super) fn end(head: &[u8], before: usize) -> Option<usize> {
    let from = before.saturating_sub(2);
    let mut newlines = (from..head.len()).filter(|at| head[*at] == b'\n');
    newlines.find_map(|at| match &head[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Parses a complete head. What browsers and curl accept is accepted: folded lines, spaces before a
/// colon, and lines that are no headers, which are ignored.
pub(super) fn parse(head: &[u8]) -> Result<Parts, TransportError> {
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    // A NUL ends the text for some readers, so they would see another head.
    if lines > MAX_HEADERS + 2 || head.contains(&0) {
        return Err(TransportError::Malformed);
    }
    let mut headers = vec![EMPTY_HEADER; lines];
    let mut parsed = httparse::Response::new(&mut headers);
    let status = lenient().parse_response(&mut parsed, head).map_err(|_| TransportError::Malformed)?;
    let (Status::Complete(_), Some(code), Some(version)) = (status, parsed.code, parsed.version) else {
        return Err(TransportError::Malformed);
    };
    let code = StatusCode::from_u16(code).map_err(|_| TransportError::Malformed)?;
    let (mut answer, ()) = Response::new(()).into_parts();
    answer.status = code;
    answer.version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    for header in &*parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(&unfolded(header.value));
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers.append(name, value);
        }
    }
    // If a header that frames the body were ignored, the body would end elsewhere.
    let is_framed = [CONTENT_LENGTH, TRANSFER_ENCODING]
        .iter()
        .all(|name| answer.headers.get_all(name).iter().count() == count(head, name));
    if is_framed { Ok(answer) } else { Err(TransportError::Malformed) }
}

fn lenient() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    config
}

/// The value of a folded header, with a space in the place of each line end (RFC 9112, 5.2).
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\n') {
        return Cow::Borrowed(value);
    }
    let lines: Vec<_> = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    Cow::Owned(lines.join(&b' ').trim_ascii().to_vec())
}

/// The number of lines that begin with this name, with or without a colon after it.
fn count(head: &[u8], name: &HeaderName) -> usize {
    let name = name.as_str().as_bytes();
    let is_named = |line: &&[u8]| {
        let starts = line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        starts
            && !line.get(name.len()).is_some_and(|next| next.is_ascii_alphanumeric() || b"-_".contains(next))
    };
    head.split(|byte| *byte == b'\n').filter(is_named).count()
}
