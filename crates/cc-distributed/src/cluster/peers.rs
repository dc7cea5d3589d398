//! Fetching from the other workers of a session, for its tasks in this worker.
//!
//! A round trip usually takes longer than the transfer of the bytes. So all ranges that a task
//! needs are fetched at the same time, with one call to each worker that has some. There is one
//! connection to each worker. A stream that is dropped before its end would keep its part of the
//! connection's flow-control window, so none is: a fetch runs to its end, or its connection is
//! given up.
//!
//! The bytes that a worker sends are compared with the request, and memory for them is allocated as
//! they arrive.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cc_workloads::blobs::BlobRange;
use futures::future::join_all;
use prost::bytes::Bytes;
use tokio::{sync::watch, time::timeout};
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use super::{
    location::location_of,
    queue::address_of,
    status::{describe, root_cause},
    token::{AttachToken, Token},
    wire::{
        Frame, MESSAGE,
        pb::{Part, Parts, worker_client::WorkerClient},
    },
};

/// Connections to other workers.
pub(super) struct Peers {
    token: Option<Token>,
    /// When another worker that is silent is taken for dead.
    answer_timeout: Duration,
    clients: Mutex<HashMap<String, Client>>,
    /// Closed when the session ends.
    end_rx: watch::Receiver<()>,
}

pub(super) type Client = WorkerClient<InterceptedService<Channel, AttachToken>>;

impl Peers {
    /// Begins without a connection.
    pub(super) fn new(token: Option<Token>, answer_timeout: Duration, end_rx: watch::Receiver<()>) -> Self {
        Self { token, answer_timeout, clients: Mutex::default(), end_rx }
    }

    /// Fetches ranges from all workers that have some, at the same time. Returns the bytes by
    /// location. An error has the index of a range.
    pub(super) async fn fetch<'a>(
        &self,
        ranges: Vec<RemoteRange<'a>>,
    ) -> Result<HashMap<&'a str, Received>, (usize, String)> {
        let mut by_location: BTreeMap<&str, Vec<RemoteRange>> = BTreeMap::new();
        for remote in ranges {
            by_location.entry(location_of(&remote.range.name)).or_default().push(remote);
        }
        let first = by_location.values().filter_map(|ranges| ranges.first()).map(|first| first.index).next();
        // `join_all` and not `try_join_all`: after an error the other streams still run to their
        // end.
        let fetches = by_location.into_iter().map(|(location, ranges)| self.fetch_from(location, ranges));
        let mut end_rx = self.end_rx.clone();
        tokio::select! {
            biased;
            // Streams are dropped before their end only here, where all connections are given up.
            _ = end_rx.changed() => {
                let why = "given up: the session has ended".to_owned();
                first.map_or_else(|| Ok(HashMap::new()), |index| Err((index, why)))
            }
            fetched = join_all(fetches) => fetched.into_iter().collect(),
        }
    }

    async fn fetch_from<'a>(
        &self,
        location: &'a str,
        ranges: Vec<RemoteRange<'a>>,
    ) -> Result<(&'a str, Received), (usize, String)> {
        let first = ranges.first().map_or(0, |first| first.index);
        let received = self.transfer(location, &ranges).await;
        received.map(|received| (location, received)).map_err(|why| {
            // Gives up the connection.
            self.clients().remove(address_of(location));
            (first, why)
        })
    }

    async fn transfer(&self, location: &str, ranges: &[RemoteRange<'_>]) -> Result<Received, String> {
        let mut client = self.client(address_of(location))?;
        let mut frames = self.in_time(client.fetch(parts(location, ranges)?)).await?.into_inner();
        let mut left = ranges.iter().map(|remote| remote.range.len()).fold(0, u64::saturating_add);
        let mut received = Received::default();
        while let Some(Frame { data, .. }) = self.in_time(frames.message()).await? {
            left = left.checked_sub(data.len() as u64).ok_or("sends more bytes than requested")?;
            if data.is_empty() {
                return Err("sends frames without data".to_owned());
            }
            received.0.push_back(data);
        }
        if left == 0 { Ok(received) } else { Err("sends fewer bytes than requested".to_owned()) }
    }

    /// A client for the worker at this address. It connects when it is used.
    pub(super) fn client(&self, address: &str) -> Result<Client, String> {
        if let Some(client) = self.clients().get(address) {
            return Ok(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| root_cause(&e))?;
        let channel = endpoint.connect_timeout(self.answer_timeout).tcp_nodelay(true).connect_lazy();
        let client = WorkerClient::with_interceptor(channel, AttachToken(self.token.clone()));
        let client = client.max_decoding_message_size(MESSAGE);
        Ok(self.clients().entry(address.to_owned()).or_insert(client).clone())
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, String> {
        let answer = timeout(self.answer_timeout, answer).await.map_err(|_| "does not answer")?;
        answer.map_err(|status| describe(&status))
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        // No foreign code runs under the lock, so a panic cannot leave the map half-changed.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A range that another worker has, and that is not empty.
#[derive(Clone, Copy)]
pub(super) struct RemoteRange<'a> {
    /// Its index among the ranges of the read.
    pub(super) index: usize,
    pub(super) range: &'a BlobRange,
}

/// The bytes that one worker has sent, in the frames that they came in. No memory is allocated for
/// bytes that were only announced.
#[derive(Default)]
pub(super) struct Received(VecDeque<Bytes>);

impl Received {
    /// Moves this number of bytes, which were checked to be there.
    pub(super) fn append_to(&mut self, into: &mut Vec<u8>, bytes: u64) {
        let mut left = bytes as usize;
        while let Some(frame) = self.0.front_mut().filter(|_| left > 0) {
            let some = frame.split_to(left.min(frame.len()));
            into.extend_from_slice(&some);
            left -= some.len();
            if frame.is_empty() {
                self.0.pop_front();
            }
        }
    }
}

/// The request for ranges at this location.
fn parts(location: &str, ranges: &[RemoteRange]) -> Result<Parts, &'static str> {
    const NO_LOCATION: &str = "the blob's name has no location (ADDRESS/SESSION/NAME)";
    let (_, session) = location.rsplit_once('/').ok_or(NO_LOCATION)?;
    let part = |BlobRange { name, start, end }: &BlobRange| {
        let (_, name) = name.rsplit_once('/')?;
        Some(Part { name: name.to_owned(), start: *start, end: *end })
    };
    let parts: Option<_> = ranges.iter().map(|remote| part(remote.range)).collect();
    Ok(Parts { session: session.to_owned(), parts: parts.ok_or(NO_LOCATION)? })
}

/// The request for one range.
pub(super) fn parts_of(range: &BlobRange) -> Result<Parts, &'static str> {
    parts(location_of(&range.name), &[RemoteRange { index: 0, range }])
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;
    use crate::cluster::{
        fixtures::{FOREVER, Peer, Runtime, hung, read},
        session_stores::SessionStores,
    };

    #[test]
    fn frames_that_do_not_fit_the_request_are_refused() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let own = Runtime::start();
        let (_session, blobs) = own.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        let frame = |size, data: &'static [u8]| Frame { id: 0, size, data: Bytes::from_static(data) };
        for (frames, why) in [
            (vec![], "sends fewer bytes than requested"),
            (vec![frame(3, b"ab")], "sends fewer bytes than requested"),
            (vec![frame(3, b"abcd")], "sends more bytes than requested"),
            (vec![frame(3, b"abc"), frame(3, b"d")], "sends more bytes than requested"),
            (vec![frame(3, b"")], "sends frames without data"),
            (vec![frame(u64::MAX, b"ab"), frame(u64::MAX, b"")], "sends frames without data"),
        ] {
            let address = runtime.serve(Peer::Wrong(frames), &token);
            let read = read(&blobs, &format!("{address}/session/0.0"), 0, 3);
            assert_eq!(read.unwrap_err(), format!("{address}: {why}"));
        }
    }

    #[test]
    fn a_worker_that_hangs_during_a_transfer_is_given_up() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let (peer, _fetching_rx) = hung();
        let address = runtime.serve(peer, &token);
        let own = Runtime::start();
        let short = Duration::from_millis(200);
        let (_session, blobs) = own.open(&SessionStores::default(), "elsewhere:1", &token, short);
        let why = read(&blobs, &format!("{address}/session/0.0"), 0, 3).unwrap_err();
        assert_eq!(why, format!("{address}: does not answer"));

        // Only the operating system accepts the connection; nothing reads from it.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let why = read(&blobs, &format!("{address}/session/0.0"), 0, 3).unwrap_err();
        assert_eq!(why, format!("{address}: does not answer"));
    }

    #[test]
    fn a_worker_that_dies_during_a_transfer_is_noticed_at_once() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let (peer, fetching_rx) = hung();
        let address = runtime.serve(peer, &token);
        let own = Runtime::start();
        let (_session, blobs) = own.open(&SessionStores::default(), "elsewhere:1", &token, FOREVER);
        thread::scope(|scope| {
            let name = format!("{address}/session/0.0");
            let reader = scope.spawn(|| read(&blobs, &{ name }, 0, 3));
            fetching_rx.recv().unwrap();
            drop(runtime);
            assert!(reader.join().unwrap().unwrap_err().starts_with(&address));
        });
    }
}
