//! What is done with the bytes of a body: not compressed any more, counted, digested, kept; none of them held.

use std::{
    fs::File,
    io::{self, Write},
};

use cc_core::error::reason;
use flate2::write::MultiGzDecoder;
use http::HeaderValue;
use xxhash_rust::xxh3::Xxh3;

use super::{
    failure::Failure,
    place::{Keep, Place},
};
/// So much may come of a compressed body whatever it was.
const HARMLESS: u64 = 1 << 20;
/// Beyond that, no more than so many bytes for each. Text has ten, and zeros a thousand.
const RATIO: u64 = 200;

/// A body on its way, from the first answer that had some of it.
pub(super) struct Body {
    /// So many bytes have come, as they came: where the rest begins.
    received: u64,
    /// So many are to come in all, if the server has said.
    pub(super) length: Option<u64>,
    /// The version that has been begun with, if the rest of it can be asked for.
    pub(super) tag: Option<HeaderValue>,
    decoder: Decoder,
}

enum Decoder {
    Plain(Out),
    /// Boxed: 40 KB, which most bodies do not need.
    Gzip(Box<MultiGzDecoder<Out>>),
}

impl Body {
    /// Nothing has come yet. At most `most` bytes may come out of a compressed one.
    pub(super) fn begin(encoding: Option<&str>, keep: &Keep, most: u64) -> Result<Self, Failure> {
        let place = Place::open(keep).map_err(|error| Failure::Keep(reason(&error)))?;
        let out = Out { place, digest: Box::new(Xxh3::new()), bytes: 0, limit: None, failure: None };
        let decoder = match encoding {
            None => Decoder::Plain(out),
            Some("gzip" | "x-gzip") => {
                let limit = Some(Limit { most, received: 0 });
                Decoder::Gzip(Box::new(MultiGzDecoder::new(Out { limit, ..out })))
            }
            Some(other) => return Err(Failure::Encoding(other.to_owned())),
        };
        Ok(Self { received: 0, length: None, tag: None, decoder })
    }

    /// So many bytes have come, as they came.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether all has come that was to come, as far as anybody knows.
    pub(super) fn is_whole(&self) -> bool {
        self.length.is_none_or(|length| length == self.received)
    }

    /// Takes more of it. What is beyond the length that was said is not part of it.
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

    /// The end: what it was, and it is kept, or comes along if it is to have no name.
    pub(super) fn finish(mut self) -> Result<(u64, u64, Option<File>), Failure> {
        if let Decoder::Gzip(gzip) = &mut self.decoder
            && (self.received == 0 || gzip.try_finish().is_err())
        {
            return Err(self.failure());
        }
        let out = match self.decoder {
            Decoder::Plain(out) => out,
            Decoder::Gzip(gzip) => gzip.finish().map_err(|_| Failure::Gzip)?,
        };
        let file = out.place.keep().map_err(|error| Failure::Keep(reason(&error)))?;
        Ok((out.bytes, out.digest.digest(), file))
    }

    /// What a write ran into: what is behind the decoder says so itself, everything else is the decoder's.
    fn failure(&mut self) -> Failure {
        let out = match &mut self.decoder {
            Decoder::Plain(out) => out,
            Decoder::Gzip(gzip) => gzip.get_mut(),
        };
        out.failure.clone().unwrap_or(Failure::Gzip)
    }
}

/// The bytes as they are meant.
struct Out {
    place: Place,
    digest: Box<Xxh3>,
    bytes: u64,
    limit: Option<Limit>,
    /// Why no more can be written.
    failure: Option<Failure>,
}

/// What may come out of a compressed body.
struct Limit {
    most: u64,
    /// What has gone in.
    received: u64,
}

impl Limit {
    fn allows(&self, bytes: u64) -> bool {
        bytes <= self.most && (bytes <= HARMLESS || bytes / RATIO <= self.received)
    }
}

impl Out {
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

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        let total = self.bytes + bytes.len() as u64;
        if self.limit.as_ref().is_some_and(|limit| !limit.allows(total)) {
            return Err(self.fail(Failure::Bomb));
        }
        if let Err(error) = self.place.write_all(bytes) {
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

    fn taken(encoding: Option<&str>, bytes: &[u8], most: u64) -> Result<(u64, u64), Failure> {
        let mut body = Body::begin(encoding, &Keep::Nowhere, most)?;
        bytes.chunks(1000).try_for_each(|chunk| body.take(chunk))?;
        body.finish().map(|(bytes, digest, _)| (bytes, digest))
    }

    #[test]
    fn bytes_are_counted_and_digested_as_they_are_meant() {
        let text = b"what is said ".repeat(1000);
        let expected = Ok((text.len() as u64, xxh3_64(&text)));
        assert_eq!(taken(None, &text, 0), expected);
        assert_eq!(taken(Some("gzip"), &packed(&text), 1 << 20), expected);
        let (one, two) = text.split_at(500);
        assert_eq!(taken(Some("x-gzip"), &[packed(one), packed(two)].concat(), 1 << 20), expected);
    }

    #[test]
    fn broken_gzip_is_found() {
        let whole = packed(&b"abcdefgh".repeat(1000));
        let mut wrong = whole.clone();
        let crc = wrong.len() - 6;
        wrong[crc] ^= 1;
        for broken in [&whole[..whole.len() - 9], &whole[..5], &wrong, b"no gzip at all", b""] {
            assert_eq!(taken(Some("gzip"), broken, 1 << 20), Err(Failure::Gzip));
        }
        assert_eq!(taken(Some("br"), b"", 0), Err(Failure::Encoding("br".to_owned())));
    }

    #[test]
    fn bombs_are_found_by_size_and_by_ratio() {
        let bomb = packed(&vec![0; 8 << 20]);
        assert_eq!(taken(Some("gzip"), &bomb, 1 << 30), Err(Failure::Bomb));
        assert_eq!(taken(Some("gzip"), &packed(&[0; 5000]), 4999), Err(Failure::Bomb));
        assert!(taken(Some("gzip"), &packed(&[0; 5000]), 5000).is_ok());
    }

    #[test]
    fn nothing_beyond_the_length_is_taken() {
        let mut body = Body::begin(None, &Keep::Nowhere, 0).unwrap();
        body.length = Some(3);
        body.take(b"ab").unwrap();
        assert!(!body.is_whole());
        body.take(b"cdef").unwrap();
        assert!(body.is_whole());
        assert!(body.finish().is_ok_and(|(bytes, digest, _)| (bytes, digest) == (3, xxh3_64(b"abc"))));
    }
}
