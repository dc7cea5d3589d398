//! The other workers of a session, as its tasks in one worker fetch from them.
//!
//! A journey takes longer than what it brings back, as a rule: all parts that a task needs are
//! fetched at once, with one call for each worker that has some. There is one connection to each. A
//! stream that is left in the middle would hold its flow-control window, so none is: a fetch runs
//! to its end, or its connection is given up.
//!
//! What a worker sends is compared with what it was asked for, and memory for it is taken as it
//! arrives.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cc_workloads::shelf::Slice;
use futures::future::join_all;
use prost::bytes::Bytes;
use tokio::{sync::watch, time::timeout};
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use super::{
    location::place,
    queue::address,
    status::{innermost, said},
    token::{Present, Token},
    wire::{
        Frame, MESSAGE,
        pb::{Part, Parts, worker_client::WorkerClient},
    },
};

/// Connections to other workers.
pub(super) struct Peers {
    token: Option<Token>,
    /// Another worker that is silent for so long is taken for dead.
    patience: Duration,
    clients: Mutex<HashMap<String, Client>>,
    /// Closed when the session ends.
    ended: watch::Receiver<()>,
}

pub(super) type Client = WorkerClient<InterceptedService<Channel, Present>>;

impl Peers {
    /// None yet.
    pub(super) fn new(token: Option<Token>, patience: Duration, ended: watch::Receiver<()>) -> Self {
        Self { token, patience, clients: Mutex::default(), ended }
    }

    /// Fetches what is not here, from all who have some of it at once.
    pub(super) async fn fetch<'a>(
        &self,
        parts: Vec<Wanted<'a>>,
    ) -> Result<HashMap<&'a str, Received>, (usize, String)> {
        let mut peers: BTreeMap<&str, Vec<Wanted>> = BTreeMap::new();
        parts.into_iter().for_each(|part| peers.entry(place(&part.slice.name)).or_default().push(part));
        let mut ended = self.ended.clone();
        let first = peers.values().filter_map(|parts| parts.first()).map(|part| part.nth).next();
        // None is left in the middle, whatever becomes of the others.
        let all = join_all(peers.into_iter().map(|(place, parts)| self.fetch_from(place, parts)));
        tokio::select! {
            biased;
            _ = ended.changed() => {
                let why = "not waited for: the session has ended".to_owned();
                first.map_or_else(|| Ok(HashMap::new()), |nth| Err((nth, why)))
            }
            fetched = all => fetched.into_iter().collect(),
        }
    }

    async fn fetch_from<'a>(
        &self,
        place: &'a str,
        parts: Vec<Wanted<'a>>,
    ) -> Result<(&'a str, Received), (usize, String)> {
        let first = parts.first().map_or(0, |part| part.nth);
        let received = self.transfer(place, &parts).await;
        received.map(|received| (place, received)).map_err(|why| {
            self.clients().remove(address(place));
            (first, why)
        })
    }

    async fn transfer(&self, place: &str, parts: &[Wanted<'_>]) -> Result<Received, String> {
        let mut client = self.client(address(place))?;
        let mut frames = self.in_time(client.fetch(asked(place, parts)?)).await?.into_inner();
        let mut left = parts.iter().map(|part| part.slice.len()).fold(0, u64::saturating_add);
        let mut received = Received::default();
        while let Some(Frame { data, .. }) = self.in_time(frames.message()).await? {
            left = left.checked_sub(data.len() as u64).ok_or("sends more than it was asked for")?;
            if data.is_empty() {
                return Err("sends frames without data".to_owned());
            }
            received.0.push_back(data);
        }
        if left == 0 { Ok(received) } else { Err("sends less than it was asked for".to_owned()) }
    }

    /// The connection to this worker, which is made when it is used.
    pub(super) fn client(&self, address: &str) -> Result<Client, String> {
        if let Some(client) = self.clients().get(address) {
            return Ok(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| innermost(&e))?;
        let channel = endpoint.connect_timeout(self.patience).tcp_nodelay(true).connect_lazy();
        let client = WorkerClient::with_interceptor(channel, Present(self.token.clone()));
        let client = client.max_decoding_message_size(MESSAGE);
        Ok(self.clients().entry(address.to_owned()).or_insert(client).clone())
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, String> {
        let answer = timeout(self.patience, answer).await.map_err(|_| "does not answer")?;
        answer.map_err(|status| said(&status))
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that is somewhere else, and not empty.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) nth: usize,
    pub(super) slice: &'a Slice,
}

/// What one worker has sent, in the frames that it came in: no memory is taken for what only was to
/// come.
#[derive(Default)]
pub(super) struct Received(VecDeque<Bytes>);

impl Received {
    /// Moves the next bytes, which there must be as many of.
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

fn asked(place: &str, parts: &[Wanted]) -> Result<Parts, &'static str> {
    let (_, session) = place.rsplit_once('/').ok_or("no such place")?;
    let part = |Slice { name, start, end }: &Slice| {
        let (_, name) = name.rsplit_once('/')?;
        Some(Part { name: name.to_owned(), start: *start, end: *end })
    };
    let parts: Option<_> = parts.iter().map(|wanted| part(wanted.slice)).collect();
    Ok(Parts { session: session.to_owned(), parts: parts.ok_or("no such place")? })
}

/// What another worker is asked for that has this.
pub(super) fn asked_for(slice: &Slice) -> Result<Parts, &'static str> {
    asked(place(&slice.name), &[Wanted { nth: 0, slice }])
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;
    use crate::cluster::{
        fixtures::{FOREVER, Peer, Runtime, hung, read},
        stores::Stores,
    };

    #[test]
    fn frames_that_were_not_asked_for_are_not_taken() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let own = Runtime::start();
        let (_session, shelf) = own.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        let frame = |size, data: &'static [u8]| Frame { id: 0, size, data: Bytes::from_static(data) };
        for (frames, why) in [
            (vec![], "sends less than it was asked for"),
            (vec![frame(3, b"ab")], "sends less than it was asked for"),
            (vec![frame(3, b"abcd")], "sends more than it was asked for"),
            (vec![frame(3, b"abc"), frame(3, b"d")], "sends more than it was asked for"),
            (vec![frame(3, b"")], "sends frames without data"),
            (vec![frame(u64::MAX, b"ab"), frame(u64::MAX, b"")], "sends frames without data"),
        ] {
            let address = runtime.serve(Peer::Wrong(frames), &token);
            let read = read(&shelf, &format!("{address}/session/0.0"), 0, 3);
            assert_eq!(read.unwrap_err(), format!("{address}: {why}"));
        }
    }

    #[test]
    fn a_worker_that_hangs_in_the_middle_is_not_waited_for() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let (peer, _fetching) = hung();
        let address = runtime.serve(peer, &token);
        let own = Runtime::start();
        let brief = Duration::from_millis(200);
        let (_session, shelf) = own.open(&Stores::default(), "elsewhere:1", &token, brief);
        let why = read(&shelf, &format!("{address}/session/0.0"), 0, 3).unwrap_err();
        assert_eq!(why, format!("{address}: does not answer"));

        // Its kernel accepts the connection, and that is all.
        let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = deaf.local_addr().unwrap();
        let why = read(&shelf, &format!("{address}/session/0.0"), 0, 3).unwrap_err();
        assert_eq!(why, format!("{address}: does not answer"));
    }

    #[test]
    fn a_worker_that_dies_in_the_middle_is_noticed_at_once() {
        let (runtime, token) = (Runtime::start(), Token::random().unwrap());
        let (peer, fetching) = hung();
        let address = runtime.serve(peer, &token);
        let own = Runtime::start();
        let (_session, shelf) = own.open(&Stores::default(), "elsewhere:1", &token, FOREVER);
        thread::scope(|scope| {
            let name = format!("{address}/session/0.0");
            let reader = scope.spawn(|| read(&shelf, &{ name }, 0, 3));
            fetching.recv().unwrap();
            drop(runtime);
            assert!(reader.join().unwrap().unwrap_err().starts_with(&address));
        });
    }
}
