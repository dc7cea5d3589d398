//! `talk`: sends a server requests that the seed determines, after it has deleted all keys. Two
//! correct servers give the same output.

use std::{
    io::{self, BufWriter, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use crate::{
    connect::Server,
    replies::{Replies, Tally},
};

/// Send a server requests that have only one right reply, and print the replies
///
/// Each line is a request and its reply, in which bytes that are not printable ASCII are escaped.
/// All keys of the server are deleted.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Seed of the requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Number of requests
    #[arg(long, value_name = "N", default_value_t = 1000)]
    requests: usize,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let said = talk(&args.server.open_one()?, args.seed, args.requests, &mut out);
    out.flush()?;
    said.with_context(|| args.server.connect.to_string())
}

/// Maximum number of requests that are sent before the first of them is answered.
const BURST: usize = 8;

fn talk(mut stream: &TcpStream, seed: u64, requests: usize, out: &mut impl Write) -> Result<()> {
    let mut script = Script::new(seed);
    let mut reader = Reader { stream, replies: Replies::default(), buffer: Vec::new() };
    let all: Vec<Words> = (0..requests.saturating_sub(2)).map(|_| script.next()).collect();
    let all = [words("FLUSHDB")].into_iter().chain(all).chain([words("QUIT")]).collect::<Vec<_>>();
    let mut rest = &all[..];
    while !rest.is_empty() {
        let (burst, later) = rest.split_at(script.rng.usize(1..=BURST).min(rest.len()));
        rest = later;
        stream.write_all(&burst.iter().flat_map(encoded).collect::<Vec<u8>>())?;
        for request in burst {
            let shown =
                request.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ");
            let reply = reader.next().with_context(|| format!("after {shown}"))?;
            writeln!(out, "{shown} -> {}", reply.escape_ascii())?;
        }
    }
    Ok(())
}

fn encoded(request: &Words) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for word in request {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Reads one reply after the other.
struct Reader<'a> {
    stream: &'a TcpStream,
    replies: Replies,
    /// Bytes after the last reply.
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// The bytes of the next reply.
    fn next(&mut self) -> Result<Vec<u8>> {
        let (mut at, mut tally) = (0, Tally::default());
        loop {
            while at < self.buffer.len() {
                at += 1;
                if self.replies.feed(&self.buffer[at - 1..at], &mut tally)? > 0 {
                    let rest = self.buffer.split_off(at);
                    return Ok(std::mem::replace(&mut self.buffer, rest));
                }
            }
            let mut more = [0; 4096];
            let read = self.stream.read(&mut more)?;
            ensure!(read > 0, "it hung up");
            self.buffer.extend_from_slice(&more[..read]);
        }
    }
}

type Words = Vec<Vec<u8>>;

/// Chooses the requests. There are two kinds of keys. Keys of the first never expire, so their
/// times to live can be asked for; keys of the second expire in an hour or at once.
struct Script {
    rng: Rng,
}

/// Requests with placeholders for a key that never expires (`K`), a key that expires (`T`), a value
/// (`V`), and a small number (`N`).
const TEMPLATES: &[&str] = &[
    "GET K",
    "GET K",
    "GET T",
    "SET K V",
    "SET K V",
    "SET K N",
    "SET K V NX",
    "SET K V XX",
    "SET T V EX 3600",
    "SET T V PX 3600000 NX",
    "SET K V NX XX",
    "SET K V EX 0",
    "SET K V EX x",
    "SET K",
    "MGET K K T K K",
    "MGET K",
    "MSET K V K V K N",
    "MSET K V K",
    "DEL K",
    "DEL K K T",
    "EXISTS K K K T",
    "INCR K",
    "INCRBY K N",
    "INCRBY K x",
    "DECR K",
    "DECRBY K N",
    "SETNX K V",
    "GETSET K V",
    "SET K V GET",
    "SET K N XX GET",
    "SET T V KEEPTTL",
    "SET T V EXAT 4102444800",
    "SETEX T 3600 V",
    "PSETEX T 0 V",
    "GETDEL K",
    "GETEX K",
    "GETEX T EX 3600",
    "APPEND K V",
    "GETRANGE K N N",
    "SETRANGE K 3 V",
    "UNLINK K K",
    "TOUCH K T",
    "STRLEN K",
    "STRLEN T",
    "EXPIRE T 3600",
    "PEXPIRE T 3600000",
    "EXPIRE T 0",
    "PEXPIRE T -1",
    "EXPIRE T 7200 XX",
    "EXPIRE T 7200 NX GT",
    "EXPIREAT T 4102444800 GT",
    "EXPIRETIME K",
    "EXPIRE K x",
    "TTL K",
    "PTTL K",
    "PERSIST K",
    "PERSIST T",
    "TYPE K",
    "TYPE T",
    "DBSIZE",
    "PING",
    "PING V",
    "ECHO V",
    "SELECT 0",
    "SELECT x",
    "AUTH",
    "HELLO 4",
    "HELLO x",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH K",
    "WATCH K T K",
    "UNWATCH",
    "FOO a b",
    "GET",
    "GET K K",
    "CLIENT SETNAME me",
    "CLIENT GETNAME",
    "CONFIG GET save",
    "CONFIG GET nothing",
    "COMMAND INFO nothing",
    "COMMAND NOTHING",
    "CONFIG NOTHING",
];
/// Number of keys of each kind. There are so few that requests often meet the same key.
const KEYS: u32 = 24;
/// Mean number of requests between two that delete all keys.
const FLUSH: u32 = 200;

impl Script {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed) }
    }

    fn next(&mut self) -> Words {
        if self.rng.u32(..FLUSH) == 0 {
            return words("FLUSHDB");
        }
        let template = TEMPLATES[self.rng.usize(..TEMPLATES.len())];
        template.split(' ').map(|word| self.filled(word)).collect()
    }

    fn filled(&mut self, word: &str) -> Vec<u8> {
        match word {
            "K" => format!("k{}", self.rng.u32(..KEYS)).into_bytes(),
            "T" => format!("t{}", self.rng.u32(..KEYS)).into_bytes(),
            "N" => self.rng.i32(-9..100).to_string().into_bytes(),
            "V" => {
                let length = self.rng.usize(..40);
                (0..length).map(|_| self.rng.u8(..)).collect()
            }
            word => word.as_bytes().to_vec(),
        }
    }
}

fn words(text: &str) -> Words {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn a_seed_says_the_same_and_leaves_nothing_out() {
        let all = |seed| {
            let mut script = Script::new(seed);
            (0..5000).map(|_| script.next()).collect::<Vec<_>>()
        };
        assert!(all(1) == all(1) && all(1) != all(2));
        let said = all(1);
        for template in TEMPLATES.iter().chain(&["FLUSHDB"]) {
            let verb = template.split(' ').next().unwrap().as_bytes();
            assert!(said.iter().any(|request| request[0] == verb), "{template}");
        }
    }

    /// What is printed for a server that sends these bytes.
    fn heard(answers: &'static [&'static [u8]], requests: usize) -> (String, Result<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut stream = listener.accept().unwrap().0;
                // The server sends all replies without waiting for requests; the client reads one
                // per request.
                answers.iter().for_each(|answer| stream.write_all(answer).unwrap());
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = io::copy(&mut stream, &mut io::sink()); // until the client is gone
            });
            let mut out = Vec::new();
            let said = talk(&stream, 1, requests, &mut out);
            drop(stream);
            (String::from_utf8(out).unwrap(), said)
        })
    }

    #[test]
    fn each_reply_is_printed_beside_its_request_to_the_byte() {
        let (printed, said) = heard(&[b"+OK\r\n$2\r\n\n\xff\r\n*1\r\n:1\r\n", b"+OK\r\n"], 4);
        said.unwrap();
        let replies: Vec<_> = printed.lines().map(|line| line.split(" -> ").last().unwrap()).collect();
        assert_eq!(replies, [r"+OK\r\n", r"$2\r\n\n\xff\r\n", r"*1\r\n:1\r\n", r"+OK\r\n"]);
        assert!(
            printed.starts_with("FLUSHDB -> ") && printed.lines().last().unwrap().starts_with("QUIT -> ")
        );
    }

    #[test]
    fn who_hangs_up_is_found_out() {
        let (printed, said) = heard(&[b"+OK\r\n$2\r\n"], 4);
        let error = format!("{:#}", said.unwrap_err());
        assert!(printed.lines().count() == 1 && error.ends_with("it hung up"), "{error}");
    }
}
