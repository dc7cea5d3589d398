//! A client that records what it asks and what it is answered.
//!
//! It is written by hand because it must tell what other clients hide: whether an operation was refused, or its connection was
//! lost after the first byte of it may have arrived. None is ever sent twice.

use std::{
    io::{self, BufReader, ErrorKind, Write},
    mem,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use super::{
    history::{Answer, History, Key, KeyInfo, NEVER, Op, Operation, Outcome},
    resp::Frame,
};

/// How long an answer may take. A server that is silent for longer hangs, which no history excuses.
const PATIENCE: Duration = Duration::from_secs(30);

/// Errors that say that nothing was done.
const REFUSALS: &[&str] = &["TRYAGAIN", "EXECABORT"];

/// Errors that say that nobody knows whether something was done.
const INDETERMINATE: &[&str] = &["INDETERMINATE"];

/// What the clients of a history share.
pub struct Recorder {
    servers: Vec<SocketAddr>,
    keys: Vec<KeyInfo>,
    clock: AtomicU64,
    connections: AtomicUsize,
}

impl Recorder {
    /// For a history with these keys. Clients are spread over the servers.
    #[must_use]
    pub fn new(servers: &[SocketAddr], keys: &[KeyInfo]) -> Self {
        Self { servers: servers.to_vec(), keys: keys.to_vec(), clock: 0.into(), connections: 0.into() }
    }

    /// A client, not yet connected.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        Client { recorder: self, id: 0, connection: None, watched: vec![], operations: vec![] }
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    /// What the clients did.
    #[must_use]
    pub fn history(&self, operations: impl IntoIterator<Item = Vec<Operation>>) -> History {
        History { keys: self.keys.clone(), operations: operations.into_iter().flatten().collect() }
    }

    /// Connects to one server, or another if that one is not there.
    fn connect(&self, id: usize) -> Connection {
        let servers = self.servers.iter().cycle().skip(id).take(self.servers.len());
        let mut last = None;
        for server in servers {
            match Connection::new(*server) {
                Ok(connection) => return connection,
                Err(error) => last = Some(error),
            }
        }
        panic!("no server takes connections: {last:?}")
    }
}

/// A connection.
struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream.try_clone()?), stream })
    }

    /// Reads what is answered to an operation.
    fn outcome(&mut self, op: &Op) -> io::Result<Outcome> {
        let Op::Exec { ops, .. } = op else { return Ok(outcome(Frame::read(&mut self.reader)?)) };
        let queued =
            (0..=ops.len()).map(|_| Frame::read(&mut self.reader)).collect::<io::Result<Vec<_>>>()?;
        let done = outcome(Frame::read(&mut self.reader)?);
        // Had a command been done instead of queued, it would not have been part of the transaction.
        let not_queued = queued.iter().find(|frame| !matches!(frame, Frame::Simple(_)));
        match (not_queued, &done) {
            (Some(frame), Outcome::Ok(_)) => Ok(Outcome::Ok(Answer::Other(format!("{frame:?} in MULTI")))),
            _ => Ok(done),
        }
    }
}

/// A client.
pub struct Client<'a> {
    recorder: &'a Recorder,
    /// The connection's number.
    id: usize,
    connection: Option<Connection>,
    /// What the connection watches.
    watched: Vec<Key>,
    operations: Vec<Operation>,
}

impl Client<'_> {
    /// Asks and waits for the answer. What a transaction watches is what the connection watches.
    ///
    /// # Panics
    ///
    /// If no server takes connections, and if there is no answer for half a minute or one that is not RESP2.
    pub fn ask(&mut self, op: Op) -> Outcome {
        self.ask_all(vec![op]).pop().expect("an outcome for each operation")
    }

    /// Asks several things in one go (pipelining), and waits for all answers.
    ///
    /// # Panics
    ///
    /// As [`Client::ask`] does.
    pub fn ask_all(&mut self, ops: Vec<Op>) -> Vec<Outcome> {
        let mut connection = self.connect();
        let bytes: Vec<u8> = ops.iter().flat_map(|op| request(op, &self.recorder.keys)).collect();
        let invoked: Vec<u64> = ops.iter().map(|_| self.recorder.now()).collect();
        let mut is_lost = heard(connection.stream.write_all(&bytes)).is_none();
        let mut outcomes = vec![];
        for (op, invoked) in ops.into_iter().zip(invoked) {
            let outcome = if is_lost { None } else { heard(connection.outcome(&op)) };
            let outcome = outcome.unwrap_or(Outcome::Unknown);
            is_lost |= outcome == Outcome::Unknown;
            outcomes.push(outcome.clone());
            self.log(op, invoked, outcome);
        }
        self.connection = (!is_lost).then_some(connection);
        outcomes
    }

    fn log(&mut self, mut op: Op, invoked: u64, outcome: Outcome) {
        match &mut op {
            Op::Watch(keys) if outcome == Outcome::Ok(Answer::Done) => self.watched.extend_from_slice(keys),
            Op::Exec { watched, .. } => *watched = mem::take(&mut self.watched),
            _ => (),
        }
        let completed = if outcome == Outcome::Unknown { NEVER } else { self.recorder.now() };
        self.operations.push(Operation { client: self.id, op, invoked, completed, outcome });
    }

    /// Ends the connection, and returns what was done.
    #[must_use]
    pub fn operations(self) -> Vec<Operation> {
        self.operations
    }

    fn connect(&mut self) -> Connection {
        self.connection.take().unwrap_or_else(|| {
            self.watched.clear();
            self.id = self.recorder.connections.fetch_add(1, SeqCst);
            self.recorder.connect(self.id)
        })
    }
}

/// What came, or `None` if the connection was lost.
fn heard<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(heard) => Some(heard),
        Err(error) => match error.kind() {
            ErrorKind::InvalidData => panic!("{error}"),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => panic!("no answer within {PATIENCE:?}"),
            _ => None,
        },
    }
}

/// The bytes that ask for it.
fn request(op: &Op, keys: &[KeyInfo]) -> Vec<u8> {
    let mut bytes = vec![];
    op.text(keys).split("; ").for_each(|words| Frame::request(words).write(&mut bytes));
    bytes
}

/// What an answer means.
fn outcome(frame: Frame) -> Outcome {
    let Frame::Error(error) = &frame else { return Outcome::Ok(answer(frame)) };
    let is_one_of = |words: &[&str]| words.contains(&error.split(' ').next().unwrap_or_default());
    match () {
        () if is_one_of(REFUSALS) => Outcome::Failed,
        () if is_one_of(INDETERMINATE) => Outcome::Unknown,
        () => Outcome::Ok(answer(frame)),
    }
}

fn answer(frame: Frame) -> Answer {
    match frame {
        Frame::Simple(text) if text == "OK" => Answer::Done,
        Frame::Simple(text) | Frame::Error(text) => Answer::Other(text),
        Frame::Integer(number) => Answer::Integer(number),
        Frame::Bulk(Some(text)) => text.parse().map_or(Answer::Other(text), Answer::Value),
        Frame::Bulk(None) | Frame::Array(None) => Answer::Nil,
        Frame::Array(Some(items)) => Answer::List(items.into_iter().map(answer).collect()),
    }
}
