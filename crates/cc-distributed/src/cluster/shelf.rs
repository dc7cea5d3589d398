//! The shelf of a session, which reaches over all of its workers.
//!
//! What a task makes stays with the worker that made it, in the session's `Store`, and its name says where that is:
//! `ADDRESS/SESSION/NAME`. Whoever is given the name can have the thing, or parts of it, from there. The coordinator
//! hands on names only; the bytes go from worker to worker.
//!
//! A worker that is lost takes along what it had. Nobody mends that here: a part that cannot be had is an error in
//! good time, and whoever handed out the name has the thing made again.
//!
//! There is one connection to each worker that something is fetched from. A stream that is left in the middle would
//! hold its flow-control window, so none is: a fetch runs to its end, or its connection is given up.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cc_workloads::{
    error::reason,
    shelf::{Draft, Shelf, Slice},
};
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
    member::{innermost, said},
    store::{Store, Thing},
    token::{Present, Token},
    wire::{
        FRAME, Frame, MESSAGE,
        pb::{Hello, Part, worker_client::WorkerClient},
    },
};

/// The place of the thing with this name: `ADDRESS/SESSION`.
pub(crate) fn place(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(place, _)| place)
}

/// The place that a session is.
pub(super) fn place_of(hello: &Hello) -> String {
    format!("{}/{}", hello.address, hello.session)
}

fn address(place: &str) -> &str {
    place.rsplit_once('/').map_or(place, |(address, _)| address)
}

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
        let store = Arc::new(Store::default());
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
        Ok((Session { stores: self.clone(), name: hello.session.clone(), _end: end }, shelf))
    }

    /// Sends a part of something, in frames, as they are taken.
    pub(super) fn send(&self, part: Part) -> Result<ReceiverStream<Result<Frame, Status>>, Status> {
        let store = self.lock().get(&part.session).cloned();
        let store = store.ok_or_else(|| Status::not_found("the session has ended"))?;
        let thing = store.thing(&part.name).map_err(|error| Status::not_found(error.to_string()))?;
        // One is on its way while the next is read.
        let (frames, stream) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            // Whoever does not take them any more has gone.
            let _ = parts(&thing, &part).try_for_each(|frame| frames.blocking_send(frame));
        });
        Ok(ReceiverStream::new(stream))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Store>>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parts(thing: &Thing, part: &Part) -> impl Iterator<Item = Result<Frame, Status>> {
    let (start, end) = (part.start, part.end);
    let frame = move |at: u64| {
        let mut data = Vec::new();
        let next = end.min(at.saturating_add(FRAME as u64));
        thing.read(at, next, &mut data).map_err(|error| Status::data_loss(error.to_string()))?;
        Ok(Frame { id: 0, size: end - start, data: Bytes::from(data) })
    };
    (start..end).step_by(FRAME).map(frame)
}

/// A session's registration. When it is dropped, what is on its shelf is gone for the others, and the session's own
/// tasks wait for nobody any more.
pub(super) struct Session {
    stores: Stores,
    name: String,
    _end: watch::Sender<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
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

type Client = WorkerClient<InterceptedService<Channel, Present>>;

impl ClusterShelf {
    /// The full name of something that is put here: what others have to ask for.
    #[must_use]
    pub fn here(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    /// The address of this worker.
    #[must_use]
    pub fn address(&self) -> &str {
        address(&self.place)
    }

    /// The name within this worker's own store, if it is there.
    fn own<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&self.place)?.strip_prefix('/')
    }

    async fn fetch(&self, slice: &Slice, into: &mut Vec<u8>) -> Result<(), String> {
        let mut ended = self.ended.clone();
        let address = address(place(&slice.name));
        let fetched = tokio::select! {
            biased;
            _ = ended.changed() => Err("not waited for: the session has ended".to_owned()),
            fetched = self.transfer(address, slice, into) => fetched,
        };
        if fetched.is_err() {
            self.peers().remove(address);
        }
        fetched
    }

    async fn transfer(&self, address: &str, slice: &Slice, into: &mut Vec<u8>) -> Result<(), String> {
        let mut client = self.client(address)?;
        let mut frames = self.in_time(client.fetch(part(slice)?)).await?.into_inner();
        let mut left = slice.len();
        while let Some(Frame { data, .. }) = self.in_time(frames.message()).await? {
            left = left.checked_sub(data.len() as u64).ok_or("sends more than it was asked for")?;
            into.extend_from_slice(&data);
        }
        if left == 0 { Ok(()) } else { Err("sends less than it was asked for".to_owned()) }
    }

    /// The connection to this worker, which is made when it is used.
    fn client(&self, address: &str) -> Result<Client, String> {
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

fn part(slice: &Slice) -> Result<Part, &'static str> {
    let mut names = slice.name.rsplit('/').map(str::to_owned);
    let (Some(name), Some(session)) = (names.next(), names.next()) else { return Err("no such place") };
    Ok(Part { session, name, start: slice.start, end: slice.end })
}

impl Shelf for ClusterShelf {
    /// Begins something [here](ClusterShelf::here): nobody can put anything elsewhere.
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>> {
        let own = self.own(name).ok_or_else(|| io::Error::other(format!("{name}: is not here")))?;
        self.store.create(own)
    }

    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()> {
        let at = |why: String| io::Error::other(format!("{}: {why}", address(place(&slice.name))));
        if slice.start > slice.end {
            return Err(at("no such part".to_owned()));
        }
        let fetched = match self.own(&slice.name) {
            Some(name) => self.store.thing(name).and_then(|thing| thing.read(slice.start, slice.end, into)),
            None if slice.is_empty() => Ok(()),
            None => self.runtime.block_on(self.fetch(slice, into)).map_err(io::Error::other),
        };
        fetched.map_err(|error| at(reason(&error)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let own = self.own(name).ok_or_else(|| io::Error::other(format!("{name}: is not here")))?;
        self.store.remove(own)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::TcpListener, sync::mpsc::Receiver, thread};

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
            let demand = Demand(Some(token.clone()));
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

        async fn fetch(&self, part: Request<Part>) -> Result<Response<Self::FetchStream>, Status> {
            let reached = match self {
                Self::Sound(stores) => return stores.send(part.into_inner()).map(Response::new),
                Self::Hung(reached) => reached.clone(),
            };
            let (frames, stream) = mpsc::channel(1);
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
