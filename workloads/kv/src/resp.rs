//! Requests, as they are cut out of the bytes that a client sends: RESP2 arrays of strings, and inline commands.
//!
//! Nothing here reads: a [`Decoder`] looks at what has arrived and remembers how far it has looked, so that a request
//! that comes a byte at a time is looked at once. It takes memory for what has arrived only; a length that a client
//! announces is a number. Limits and texts are those of Redis 7.0 (`networking.c`).

mod words;

use std::ops::Range;

use memchr::memchr;

/// A request has no more arguments.
pub const MAX_ARGUMENTS: usize = 1024 * 1024;
/// An argument has no more bytes.
pub const MAX_BULK: usize = 512 * 1024 * 1024;
/// An inline command, or a line that announces a length, has no more bytes.
pub const MAX_INLINE: usize = 64 * 1024;
/// A request has no more bytes.
pub const MAX_REQUEST: usize = 1024 * 1024 * 1024;
/// What a client that has not given the password may announce.
const MAX_STRANGER: (usize, usize) = (10, 16 * 1024);

/// What a client sent is no request. It is answered, and then the connection is closed: where the next request would
/// begin, nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Malformed {
    #[error("ERR Protocol error: too big inline request")]
    LongInline,
    #[error("ERR Protocol error: unbalanced quotes in request")]
    Quotes,
    #[error("ERR Protocol error: too big mbulk count string")]
    LongCount,
    #[error("ERR Protocol error: invalid multibulk length")]
    Count,
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    StrangersCount,
    #[error("ERR Protocol error: too big bulk count string")]
    LongLength,
    #[error("ERR Protocol error: expected '$', got '{}'", char::from(*.0))]
    NoLength(u8),
    #[error("ERR Protocol error: invalid bulk length")]
    Length,
    #[error("ERR Protocol error: unauthenticated bulk length")]
    StrangersLength,
    #[error("ERR Protocol error: too big request")]
    LongRequest,
}

/// A request: the name of a command and its arguments, where they have arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range<u32>],
    length: usize,
    is_inline: bool,
}

impl<'a> Request<'a> {
    /// How many there are, the name included: one at least.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Whether it came as a line of words.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// An argument; the first is the command's name.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    pub fn argument(&self, index: usize) -> &'a [u8] {
        let Range { start, end } = self.arguments[index];
        &self.bytes[start as usize..end as usize]
    }

    /// The arguments from one on.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let Self { bytes, arguments, .. } = *self;
        arguments[first.min(arguments.len())..]
            .iter()
            .map(|Range { start, end }| &bytes[*start as usize..*end as usize])
    }

    /// So many bytes of what had arrived are done with, once the request is.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A request that is kept for later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    arguments: Vec<Range<u32>>,
}

impl From<&Request<'_>> for Kept {
    fn from(request: &Request) -> Self {
        let (mut bytes, mut arguments) = (Vec::new(), Vec::with_capacity(request.len()));
        for argument in request.from(0) {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(argument);
            arguments.push(start..bytes.len() as u32);
        }
        Self { bytes, arguments }
    }
}

impl Kept {
    pub(super) fn request(&self) -> Request<'_> {
        Request { bytes: &self.bytes, arguments: &self.arguments, length: 0, is_inline: false }
    }

    /// What it takes in memory, about.
    pub(super) fn heap(&self) -> usize {
        self.bytes.len() + size_of_val(&self.arguments[..])
    }
}

/// Finds requests in bytes as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// So far it has looked.
    at: usize,
    arguments: Vec<Range<u32>>,
    /// An inline command without its quotes.
    inline: Vec<u8>,
    discards: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Start,
    /// So many arguments are to come.
    Arguments(usize),
    /// So many bytes of an argument, and then so many arguments.
    Bulk(usize, usize),
}

/// What a look at the bytes has found.
#[derive(Debug)]
pub enum Found<'a> {
    /// A request.
    Request(Request<'a>),
    /// The end of a request that was [discarded](Decoder::discard), after so many bytes, which are done with.
    Discarded(usize),
    /// More bytes are needed. So many are done with already.
    Part(usize),
}

/// The line from `at` on, without its end, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = &bytes[at..];
    let length = memchr(b'\r', rest)?;
    (length + 2 <= rest.len()).then(|| (&rest[..length], at + length + 2))
}

/// A number as Redis takes it: no sign but a minus, no leading zeros, nothing else.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < 20 => {}
        _ => return None,
    }
    let mut number = 0i64;
    for digit in digits {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        number = if digit > 9 { None } else { number.checked_mul(10)?.checked_sub(digit) }?;
    }
    if is_negative { Some(number) } else { number.checked_neg() }
}

impl Decoder {
    /// Looks at what has arrived: the bytes that were not done with yet, and those behind them.
    /// `is_stranger` is one who has yet to give the password.
    ///
    /// # Errors
    ///
    /// If it is no request. Nothing that follows is.
    pub fn decode<'a>(&'a mut self, bytes: &'a [u8], is_stranger: bool) -> Result<Found<'a>, Malformed> {
        loop {
            if self.at > MAX_REQUEST && !self.discards {
                return Err(Malformed::LongRequest);
            }
            let is_done = match self.state {
                State::Start => self.start(bytes, is_stranger)?,
                State::Arguments(0) => return Ok(self.finish(bytes)),
                State::Arguments(left) => self.length(bytes, left, is_stranger)?,
                State::Bulk(length, left) => self.bulk(bytes, length, left),
            };
            if !is_done {
                return Ok(Found::Part(if self.discards { std::mem::take(&mut self.at) } else { 0 }));
            }
        }
    }

    /// The request that is arriving is not wanted: its bytes are done with as they come, and it is
    /// [found](Found::Discarded) by its end.
    pub fn discard(&mut self) {
        self.discards = true;
        self.arguments = Vec::new();
    }

    /// How many bytes it keeps beside those that have arrived.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.arguments.capacity() * size_of::<Range<u32>>() + self.inline.capacity()
    }

    /// Gives back what memory it has. A request that is arriving goes on.
    pub fn shrink(&mut self) {
        self.arguments.shrink_to_fit();
        self.inline = Vec::new();
    }

    fn finish<'a>(&'a mut self, bytes: &'a [u8]) -> Found<'a> {
        let length = std::mem::take(&mut self.at);
        self.state = State::Start;
        if std::mem::take(&mut self.discards) {
            return Found::Discarded(length);
        }
        let is_inline = !self.inline.is_empty();
        let bytes = if is_inline { &self.inline } else { bytes };
        Found::Request(Request { bytes, arguments: &self.arguments, length, is_inline })
    }

    fn start(&mut self, bytes: &[u8], is_stranger: bool) -> Result<bool, Malformed> {
        self.arguments.clear();
        self.inline.clear();
        match bytes.get(self.at) {
            None => return Ok(false),
            Some(b'*') => {}
            Some(_) => return self.inline(bytes),
        }
        let Some((count, next)) = line(bytes, self.at) else {
            return if bytes.len() - self.at > MAX_INLINE { Err(Malformed::LongCount) } else { Ok(false) };
        };
        let count = number(&count[1..]).ok_or(Malformed::Count)?;
        match usize::try_from(count).unwrap_or(0) {
            // Redis takes no notice of it.
            0 => {}
            count if count > MAX_ARGUMENTS => return Err(Malformed::Count),
            count if is_stranger && count > MAX_STRANGER.0 => return Err(Malformed::StrangersCount),
            count => self.state = State::Arguments(count),
        }
        self.at = next;
        Ok(true)
    }

    fn length(&mut self, bytes: &[u8], left: usize, is_stranger: bool) -> Result<bool, Malformed> {
        let Some((length, next)) = line(bytes, self.at) else {
            return if bytes.len() - self.at > MAX_INLINE { Err(Malformed::LongLength) } else { Ok(false) };
        };
        let length = match length {
            [b'$', length @ ..] => number(length).and_then(|length| usize::try_from(length).ok()),
            other => return Err(Malformed::NoLength(other.first().copied().unwrap_or(b'\r'))),
        };
        let length = length.filter(|length| *length <= MAX_BULK).ok_or(Malformed::Length)?;
        if is_stranger && length > MAX_STRANGER.1 {
            return Err(Malformed::StrangersLength);
        }
        self.at = next;
        self.state = State::Bulk(length, left - 1);
        Ok(true)
    }

    fn bulk(&mut self, bytes: &[u8], length: usize, left: usize) -> bool {
        let there = bytes.len() - self.at;
        if there < length + 2 {
            // The end of the line counts as bytes that come, too: it may be cut in two.
            if self.discards && there <= length {
                self.state = State::Bulk(length - there, left);
                self.at += there;
            }
            return false;
        }
        if !self.discards {
            self.argument(self.at..self.at + length);
        }
        self.at += length + 2;
        self.state = State::Arguments(left);
        true
    }

    fn argument(&mut self, range: Range<usize>) {
        // A request is no longer than MAX_REQUEST and its last argument, which fits.
        self.arguments.push(range.start as u32..range.end as u32);
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        let rest = &bytes[self.at..];
        let Some(length) = memchr(b'\n', rest) else {
            return if rest.len() > MAX_INLINE { Err(Malformed::LongInline) } else { Ok(false) };
        };
        let line = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
        self.at += length + 1;
        self.words(line).ok_or(Malformed::Quotes)?;
        if !self.arguments.is_empty() {
            // It tells a request whose arguments are here from one whose are where they arrived.
            self.inline.push(b' ');
            self.state = State::Arguments(0);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
