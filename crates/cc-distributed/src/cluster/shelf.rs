//! The shelf of a session, which reaches over all of its workers.
//!
//! What a task makes stays with the worker that made it, in the session's `Store`, and its name
//! says where that is: `ADDRESS/SESSION/NAME`. A task that is given the name reads the thing, or
//! parts of it, from there. The coordinator hands on names only; the bytes go from worker to
//! worker.
//!
//! A worker that is lost takes along what it had. That is not mended here: a part that cannot be
//! had is an error in good time, and the coordinator, which has handed out the name, has the thing
//! made again.
//!
//! How much a part has is said by names from elsewhere. Nothing is believed of it: what is here is
//! compared with what there is, and memory for what comes from elsewhere is taken as it arrives.

use std::{io, sync::Arc};

use cc_workloads::{
    error::reason,
    shelf::{Draft, Shelf, Slice},
};
use tokio::runtime::Handle;

use super::{
    location::place,
    peers::{Peers, Wanted},
    queue::address,
    store::Store,
    wire::PAYLOAD,
};

/// The shelf, as the tasks of a session see it in one worker.
pub struct ClusterShelf {
    place: String,
    store: Arc<Store>,
    pub(super) peers: Peers,
    /// Connections are driven by the worker's runtime; the slots that wait for them are threads
    /// outside of it.
    runtime: Handle,
}

impl ClusterShelf {
    /// The shelf at this place, which has this store there. The calling thread is within the
    /// runtime of the worker.
    pub(super) fn new(place: String, store: Arc<Store>, peers: Peers) -> Self {
        Self { place, store, peers, runtime: Handle::current() }
    }

    /// The full name of something that is put here: what others have to ask for.
    #[must_use]
    pub fn here(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    /// Where the session's things are in this worker: `ADDRESS/SESSION`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Which of these have to be fetched. Together they are no more than the largest payload: a
    /// task for which more has to come could not return its output either.
    fn wanted<'a>(&self, slices: &[&'a Slice]) -> Result<Vec<Wanted<'a>>, (usize, String)> {
        let (mut wanted, mut left) = (Vec::new(), PAYLOAD);
        for (nth, slice) in slices.iter().enumerate() {
            if slice.start > slice.end {
                return Err((nth, "no such part".to_owned()));
            }
            if self.own(&slice.name).is_none() && !slice.is_empty() {
                left = left.checked_sub(slice.len()).ok_or((nth, "too large to be fetched".to_owned()))?;
                wanted.push(Wanted { nth, slice });
            }
        }
        Ok(wanted)
    }

    /// The name within this worker's own store, if it is there.
    pub(super) fn own<'a>(&self, name: &'a str) -> Option<&'a str> {
        match name.rsplit_once('/') {
            Some((place, name)) => (place == self.place).then_some(name),
            None => Some(name),
        }
    }
}

impl Shelf for ClusterShelf {
    /// Begins something here: a task writes to its own worker only.
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>> {
        let own = self.own(name).ok_or_else(|| io::Error::other(format!("{name}: is not here")))?;
        self.store.create(own)
    }

    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()> {
        self.read_all(&[slice], into).map_err(|(_, error)| error)
    }

    fn read_all(&self, slices: &[&Slice], into: &mut Vec<u8>) -> Result<(), (usize, io::Error)> {
        let at = |(nth, why): (usize, String)| {
            (nth, io::Error::other(format!("{}: {why}", address(place(&slices[nth].name)))))
        };
        let elsewhere = self.wanted(slices).map_err(at)?;
        let mut received = self.runtime.block_on(self.peers.fetch(elsewhere)).map_err(at)?;
        for (nth, slice) in slices.iter().enumerate() {
            if let Some(name) = self.own(&slice.name) {
                let own = Slice { name: name.to_owned(), ..Slice::clone(slice) };
                self.store.read(&own, into).map_err(|error| at((nth, reason(&error))))?;
            } else if let Some(received) = received.get_mut(place(&slice.name)) {
                received.append_to(into, slice.len());
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let own = self.own(name).ok_or_else(|| io::Error::other(format!("{name}: is not here")))?;
        self.store.remove(own)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::cluster::{
        fixtures::{FOREVER, Peer, Runtime, hung, put, read},
        stores::Stores,
        token::Token,
        wire::FRAME,
    };

    #[test]
    fn what_one_worker_has_any_other_can_read() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let stores = Stores::default();
        let address = runtime.serve(Peer::Sound(stores.clone()), &token);
        let (_session, shelf) = runtime.open(&stores, &address, &token, FOREVER);
        let bytes: Vec<u8> = (0..3 * FRAME + 5).map(|at| (at % 251 + at / FRAME) as u8).collect();
        let name = put(&shelf, "0.0", &bytes);

        let other = Runtime::start();
        let (_other_session, other_shelf) = other.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        let (size, frame) = (bytes.len() as u64, FRAME as u64);
        for (start, end) in [(0, size), (0, 1), (7, frame + 7), (frame, 2 * frame), (size - 1, size), (3, 3)]
        {
            let wanted = &bytes[start as usize..end as usize];
            assert!(read(&shelf, &name, start, end).unwrap() == wanted, "{start}..{end}");
            assert!(
                read(&other_shelf, &name, start, end).unwrap() == wanted,
                "{start}..{end} from elsewhere"
            );
        }
        assert!(other_shelf.create(&name).is_err(), "a task writes to its own worker only");
        assert!(other_shelf.remove(&name).is_err());
    }

    #[test]
    fn many_parts_come_at_once_and_in_their_order() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let peers = [(); 2].map(|()| {
            let stores = Stores::default();
            let address = runtime.serve(Peer::Sound(stores.clone()), &token);
            runtime.open(&stores, &address, &token, FOREVER)
        });
        let own = Runtime::start();
        let (_session, shelf) = own.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        let bytes: Vec<u8> = (0..2 * FRAME + 9).map(|at| (at % 253 + at / FRAME) as u8).collect();
        let names = [&peers[0].1, &shelf, &peers[1].1].map(|shelf| put(shelf, "run", &bytes));
        let (size, frame) = (bytes.len() as u64, FRAME as u64);
        let ranges = [(0, size), (5, 5), (7, 8), (frame - 1, frame + 1), (0, frame), (3, size), (2, 3)];
        let all = ranges.iter().flat_map(|range| names.iter().map(move |name| (name, range)));
        let slices: Vec<_> =
            all.map(|(name, &(start, end))| Slice { name: name.clone(), start, end }).collect();
        let wanted = slices.iter().flat_map(|slice| &bytes[slice.start as usize..slice.end as usize]);
        let mut read = Vec::new();
        shelf.read_all(&slices.iter().collect::<Vec<_>>(), &mut read).unwrap();
        assert!(read.iter().eq(wanted));

        let beyond = Slice { name: names[2].clone(), start: 1, end: size + 1 };
        let (nth, error) = shelf.read_all(&[&slices[0], &slices[1], &beyond], &mut read).unwrap_err();
        assert_eq!(
            (nth, error.to_string()),
            (2, format!("{}: there is less of it", address(place(&names[2]))))
        );
    }

    #[test]
    fn what_cannot_be_had_is_an_error_that_says_where() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let stores = Stores::default();
        let address = runtime.serve(Peer::Sound(stores.clone()), &token);
        let (session, shelf) = runtime.open(&stores, &address, &token, FOREVER);
        let name = put(&shelf, "0.0", b"abc");
        let (_other, other) = runtime.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        let wrong = Token::random().unwrap();
        let (_stranger, stranger) = runtime.open(&Stores::default(), "elsewhere:2", &wrong, FOREVER);

        let refused = |shelf, name: &str, start, end| read(shelf, name, start, end).unwrap_err();
        assert_eq!(refused(&stranger, &name, 0, 3), format!("{address}: wrong token"));
        assert_eq!(refused(&other, &name, 2, 4), format!("{address}: there is less of it"));
        assert_eq!(refused(&other, &name, 2, 1), format!("{address}: no such part"));
        assert_eq!(refused(&other, &shelf.here("1.0"), 0, 1), format!("{address}: 1.0: not on the shelf"));
        let strange = format!("{address}/no-session/0.0");
        assert_eq!(refused(&other, &strange, 0, 3), format!("{address}: the session has ended"));
        drop(session);
        assert_eq!(refused(&other, &name, 0, 3), format!("{address}: the session has ended"));
    }

    #[test]
    fn a_size_that_nothing_stands_behind_costs_no_memory() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let stores = Stores::default();
        let address = runtime.serve(Peer::Sound(stores.clone()), &token);
        let (_session, shelf) = runtime.open(&stores, &address, &token, FOREVER);
        let name = put(&shelf, "0.0", b"abc");
        let own = Runtime::start();
        let (_other, other) = own.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        for end in [4, 1 << 30, (1 << 30) + 1, 32 << 40, u64::MAX] {
            for shelf in [&shelf, &other] {
                let mut into = Vec::new();
                let slice = |start, end| Slice { name: name.clone(), start, end };
                let (nth, _) = shelf.read_all(&[&slice(0, 3), &slice(0, end)], &mut into).unwrap_err();
                assert!(nth <= 1 && into.capacity() < 1 << 10, "{} bytes for {end}", into.capacity());
            }
        }
        let beyond = Slice { name, start: 0, end: 32 << 40 };
        let (_, error) = other.read_all(&[&beyond], &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("{address}: too large to be fetched"));
    }

    #[test]
    fn a_session_that_ends_leaves_nobody_waiting_and_no_store() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let (peer, fetching) = hung();
        let address = runtime.serve(peer, &token);
        let own = Runtime::start();
        let (session, shelf) = own.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        put(&shelf, "0.0", b"abc");
        let store = Arc::downgrade(&shelf.store);
        thread::scope(|scope| {
            let name = format!("{address}/session/0.0");
            let reader = scope.spawn(|| read(&shelf, &{ name }, 0, 3));
            fetching.recv().unwrap();
            drop(session);
            assert!(reader.join().unwrap().unwrap_err().ends_with("the session has ended"));
        });
        drop(shelf);
        assert!(store.upgrade().is_none());
    }
}
