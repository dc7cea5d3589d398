//! One table of raw answers holds the clients together: each answer leads to the expected line,
//! with the blocking client, with the asynchronous one, and if its bytes arrive one by one.

mod table;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    ops::ControlFlow,
    thread,
    time::{Duration, Instant, SystemTime},
};

use cc_core::{
    contract::{Block, Sink},
    stop::Stop,
};
use cc_fetch::{Action, Attempted, Download, Job, Schedule, Settings, TransportError, Wanted, http1::Answer};
use xxhash_rust::xxh3::xxh3_64;

use self::table::{Row, Want, rows};

/// The path of a resource that is fetched after each answer.
const NEXT: &str = "/next";
/// Its answer.
const NEXT_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext";

/// What the server does after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// It closes the connection in an orderly way.
    Close,
    /// It waits for another request.
    Keep,
}

/// A server of one row. It is stopped by a connection without a request.
struct Server {
    url: String,
    thread: Option<thread::JoinHandle<()>>,
    port: u16,
}

impl Server {
    fn new(row: &Row, after: After) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        let mut answers = row.answers.clone();
        let thread = thread::spawn(move || {
            // The client makes one request at a time, so it waits for one connection at a time.
            for stream in listener.incoming() {
                if !serve(stream.expect("a client connects"), &mut answers, after) {
                    return;
                }
            }
        });
        Self { url: format!("http://127.0.0.1:{port}"), thread: Some(thread), port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        let ended = self.thread.take().expect("it is taken once").join();
        assert!(ended.is_ok() || thread::panicking(), "the server panicked");
    }
}

/// Serves a connection to its end. Returns whether there was a request.
fn serve(mut stream: TcpStream, answers: &mut Vec<Vec<u8>>, after: After) -> bool {
    let mut is_asked = false;
    while let Some(request) = request(&mut stream) {
        is_asked = true;
        let answer = match () {
            () if request.starts_with(&format!("GET {NEXT} ")) => NEXT_ANSWER.to_vec(),
            () if answers.len() > 1 => answers.remove(0),
            () => answers[0].clone(),
        };
        // A client that has seen enough closes the connection.
        let _ = stream.write_all(&answer);
        if after == After::Close {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
    is_asked
}

/// The head of the next request, if there is one.
fn request(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        head.extend_from_slice(&buffer[..length]);
    }
    Some(String::from_utf8(head).expect("a request is ASCII"))
}

#[derive(Default)]
struct Printed(String);

impl Sink<Block> for Printed {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let (Block::Out(bytes) | Block::Err(bytes)) = block;
        self.0.push_str(str::from_utf8(&bytes).expect("a line is UTF-8"));
        ControlFlow::Continue(())
    }
}

/// The settings of a client that makes one request at a time, without retries.
fn settings() -> Settings {
    let timeout = Duration::from_secs(20);
    Settings { retries: 0, concurrency: 1, timeout, ..Settings::default() }
}

/// What is printed for these paths of a server, without its address.
fn printed(url: &str, paths: &[String], mut attempt: impl FnMut(Box<Download>) -> Attempted) -> String {
    let wanted = paths.iter().map(|path| Wanted::new(format!("{url}{path}"))).collect();
    let job = Job { settings: settings(), wanted };
    let mut printed = Printed::default();
    let mut listing = job.listing(false, &mut printed);
    let mut schedule = Schedule::new(&job, Instant::now());
    loop {
        let output = match schedule.poll(Instant::now()) {
            Action::Start(download) => schedule.complete(attempt(download)),
            Action::Emit(output) => Some(output),
            Action::Wait(_) => panic!("there are no retries"),
            Action::Done => break,
        };
        output.into_iter().for_each(|output| assert!(listing.push(output).is_continue()));
    }
    assert!(listing.finish().is_continue());
    printed.0.replace(url, "")
}

fn expected(row: &Row) -> String {
    let path = row.path;
    match &row.want {
        Want::Body(status, body) => format!("{status}\t{}\t{:016x}\t{path}\n", body.len(), xxh3_64(body)),
        Want::Failure(why) => format!("fetch: {path}: {why}\n"),
    }
}

/// Whether the next resource was fetched, and the line of the row.
fn after_the_next(printed: &str) -> (bool, String) {
    let (next, lines): (Vec<_>, Vec<_>) = printed.split_inclusive('\n').partition(|line| line.contains(NEXT));
    let is_whole = next == [format!("200\t4\t{:016x}\t{NEXT}\n", xxh3_64(b"next"))];
    (is_whole, lines.concat())
}

fn blocking(row: &Row, after: After) -> (bool, String) {
    let server = Server::new(row, after);
    let client = cc_fetch::blocking::Client::new(&settings(), &Stop::new()).expect("there are descriptors");
    let paths = [row.path.to_owned(), NEXT.to_owned()];
    let lines = printed(&server.url, &paths, |download| client.attempt(download));
    // Closes the idle connection, for whose end the server waits.
    drop(client);
    after_the_next(&lines)
}

fn asynchronous(row: &Row, after: After) -> (bool, String) {
    let server = Server::new(row, after);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there are descriptors");
    let client = cc_fetch_client::Client::new(&settings(), 1);
    let paths = [row.path.to_owned(), NEXT.to_owned()];
    let lines = printed(&server.url, &paths, |download| runtime.block_on(client.attempt(download)));
    drop(client);
    drop(runtime);
    after_the_next(&lines)
}

/// The line if the bytes arrive one by one, without a connection.
fn byte_by_byte(row: &Row) -> String {
    let mut answers = row.answers.iter();
    let mut bytes = answers.next().expect("a row has an answer");
    printed("http://origin", &[row.path.to_owned()], |mut download| {
        let mut answer = Answer::default();
        let mut all = bytes.chunks(1);
        let end = loop {
            let Some(byte) = all.next() else { break Some(TransportError::Eof) };
            match answer.receive(byte, &mut download, SystemTime::UNIX_EPOCH) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break None,
                Err(error) => break Some(error),
            }
        };
        end.into_iter().for_each(|error| answer.fail(error, &mut download));
        bytes = answers.next().unwrap_or(bytes);
        download.finish(Instant::now())
    })
}

/// Rows that are checked at the same time: a row mostly waits for its server.
const AT_ONCE: usize = 16;

/// Runs the check for each row and lists the rows that fail.
fn every(check: impl Fn(&Row) -> Result<(), String> + Sync) {
    let rows = rows();
    let failure = |row: &Row| check(row).err().map(|why| format!("{}: {why}", row.name));
    let failures = |rows: &[Row]| rows.iter().filter_map(failure).collect::<Vec<_>>();
    let wrong: Vec<_> = thread::scope(|scope| {
        let parts = rows.chunks(rows.len().div_ceil(AT_ONCE));
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| failures(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a row panicked")).collect()
    });
    assert!(wrong.is_empty(), "{} of {} answers:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn same(what: &str, line: &str, row: &Row) -> Result<(), String> {
    let expected = expected(row);
    if line == expected { Ok(()) } else { Err(format!("{what}: {line:?} instead of {expected:?}")) }
}

#[test]
fn every_answer_leads_to_the_same_line_with_both_clients() {
    every(|row| {
        same("blocking", &blocking(row, After::Close).1, row)?;
        same("async", &asynchronous(row, After::Close).1, row)
    });
}

/// The connection stays open, so an answer must end where it says, and a wrong one must not spoil
/// the next.
#[test]
fn no_answer_reaches_into_the_next() {
    every(|row| {
        if row.ends_with_the_connection {
            return Ok(());
        }
        for (what, (is_next, line)) in
            [("blocking", blocking(row, After::Keep)), ("async", asynchronous(row, After::Keep))]
        {
            same(what, &line, row)?;
            if !is_next {
                return Err(format!("{what}: the next answer was not read"));
            }
        }
        Ok(())
    });
}

#[test]
fn an_answer_is_the_same_however_its_bytes_arrive() {
    every(|row| same("in bytes", &byte_by_byte(row), row));
}
