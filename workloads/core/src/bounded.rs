//! Length limits for lists that are decoded from another process's bytes.
//!
//! An element may take one byte on the wire and a hundred in memory, so a message of 1 GiB could
//! become 100 GiB of elements. [`list`] limits the number of elements and allocates memory only for
//! elements that have arrived.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Maximum elements of a decoded list: well above the thousand or so files of a task, each of which
/// contributes a few elements.
const MAX_ELEMENTS: usize = 1 << 16;

/// Decodes a list of at most `MAX_ELEMENTS` elements.
///
/// For `#[serde(deserialize_with = "cc_core::bounded::list")]`.
pub fn list<'de, D, T, L>(from: D) -> Result<L, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    L: Default + Extend<T> + IntoIterator<Item = T>,
{
    from.deserialize_seq(List(PhantomData))
}

struct List<T, L>(PhantomData<(T, L)>);

impl<'de, T, L> Visitor<'de> for List<T, L>
where
    T: Deserialize<'de>,
    L: Default + Extend<T> + IntoIterator<Item = T>,
{
    type Value = L;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_ELEMENTS} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<L, A::Error> {
        let (mut list, mut count) = (L::default(), 0);
        while let Some(element) = elements.next_element()? {
            count += 1;
            if count > MAX_ELEMENTS {
                return Err(A::Error::invalid_length(count, &self));
            }
            list.extend([element]);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Names(#[serde(deserialize_with = "list")] Vec<String>);

    #[test]
    fn a_list_is_as_long_as_it_is_but_not_longer_than_any() {
        for count in [0, 1, MAX_ELEMENTS] {
            let names = Names(vec!["x".to_owned(); count]);
            let bytes = postcard::to_allocvec(&names).unwrap();
            assert_eq!(postcard::from_bytes::<Names>(&bytes).unwrap(), names);
        }
        let bytes = postcard::to_allocvec(&vec![""; MAX_ELEMENTS + 1]).unwrap();
        assert!(postcard::from_bytes::<Names>(&bytes).is_err());
        let claimed = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
        assert!(postcard::from_bytes::<Names>(claimed).is_err());
    }
}
