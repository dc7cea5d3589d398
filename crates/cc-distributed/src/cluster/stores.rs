//! The stores of the sessions that a worker serves, and what other workers are sent of them.

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
    location::place_of,
    peers::Peers,
    shelf::ClusterShelf,
    store::{Store, Thing},
    token::Token,
    wire::{
        FRAME, Frame,
        pb::{Hello, Part, Parts},
    },
};

/// The stores of the sessions that a worker serves.
#[derive(Clone, Default)]
pub(super) struct Stores(Arc<Mutex<HashMap<String, Arc<Store>>>>);

impl Stores {
    /// Begins a session. It lasts as long as the first of these is kept; the other is for its
    /// tasks.
    pub(super) fn open(
        &self,
        hello: &Hello,
        token: Option<Token>,
    ) -> Result<(Session, ClusterShelf), Status> {
        let store = Arc::new(Store::of(&hello.address));
        match self.lock().entry(hello.session.clone()) {
            Entry::Occupied(_) => return Err(Status::already_exists("there is a session of this name")),
            Entry::Vacant(free) => free.insert(store.clone()),
        };
        let (end, ended) = watch::channel(());
        let peers = Peers::new(token, Duration::from_millis(hello.patience_ms), ended);
        let shelf = ClusterShelf::new(place_of(hello), store, peers);
        let (stores, name, stop) = (self.clone(), hello.session.clone(), Stop::new());
        Ok((Session { stores, name, stop, _end: end }, shelf))
    }

    /// Sends parts of what there is, one behind the other, in frames, as they are taken.
    pub(super) fn send(&self, parts: Parts) -> Result<ReceiverStream<Result<Frame, Status>>, Status> {
        let mut found = self.frames(parts)?;
        // One is on its way while the next is read.
        let (frames, stream) = mpsc::channel(1);
        let read = move || {
            // The receiver is gone if the other worker is.
            let _ = found.try_for_each(|frame| frames.blocking_send(frame));
        };
        thread::Builder::new().name("read".to_owned()).spawn(read)?;
        Ok(ReceiverStream::new(stream))
    }

    /// The frames of parts that are all there.
    pub(super) fn frames(&self, parts: Parts) -> Result<Frames, Status> {
        let store = self.lock().get(&parts.session).cloned();
        let store = store.ok_or_else(|| Status::not_found("the session has ended"))?;
        let find = |part: Part| {
            let thing = store.thing(&part.name)?;
            thing.check(part.start, part.end).map(|()| (thing, part.start..part.end))
        };
        let found: io::Result<Vec<_>> = parts.parts.into_iter().map(find).collect();
        found.map(Frames::new).map_err(|error| Status::not_found(error.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Store>>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts of things, in frames that are all full but the last.
pub(super) struct Frames {
    parts: VecDeque<(Arc<Thing>, Range<u64>)>,
    size: u64,
    left: u64,
}

impl Frames {
    fn new(parts: Vec<(Arc<Thing>, Range<u64>)>) -> Self {
        let size = parts.iter().map(|(_, range)| range.end - range.start).sum();
        Self { parts: parts.into(), size, left: size }
    }

    fn fill(&mut self, mut data: &mut [u8]) -> io::Result<()> {
        while let Some((thing, range)) = self.parts.front_mut() {
            let some = data.len().min((range.end - range.start) as usize);
            let (some, rest) = data.split_at_mut(some);
            thing.read(range.start, some)?;
            range.start += some.len() as u64;
            data = rest;
            if !range.is_empty() {
                break;
            }
            self.parts.pop_front();
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

/// A session's registration. When it is dropped, what is on its shelf is gone for the others, and
/// the waits of the session's own tasks end.
pub(super) struct Session {
    stores: Stores,
    name: String,
    /// For its tasks.
    pub(super) stop: Stop,
    _end: watch::Sender<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.request(Cause::Break);
        let store = self.stores.lock().remove(&self.name);
        drop(store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixtures::Runtime;

    #[test]
    fn a_session_has_its_name_for_itself() {
        let (runtime, stores) = (Runtime::start(), Stores::default());
        let _within = runtime.handle.enter();
        let hello = Hello { session: "one".to_owned(), ..Hello::default() };
        let first = stores.open(&hello, None).unwrap();
        assert!(stores.open(&hello, None).is_err());
        drop(first);
        assert!(stores.open(&hello, None).is_ok());
    }
}
