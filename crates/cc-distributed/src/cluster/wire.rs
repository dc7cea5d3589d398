//! Payloads in frames.
//!
//! A payload is bytes of any length; a message should be small, so that no side has to take a large one whole
//! before it can check it. So a payload travels as a run of frames.

use std::iter;

use prost::bytes::Bytes;
use tonic::Status;

/// The generated protocol.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub(super) mod pb {
    tonic::include_proto!("cc.cluster");
}

pub(super) use pb::{Batch, Frame};

/// The data of one frame: large enough that its cost does not show, small enough to check as it arrives.
pub(super) const FRAME: usize = 256 << 10;

/// No message is larger: a frame and its header, or a hello with the longest command line there is.
pub(super) const MESSAGE: usize = 4 << 20;

/// No payload is larger: a line of a gigabyte cannot be searched elsewhere.
pub(super) const PAYLOAD: u64 = 1 << 30;

/// What a small question takes of the credit.
pub(super) const LEAST: usize = 1024;

/// Messages that may lie between a task of ours and the connection.
pub(super) const AHEAD: usize = 4;

/// How much memory is taken for a payload. Large ones are alike in size, but not equal: if their memory is, the place
/// of one does for the next, and does not become a hole in the heap.
pub(super) fn room(size: usize) -> usize {
    if size < FRAME { size } else { size.next_multiple_of(FRAME) }
}

/// Splits a payload. An empty one is one empty frame.
pub(super) fn frames(id: u64, payload: Bytes) -> impl Iterator<Item = Frame> {
    let size = payload.len();
    (0..size.div_ceil(FRAME).max(1)).map(move |n| {
        let data = payload.slice(n * FRAME..size.min((n + 1) * FRAME));
        Frame { id, size: size as u64, data }
    })
}

/// Packs payloads, as many as there are and fit into a message of moderate size.
pub(super) fn batches(payloads: impl Iterator<Item = (u64, Bytes)>) -> impl Iterator<Item = Batch> {
    let mut frames = payloads.flat_map(|(id, payload)| frames(id, payload)).peekable();
    iter::from_fn(move || {
        frames.peek()?;
        let (mut batch, mut size) = (Batch::default(), 0);
        // What comes on top of the last one is a frame at most.
        while size < FRAME
            && let Some(frame) = frames.next()
        {
            size += frame.data.len() + HEADER;
            batch.frames.push(frame);
        }
        Some(batch)
    })
}

/// More than what a frame takes beside its data.
const HEADER: usize = 32;

/// Puts payloads together again.
#[derive(Default)]
pub(super) struct Assembly {
    id: u64,
    size: u64,
    held: Vec<u8>,
}

impl Assembly {
    /// Takes a frame; returns the payload that it completes.
    pub(super) fn push(&mut self, frame: Frame) -> Result<Option<(u64, Bytes)>, Status> {
        if frame.size == frame.data.len() as u64 && self.held.is_empty() {
            return Ok(Some((frame.id, frame.data))); // whole: nothing to copy
        }
        if self.held.is_empty() {
            if frame.size > PAYLOAD {
                return Err(Status::out_of_range("a payload is too large"));
            }
            (self.id, self.size) = (frame.id, frame.size);
            // Taken as it arrives: a size that is only claimed costs no memory.
            self.held.reserve(room(usize::try_from(frame.size).unwrap_or(MESSAGE).min(MESSAGE)));
        }
        let grown = (self.held.len() + frame.data.len()) as u64;
        if (frame.id, frame.size) != (self.id, self.size) || frame.data.is_empty() || grown > self.size {
            return Err(Status::invalid_argument("frames do not fit together"));
        }
        self.held.extend_from_slice(&frame.data);
        let whole = grown == self.size;
        Ok(whole.then(|| (self.id, Bytes::from(std::mem::take(&mut self.held)))))
    }

    /// Takes a batch; returns the payloads that it completes.
    pub(super) fn whole(&mut self, batch: Batch) -> Result<Vec<(u64, Bytes)>, Status> {
        batch.frames.into_iter().filter_map(|frame| self.push(frame).transpose()).collect()
    }

    /// The bytes that it has taken for a payload that is arriving.
    pub(super) fn memory(&self) -> usize {
        self.held.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(frames: impl IntoIterator<Item = Frame>) -> Result<Vec<(u64, Bytes)>, Status> {
        let mut assembly = Assembly::default();
        frames.into_iter().filter_map(|frame| assembly.push(frame).transpose()).collect()
    }

    #[test]
    fn payloads_arrive_whole() {
        for size in [0, 1, FRAME - 1, FRAME, FRAME + 1, 5 * FRAME + 7] {
            let payload = Bytes::from((0..size).map(|n| n as u8).collect::<Vec<_>>());
            let two = frames(1, payload.clone()).chain(frames(2, payload.clone()));
            assert_eq!(assemble(two).unwrap(), [(1, payload.clone()), (2, payload)]);
        }
    }

    #[test]
    fn batches_are_neither_many_nor_large() {
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
        let mut assembly = Assembly::default();
        let announced = Frame { id: 1, size: PAYLOAD, data: Bytes::from_static(b"x") };
        assert_eq!(assembly.push(announced).unwrap(), None);
        assert!(assembly.held.capacity() <= MESSAGE);
    }

    #[test]
    fn nonsense_is_refused() {
        let frame = |id, size, data: &'static [u8]| Frame { id, size, data: Bytes::from_static(data) };
        assert!(assemble([frame(1, PAYLOAD + 1, b"x")]).is_err(), "too large");
        assert!(assemble([frame(1, 3, b"x"), frame(1, 3, b"xxx")]).is_err(), "more than it said");
        assert!(assemble([frame(1, 3, b"x"), frame(2, 3, b"xx")]).is_err(), "mixed up");
        assert!(assemble([frame(1, 3, b"x"), frame(1, 3, b"")]).is_err(), "no progress");
    }
}
