//! A client that records its operations and their answers.
//!
//! Client libraries hide what this client must tell apart: an operation was refused, or its
//! connection was lost after some of its bytes may have arrived. It never sends an operation twice.

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

/// Maximum time for an answer. A server that is silent for longer hangs, and the test fails.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Error codes which mean that the operation was not done.
const REFUSALS: &[&str] = &["TRYAGAIN", "EXECABORT"];

/// Error codes which mean that the operation may or may not have been done.
const INDETERMINATE: &[&str] = &["INDETERMINATE"];

/// The clock and the connection counter that the clients of a history share.
pub struct Recorder {
    servers: Vec<SocketAddr>,
    keys: Vec<KeyInfo>,
    clock: AtomicU64,
    connections: AtomicUsize,
}

impl Recorder {
    /// A recorder for a history with these keys. Clients are spread over the servers.
    #[must_use]
    pub fn new(servers: &[SocketAddr], keys: &[KeyInfo]) -> Self {
        Self { servers: servers.to_vec(), keys: keys.to_vec(), clock: 0.into(), connections: 0.into() }
    }

    /// A client, not yet connected.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        Client { recorder: self, id: 0, connection: None, watched: vec![], operations: vec![] }
    }

    /// The next reading of the clock, which only counts.
    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    /// The history of these operations.
    #[must_use]
    pub fn history(&self, operations: impl IntoIterator<Item = Vec<Operation>>) -> History {
        History { keys: self.keys.clone(), operations: operations.into_iter().flatten().collect() }
    }

    /// Connects to one of the servers: the first that accepts, from `id` on.
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
        let stream = TcpStream::connect_timeout(&server, ANSWER_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { reader: BufReader::new(stream.try_clone()?), stream })
    }

    /// Reads the answer to an operation.
    fn outcome(&mut self, op: &Op) -> io::Result<Outcome> {
        let Op::Exec { ops, .. } = op else { return Ok(outcome(Frame::read(&mut self.reader)?)) };
        let queued =
            (0..=ops.len()).map(|_| Frame::read(&mut self.reader)).collect::<io::Result<Vec<_>>>()?;
        let done = outcome(Frame::read(&mut self.reader)?);
        // A command that was done and not queued was not part of the transaction.
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
    /// Sends an operation and waits for the answer. The keys that a transaction watches are those
    /// that the connection watches.
    ///
    /// # Panics
    ///
    /// If no server accepts connections, and if there is no answer within half a minute or the
    /// answer is not RESP2.
    pub fn ask(&mut self, op: Op) -> Outcome {
        self.ask_all(vec![op]).pop().expect("an outcome for each operation")
    }

    /// Sends several operations in one pipeline, and waits for all answers.
    ///
    /// # Panics
    ///
    /// As [`Client::ask`] does.
    pub fn ask_all(&mut self, ops: Vec<Op>) -> Vec<Outcome> {
        let mut connection = self.connect();
        let bytes: Vec<u8> = ops.iter().flat_map(|op| request(op, &self.recorder.keys)).collect();
        let invoked: Vec<u64> = ops.iter().map(|_| self.recorder.now()).collect();
        let mut is_lost = unless_lost(connection.stream.write_all(&bytes)).is_none();
        let mut outcomes = vec![];
        for (op, invoked) in ops.into_iter().zip(invoked) {
            let outcome = if is_lost { None } else { unless_lost(connection.outcome(&op)) };
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

    /// Closes the connection, and returns the operations.
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

/// The result, or `None` if the connection was lost.
fn unless_lost<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => match error.kind() {
            ErrorKind::InvalidData => panic!("{error}"),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => panic!("no answer within {ANSWER_LIMIT:?}"),
            _ => None,
        },
    }
}

/// The operation as bytes of the protocol.
fn request(op: &Op, keys: &[KeyInfo]) -> Vec<u8> {
    let mut bytes = vec![];
    op.text(keys).split("; ").for_each(|words| Frame::request(words).write(&mut bytes));
    bytes
}

/// The outcome that an answer means.
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
