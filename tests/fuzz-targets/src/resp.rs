//! Input of `kv`: the requests of a client, and a whole conversation.

use std::collections::VecDeque;

use cc_workloads::kv::{
    Clock, Config, Connection, Server, Shard,
    resp::{Decoder, Found, Malformed, number},
};

use crate::{pieces, random};

type Request = Vec<Vec<u8>>;

/// The decoded requests, `None` for a discarded one, and how the input ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decoded {
    requests: Vec<Option<Request>>,
    /// The end of each request.
    ends: Vec<usize>,
    malformed: Option<Malformed>,
}

/// Decodes the pieces as they arrive. If `discard_at` is given, the request that is arriving before
/// that piece is discarded.
fn decode(pieces: &[&[u8]], is_stranger: bool, discard_at: Option<usize>) -> Decoded {
    let mut decoder = Decoder::default();
    let mut bytes = Vec::new();
    let mut decoded = Decoded::default();
    let (mut arrived, mut done) = (0, 0);
    for (nth, piece) in pieces.iter().enumerate() {
        if discard_at == Some(nth) {
            decoder.discard();
        }
        bytes.extend_from_slice(piece);
        arrived += piece.len();
        loop {
            let (length, is_end, request) = match decoder.decode(&bytes, is_stranger) {
                Ok(Found::Request(request)) => {
                    assert!(request.len() > 0 && request.len() == request.from(0).len());
                    let arguments: Request = request.from(0).map(<[u8]>::to_vec).collect();
                    assert!(arguments.iter().enumerate().all(|(n, it)| it == request.argument(n)));
                    (request.length(), true, Some(arguments))
                }
                Ok(Found::Discarded(length)) => (length, true, None),
                Ok(Found::Part(length)) => (length, false, None),
                Err(malformed) => {
                    decoded.malformed = Some(malformed);
                    return decoded;
                }
            };
            bytes.drain(..length);
            done += length;
            // Ranges take four times as much as the shortest arguments, and vectors double.
            assert!(decoder.heap() <= 64 + 10 * arrived, "{} bytes for {arrived}", decoder.heap());
            if !is_end {
                assert!(discard_at.is_some() || length == 0, "a request is kept until it is whole");
                break;
            }
            decoded.requests.push(request);
            decoded.ends.push(done);
        }
    }
    decoded
}

fn encode(request: &Request, into: &mut Vec<u8>) {
    into.extend(format!("*{}\r\n", request.len()).bytes());
    for argument in request {
        into.extend(format!("${}\r\n", argument.len()).bytes());
        into.extend(argument.iter().chain(b"\r\n"));
    }
}

/// Decodes bytes as requests of a client.
///
/// - The result does not depend on how the bytes arrive.
/// - Requests that are encoded as arrays of strings and decoded again are the same.
/// - A discarded request does not affect those before and after it.
/// - Memory is proportional to the bytes that have arrived.
/// - Only numbers written as this server writes them are accepted.
pub fn resp(bytes: &[u8]) {
    let mut rng = random(bytes);
    let whole = decode(&[bytes], false, None);
    let cut = pieces(bytes, 1 + rng.usize(..8), &mut rng);
    assert_eq!(decode(&cut, false, None), whole);
    if bytes.len() <= 1 << 12 {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single, false, None), whole);
    }
    let stranger = decode(&[bytes], true, None);
    assert_eq!(decode(&cut, true, None), stranger);
    assert!(whole.requests.starts_with(&stranger.requests), "a stranger may ask for less");

    let mut again = Vec::new();
    for request in whole.requests.iter().flatten() {
        encode(request, &mut again);
    }
    let again = decode(&[&again], false, None);
    assert_eq!((&again.requests, again.malformed), (&whole.requests, None));

    discarded(&whole, &cut, &mut rng);
    for word in bytes.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')) {
        let written = number(word).map(|number| number.to_string());
        assert!(written.is_none_or(|written| written.as_bytes() == word));
        let canonical = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        let canonical = canonical.filter(|number: &i64| number.to_string().as_bytes() == word);
        assert_eq!(number(word), canonical);
    }
}

/// Checks that only the discarded request is missing.
fn discarded(whole: &Decoded, cut: &[&[u8]], rng: &mut fastrand::Rng) {
    let at = rng.usize(..cut.len());
    let arrived: usize = cut[..at].iter().map(|piece| piece.len()).sum();
    let found = decode(cut, false, Some(at));
    let unwanted = whole.ends.iter().filter(|end| **end <= arrived).count();
    let mut expected = whole.requests.clone();
    if let Some(request) = expected.get_mut(unwanted) {
        *request = None;
    }
    assert_eq!((&found.requests, &found.ends), (&expected, &whole.ends), "after {arrived} bytes");
    assert_eq!(found.malformed, whole.malformed);
}

/// Maximum size of a conversation. Longer ones find nothing more.
const LONGEST: usize = 1 << 12;

/// The parameters of a conversation.
#[derive(Clone, Copy)]
struct Manner {
    shards: usize,
    max_memory: Option<u64>,
    /// Maximum number of plans that are taken before they are answered.
    at_once: usize,
    /// Maximum number of bytes that are written at once.
    written: usize,
}

const PLAIN: Manner = Manner { shards: 1, max_memory: None, at_once: 1, written: usize::MAX };

/// Runs a whole conversation on a connection, with shards that answer.
///
/// - The replies do not depend on how the bytes arrive, on the number of shards and of plans in
///   flight, and on how the client reads them.
/// - There is one well-formed reply per request, even without memory.
/// - All granted memory is returned.
pub fn conversation(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let decoded = decode(&[bytes], false, None);
    let expected = ExpectedReplies::of(&decoded);
    let bytes = &bytes[..expected.bytes.unwrap_or(bytes.len())];
    let mut rng = random(bytes);
    let whole = replies(PLAIN, &[bytes]);
    assert_eq!(count(&whole), expected.count, "each request has a reply");

    let manners = [
        PLAIN,
        Manner { at_once: 5, written: 61, ..PLAIN },
        Manner { shards: 3, at_once: 2, written: 4099, ..PLAIN },
    ];
    for manner in manners {
        let cut = pieces(bytes, 1 + rng.usize(..12), &mut rng);
        let cut = replies(manner, &cut);
        if expected.is_always_the_same {
            assert!(cut == whole, "{} and not {}", cut.escape_ascii(), whole.escape_ascii());
        } else {
            assert_eq!(count(&cut), expected.count);
        }
    }
    let little = Manner { max_memory: Some(40_000 + rng.u64(..4000)), shards: 2, ..PLAIN };
    assert_eq!(count(&replies(little, &pieces(bytes, 3, &mut rng))), expected.count, "without memory");
}

/// What the requests tell about the replies.
struct ExpectedReplies {
    /// The number of replies.
    count: usize,
    /// Whether the replies are always the same. Those of INFO are not. An EXEC that watches a
    /// missing key may fail because many other keys were removed.
    is_always_the_same: bool,
    /// The start of the first HTTP request, if there is one. It is not run, and warns on standard
    /// error.
    bytes: Option<usize>,
}

impl ExpectedReplies {
    fn of(decoded: &Decoded) -> Self {
        let mut expected = Self { count: 0, is_always_the_same: true, bytes: None };
        let (mut watches, mut written) = (false, 0);
        for (nth, request) in decoded.requests.iter().flatten().enumerate() {
            let name = request[0].to_ascii_lowercase();
            let is_request_line = request.len() == 3 && request[2].starts_with(b"HTTP/");
            match &*name {
                name if is_request_line || matches!(name, b"post" | b"host:") => {
                    expected.bytes = Some(nth.checked_sub(1).map_or(0, |last| decoded.ends[last]));
                    break;
                }
                b"info" => expected.is_always_the_same = false,
                b"watch" => watches = true,
                b"set" | b"mset" | b"incr" | b"incrby" | b"decr" => written += request.len() - 1,
                _ => {}
            }
            expected.count += 1;
            if &*name == b"quit" {
                expected.is_always_the_same &= !watches || written <= 8;
                return expected;
            }
        }
        expected.is_always_the_same &= !watches || written <= 8;
        expected.count += usize::from(expected.bytes.is_none() && decoded.malformed.is_some());
        expected
    }
}

/// All bytes that the client is sent.
fn replies(manner: Manner, pieces: &[&[u8]]) -> Vec<u8> {
    let (clock, _hands) = Clock::manual();
    let config = Config { max_memory: manner.max_memory, clock, ..Config::default() };
    let server = Server::new(config, manner.shards, 0);
    let shards = (0..manner.shards).map(|_| Shard::new(server.budget().clone(), 7)).collect();
    let connection = Connection::new(&server).expect("it is the only client");
    let mut talk = Talk { manner, connection, shards, sent: Vec::new() };
    for piece in pieces {
        while !talk.connection.wants_input() && !talk.connection.is_over() {
            assert!(talk.turn(&server), "a connection that wants nothing has something to do");
        }
        talk.connection.received(piece);
        while talk.turn(&server) {}
    }
    talk.connection.end();
    while talk.turn(&server) {}
    assert!(talk.connection.is_over() && talk.connection.unanswered() == 0, "all requests are answered");
    let Talk { connection, shards, sent, .. } = talk;
    drop((connection, shards));
    assert_eq!((server.budget().granted(), server.in_flight().granted()), (0, 0));
    sent
}

struct Talk {
    manner: Manner,
    connection: Connection,
    shards: Vec<Shard>,
    sent: Vec<u8>,
}

impl Talk {
    /// Runs plans and writes replies, and returns whether there was anything to do.
    fn turn(&mut self, server: &Server) -> bool {
        let (before, mut plans) = (self.sent.len(), VecDeque::new());
        while plans.len() < self.manner.at_once
            && let Some(plan) = self.connection.next(server.now())
        {
            plans.push_back(plan);
        }
        let has_plans = !plans.is_empty();
        for plan in plans {
            let shards = self.shards.iter_mut().enumerate();
            let held = shards.filter(|(nth, _)| plan.parts().iter().any(|part| part.shard == *nth));
            let reply = plan.run(held.map(|(_, shard)| shard));
            self.connection.answer(reply);
        }
        while !self.connection.output().is_empty() {
            let some = self.connection.output();
            let some = &some[..some.len().min(self.manner.written)];
            self.sent.extend_from_slice(some);
            let written = some.len();
            self.connection.wrote(written);
        }
        has_plans || self.sent.len() > before
    }
}

/// The number of replies in these bytes.
fn count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while !bytes.is_empty() {
        bytes = reply(bytes).unwrap_or_else(|| panic!("no reply: {}", bytes.escape_ascii()));
        count += 1;
    }
    count
}

/// The bytes after the first reply.
fn reply(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, mut rest) = (&bytes[..end], &bytes[end + 2..]);
    let (kind, text) = line.split_first()?;
    let length = || -> Option<i64> { str::from_utf8(text).ok()?.parse().ok() };
    match kind {
        b'+' | b'-' if !text.contains(&b'\n') => {}
        b':' => _ = length()?,
        b'$' if length()? >= 0 => {
            let (_, after) = rest.split_at_checked(length()? as usize)?;
            rest = after.strip_prefix(b"\r\n")?;
        }
        b'*' if length()? >= 0 => {
            for _ in 0..length()? {
                rest = reply(rest)?;
            }
        }
        b'$' | b'*' if length()? == -1 => {}
        _ => return None,
    }
    Some(rest)
}
