//! Replies on their way to a client, encoded no earlier than they can be written.

use std::{collections::VecDeque, vec};

use super::{Reply, Value, connection::KEPT, reply::put_header};

/// Replies that are not written yet.
///
/// A reply holds its values by reference, so that one client who asks a thousand times for a large value, and reads
/// nothing, does not have it copied a thousand times: only about [`CHUNK`] bytes are encoded ahead, and a large
/// value is written from where it is.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// So many of them are written.
    written: usize,
    /// What follows them; rarely there.
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
struct Rest {
    /// A value that comes next, and how much of it is written; its end of line follows.
    large: Option<(Value, usize)>,
    /// The items still to come of an array, and of the arrays that it is in.
    items: Vec<vec::IntoIter<Reply>>,
    replies: VecDeque<Reply>,
    /// What all that was pushed since this is there takes; it counts until all of it is encoded.
    weight: usize,
}

/// So much is encoded ahead.
const CHUNK: usize = 64 * 1024;
/// A value of this size is not copied.
const LARGE: usize = 16 * 1024;

impl Output {
    /// What can be written now. Empty, if everything is.
    pub(super) fn bytes(&self) -> &[u8] {
        match (&self.bytes[self.written..], &self.rest) {
            ([], Some(rest)) => rest.large.as_ref().map_or(&[], |(value, written)| &value[*written..]),
            (bytes, _) => bytes,
        }
    }

    /// So much of it was.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if self.written < self.bytes.len() {
            self.written += bytes;
            debug_assert!(self.written <= self.bytes.len(), "no more is written than there was");
            if self.written == self.bytes.len() {
                self.empty();
            }
        } else if let Some((value, written)) = self.rest.as_mut().and_then(|rest| rest.large.as_mut()) {
            *written += bytes;
            if *written == value.len() {
                self.rest.as_mut().expect("it was there").large = None;
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
        self.encode_more();
    }

    /// Whether so much is waiting that no more should be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.rest.is_some() || self.bytes.len() - self.written >= CHUNK
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The bytes that it keeps beyond what every connection may, about.
    pub(super) fn weight(&self) -> usize {
        let ahead = (self.bytes.len() - self.written).saturating_sub(CHUNK);
        ahead + self.rest.as_ref().map_or(0, |rest| rest.weight)
    }

    /// One more reply, behind all others.
    pub(super) fn push(&mut self, reply: Reply) {
        match reply {
            Reply::Bulk(value) if self.rest.is_none() && value.len() < LARGE => {
                put_header(&mut self.bytes, b'$', value.len());
                self.bytes.extend_from_slice(&value);
                self.bytes.extend_from_slice(b"\r\n");
            }
            reply @ (Reply::Bulk(_) | Reply::Array(_)) => self.push_behind(reply),
            reply if self.rest.is_some() => self.push_behind(reply),
            reply => reply.encode(&mut self.bytes),
        }
    }

    /// Gives back what memory it can.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    fn empty(&mut self) {
        self.written = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }

    #[cold]
    fn push_behind(&mut self, reply: Reply) {
        let rest = self.rest.get_or_insert_default();
        rest.weight += reply.weight();
        rest.replies.push_back(reply);
        self.encode_more();
    }

    fn encode_more(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        while rest.large.is_none() && self.bytes.len() - self.written < CHUNK {
            match rest.next() {
                Some(Reply::Array(items)) => {
                    put_header(&mut self.bytes, b'*', items.len());
                    rest.items.push(items.into_iter());
                }
                Some(Reply::Bulk(value)) if value.len() >= LARGE => {
                    put_header(&mut self.bytes, b'$', value.len());
                    rest.large = Some((value, 0));
                }
                Some(reply) => reply.encode(&mut self.bytes),
                None => {
                    self.rest = None;
                    return;
                }
            }
        }
    }
}

impl Rest {
    fn next(&mut self) -> Option<Reply> {
        while let Some(items) = self.items.last_mut() {
            if let Some(item) = items.next() {
                return Some(item);
            }
            self.items.pop();
        }
        self.replies.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(output: &mut Output, at_a_time: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while !output.is_empty() {
            assert!(output.bytes.len() - output.written < 2 * CHUNK);
            let some = output.bytes()[..at_a_time.min(output.bytes().len())].to_vec();
            output.wrote(some.len());
            taken.extend(some);
        }
        taken
    }

    fn replies() -> Vec<Reply> {
        let [small, large] = [Reply::bulk(vec![b'a'; 9]), Reply::bulk(vec![b'b'; LARGE])];
        let inner = Reply::Array(vec![large.clone(), Reply::Array(vec![]), Reply::Nil]);
        let outer = Reply::Array(vec![inner, small.clone(), large.clone()]);
        vec![Reply::Ok, small.clone(), large, outer, Reply::Int(3), Reply::Array(vec![small; 30_000])]
    }

    #[test]
    fn what_is_written_is_what_was_replied_however_it_is_taken() {
        let mut expected = Vec::new();
        replies().iter().for_each(|reply| reply.encode(&mut expected));
        for at_a_time in [1, 7, 4096, usize::MAX] {
            let mut output = Output::default();
            replies().into_iter().for_each(|reply| output.push(reply));
            assert!(output.is_full());
            assert_eq!(taken(&mut output, at_a_time), expected);
            assert!(!output.is_full());
        }
    }

    #[test]
    fn large_values_are_not_copied() {
        let value = Value::from(&vec![0; 100 << 20][..]);
        let mut output = Output::default();
        output.push(Reply::Array(vec![Reply::Bulk(value); 1000]));
        assert!(output.bytes.capacity() < 2 * CHUNK);
    }
}
