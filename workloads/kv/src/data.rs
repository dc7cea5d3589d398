//! Keys and values.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};
use smallvec::SmallVec;

/// A key. Up to 16 bytes are stored inline, so most keys need no allocation.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmallVec<[u8; 16]>);

impl Key {
    /// Heap memory, in bytes.
    #[must_use]
    pub fn heap(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// A value. Clones share the bytes, so a reply does not copy them. The bytes have their own
/// allocation: a slice of a larger buffer would keep that buffer alive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(Arc<[u8]>);

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }
}

impl Value {
    /// The decimal digits of a number.
    #[must_use]
    pub fn number(number: i64) -> Self {
        let mut digits = SmallVec::<[u8; 24]>::new();
        super::reply::put_number(&mut digits, number);
        Self::from(&digits[..])
    }
}

macro_rules! bytes {
    ($($name:ident)*) => {$(
        impl Deref for $name {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.escape_ascii().to_string())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_bytes(Bytes).map(|bytes| Self::from(&bytes[..]))
            }
        }
    )*};
}

bytes!(Key Value);

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_travel_as_bytes() {
        for length in [0, 1, 16, 17, 300] {
            let bytes = vec![7u8; length];
            let json = serde_json::to_vec(&(Key::from(&bytes[..]), Value::from(&bytes[..]))).unwrap();
            let (key, value): (Key, Value) = serde_json::from_slice(&json).unwrap();
            assert_eq!((&*key, &*value), (&bytes[..], &bytes[..]));
        }
    }

    #[test]
    fn a_key_of_sixteen_bytes_takes_nothing_beside_itself() {
        assert_eq!(Key::from(&[b'k'; 16][..]).heap(), 0);
        assert!(Key::from(&[b'k'; 17][..]).heap() >= 17);
        assert_eq!(size_of::<Key>(), 24);
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            assert_eq!(&*Value::number(number), number.to_string().as_bytes());
        }
    }
}
