//! The spill stores of the sessions that a worker serves, and how other workers fetch from them.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use cc_workloads::{Cause, Stop, error::reason};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    blob_store::ClusterBlobStore,
    location::session_location,
    peers::Peers,
    spill_store::{Blob, SpillStore},
    token::Token,
    wire::{
        FRAME, Frame,
        pb::{Hello, Part, Parts},
    },
};

/// The spill store of each session, by the session's name. Clones are the same stores.
#[derive(Clone, Default)]
pub(super) struct SessionStores(Arc<Mutex<HashMap<String, Arc<SpillStore>>>>);

impl SessionStores {
    /// Registers a session, which lasts until the registration is dropped. The blob store is for
    /// its tasks.
    pub(super) fn open(
        &self,
        hello: &Hello,
        token: Option<Token>,
    ) -> Result<(Registration, ClusterBlobStore), Status> {
        let store = Arc::new(SpillStore::of(&hello.address));
        match self.lock().entry(hello.session.clone()) {
            Entry::Occupied(_) => return Err(Status::already_exists("there is a session of this name")),
            Entry::Vacant(free) => free.insert(store.clone()),
        };
        let (end_tx, end_rx) = watch::channel(());
        let peers = Peers::new(token, Duration::from_millis(hello.patience_ms), end_rx);
        let blobs = ClusterBlobStore::new(session_location(hello), store, peers);
        let (stores, name, stop) = (self.clone(), hello.session.clone(), Stop::new());
        Ok((Registration { stores, name, stop, _end_tx: end_tx }, blobs))
    }

    /// Sends ranges of blobs, one after the other, in frames. A frame is read when the receiver has
    /// taken an earlier one.
    pub(super) fn send(&self, parts: Parts) -> Result<ReceiverStream<Result<Frame, Status>>, Status> {
        let mut frames = self.frames(parts)?;
        // One frame is in the channel while the next is read.
        let (frames_tx, frames_rx) = mpsc::channel(1);
        let read = move || {
            // The receiver is gone if the other worker is.
            let _ = frames.try_for_each(|frame| frames_tx.blocking_send(frame));
        };
        thread::Builder::new().name("read".to_owned()).spawn(read)?;
        Ok(ReceiverStream::new(frames_rx))
    }

    /// The frames of these ranges. Fails if one of them does not exist.
    pub(super) fn frames(&self, parts: Parts) -> Result<Frames, Status> {
        let store = self.lock().get(&parts.session).cloned();
        let store = store.ok_or_else(|| Status::not_found("the session has ended"))?;
        let find = |part: Part| {
            let blob = store.blob(&part.name)?;
            blob.check(part.start, part.end).map(|()| (blob, part.start..part.end))
        };
        let found: io::Result<Vec<_>> = parts.parts.into_iter().map(find).collect();
        found.map(Frames::new).map_err(|error| Status::not_found(error.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<SpillStore>>> {
        // No foreign code runs under the lock, so a panic cannot leave the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ranges of blobs, as an iterator of frames. All frames but the last are full.
pub(super) struct Frames {
    ranges: VecDeque<(Arc<Blob>, Range<u64>)>,
    size: u64,
    left: u64,
}

impl Frames {
    fn new(ranges: Vec<(Arc<Blob>, Range<u64>)>) -> Self {
        let size = ranges.iter().map(|(_, range)| range.end - range.start).sum();
        Self { ranges: ranges.into(), size, left: size }
    }

    /// Reads the next bytes, from as many ranges as needed.
    fn fill(&mut self, mut data: &mut [u8]) -> io::Result<()> {
        while let Some((blob, range)) = self.ranges.front_mut() {
            let length = data.len().min((range.end - range.start) as usize);
            let (filled, rest) = data.split_at_mut(length);
            blob.read(range.start, filled)?;
            range.start += filled.len() as u64;
            data = rest;
            if !range.is_empty() {
                break;
            }
            self.ranges.pop_front();
        }
        Ok(())
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut data = vec![0; self.left.min(FRAME as u64) as usize];
        self.left -= data.len() as u64;
        let filled = self.fill(&mut data).map_err(|error| Status::data_loss(reason(&error)));
        (!data.is_empty()).then(|| filled.map(|()| Frame { id: 0, size: self.size, data: data.into() }))
    }
}

/// The registration of a session. When it is dropped, other workers can no longer fetch its blobs,
/// and its own tasks stop waiting for theirs.
pub(super) struct Registration {
    stores: SessionStores,
    name: String,
    /// For the session's tasks.
    pub(super) stop: Stop,
    /// Dropping it ends the fetches of the session's tasks.
    _end_tx: watch::Sender<()>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.stop.request(Cause::Break);
        let store = self.stores.lock().remove(&self.name);
        // Not under the lock: it may be the last reference, and closing a large file takes long.
        drop(store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixtures::Runtime;

    #[test]
    fn the_name_of_a_session_is_unique() {
        let (runtime, stores) = (Runtime::start(), SessionStores::default());
        let _within = runtime.handle.enter();
        let hello = Hello { session: "one".to_owned(), ..Hello::default() };
        let first = stores.open(&hello, None).unwrap();
        assert!(stores.open(&hello, None).is_err());
        drop(first);
        assert!(stores.open(&hello, None).is_ok());
    }
}
