//! A small server of two shards, either right or wrong in one way.
//!
//! A fault that needs two clients at the same point waits for the second one there, so each
//! schedule is forced.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, BufReader, Write},
    mem,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Barrier, Mutex, MutexGuard},
    thread,
};

use super::{
    super::resp::Frame,
    store::{Fault, Store, Version, ok, shard_of},
};

struct Shared {
    fault: Fault,
    store: Mutex<Store>,
    /// The point at which two clients wait for each other.
    meet: Barrier,
    connections: Mutex<Vec<TcpStream>>,
}

/// A server that runs until the test's end.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub(super) fn new(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (store, connections) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { fault, store, meet: Barrier::new(2), connections });
        let server = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_nodelay(true).unwrap();
                shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = shared.clone();
                thread::spawn(move || Session::new(shared, stream).run());
            }
        });
        server
    }

    /// Takes a shard down, as the death of its worker does.
    pub(super) fn kill(&self, shard: usize) {
        let (fault, mut store) = (self.shared.fault, self.shared.store.lock().unwrap());
        let is_lost = |key: &&String| fault == Fault::DoubleCrash || shard_of(key) == shard;
        let lost: Vec<String> = store.values.keys().filter(is_lost).cloned().collect();
        let count = if fault == Fault::HalfCrash { lost.len() / 2 } else { lost.len() };
        store.values.retain(|key, _| !lost[..count].contains(key));
        store.epochs[shard] += u64::from(fault != Fault::WatchAcrossCrash);
        store.down = Some(shard);
    }

    /// Closes all connections.
    pub(super) fn hang_up(&self) {
        let connections = self.shared.connections.lock().unwrap();
        // Some are closed already.
        connections.iter().for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
    }

    /// Makes the shard available again.
    pub(super) fn back(&self) {
        let mut store = self.shared.store.lock().unwrap();
        store.down = None;
        for words in mem::take(&mut store.refused) {
            store.apply(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

/// A connection.
struct Session {
    shared: Arc<Shared>,
    stream: TcpStream,
    queue: Option<Vec<Vec<String>>>,
    watched: BTreeMap<String, (Version, Option<i64>)>,
}

impl Session {
    fn new(shared: Arc<Shared>, stream: TcpStream) -> Self {
        Self { shared, stream, queue: None, watched: BTreeMap::new() }
    }

    /// Serves until the client or a fault closes the connection.
    fn run(mut self) -> Option<()> {
        let mut reader = BufReader::new(self.stream.try_clone().ok()?);
        loop {
            let count = if self.shared.fault == Fault::Reordered { 2 } else { 1 };
            let requests: io::Result<Vec<_>> = (0..count).map(|_| Frame::read(&mut reader)).collect();
            let mut replies = VecDeque::new();
            for request in requests.ok()?.into_iter().rev() {
                replies.push_front(self.reply(&words(request)?)?);
            }
            let mut bytes = vec![];
            replies.iter().for_each(|reply| reply.write(&mut bytes));
            self.stream.write_all(&bytes).ok()?;
        }
    }

    fn reply(&mut self, words: &[String]) -> Option<Frame> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (&words[..], &mut self.queue) {
            (["MULTI"], _) => {
                self.queue = Some(vec![]);
                Some(ok())
            }
            (["EXEC"], _) => self.exec(),
            (words, Some(queue)) => {
                queue.push(words.iter().map(|word| (*word).to_owned()).collect());
                Some(Frame::Simple("QUEUED".to_owned()))
            }
            (["WATCH", keys @ ..], None) => Some(self.watch(keys)),
            (words, None) => self.one(words),
        }
    }

    fn watch(&mut self, keys: &[&str]) -> Frame {
        let store = self.shared.store.lock().unwrap();
        let version = |key: &&str| ((*key).to_owned(), (store.version(key), store.values.get(*key).copied()));
        self.watched.extend(keys.iter().map(version));
        ok()
    }

    fn one(&self, words: &[&str]) -> Option<Frame> {
        let mut store = self.shared.store.lock().unwrap();
        if let Some(refusal) = self.refuses(&mut store, words) {
            return Some(refusal);
        }
        match (self.shared.fault, words) {
            (Fault::LostUpdate, ["INCR", key]) => Some(self.increments_unguarded(store, key)),
            (Fault::StaleRead, ["GET", key]) => {
                Some(Frame::Bulk(store.replica.get(*key).map(i64::to_string)))
            }
            (Fault::TornRead, ["MGET", first, rest @ ..]) => {
                Some(self.reads_in_two_parts(store, first, rest))
            }
            (Fault::TornTransaction, ["MGET", ..]) => Some(self.pass(store, |store| store.apply(words))),
            (Fault::LostWrite, ["SET", key, _]) if store.values.contains_key(*key) => Some(ok()),
            (Fault::Errs, ["GET", _]) => Some(Frame::Error("ERR no".to_owned())),
            (Fault::HangsUpBeforeIt, ["SET", ..]) => self.close(),
            (Fault::HangsUpAfterIt, ["SET", ..]) => {
                store.apply(words);
                self.close()
            }
            _ => Some(store.apply(words)),
        }
    }

    fn increments_unguarded(&self, store: MutexGuard<'_, Store>, key: &str) -> Frame {
        let value = store.values.get(key).unwrap_or(&0) + 1;
        drop(store);
        self.shared.meet.wait();
        self.shared.store.lock().unwrap().set(key, Some(value));
        Frame::Integer(value)
    }

    fn reads_in_two_parts(&self, store: MutexGuard<'_, Store>, first: &str, rest: &[&str]) -> Frame {
        let first = store.get(first);
        self.let_pass(store);
        let store = self.shared.store.lock().unwrap();
        let rest = rest.iter().map(|key| store.get(key));
        Frame::Array(Some([first].into_iter().chain(rest).collect()))
    }

    /// Shuts the socket down, because other threads keep copies of the stream.
    fn close<T>(&self) -> Option<T> {
        self.stream.shutdown(Shutdown::Both).ok()?;
        None
    }

    fn refuses(&self, store: &mut Store, words: &[&str]) -> Option<Frame> {
        let shard = store.down?;
        let is_down = words.iter().any(|word| word.starts_with('{') && shard_of(word) == shard);
        if is_down && self.shared.fault == Fault::RefusedButDone {
            store.refused.push(words.iter().map(|word| (*word).to_owned()).collect());
        }
        is_down
            .then(|| Frame::Error(format!("TRYAGAIN shard {shard} is being restarted; what it held is lost")))
    }

    fn exec(&mut self) -> Option<Frame> {
        let queue = self.queue.take()?;
        let queue: Vec<Vec<&str>> =
            queue.iter().map(|words| words.iter().map(String::as_str).collect()).collect();
        let watched = mem::take(&mut self.watched);
        let mut store = self.shared.store.lock().unwrap();
        let all: BTreeSet<&str> =
            queue.iter().flatten().copied().chain(watched.keys().map(String::as_str)).collect();
        if let Some(refusal) = self.refuses(&mut store, &all.into_iter().collect::<Vec<_>>()) {
            return Some(refusal);
        }
        if self.is_changed(&store, &watched) {
            return Some(Frame::Array(None));
        }
        Some(Frame::Array(Some(self.queued(store, &queue))))
    }

    fn is_changed(&self, store: &Store, watched: &BTreeMap<String, (Version, Option<i64>)>) -> bool {
        watched.iter().any(|(key, (version, value))| match self.shared.fault {
            Fault::WatchIgnored => false,
            Fault::WatchComparesValues => store.values.get(key) != value.as_ref(),
            _ => store.version(key) != *version,
        })
    }

    fn queued(&self, mut store: MutexGuard<'_, Store>, queue: &[Vec<&str>]) -> Vec<Frame> {
        match (self.shared.fault, queue) {
            (Fault::TornTransaction, [first, rest @ ..]) => {
                let first = store.apply(first);
                self.let_pass(store);
                let mut store = self.shared.store.lock().unwrap();
                [first].into_iter().chain(rest.iter().map(|words| store.apply(words))).collect()
            }
            (Fault::TornRead, _) => {
                self.pass(store, |store| queue.iter().map(|words| store.apply(words)).collect())
            }
            _ => queue.iter().map(|words| store.apply(words)).collect(),
        }
    }

    /// Lets another connection act in the middle of an operation of this one.
    fn let_pass(&self, store: MutexGuard<'_, Store>) {
        drop(store);
        self.shared.meet.wait();
        self.shared.meet.wait();
    }

    /// Acts in the middle of another connection's operation.
    fn pass<T>(&self, store: MutexGuard<'_, Store>, does: impl FnOnce(&mut Store) -> T) -> T {
        drop(store);
        self.shared.meet.wait();
        let done = does(&mut self.shared.store.lock().unwrap());
        self.shared.meet.wait();
        done
    }
}

fn words(request: Frame) -> Option<Vec<String>> {
    let Frame::Array(Some(words)) = request else { return None };
    let word = |frame| match frame {
        Frame::Bulk(word) => word,
        _ => None,
    };
    words.into_iter().map(word).collect()
}
