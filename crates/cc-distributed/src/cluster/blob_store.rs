//! The blob store of a session, which spans all of its workers.
//!
//! A blob stays with the worker that made it, in that session's `SpillStore`. Its name says where
//! it is: `ADDRESS/SESSION/NAME`. A task that is given the name reads ranges of the blob from
//! there. The coordinator passes on names only; the bytes travel from worker to worker.
//!
//! When a worker is lost, its blobs are lost. This module does not repair that: a range that cannot
//! be fetched is an error, after a limited time. The coordinator, which has passed on the name, has
//! the blob made again.
//!
//! Names and sizes come from other machines, and are not trusted. A range of a blob that is here is
//! compared with the blob; memory for a range from elsewhere is allocated as its bytes arrive.

use std::{io, sync::Arc};

use cc_workloads::{
    blobs::{BlobRange, BlobStore, BlobWriter},
    error::reason,
};
use tokio::runtime::Handle;

use super::{
    location::location_of,
    peers::{Peers, RemoteRange},
    queue::address_of,
    spill_store::SpillStore,
    wire::PAYLOAD,
};

/// The error for a read of more bytes than a payload may have.
const TOO_LARGE: &str = "too large to fetch: a read may get at most 1 GiB from other workers";

/// The blob store of a session, as the tasks in one worker see it.
pub struct ClusterBlobStore {
    location: String,
    store: Arc<SpillStore>,
    pub(super) peers: Peers,
    /// The worker's runtime. It drives the connections; the slots that wait for them are threads
    /// outside of it.
    runtime: Handle,
}

impl ClusterBlobStore {
    /// The blob store of the session at this location. Must be called within the worker's runtime.
    pub(super) fn new(location: String, store: Arc<SpillStore>, peers: Peers) -> Self {
        Self { location, store, peers, runtime: Handle::current() }
    }

    /// The name under which other workers can read a blob that is made here.
    #[must_use]
    pub fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.location)
    }

    /// Where the session's blobs are in this worker: `ADDRESS/SESSION`.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The ranges that have to be fetched. Together they have no more bytes than the largest
    /// payload: a task that reads more could not return its output either. An error has the index
    /// of a range.
    fn remote<'a>(&self, ranges: &[&'a BlobRange]) -> Result<Vec<RemoteRange<'a>>, (usize, String)> {
        let mut remote = Vec::new();
        let mut left = PAYLOAD;
        for (index, range) in ranges.iter().enumerate() {
            if range.start > range.end {
                return Err((index, format!("bytes {}..{} are not a range", range.start, range.end)));
            }
            if self.local_name(&range.name).is_none() && !range.is_empty() {
                left = left.checked_sub(range.len()).ok_or_else(|| (index, TOO_LARGE.to_owned()))?;
                remote.push(RemoteRange { index, range });
            }
        }
        Ok(remote)
    }

    /// The name within this worker's own store. None if the blob is elsewhere.
    pub(super) fn local_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        match name.rsplit_once('/') {
            Some((location, name)) => (location == self.location).then_some(name),
            None => Some(name),
        }
    }

    /// The name within this worker's own store.
    fn local_name_or_err<'a>(&self, name: &'a str) -> io::Result<&'a str> {
        let why = || format!("{name}: belongs to another worker, and cannot be changed here");
        self.local_name(name).ok_or_else(|| io::Error::other(why()))
    }
}

impl BlobStore for ClusterBlobStore {
    /// Creates a blob in this worker: a task does not write to other workers.
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter + '_>> {
        self.store.create(self.local_name_or_err(name)?)
    }

    fn read(&self, range: &BlobRange, into: &mut Vec<u8>) -> io::Result<()> {
        self.read_all(&[range], into).map_err(|(_, error)| error)
    }

    fn read_all(&self, ranges: &[&BlobRange], into: &mut Vec<u8>) -> Result<(), (usize, io::Error)> {
        let with_address = |(index, why): (usize, String)| {
            let address = address_of(location_of(&ranges[index].name));
            (index, io::Error::other(format!("{address}: {why}")))
        };
        let remote = self.remote(ranges).map_err(with_address)?;
        let mut received = self.runtime.block_on(self.peers.fetch(remote)).map_err(with_address)?;
        for (index, range) in ranges.iter().enumerate() {
            if let Some(name) = self.local_name(&range.name) {
                let local = BlobRange { name: name.to_owned(), ..BlobRange::clone(range) };
                self.store.read(&local, into).map_err(|error| with_address((index, reason(&error))))?;
            } else if let Some(received) = received.get_mut(location_of(&range.name)) {
                received.append_to(into, range.len());
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.store.remove(self.local_name_or_err(name)?)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::cluster::{
        fixtures::{FOREVER, Peer, Runtime, hung, put, read},
        session_stores::SessionStores,
        token::Token,
        wire::FRAME,
    };

    #[test]
    fn a_blob_of_one_worker_can_be_read_by_any_other() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let stores = SessionStores::default();
        let address = runtime.serve(Peer::Correct(stores.clone()), &token);
        let (_session, blobs) = runtime.open(&stores, &address, &token, FOREVER);
        let bytes: Vec<u8> = (0..3 * FRAME + 5).map(|at| (at % 251 + at / FRAME) as u8).collect();
        let name = put(&blobs, "0.0", &bytes);

        let other = Runtime::start();
        let (_other_session, other_blobs) =
            other.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        let (size, frame) = (bytes.len() as u64, FRAME as u64);
        for (start, end) in [(0, size), (0, 1), (7, frame + 7), (frame, 2 * frame), (size - 1, size), (3, 3)]
        {
            let wanted = &bytes[start as usize..end as usize];
            assert!(read(&blobs, &name, start, end).unwrap() == wanted, "{start}..{end}");
            assert!(
                read(&other_blobs, &name, start, end).unwrap() == wanted,
                "{start}..{end} from elsewhere"
            );
        }
        assert!(other_blobs.create(&name).is_err(), "a task writes to its own worker only");
        assert!(other_blobs.remove(&name).is_err());
    }

    #[test]
    fn many_ranges_are_read_at_once_and_returned_in_order() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let peers = [(); 2].map(|()| {
            let stores = SessionStores::default();
            let address = runtime.serve(Peer::Correct(stores.clone()), &token);
            runtime.open(&stores, &address, &token, FOREVER)
        });
        let own = Runtime::start();
        let (_session, blobs) = own.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        let bytes: Vec<u8> = (0..2 * FRAME + 9).map(|at| (at % 253 + at / FRAME) as u8).collect();
        let names = [&peers[0].1, &blobs, &peers[1].1].map(|blobs| put(blobs, "run", &bytes));
        let (size, frame) = (bytes.len() as u64, FRAME as u64);
        let bounds = [(0, size), (5, 5), (7, 8), (frame - 1, frame + 1), (0, frame), (3, size), (2, 3)];
        let all = bounds.iter().flat_map(|bounds| names.iter().map(move |name| (name, bounds)));
        let ranges: Vec<_> =
            all.map(|(name, &(start, end))| BlobRange { name: name.clone(), start, end }).collect();
        let wanted = ranges.iter().flat_map(|range| &bytes[range.start as usize..range.end as usize]);
        let mut read = Vec::new();
        blobs.read_all(&ranges.iter().collect::<Vec<_>>(), &mut read).unwrap();
        assert!(read.iter().eq(wanted));

        let beyond = BlobRange { name: names[2].clone(), start: 1, end: size + 1 };
        let (nth, error) = blobs.read_all(&[&ranges[0], &ranges[1], &beyond], &mut read).unwrap_err();
        assert_eq!(
            (nth, error.to_string()),
            (
                2,
                format!(
                    "{}: the blob has no bytes 1..{}: its size is {size}",
                    address_of(location_of(&names[2])),
                    size + 1
                )
            )
        );
    }

    #[test]
    fn a_failed_read_says_where_it_failed() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let stores = SessionStores::default();
        let address = runtime.serve(Peer::Correct(stores.clone()), &token);
        let (session, blobs) = runtime.open(&stores, &address, &token, FOREVER);
        let name = put(&blobs, "0.0", b"abc");
        let (_other, other) = runtime.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        let wrong = Token::random().unwrap();
        let (_stranger, stranger) = runtime.open(&SessionStores::default(), "elsewhere:2", &wrong, FOREVER);

        let refused = |blobs, name: &str, start, end| read(blobs, name, start, end).unwrap_err();
        assert_eq!(refused(&stranger, &name, 0, 3), format!("{address}: wrong token"));
        assert_eq!(
            refused(&other, &name, 2, 4),
            format!("{address}: the blob has no bytes 2..4: its size is 3")
        );
        assert_eq!(refused(&other, &name, 2, 1), format!("{address}: bytes 2..1 are not a range"));
        assert_eq!(refused(&other, &blobs.full_name("1.0"), 0, 1), format!("{address}: 1.0: no such blob"));
        let strange = format!("{address}/no-session/0.0");
        assert_eq!(refused(&other, &strange, 0, 3), format!("{address}: the session has ended"));
        drop(session);
        assert_eq!(refused(&other, &name, 0, 3), format!("{address}: the session has ended"));
    }

    #[test]
    fn a_size_that_is_only_claimed_costs_no_memory() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let stores = SessionStores::default();
        let address = runtime.serve(Peer::Correct(stores.clone()), &token);
        let (_session, blobs) = runtime.open(&stores, &address, &token, FOREVER);
        let name = put(&blobs, "0.0", b"abc");
        let own = Runtime::start();
        let (_other, other) = own.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        for end in [4, 1 << 30, (1 << 30) + 1, 32 << 40, u64::MAX] {
            for blobs in [&blobs, &other] {
                let mut into = Vec::new();
                let range = |start, end| BlobRange { name: name.clone(), start, end };
                let (nth, _) = blobs.read_all(&[&range(0, 3), &range(0, end)], &mut into).unwrap_err();
                assert!(nth <= 1 && into.capacity() < 1 << 10, "{} bytes for {end}", into.capacity());
            }
        }
        let beyond = BlobRange { name, start: 0, end: 32 << 40 };
        let (_, error) = other.read_all(&[&beyond], &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("{address}: {TOO_LARGE}"));
    }

    #[test]
    fn the_end_of_a_session_ends_its_fetches_and_drops_its_store() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let (peer, fetching) = hung();
        let address = runtime.serve(peer, &token);
        let own = Runtime::start();
        let (session, blobs) = own.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        put(&blobs, "0.0", b"abc");
        let store = Arc::downgrade(&blobs.store);
        thread::scope(|scope| {
            let name = format!("{address}/session/0.0");
            let reader = scope.spawn(|| read(&blobs, &{ name }, 0, 3));
            fetching.recv().unwrap();
            drop(session);
            assert!(reader.join().unwrap().unwrap_err().ends_with("the session has ended"));
        });
        drop(blobs);
        assert!(store.upgrade().is_none());
    }
}
