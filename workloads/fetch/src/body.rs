//! Processes the bytes of a body as they arrive: decompresses, counts, digests and saves them
//! without buffering the body.

use std::{
    fs::File,
    io::{self, Write},
};

use cc_core::error::reason;
use flate2::write::MultiGzDecoder;
use http::HeaderValue;
use xxhash_rust::xxh3::Xxh3;

use super::{
    destination::{Destination, Keep},
    failure::Failure,
    headers::Encoding,
};
/// Maximum decompressed bytes to which the ratio is not applied.
const MIN_RATIO_BYTES: u64 = 1 << 20;
/// Maximum ratio of decompressed to compressed bytes. Deflate can reach about 1,000, with zeros;
/// text stays far below this limit.
const MAX_RATIO: u64 = 200;

/// A body that is arriving.
pub(super) struct Body {
    /// Bytes that have arrived, before decompression: the offset at which to resume.
    received: u64,
    /// The total length before decompression, if the server has told it.
    pub(super) length: Option<u64>,
    /// The ETag of the version that is arriving, if the body can be resumed.
    pub(super) tag: Option<HeaderValue>,
    decoder: Decoder,
}

enum Decoder {
    Plain(Writer),
    /// Boxed, because it takes 40 KB, and most bodies do not need it.
    Gzip(Box<MultiGzDecoder<Writer>>),
}

impl Body {
    /// Begins a body. A compressed one may decompress to at most `max_bytes`.
    pub(super) fn begin(encoding: Encoding, keep: &Keep, max_bytes: u64) -> Result<Self, Failure> {
        let destination = Destination::open(keep).map_err(|error| Failure::Keep(reason(&error)))?;
        let decoder = match encoding {
            Encoding::Identity => Decoder::Plain(Writer::new(destination, None)),
            Encoding::Gzip => {
                let limit = Limit { max_bytes, received: 0 };
                Decoder::Gzip(Box::new(MultiGzDecoder::new(Writer::new(destination, Some(limit)))))
            }
        };
        Ok(Self { received: 0, length: None, tag: None, decoder })
    }

    /// Fails the body when it becomes larger than this.
    pub(super) fn limit(&mut self, max: Option<u64>) {
        match &mut self.decoder {
            Decoder::Plain(out) => out.max = max,
            Decoder::Gzip(gzip) => gzip.get_mut().max = max,
        }
    }

    /// Bytes that have arrived, before decompression.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether the body is complete, as far as its length is known.
    pub(super) fn is_whole(&self) -> bool {
        self.length.is_none_or(|length| length == self.received)
    }

    /// Takes more bytes. Bytes beyond the length are ignored.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let left = self.length.map_or(u64::MAX, |length| length - self.received);
        let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        self.received += bytes.len() as u64;
        let written = match &mut self.decoder {
            Decoder::Plain(out) => out.write_all(bytes),
            Decoder::Gzip(gzip) => {
                gzip.get_mut().allow(self.received);
                gzip.write_all(bytes)
            }
        };
        written.map_err(|_| self.failure())
    }

    /// Completes the body. Returns its length, its digest, and its file if that has no name.
    pub(super) fn finish(mut self) -> Result<(u64, u64, Option<File>), Failure> {
        if let Decoder::Gzip(gzip) = &mut self.decoder
            && self.received > 0
            && gzip.try_finish().is_err()
        {
            return Err(self.failure());
        }
        let out = match self.decoder {
            Decoder::Plain(out) => out,
            // Servers name the encoding of empty bodies, too.
            Decoder::Gzip(mut gzip) if self.received == 0 => {
                std::mem::replace(gzip.get_mut(), Writer::new(Destination::Nowhere, None))
            }
            Decoder::Gzip(gzip) => gzip.finish().map_err(|_| Failure::Gzip)?,
        };
        let file = out.destination.keep().map_err(|error| Failure::Keep(reason(&error)))?;
        Ok((out.bytes, out.digest.digest(), file))
    }

    /// Why a write failed: for the reason that the writer after the decoder has noted, otherwise
    /// because of the decoder.
    fn failure(&mut self) -> Failure {
        let out = match &mut self.decoder {
            Decoder::Plain(out) => out,
            Decoder::Gzip(gzip) => gzip.get_mut(),
        };
        out.failure.clone().unwrap_or(Failure::Gzip)
    }
}

/// Takes the decompressed bytes.
struct Writer {
    destination: Destination,
    digest: Box<Xxh3>,
    bytes: u64,
    /// Maximum bytes.
    max: Option<u64>,
    limit: Option<Limit>,
    /// Why no more bytes can be written.
    failure: Option<Failure>,
}

/// The limit for the decompressed bytes.
struct Limit {
    max_bytes: u64,
    /// Compressed bytes that have arrived.
    received: u64,
}

impl Limit {
    fn allows(&self, bytes: u64) -> bool {
        bytes <= self.max_bytes && (bytes <= MIN_RATIO_BYTES || bytes / MAX_RATIO <= self.received)
    }
}

impl Writer {
    fn new(destination: Destination, limit: Option<Limit>) -> Self {
        Self { destination, digest: Box::new(Xxh3::new()), bytes: 0, max: None, limit, failure: None }
    }

    fn allow(&mut self, received: u64) {
        if let Some(limit) = &mut self.limit {
            limit.received = received;
        }
    }

    fn fail(&mut self, why: Failure) -> io::Error {
        self.failure = Some(why);
        io::ErrorKind::Other.into()
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        let total = self.bytes + bytes.len() as u64;
        if let Some(max) = self.max.filter(|max| total > *max) {
            return Err(self.fail(Failure::TooLarge { max }));
        }
        if self.limit.as_ref().is_some_and(|limit| !limit.allows(total)) {
            return Err(self.fail(Failure::Bomb));
        }
        if let Err(error) = self.destination.write_all(bytes) {
            return Err(self.fail(Failure::Keep(reason(&error))));
        }
        self.digest.update(bytes);
        self.bytes = total;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn taken(encoding: Encoding, bytes: &[u8], max_bytes: u64) -> Result<(u64, u64), Failure> {
        let mut body = Body::begin(encoding, &Keep::Nowhere, max_bytes)?;
        bytes.chunks(1000).try_for_each(|chunk| body.take(chunk))?;
        body.finish().map(|(bytes, digest, _)| (bytes, digest))
    }

    #[test]
    fn bytes_are_counted_and_digested_as_they_are_meant() {
        let text = b"what is said ".repeat(1000);
        let expected = Ok((text.len() as u64, xxh3_64(&text)));
        assert_eq!(taken(Encoding::Identity, &text, 0), expected);
        assert_eq!(taken(Encoding::Gzip, &packed(&text), 1 << 20), expected);
        let (one, two) = text.split_at(500);
        assert_eq!(taken(Encoding::Gzip, &[packed(one), packed(two)].concat(), 1 << 20), expected);
    }

    #[test]
    fn broken_gzip_is_found() {
        let whole = packed(&b"abcdefgh".repeat(1000));
        let mut wrong = whole.clone();
        let crc = wrong.len() - 6;
        wrong[crc] ^= 1;
        for broken in [&whole[..whole.len() - 9], &whole[..5], &wrong, b"no gzip at all"] {
            assert_eq!(taken(Encoding::Gzip, broken, 1 << 20), Err(Failure::Gzip));
        }
    }

    #[test]
    fn an_empty_body_is_empty_whatever_its_encoding() {
        assert_eq!(taken(Encoding::Gzip, b"", 0), Ok((0, xxh3_64(b""))));
        assert_eq!(taken(Encoding::Gzip, &packed(b""), 0), Ok((0, xxh3_64(b""))));
    }

    #[test]
    fn bombs_are_found_by_size_and_by_ratio() {
        let bomb = packed(&vec![0; 8 << 20]);
        assert_eq!(taken(Encoding::Gzip, &bomb, 1 << 30), Err(Failure::Bomb));
        assert_eq!(taken(Encoding::Gzip, &packed(&[0; 5000]), 4999), Err(Failure::Bomb));
        assert!(taken(Encoding::Gzip, &packed(&[0; 5000]), 5000).is_ok());
    }

    #[test]
    fn nothing_beyond_the_length_is_taken() {
        let mut body = Body::begin(Encoding::Identity, &Keep::Nowhere, 0).unwrap();
        body.length = Some(3);
        body.take(b"ab").unwrap();
        assert!(!body.is_whole());
        body.take(b"cdef").unwrap();
        assert!(body.is_whole());
        assert!(body.finish().is_ok_and(|(bytes, digest, _)| (bytes, digest) == (3, xxh3_64(b"abc"))));
    }
}
