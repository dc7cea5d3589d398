//! The shelf of a session, which reaches over all of its workers.
//!
//! What a task makes stays with the worker that made it, in the session's `Store`, and its name says where that is:
//! `ADDRESS/SESSION/NAME`. Whoever is given the name can have the thing, or parts of it, from there. The coordinator
//! hands on names only; the bytes go from worker to worker.
//!
//! A worker that is lost takes along what it had. Nobody mends that here: a part that cannot be had is an error in
//! good time, and whoever handed out the name has the thing made again.
//!
//! A journey takes longer than what it brings back, as a rule: all parts that a task needs are fetched at once, with one
//! call for each worker that has some. There is one connection to each. A stream that is left in the middle would
//! hold its flow-control window, so none is: a fetch runs to its end, or its connection is given up.
//!
//! How much a part has is said by names from elsewhere. Nothing is believed of it: what is here is
//! compared with what there is, and memory for what comes from elsewhere is taken as it arrives.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use cc_workloads::{
    Cause, Stop,
    error::reason,
    shelf::{Draft, Shelf, Slice},
};
use futures::future::join_all;
use prost::bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use super::{
    location::{place, place_of},
    queue::address,
    status::{innermost, said},
    store::{Store, Thing},
    token::{Present, Token},
    wire::{
        FRAME, Frame, MESSAGE, PAYLOAD,
        pb::{Hello, Part, Parts, worker_client::WorkerClient},
    },
};

/// The stores of the sessions that a worker serves.
#[derive(Clone, Default)]
pub(super) struct Stores(Arc<Mutex<HashMap<String, Arc<Store>>>>);

impl Stores {
    /// Begins a session. It lasts as long as the first of these is kept; the other is for its tasks.
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
        let shelf = ClusterShelf {
            place: place_of(hello),
            store,
            token,
            patience: Duration::from_millis(hello.patience_ms),
            peers: Mutex::default(),
            runtime: Handle::current(),
            ended,
        };
        let (stores, name, stop) = (self.clone(), hello.session.clone(), Stop::new());
        Ok((Session { stores, name, stop, _end: end }, shelf))
    }

    /// Sends parts of what there is, one behind the other, in frames, as they are taken.
    pub(super) fn send(&self, parts: Parts) -> Result<ReceiverStream<Result<Frame, Status>>, Status> {
        let mut found = self.frames(parts)?;
        // One is on its way while the next is read.
        let (frames, stream) = mpsc::channel(1);
        let read = move || {
            // Whoever does not take them any more has gone.
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

/// A session's registration. When it is dropped, what is on its shelf is gone for the others, and the session's own
/// tasks wait for nobody any more.
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

/// The shelf, as the tasks of a session see it in one worker.
pub struct ClusterShelf {
    place: String,
    store: Arc<Store>,
    token: Option<Token>,
    /// Another worker that is silent for so long is taken for dead.
    patience: Duration,
    peers: Mutex<HashMap<String, Client>>,
    /// Connections are driven by the worker's runtime; the slots that wait for them are threads outside of it.
    runtime: Handle,
    /// Closed when the session ends.
    ended: watch::Receiver<()>,
}

pub(super) type Client = WorkerClient<InterceptedService<Channel, Present>>;

impl ClusterShelf {
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

    /// Fetches what is not here, from all who have some of it at once.
    async fn fetch<'a>(&self, parts: Vec<Wanted<'a>>) -> Result<HashMap<&'a str, Received>, (usize, String)> {
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
            self.peers().remove(address(place));
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
        if let Some(client) = self.peers().get(address) {
            return Ok(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| innermost(&e))?;
        let channel = endpoint.connect_timeout(self.patience).tcp_nodelay(true).connect_lazy();
        let client = WorkerClient::with_interceptor(channel, Present(self.token.clone()));
        let client = client.max_decoding_message_size(MESSAGE);
        Ok(self.peers().entry(address.to_owned()).or_insert(client).clone())
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, String> {
        let answer = timeout(self.patience, answer).await.map_err(|_| "does not answer")?;
        answer.map_err(|status| said(&status))
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that is somewhere else, and not empty.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    nth: usize,
    slice: &'a Slice,
}

/// What one worker has sent, in the frames that it came in: no memory is taken for what only was to
/// come.
#[derive(Default)]
struct Received(VecDeque<Bytes>);

impl Received {
    /// Moves the next bytes, which there must be as many of.
    fn append_to(&mut self, into: &mut Vec<u8>, bytes: u64) {
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

impl Shelf for ClusterShelf {
    /// Begins something here: nobody can put anything elsewhere.
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
        let mut received = self.runtime.block_on(self.fetch(elsewhere)).map_err(at)?;
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
    use std::{future::pending, net::TcpListener, sync::mpsc::Receiver};

    use prost::bytes::Bytes;
    use tokio::{runtime::Builder, sync::oneshot};
    use tonic::{
        Request, Response, Streaming,
        transport::{Server, server::TcpIncoming},
    };

    use super::*;
    use crate::cluster::{
        token::{self, Demand},
        wire::pb::{
            Beat, FromWorker, ToWorker,
            worker_server::{Worker, WorkerServer},
        },
    };

    /// Nobody waits for so long: whatever ends in time has ended for another reason.
    const FOREVER: Duration = Duration::from_secs(600);

    /// A runtime as a worker has one: a thread drives it, and others wait for what happens there.
    struct Runtime {
        handle: Handle,
        end: Option<oneshot::Sender<()>>,
        thread: Option<thread::JoinHandle<()>>,
    }

    impl Runtime {
        fn start() -> Self {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
            let drive = move || drop(runtime.block_on(ended));
            Self { handle, end: Some(end), thread: Some(thread::spawn(drive)) }
        }

        /// A worker on this runtime, with this token. Returns its address.
        fn serve(&self, peer: Peer, token: &Token) -> String {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let demand = Demand(token.clone());
            self.handle.spawn(async move {
                listener.set_nonblocking(true).unwrap();
                let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
                let service = InterceptedService::new(WorkerServer::new(peer), demand);
                Server::builder().add_service(service).serve_with_incoming(incoming).await
            });
            address
        }

        /// A session of a worker that is said to be at this address.
        fn open(
            &self,
            stores: &Stores,
            address: &str,
            token: &Token,
            patience: Duration,
        ) -> (Session, ClusterShelf) {
            let _within = self.handle.enter();
            let (session, address) = (token::random().unwrap(), address.to_owned());
            let patience_ms = patience.as_millis() as u64;
            let hello = Hello { session, address, patience_ms, ..Hello::default() };
            stores.open(&hello, Some(token.clone())).unwrap()
        }
    }

    /// All its connections are gone then, as when a process dies.
    impl Drop for Runtime {
        fn drop(&mut self) {
            drop(self.end.take());
            self.thread.take().unwrap().join().unwrap();
        }
    }

    /// The other end of a fetch.
    enum Peer {
        /// Does what it should.
        Sound(Stores),
        /// Sends one frame, says so, and hangs.
        Hung(std::sync::mpsc::SyncSender<()>),
        /// Sends these frames, whatever it is asked for.
        Wrong(Vec<Frame>),
    }

    #[tonic::async_trait]
    impl Worker for Peer {
        type ServeStream = ReceiverStream<Result<FromWorker, Status>>;
        type FetchStream = ReceiverStream<Result<Frame, Status>>;

        async fn serve(
            &self,
            _: Request<Streaming<ToWorker>>,
        ) -> Result<Response<Self::ServeStream>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn fetch(&self, parts: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
            let (frames, stream) = mpsc::channel(1);
            let reached = match self {
                Self::Sound(stores) => return stores.send(parts.into_inner()).map(Response::new),
                Self::Hung(reached) => reached.clone(),
                Self::Wrong(wrong) => {
                    let wrong = wrong.clone();
                    tokio::spawn(async move {
                        for frame in wrong {
                            let _ = frames.send(Ok(frame)).await;
                        }
                    });
                    return Ok(Response::new(ReceiverStream::new(stream)));
                }
            };
            tokio::spawn(async move {
                let _ = frames.send(Ok(Frame { id: 0, size: 3, data: Bytes::from_static(b"x") })).await;
                reached.send(()).unwrap();
                pending::<()>().await;
                drop(frames);
            });
            Ok(Response::new(ReceiverStream::new(stream)))
        }

        async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
            Err(Status::unimplemented(""))
        }
    }

    fn hung() -> (Peer, Receiver<()>) {
        let (reached, fetching) = std::sync::mpsc::sync_channel(1);
        (Peer::Hung(reached), fetching)
    }

    fn put(shelf: &ClusterShelf, name: &str, bytes: &[u8]) -> String {
        let name = shelf.here(name);
        let mut draft = shelf.create(&name).unwrap();
        draft.write_all(bytes).unwrap();
        draft.finish().unwrap();
        name
    }

    fn read(shelf: &ClusterShelf, name: &str, start: u64, end: u64) -> Result<Vec<u8>, String> {
        let mut bytes = b"> ".to_vec();
        let slice = Slice { name: name.to_owned(), start, end };
        shelf.read(&slice, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes.split_off(2))
    }

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
        assert!(other_shelf.create(&name).is_err(), "nobody writes elsewhere");
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
