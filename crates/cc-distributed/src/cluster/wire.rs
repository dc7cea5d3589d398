//! Payloads in frames.
//!
//! A payload has any length up to a maximum. A message is small, so that a receiver can check it
//! before it has allocated memory for all of a payload. So a payload is sent as a sequence of
//! frames.

use std::iter;

use prost::bytes::Bytes;
use tonic::Status;

/// The generated protocol.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub(super) mod pb {
    tonic::include_proto!("cc.cluster");
}

pub(super) use pb::{Batch, Frame};

/// Maximum bytes of data per frame: large enough that the cost per frame is small compared with the
/// transfer, small enough to be buffered before it is checked.
pub(super) const FRAME: usize = 256 << 10;

/// Maximum bytes per message: a batch of frames, or a hello with the longest command line that
/// Linux accepts.
pub(super) const MESSAGE: usize = 4 << 20;

/// Maximum bytes per payload. A task with a line of more than a gibibyte cannot be sent.
pub(super) const PAYLOAD: u64 = 1 << 30;

/// Minimum credit per request of a stateful session, in bytes: it bounds the number of small
/// requests.
pub(super) const MIN_CREDIT: usize = 1024;

/// Capacity of the channels between our tasks and the connections, in messages: a few, so that a
/// connection does not wait for the next one.
pub(super) const CHANNEL: usize = 4;

/// Bytes to allocate for a payload. Large payloads have similar sizes, but not equal ones. With
/// equal allocations, the freed memory of one fits the next, and the heap does not fragment.
pub(super) fn capacity(size: usize) -> usize {
    if size < FRAME { size } else { size.next_multiple_of(FRAME) }
}

/// Splits a payload into frames. An empty payload is one empty frame.
pub(super) fn frames(id: u64, payload: Bytes) -> impl Iterator<Item = Frame> {
    let size = payload.len();
    (0..size.div_ceil(FRAME).max(1)).map(move |n| {
        let data = payload.slice(n * FRAME..size.min((n + 1) * FRAME));
        Frame { id, size: size as u64, data }
    })
}

/// Packs payloads into batches, each with as many frames as fit into a message of moderate size.
pub(super) fn batches(payloads: impl Iterator<Item = (u64, Bytes)>) -> impl Iterator<Item = Batch> {
    let mut frames = payloads.flat_map(|(id, payload)| frames(id, payload)).peekable();
    iter::from_fn(move || {
        frames.peek()?;
        let (mut batch, mut size) = (Batch::default(), 0);
        // The last frame may exceed the limit, by less than its own size.
        while size < FRAME
            && let Some(frame) = frames.next()
        {
            size += frame.data.len() + HEADER;
            batch.frames.push(frame);
        }
        Some(batch)
    })
}

/// Bytes of a frame in addition to its data, rounded up.
const HEADER: usize = 32;

/// Puts frames together to payloads.
#[derive(Default)]
pub(super) struct Reassembler {
    id: u64,
    size: u64,
    buffer: Vec<u8>,
}

impl Reassembler {
    /// Takes a frame. Returns the payload that it completes.
    pub(super) fn push(&mut self, frame: Frame) -> Result<Option<(u64, Bytes)>, Status> {
        if frame.size == frame.data.len() as u64 && self.buffer.is_empty() {
            return Ok(Some((frame.id, frame.data))); // the whole payload: nothing to copy
        }
        if self.buffer.is_empty() {
            if frame.size > PAYLOAD {
                return Err(Status::out_of_range("a payload has more than 1 GiB"));
            }
            (self.id, self.size) = (frame.id, frame.size);
            // At most one message: the rest is allocated as it arrives, so a size that is only
            // claimed costs no memory.
            self.buffer.reserve(capacity(usize::try_from(frame.size).unwrap_or(MESSAGE).min(MESSAGE)));
        }
        let received = (self.buffer.len() + frame.data.len()) as u64;
        if (frame.id, frame.size) != (self.id, self.size) || frame.data.is_empty() || received > self.size {
            return Err(Status::invalid_argument("a frame does not continue the payload before it"));
        }
        self.buffer.extend_from_slice(&frame.data);
        let is_complete = received == self.size;
        Ok(is_complete.then(|| (self.id, Bytes::from(std::mem::take(&mut self.buffer)))))
    }

    /// Takes a batch. Returns the payloads that it completes.
    pub(super) fn reassemble(&mut self, batch: Batch) -> Result<Vec<(u64, Bytes)>, Status> {
        batch.frames.into_iter().filter_map(|frame| self.push(frame).transpose()).collect()
    }

    /// The bytes that are allocated for the payload that is arriving.
    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(frames: impl IntoIterator<Item = Frame>) -> Result<Vec<(u64, Bytes)>, Status> {
        let mut reassembler = Reassembler::default();
        frames.into_iter().filter_map(|frame| reassembler.push(frame).transpose()).collect()
    }

    #[test]
    fn frames_are_put_together_to_payloads() {
        for size in [0, 1, FRAME - 1, FRAME, FRAME + 1, 5 * FRAME + 7] {
            let payload = Bytes::from((0..size).map(|n| n as u8).collect::<Vec<_>>());
            let two = frames(1, payload.clone()).chain(frames(2, payload.clone()));
            assert_eq!(assemble(two).unwrap(), [(1, payload.clone()), (2, payload)]);
        }
    }

    #[test]
    fn batches_are_few_and_of_moderate_size() {
        let payloads =
            || (0..10_000).map(|id| (id, Bytes::from(vec![7; if id == 5 { 3 * FRAME + 1 } else { 20 }])));
        let all: Vec<_> = batches(payloads()).collect();
        assert!(all.len() < 8, "{}", all.len());
        let size = |batch: &Batch| batch.frames.iter().map(|frame| frame.data.len()).sum::<usize>();
        assert!(all.iter().all(|batch| size(batch) <= 2 * FRAME));
        let frames = all.into_iter().flat_map(|batch| batch.frames);
        assert_eq!(assemble(frames).unwrap(), payloads().collect::<Vec<_>>());
        assert_eq!(batches(iter::empty()).count(), 0);
    }

    #[test]
    fn a_size_that_is_only_announced_takes_no_memory() {
        let mut reassembler = Reassembler::default();
        let announced = Frame { id: 1, size: PAYLOAD, data: Bytes::from_static(b"x") };
        assert_eq!(reassembler.push(announced).unwrap(), None);
        assert!(reassembler.buffer.capacity() <= MESSAGE);
    }

    #[test]
    fn frames_that_contradict_each_other_are_refused() {
        let frame = |id, size, data: &'static [u8]| Frame { id, size, data: Bytes::from_static(data) };
        assert!(assemble([frame(1, PAYLOAD + 1, b"x")]).is_err(), "too large");
        assert!(assemble([frame(1, 3, b"x"), frame(1, 3, b"xxx")]).is_err(), "more than announced");
        assert!(assemble([frame(1, 3, b"x"), frame(2, 3, b"xx")]).is_err(), "of two payloads");
        assert!(assemble([frame(1, 3, b"x"), frame(1, 3, b"")]).is_err(), "no progress");
    }
}
