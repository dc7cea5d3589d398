//! Replies, and their encoding in RESP2.

use std::{borrow::Cow, iter};

use serde::{Deserialize, Serialize};

use super::Value;

/// The reply to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// Any other simple string, without line breaks.
    Simple(Cow<'static, str>),
    /// An error with its code, without line breaks: `ERR syntax error`.
    Error(Cow<'static, str>),
    /// A number.
    Int(i64),
    /// A string of arbitrary bytes.
    Bulk(Value),
    /// The null string: `$-1`.
    Nil,
    /// The null array: `*-1`. EXEC replies it if a watched key has changed.
    NilArray,
    /// An array.
    Array(Vec<Reply>),
}

impl Reply {
    /// A constant simple string.
    #[must_use]
    pub const fn simple(text: &'static str) -> Self {
        Self::Simple(Cow::Borrowed(text))
    }

    /// A constant error.
    #[must_use]
    pub const fn error(text: &'static str) -> Self {
        Self::Error(Cow::Borrowed(text))
    }

    /// A string.
    #[must_use]
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Value::from(bytes.as_ref()))
    }

    /// The reply to a command for whose data there is no memory.
    #[must_use]
    pub const fn out_of_memory() -> Self {
        Self::error("OOM command not allowed when used memory > 'maxmemory'.")
    }

    /// The reply to a command whose shard is down: its owner has died or is suspected to have died,
    /// and another one is being started.
    #[must_use]
    pub fn down(shard: usize) -> Self {
        let text = format!("TRYAGAIN shard {shard} is down; if its owner has died, what it held is lost");
        Self::Error(Cow::Owned(text))
    }

    /// The reply to a command whose shard has an owner that does not answer in time.
    #[must_use]
    pub fn silent(shard: usize) -> Self {
        let text = format!("TRYAGAIN the owner of shard {shard} does not answer; nothing was done");
        Self::Error(Cow::Owned(text))
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The total bytes of its strings.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Bulk(value) => value.len(),
            Self::Array(items) => items.iter().map(Self::size).sum(),
            Self::Simple(text) | Self::Error(text) => text.len(),
            Self::Ok | Self::Int(_) | Self::Nil | Self::NilArray => 0,
        }
    }

    /// Replaces a reply for which there is no memory. The command was run.
    #[must_use]
    pub const fn dropped() -> Self {
        Self::error("OOM the reply takes more memory than is left for replies; the command was run")
    }

    /// Approximate memory in bytes. A value that consecutive items share counts once.
    pub(super) fn weight(&self) -> usize {
        fn weight(reply: &Reply, last: &mut *const u8) -> usize {
            let own = match reply {
                Reply::Bulk(value) if std::mem::replace(last, value.as_ptr()) == value.as_ptr() => 0,
                Reply::Bulk(value) => value.len(),
                Reply::Array(items) => items.iter().map(|item| weight(item, last)).sum(),
                Reply::Simple(Cow::Owned(text)) | Reply::Error(Cow::Owned(text)) => text.len(),
                _ => 0,
            };
            size_of::<Reply>() + own
        }
        weight(self, &mut std::ptr::null())
    }

    /// Appends the encoded reply.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Array(items) => {
                put_header(into, b'*', items.len());
                items.iter().for_each(|item| item.encode(into));
            }
            Self::Bulk(value) => {
                put_header(into, b'$', value.len());
                into.extend_from_slice(value);
                into.extend_from_slice(b"\r\n");
            }
            small => small.encode_small(into),
        }
    }

    /// Encodes a reply that is neither a string of arbitrary bytes nor an array.
    fn encode_small(&self, into: &mut Vec<u8>) {
        match self {
            Self::Ok => into.extend_from_slice(b"+OK\r\n"),
            Self::Simple(text) => put_line(into, b'+', text),
            Self::Error(text) => put_line(into, b'-', text),
            Self::Int(number) => {
                into.push(b':');
                put_number(into, *number);
                into.extend_from_slice(b"\r\n");
            }
            Self::NilArray => into.extend_from_slice(b"*-1\r\n"),
            Self::Nil | Self::Bulk(_) | Self::Array(_) => into.extend_from_slice(b"$-1\r\n"),
        }
    }
}

/// Names and values alternating: the RESP2 form of a map.
impl<const N: usize> From<[(&str, Reply); N]> for Reply {
    fn from(pairs: [(&str, Reply); N]) -> Self {
        let pairs = pairs.into_iter().flat_map(|(name, reply)| iter::once(Self::bulk(name)).chain([reply]));
        Self::Array(pairs.collect())
    }
}

/// Appends a header such as `$5` or `*5`.
pub(super) fn put_header(into: &mut Vec<u8>, kind: u8, length: usize) {
    into.push(kind);
    put_number(into, i64::try_from(length).expect("a length fits a number"));
    into.extend_from_slice(b"\r\n");
}

fn put_line(into: &mut Vec<u8>, kind: u8, text: &str) {
    into.push(kind);
    // The text may contain a client's bytes, which must not end the line.
    into.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    into.extend_from_slice(b"\r\n");
}

/// Appends decimal digits.
pub(super) fn put_number(into: &mut impl Extend<u8>, number: i64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    into.extend(digits[at..].iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_kind_is_as_the_protocol_says() {
        let items = vec![
            Reply::Ok,
            Reply::simple("PONG"),
            Reply::error("ERR no"),
            Reply::Int(-12),
            Reply::bulk("a\r\nb"),
            Reply::bulk(""),
            Reply::Nil,
            Reply::NilArray,
            Reply::Array(vec![]),
        ];
        assert_eq!(
            encoded(&Reply::Array(items)),
            "*9\r\n+OK\r\n+PONG\r\n-ERR no\r\n:-12\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n"
        );
    }

    #[test]
    fn its_size_is_that_of_its_strings() {
        let inner = Reply::Array(vec![Reply::bulk("abc"), Reply::Nil]);
        assert_eq!(Reply::Array(vec![inner, Reply::error("ERR"), Reply::Int(7)]).size(), 6);
    }

    #[test]
    fn a_value_that_items_share_weighs_once() {
        let value = Value::from(&[0; 1000][..]);
        let shared = Reply::Array(vec![Reply::Bulk(value.clone()), Reply::Bulk(value.clone())]);
        assert!((1000..1200).contains(&shared.weight()));
        let copied = Reply::Array(vec![Reply::Bulk(value), Reply::bulk([0; 1000])]);
        assert!(copied.weight() >= 2000);
    }

    #[test]
    fn a_line_cannot_be_broken() {
        assert_eq!(encoded(&Reply::Error("ERR a\r\n+OK".into())), "-ERR a  +OK\r\n");
    }

    #[test]
    fn they_travel() {
        let reply = Reply::Array(vec![Reply::down(3), Reply::bulk("x"), Reply::Int(1)]);
        let json = serde_json::to_vec(&reply).unwrap();
        assert_eq!(serde_json::from_slice::<Reply>(&json).unwrap(), reply);
    }
}
