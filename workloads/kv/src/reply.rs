//! Replies, and their encoding in RESP2 and RESP3.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Value;

/// The version of the protocol in which a client is answered: each connection chooses with HELLO.
/// Requests are the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// RESP2, with which each connection begins.
    #[default]
    Resp2,
    /// RESP3, which has maps, sets, and one null.
    Resp3,
}

impl Protocol {
    /// Its number in HELLO.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

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
    /// A text for people, such as that of INFO: a string in RESP2, `=15\r\ntxt:…` in RESP3.
    Text(Value),
    /// The null string: `$-1` in RESP2, `_` in RESP3.
    Nil,
    /// The null array: `*-1` in RESP2, `_` in RESP3. EXEC replies it if a watched key has changed.
    NilArray,
    /// An array.
    Array(Vec<Reply>),
    /// Names and values alternating: an array in RESP2, a map in RESP3.
    Map(Vec<Reply>),
    /// Items without an order: an array in RESP2, a set in RESP3.
    Set(Vec<Reply>),
    /// Changes the protocol of the connection: this reply, and all that follow it, are encoded in
    /// the new one. It is in the sequence of replies because those before it may not be encoded
    /// yet.
    Switch(Protocol, Box<Reply>),
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

    /// Whether it may take more memory than a number or a line.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Bulk(_) | Self::Text(_) | Self::Array(_) | Self::Map(_) | Self::Set(_))
    }

    /// The total bytes of its strings.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Bulk(value) | Self::Text(value) => value.len(),
            Self::Array(items) | Self::Map(items) | Self::Set(items) => items.iter().map(Self::size).sum(),
            Self::Simple(text) | Self::Error(text) => text.len(),
            Self::Switch(_, reply) => reply.size(),
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
                Reply::Bulk(value) | Reply::Text(value) => value.len(),
                Reply::Array(items) | Reply::Map(items) | Reply::Set(items) => {
                    items.iter().map(|item| weight(item, last)).sum()
                }
                Reply::Switch(_, reply) => weight(reply, last),
                Reply::Simple(Cow::Owned(text)) | Reply::Error(Cow::Owned(text)) => text.len(),
                _ => 0,
            };
            size_of::<Reply>() + own
        }
        weight(self, &mut std::ptr::null())
    }

    /// Appends the encoded reply. A [`Switch`](Reply::Switch) changes `protocol`.
    pub fn encode(&self, into: &mut Vec<u8>, protocol: &mut Protocol) {
        match self {
            Self::Array(items) | Self::Map(items) | Self::Set(items) => {
                self.put_items_header(into, items.len(), *protocol);
                items.iter().for_each(|item| item.encode(into, protocol));
            }
            Self::Bulk(value) => {
                put_header(into, b'$', value.len());
                into.extend_from_slice(value);
                into.extend_from_slice(b"\r\n");
            }
            Self::Text(value) => {
                match *protocol {
                    Protocol::Resp2 => put_header(into, b'$', value.len()),
                    Protocol::Resp3 => {
                        put_header(into, b'=', value.len() + TEXT_FORMAT.len());
                        into.extend_from_slice(TEXT_FORMAT);
                    }
                }
                into.extend_from_slice(value);
                into.extend_from_slice(b"\r\n");
            }
            Self::Switch(to, reply) => {
                *protocol = *to;
                reply.encode(into, protocol);
            }
            small => small.encode_small(into, *protocol),
        }
    }

    /// Takes the items out of an array, a map or a set.
    pub(super) fn take_items(&mut self) -> Vec<Reply> {
        match self {
            Self::Array(items) | Self::Map(items) | Self::Set(items) => std::mem::take(items),
            _ => Vec::new(),
        }
    }

    /// Appends the header of an array, a map or a set with this many items. A map has half as many
    /// pairs.
    pub(super) fn put_items_header(&self, into: &mut Vec<u8>, items: usize, protocol: Protocol) {
        match (self, protocol) {
            (Self::Map(_), Protocol::Resp3) => put_header(into, b'%', items / 2),
            (Self::Set(_), Protocol::Resp3) => put_header(into, b'~', items),
            _ => put_header(into, b'*', items),
        }
    }

    /// Encodes a reply that contains neither arbitrary bytes nor other replies.
    fn encode_small(&self, into: &mut Vec<u8>, protocol: Protocol) {
        match self {
            Self::Ok => into.extend_from_slice(b"+OK\r\n"),
            Self::Simple(text) => put_line(into, b'+', text),
            Self::Error(text) => put_line(into, b'-', text),
            Self::Int(number) => {
                into.push(b':');
                put_number(into, *number);
                into.extend_from_slice(b"\r\n");
            }
            _ if protocol == Protocol::Resp3 => into.extend_from_slice(b"_\r\n"),
            Self::NilArray => into.extend_from_slice(b"*-1\r\n"),
            // The others are encoded by the caller.
            _ => into.extend_from_slice(b"$-1\r\n"),
        }
    }
}

/// The format of a [`Reply::Text`] in RESP3: plain text.
const TEXT_FORMAT: &[u8] = b"txt:";

/// A map from names.
impl<'a> FromIterator<(&'a str, Reply)> for Reply {
    fn from_iter<I: IntoIterator<Item = (&'a str, Reply)>>(pairs: I) -> Self {
        Self::Map(pairs.into_iter().flat_map(|(name, reply)| [Self::bulk(name), reply]).collect())
    }
}

impl<const N: usize> From<[(&str, Reply); N]> for Reply {
    fn from(pairs: [(&str, Reply); N]) -> Self {
        pairs.into_iter().collect()
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
        reply.encode(&mut bytes, &mut Protocol::Resp2);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn resp3_has_its_own_kinds() {
        let items = vec![
            Reply::Nil,
            Reply::NilArray,
            Reply::from([("a", Reply::Int(1)), ("b", Reply::Nil)]),
            Reply::Set(vec![Reply::Ok]),
            Reply::Text(Value::from(&b"x:1"[..])),
            Reply::bulk("x"),
        ];
        let reply = Reply::Array(items);
        assert_eq!(
            encoded(&reply),
            "*6\r\n$-1\r\n*-1\r\n*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n$-1\r\n*1\r\n+OK\r\n$3\r\nx:1\r\n\
             $1\r\nx\r\n"
        );
        let expected = "*6\r\n_\r\n_\r\n%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n_\r\n~1\r\n+OK\r\n=7\r\ntxt:x:1\r\n\
                        $1\r\nx\r\n";
        assert_eq!(encoded(&Reply::Switch(Protocol::Resp3, reply.into())), expected);
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
