//! HTTP/1.1 as the bytes of a connection: the request, and an [`Answer`] that is read as its bytes
//! arrive.
//!
//! Neither of them touches a socket. A client connects, sends the bytes of [`encode`], and passes
//! what it receives to the answer, until that is complete. So all clients read an answer in the
//! same way, and it leads to the same line in every model.

mod chunks;
mod head;

use std::{
    ops::ControlFlow::{self, Break, Continue},
    time::SystemTime,
};

use http::{Request, StatusCode, header::HOST, response::Parts};

use self::chunks::Chunks;
use super::{
    download::Download,
    failure::TransportError,
    headers::{self, Framing},
};

/// Maximum bytes of the heads of an answer, including interim ones, as in curl. They are checked
/// before memory is taken for them.
const MAX_HEAD: usize = 300 << 10;
/// An unneeded body of at most this size is read to its end: that is cheaper than another
/// connection.
const MAX_DRAIN: u64 = 16 << 10;

/// The request as it is sent to the server of its URL.
#[must_use]
pub fn encode(request: &Request<()>) -> Vec<u8> {
    let (uri, headers) = (request.uri(), request.headers());
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut bytes = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    };
    if let Some(authority) = uri.authority().filter(|_| !headers.contains_key(HOST)) {
        line(HOST.as_str(), authority.as_str().as_bytes());
    }
    headers.iter().for_each(|(name, value)| line(name.as_str(), value.as_bytes()));
    bytes.extend(b"\r\n");
    bytes
}

/// The answer to a request, while its bytes arrive.
#[derive(Default)]
pub struct Answer {
    state: State,
    /// The part of a head that has arrived.
    head: Vec<u8>,
    /// Bytes of all heads before this one: those of interim answers.
    earlier: usize,
    is_begun: bool,
    is_persistent: bool,
    /// Bytes that an unneeded body may still have; `None` if the body is needed.
    unneeded: Option<u64>,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    /// A body of this many more bytes.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Done,
}

impl Answer {
    /// Takes bytes that have arrived. `Break` means that no more are needed.
    ///
    /// # Errors
    ///
    /// [`TransportError::Malformed`] if they are not HTTP, or if the head is too large.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        download: &mut Download,
        now: SystemTime,
    ) -> Result<ControlFlow<()>, TransportError> {
        self.is_begun |= !bytes.is_empty();
        while !bytes.is_empty() && !self.is_done() {
            bytes = match self.state {
                State::Head => self.take_head(bytes, download, now)?,
                _ => self.take_body(bytes, download)?,
            };
        }
        // Bytes after the end could be taken for the answer to the next request.
        self.is_persistent &= bytes.is_empty();
        Ok(if self.is_done() { Break(()) } else { Continue(()) })
    }

    /// Takes an error of the connection, or its end. The download is told, unless it does not need
    /// the remainder.
    pub fn fail(&self, error: TransportError, download: &mut Download) {
        if self.unneeded.is_none() {
            download.on_error(error);
        }
    }

    /// Whether a byte has arrived.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Whether the connection can be used for another request.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.is_done() && self.is_persistent
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes bytes of a head, and returns those after it.
    fn take_head<'a>(
        &mut self,
        bytes: &'a [u8],
        download: &mut Download,
        now: SystemTime,
    ) -> Result<&'a [u8], TransportError> {
        let before = self.head.len();
        let room = MAX_HEAD - self.earlier - before;
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if !head::is_possible(&self.head) {
            return Err(TransportError::Malformed);
        }
        let Some(end) = head::end(&self.head, before) else {
            return if bytes.len() > room { Err(TransportError::Malformed) } else { Ok(&[]) };
        };
        self.head.truncate(end);
        let parsed = head::parse(&self.head)?;
        self.earlier += end;
        self.head = Vec::new();
        // An interim answer precedes the final one. 101 is final: no upgrade was requested.
        if !parsed.status.is_informational() || parsed.status == StatusCode::SWITCHING_PROTOCOLS {
            self.begin(&parsed, download, now);
        }
        Ok(&bytes[end - before..])
    }

    /// Begins the body.
    fn begin(&mut self, head: &Parts, download: &mut Download, now: SystemTime) {
        if download.on_head(head, now).is_break() {
            self.unneeded = Some(MAX_DRAIN);
        }
        self.is_persistent = headers::is_persistent(head);
        self.state = match headers::framing(head) {
            Ok(Framing::Length(0)) => State::Done,
            Ok(Framing::Length(length)) if self.unneeded.is_none_or(|max| length <= max) => {
                State::Length(length)
            }
            Ok(Framing::Chunked) => State::Chunked(Chunks::default()),
            Ok(Framing::UntilClose) if self.unneeded.is_none() => State::UntilClose,
            _ => return self.stop(),
        };
        if self.unneeded.is_some() && !self.is_persistent {
            self.stop();
        }
    }

    /// Ends the answer where no more of it is needed.
    fn stop(&mut self) {
        (self.state, self.is_persistent) = (State::Done, false);
    }

    /// Takes bytes of the body, and returns those after it.
    fn take_body<'a>(
        &mut self,
        bytes: &'a [u8],
        download: &mut Download,
    ) -> Result<&'a [u8], TransportError> {
        let (content, rest) = match &mut self.state {
            State::Length(left) => {
                let some = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= some as u64;
                bytes.split_at(some)
            }
            State::Chunked(chunks) => chunks.take(bytes)?,
            State::UntilClose => (bytes, &[][..]),
            State::Head | State::Done => return Ok(bytes),
        };
        let is_end = match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(chunks) => chunks.is_done(),
            _ => false,
        };
        let flow = match &mut self.unneeded {
            None if content.is_empty() => Continue(()),
            None => download.on_body(content),
            Some(left) => {
                let rest = left.checked_sub(content.len() as u64);
                *left = rest.unwrap_or(0);
                if rest.is_some() { Continue(()) } else { Break(()) }
            }
        };
        match flow {
            Break(()) => self.stop(),
            Continue(()) if is_end => self.state = State::Done,
            Continue(()) => {}
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_target_and_its_host() {
        let encoded = |url: &str| encode(&Request::get(url).header("accept", "*/*").body(()).unwrap());
        let expected = b"GET /a?b HTTP/1.1\r\nhost: h:8080\r\naccept: */*\r\n\r\n";
        assert_eq!(encoded("http://h:8080/a?b"), expected);
        assert!(encoded("http://h").starts_with(b"GET / HTTP/1.1\r\nhost: h\r\n"));
        let named = Request::get("http://h/").header(HOST, "i").body(()).unwrap();
        assert_eq!(encode(&named), b"GET / HTTP/1.1\r\nhost: i\r\n\r\n");
    }
}
