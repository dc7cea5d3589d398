//! Decodes requests from the bytes that a client sends: RESP2 arrays of strings, and inline
//! commands.
//!
//! A [`Decoder`] does no I/O. It remembers its position, so a request that arrives a byte at a time
//! is not decoded again from its beginning. It allocates memory only for bytes that have arrived,
//! not for a length that a client announces. Limits and error texts are those of Redis 7.0
//! (`networking.c`).

mod words;

use std::ops::Range;

use memchr::memchr;

/// Maximum arguments of a request, including the command's name.
pub const MAX_ARGUMENTS: usize = 1024 * 1024;
/// Maximum bytes of an argument.
pub const MAX_BULK: usize = 512 * 1024 * 1024;
/// Maximum bytes of an inline command, or of a line that announces a length.
pub const MAX_INLINE: usize = 64 * 1024;
/// Maximum bytes of a request.
pub const MAX_REQUEST: usize = 1024 * 1024 * 1024;
/// Maximum arguments of a request of a client that has not given the password, as in Redis.
const MAX_UNAUTHENTICATED_ARGUMENTS: usize = 10;
/// Maximum bytes of an argument of such a client, as in Redis.
const MAX_UNAUTHENTICATED_BULK: usize = 16 * 1024;

/// The client's bytes are not a valid request. It gets the error as a reply. Then the connection is
/// closed, because the beginning of the next request is unknown.
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
    UnauthenticatedCount,
    #[error("ERR Protocol error: too big bulk count string")]
    LongLength,
    #[error("ERR Protocol error: expected '$', got '{}'", char::from(*.0))]
    NoLength(u8),
    #[error("ERR Protocol error: invalid bulk length")]
    Length,
    #[error("ERR Protocol error: unauthenticated bulk length")]
    UnauthenticatedLength,
    #[error("ERR Protocol error: too big request")]
    LongRequest,
}

/// A request: a command's name and its arguments, as slices of the bytes that have arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range<u32>],
    length: usize,
    is_inline: bool,
}

impl<'a> Request<'a> {
    /// The number of arguments, including the name: at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Whether it is an inline command.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// An argument; argument 0 is the command's name.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[must_use]
    pub fn argument(&self, index: usize) -> &'a [u8] {
        let Range { start, end } = self.arguments[index];
        &self.bytes[start as usize..end as usize]
    }

    /// The arguments from index `first` on.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let Self { bytes, arguments, .. } = *self;
        arguments[first.min(arguments.len())..]
            .iter()
            .map(|Range { start, end }| &bytes[*start as usize..*end as usize])
    }

    /// The length of the request in bytes: remove them from the input afterwards.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A request that owns its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedRequest {
    bytes: Vec<u8>,
    arguments: Vec<Range<u32>>,
}

impl From<&Request<'_>> for OwnedRequest {
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

impl OwnedRequest {
    pub(super) fn request(&self) -> Request<'_> {
        Request { bytes: &self.bytes, arguments: &self.arguments, length: 0, is_inline: false }
    }

    /// Approximate heap memory.
    pub(super) fn heap(&self) -> usize {
        self.bytes.len() + size_of_val(&self.arguments[..])
    }
}

/// Decodes requests from bytes as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// How many bytes of the input were examined.
    position: usize,
    arguments: Vec<Range<u32>>,
    /// The arguments of an inline command, unquoted.
    inline: Vec<u8>,
    is_discarding: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Start,
    /// This many arguments must follow.
    Arguments(usize),
    /// This many bytes of an argument must follow, and then this many arguments.
    Bulk(usize, usize),
}

/// The result of [`Decoder::decode`].
#[derive(Debug)]
pub enum Found<'a> {
    /// A request.
    Request(Request<'a>),
    /// The end of a request that is being [discarded](Decoder::discard): remove this many bytes
    /// from the input.
    Discarded(usize),
    /// More bytes are needed. Remove this many bytes from the input.
    Part(usize),
}

/// The line that begins at `at`, without its end, and the position of the next line.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = &bytes[at..];
    let length = memchr(b'\r', rest)?;
    (length + 2 <= rest.len()).then(|| (&rest[..length], at + length + 2))
}

/// Parses a number as strictly as Redis: an optional minus, no leading zeros, nothing else.
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
    /// Decodes the next request. `bytes` is the input without the bytes that were removed before.
    /// `is_unauthenticated` applies the limits of clients that have not given the password.
    ///
    /// # Errors
    ///
    /// If the bytes are not a valid request. The decoder cannot be used after that.
    pub fn decode<'a>(
        &'a mut self,
        bytes: &'a [u8],
        is_unauthenticated: bool,
    ) -> Result<Found<'a>, Malformed> {
        loop {
            if self.position > MAX_REQUEST && !self.is_discarding {
                return Err(Malformed::LongRequest);
            }
            let is_done = match self.state {
                State::Start => self.start(bytes, is_unauthenticated)?,
                State::Arguments(0) => return Ok(self.finish(bytes)),
                State::Arguments(left) => self.length(bytes, left, is_unauthenticated)?,
                State::Bulk(length, left) => self.bulk(bytes, length, left),
            };
            if !is_done {
                return Ok(Found::Part(if self.is_discarding {
                    std::mem::take(&mut self.position)
                } else {
                    0
                }));
            }
        }
    }

    /// Discards the request that is arriving: its bytes may be removed from the input as they come,
    /// and its end is reported as [`Found::Discarded`].
    pub fn discard(&mut self) {
        self.is_discarding = true;
        self.arguments = Vec::new();
    }

    /// Heap memory in addition to the input, in bytes.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.arguments.capacity() * size_of::<Range<u32>>() + self.inline.capacity()
    }

    /// Releases unused memory. A request that is arriving is not affected.
    pub fn shrink(&mut self) {
        self.arguments.shrink_to_fit();
        self.inline = Vec::new();
    }

    fn finish<'a>(&'a mut self, bytes: &'a [u8]) -> Found<'a> {
        let length = std::mem::take(&mut self.position);
        self.state = State::Start;
        if std::mem::take(&mut self.is_discarding) {
            return Found::Discarded(length);
        }
        let is_inline = !self.inline.is_empty();
        let bytes = if is_inline { &self.inline } else { bytes };
        Found::Request(Request { bytes, arguments: &self.arguments, length, is_inline })
    }

    fn start(&mut self, bytes: &[u8], is_unauthenticated: bool) -> Result<bool, Malformed> {
        self.arguments.clear();
        self.inline.clear();
        match bytes.get(self.position) {
            None => return Ok(false),
            Some(b'*') => {}
            Some(_) => return self.inline(bytes),
        }
        let Some((count, next)) = line(bytes, self.position) else {
            return if bytes.len() - self.position > MAX_INLINE {
                Err(Malformed::LongCount)
            } else {
                Ok(false)
            };
        };
        let count = number(&count[1..]).ok_or(Malformed::Count)?;
        match usize::try_from(count).unwrap_or(0) {
            // Redis ignores an empty array, too.
            0 => {}
            count if count > MAX_ARGUMENTS => return Err(Malformed::Count),
            count if is_unauthenticated && count > MAX_UNAUTHENTICATED_ARGUMENTS => {
                return Err(Malformed::UnauthenticatedCount);
            }
            count => self.state = State::Arguments(count),
        }
        self.position = next;
        Ok(true)
    }

    fn length(&mut self, bytes: &[u8], left: usize, is_unauthenticated: bool) -> Result<bool, Malformed> {
        let Some((length, next)) = line(bytes, self.position) else {
            return if bytes.len() - self.position > MAX_INLINE {
                Err(Malformed::LongLength)
            } else {
                Ok(false)
            };
        };
        let length = match length {
            [b'$', length @ ..] => number(length).and_then(|length| usize::try_from(length).ok()),
            other => return Err(Malformed::NoLength(other.first().copied().unwrap_or(b'\r'))),
        };
        let length = length.filter(|length| *length <= MAX_BULK).ok_or(Malformed::Length)?;
        if is_unauthenticated && length > MAX_UNAUTHENTICATED_BULK {
            return Err(Malformed::UnauthenticatedLength);
        }
        self.position = next;
        self.state = State::Bulk(length, left - 1);
        Ok(true)
    }

    fn bulk(&mut self, bytes: &[u8], length: usize, left: usize) -> bool {
        let there = bytes.len() - self.position;
        if there < length + 2 {
            // The line end is kept together, even if it arrives in two parts: only bytes of the
            // argument are discarded here.
            if self.is_discarding && there <= length {
                self.state = State::Bulk(length - there, left);
                self.position += there;
            }
            return false;
        }
        if !self.is_discarding {
            self.argument(self.position..self.position + length);
        }
        self.position += length + 2;
        self.state = State::Arguments(left);
        true
    }

    fn argument(&mut self, range: Range<usize>) {
        // Fits into 32 bits: at most MAX_REQUEST bytes precede the last argument, and its length is
        // limited by MAX_BULK.
        self.arguments.push(range.start as u32..range.end as u32);
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        let rest = &bytes[self.position..];
        let Some(length) = memchr(b'\n', rest) else {
            return if rest.len() > MAX_INLINE { Err(Malformed::LongInline) } else { Ok(false) };
        };
        let line = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
        self.position += length + 1;
        self.words(line).ok_or(Malformed::Quotes)?;
        if !self.arguments.is_empty() {
            // Makes `inline` non-empty even if all arguments are empty, since `finish` checks that.
            self.inline.push(b' ');
            self.state = State::Arguments(0);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
