//! Chunks of a body (RFC 9112, 7.1).

use httparse::{Status, parse_chunk_size};

use crate::failure::TransportError;

/// Maximum bytes of chunk sizes, extensions and trailers without any content between them.
const MAX_FRAMING: usize = 16 << 10;

/// The position in a body of chunks.
#[derive(Default)]
pub(super) struct Chunks {
    next: Next,
    /// The part of a line that has arrived.
    line: Vec<u8>,
    /// Bytes since the last content.
    framing: usize,
}

#[derive(Default)]
enum Next {
    #[default]
    Size,
    /// This many more bytes of content.
    Content(u64),
    /// The end of the line after the content.
    LineEnd,
    /// Trailers, which are ignored, and the empty line that ends them.
    Trailers,
    Done,
}

impl Chunks {
    /// Whether the last chunk and the trailers have arrived.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.next, Next::Done)
    }

    /// Takes bytes until the end of some content. Returns the content and the bytes after it.
    pub(super) fn take<'a>(&mut self, mut bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), TransportError> {
        while !bytes.is_empty() && !self.is_done() {
            if let Next::Content(left) = self.next {
                let some = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - some as u64;
                self.next = if left == 0 { Next::LineEnd } else { Next::Content(left) };
                self.framing = 0;
                return Ok(bytes.split_at(some));
            }
            bytes = self.take_line(bytes)?;
        }
        Ok((&[], bytes))
    }

    /// Takes bytes until the end of a line, and returns those after it.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], TransportError> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        self.framing += line.len();
        if self.framing > MAX_FRAMING {
            return Err(TransportError::Malformed);
        }
        self.line.extend_from_slice(line);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.next = self.after(line.trim_ascii_end())?;
        }
        Ok(rest)
    }

    /// What follows this line.
    fn after(&self, line: &[u8]) -> Result<Next, TransportError> {
        match self.next {
            // The parser would take a line without digits for the last chunk.
            Next::Size if !line.first().is_some_and(u8::is_ascii_hexdigit) => Err(TransportError::Malformed),
            Next::Size => match parse_chunk_size(&[line, b"\r\n"].concat()) {
                Ok(Status::Complete((_, 0))) => Ok(Next::Trailers),
                Ok(Status::Complete((_, size))) => Ok(Next::Content(size)),
                _ => Err(TransportError::Malformed),
            },
            Next::LineEnd if line.is_empty() => Ok(Next::Size),
            Next::Trailers if line.is_empty() => Ok(Next::Done),
            Next::Trailers => Ok(Next::Trailers),
            _ => Err(TransportError::Malformed),
        }
    }
}
