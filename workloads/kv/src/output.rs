//! The replies to a client that are not written yet. They are encoded only shortly before writing.

use std::{collections::VecDeque, vec};

use super::{Protocol, Reply, Value, connection::MAX_IDLE_BUFFER, reply::put_header};

/// Replies that are not written yet.
///
/// A reply refers to its values. A client that asks a thousand times for a large value, and does
/// not read the replies, therefore does not cause a thousand copies. Only about [`MAX_AHEAD`] bytes
/// are encoded ahead, and a large value is written directly from the shared bytes. Replies beyond
/// that wait as they are.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
    /// The protocol of the next reply that is encoded.
    protocol: Protocol,
    /// The replies that follow `bytes`; allocated only if there are any.
    pending: Option<Box<Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    /// A large value that is written next, and how much of it is written. Its line end follows.
    large: Option<(Value, usize)>,
    /// The remaining items of an array, and of the arrays that contain it.
    items: Vec<vec::IntoIter<Reply>>,
    replies: VecDeque<Reply>,
    /// The weight of `replies`, and of the reply that is being encoded.
    weight: usize,
    /// The weight of the reply that is being encoded.
    current: usize,
}

/// Approximate maximum of bytes that are encoded ahead.
pub(super) const MAX_AHEAD: usize = 64 * 1024;
/// Values of at least this size are not copied into `bytes`.
const MIN_UNCOPIED: usize = 16 * 1024;

impl Output {
    /// The bytes to write next. Empty if everything is written.
    pub(super) fn bytes(&self) -> &[u8] {
        match (&self.bytes[self.written..], &self.pending) {
            ([], Some(pending)) => pending.large.as_ref().map_or(&[], |(value, written)| &value[*written..]),
            (bytes, _) => bytes,
        }
    }

    /// Reports that this many of them were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if self.written < self.bytes.len() {
            self.written += bytes;
            debug_assert!(self.written <= self.bytes.len(), "no more is written than there was");
            if self.written == self.bytes.len() {
                self.reset();
            } else if self.written >= MAX_AHEAD {
                // At most `MAX_AHEAD` bytes are moved, after at least as many were written.
                self.bytes.drain(..self.written);
                self.written = 0;
            }
        } else if let Some((value, written)) =
            self.pending.as_mut().and_then(|pending| pending.large.as_mut())
        {
            *written += bytes;
            if *written == value.len() {
                self.pending.as_mut().expect("it was there").large = None;
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
        self.encode_more();
    }

    /// Approximate bytes that wait to be written.
    pub(super) fn backlog(&self) -> usize {
        self.bytes.len() - self.written + self.pending.as_ref().map_or(0, |pending| pending.weight)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The bytes beyond those that every connection may keep, approximately.
    pub(super) fn weight(&self) -> usize {
        let ahead = (self.bytes.len() - self.written).saturating_sub(MAX_AHEAD);
        ahead + self.pending.as_ref().map_or(0, |pending| pending.weight)
    }

    /// Appends a reply.
    pub(super) fn push(&mut self, reply: Reply) {
        match reply {
            reply if self.pending.is_some() || self.bytes.len() - self.written >= MAX_AHEAD => {
                self.push_pending(reply);
            }
            Reply::Bulk(value) if value.len() < MIN_UNCOPIED => {
                put_header(&mut self.bytes, b'$', value.len());
                self.bytes.extend_from_slice(&value);
                self.bytes.extend_from_slice(b"\r\n");
            }
            reply @ (Reply::Bulk(_) | Reply::Array(_) | Reply::Map(_) | Reply::Set(_)) => {
                self.push_pending(reply);
            }
            reply => reply.encode(&mut self.bytes, &mut self.protocol),
        }
    }

    /// Releases memory if everything is written.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self { protocol: self.protocol, ..Self::default() };
        }
    }

    fn reset(&mut self) {
        self.written = 0;
        self.bytes.clear();
        self.bytes.shrink_to(MAX_IDLE_BUFFER);
    }

    #[cold]
    fn push_pending(&mut self, reply: Reply) {
        let pending = self.pending.get_or_insert_default();
        pending.weight += reply.weight();
        pending.replies.push_back(reply);
        self.encode_more();
    }

    fn encode_more(&mut self) {
        let Some(pending) = &mut self.pending else { return };
        while pending.large.is_none() && self.bytes.len() - self.written < MAX_AHEAD {
            match pending.next() {
                Some(mut reply @ (Reply::Array(_) | Reply::Map(_) | Reply::Set(_))) => {
                    let items = reply.take_items();
                    reply.put_items_header(&mut self.bytes, items.len(), self.protocol);
                    pending.items.push(items.into_iter());
                }
                Some(Reply::Bulk(value)) if value.len() >= MIN_UNCOPIED => {
                    put_header(&mut self.bytes, b'$', value.len());
                    pending.large = Some((value, 0));
                }
                Some(reply) => reply.encode(&mut self.bytes, &mut self.protocol),
                None => {
                    self.pending = None;
                    return;
                }
            }
        }
    }
}

impl Pending {
    fn next(&mut self) -> Option<Reply> {
        while let Some(items) = self.items.last_mut() {
            if let Some(item) = items.next() {
                return Some(item);
            }
            self.items.pop();
        }
        self.weight -= std::mem::take(&mut self.current);
        let reply = self.replies.pop_front()?;
        self.current = reply.weight();
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(output: &mut Output, at_a_time: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while !output.is_empty() {
            assert!(
                output.bytes.len() < 3 * MAX_AHEAD && output.bytes.len() - output.written < 2 * MAX_AHEAD
            );
            let some = output.bytes()[..at_a_time.min(output.bytes().len())].to_vec();
            output.wrote(some.len());
            taken.extend(some);
        }
        taken
    }

    fn replies() -> Vec<Reply> {
        let [small, large] = [Reply::bulk(vec![b'a'; 9]), Reply::bulk(vec![b'b'; MIN_UNCOPIED])];
        let inner = Reply::Array(vec![large.clone(), Reply::Array(vec![]), Reply::Nil]);
        let outer = Reply::Array(vec![inner, small.clone(), large.clone()]);
        let switch = Reply::Switch(Protocol::Resp3, Reply::from([("a", Reply::Nil)]).into());
        let long = Reply::Array(vec![small.clone(); 30_000]);
        vec![Reply::Ok, small, large, outer, Reply::Nil, switch, Reply::Nil, long, Reply::NilArray]
    }

    #[test]
    fn what_is_written_is_what_was_replied_however_it_is_taken() {
        let mut expected = Vec::new();
        let mut protocol = Protocol::default();
        replies().iter().for_each(|reply| reply.encode(&mut expected, &mut protocol));
        for at_a_time in [1, 7, 4096, usize::MAX] {
            let mut output = Output::default();
            replies().into_iter().for_each(|reply| output.push(reply));
            assert!(output.backlog() > MAX_AHEAD);
            assert_eq!(taken(&mut output, at_a_time), expected);
            assert_eq!((output.backlog(), output.weight()), (0, 0));
        }
    }

    #[test]
    fn small_replies_beyond_what_is_encoded_ahead_are_weighed_while_they_wait() {
        let mut output = Output::default();
        (0..100_000).for_each(|number| output.push(Reply::Int(number)));
        assert!(output.bytes.len() < 2 * MAX_AHEAD);
        let all = output.weight();
        assert!(all > 80_000 * size_of::<Reply>());
        while output.weight() > all / 2 {
            output.wrote(output.bytes().len());
        }
        assert!(!output.is_empty());
        taken(&mut output, 1000);
        assert_eq!(output.weight(), 0);
    }

    #[test]
    fn large_values_are_not_copied() {
        let value = Value::from(&vec![0; 100 << 20][..]);
        let mut output = Output::default();
        output.push(Reply::Array(vec![Reply::Bulk(value); 1000]));
        assert!(output.bytes.capacity() < 2 * MAX_AHEAD);
    }
}
