//! The clients of a server. They know which values it has acknowledged, and so which replies are
//! right.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::judge::RunResult;

/// Maximum time that a client waits for a reply.
const REPLY_LIMIT: Duration = Duration::from_secs(2);
const KEYS: usize = 12;
const CLIENTS: usize = 3;
/// Maximum number of attempts of a client that is turned away: one call may fail in each process of
/// a server.
const ATTEMPTS: usize = 8;

/// What the run demands of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demands {
    /// An acknowledged value may be lost, as documented for models whose worker processes own the
    /// data. An older value must never return.
    pub(crate) may_lose: bool,
    /// At most one call failed, so clients must be served afterwards.
    pub(crate) must_serve: bool,
}

/// The values that a key may have: the last acknowledged one, and later ones whose fate is unknown.
type Possible = BTreeMap<String, Vec<Option<String>>>;

/// Runs several clients in sequence, which write and read. Faults are added to `result`.
pub(crate) fn talk(address: SocketAddr, demands: Demands, result: &mut RunResult) {
    let mut possible = Possible::new();
    for client in 0..CLIENTS {
        // A failure may break the connection; the next client tries again.
        let _ = converse(address, client, demands, &mut possible, &mut result.wrong);
    }
    if demands.must_serve && !is_served(address) {
        result.unanswered.push(format!("after one failure, no client was served in {ATTEMPTS} attempts"));
    }
}

fn converse(
    address: SocketAddr,
    client: usize,
    demands: Demands,
    possible: &mut Possible,
    wrong: &mut Vec<String>,
) -> io::Result<()> {
    let mut connection = Connection::open(address)?;
    for number in 0..KEYS {
        let (key, value) = (format!("key{number}"), format!("value{client}.{number}"));
        let values = possible.entry(key.clone()).or_insert_with(|| vec![None]);
        // Until the reply comes, the value may have been set or not.
        values.push(Some(value.clone()));
        match connection.ask(&["SET", &key, &value])? {
            Reply::Status(text) if text == "OK" => *values = vec![Some(value)],
            Reply::Error(_) => {}
            other => wrong.push(format!("SET is answered by {other:?}")),
        }
    }
    for (key, values) in &*possible {
        match connection.ask(&["GET", key])? {
            Reply::Bulk(value) if values.contains(&value) => {}
            Reply::Bulk(None) if demands.may_lose => {}
            Reply::Error(_) => {}
            other => wrong.push(format!("GET {key} is answered by {other:?}, instead of one of {values:?}")),
        }
    }
    Ok(())
}

fn is_served(address: SocketAddr) -> bool {
    let ping = || Connection::open(address)?.ask(&["PING"]);
    (0..ATTEMPTS).any(|_| matches!(ping(), Ok(Reply::Status(text)) if text == "PONG"))
}

/// A reply to one of these requests.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Status(String),
    Error(String),
    Bulk(Option<String>),
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, REPLY_LIMIT)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        let count = words.matches('$').count();
        write!(self.0.get_mut(), "*{count}\r\n{words}")?;
        read(&mut self.0)
    }
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let text = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let malformed = || io::Error::other(format!("not a reply: {text:?}"));
    match text.split_at_checked(1).ok_or_else(malformed)? {
        ("+", text) => Ok(Reply::Status(text.to_owned())),
        ("-", text) => Ok(Reply::Error(text.to_owned())),
        ("$", "-1") => Ok(Reply::Bulk(None)),
        ("$", length) => {
            let length: u16 = length.parse().map_err(|_| malformed())?;
            let mut value = vec![0; usize::from(length) + 2];
            from.read_exact(&mut value)?;
            value.truncate(usize::from(length));
            Ok(Reply::Bulk(Some(String::from_utf8_lossy(&value).into_owned())))
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// A server that answers each request with `answer` of its words.
    fn serve(answer: impl Fn(&[String]) -> String + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                while let Some(count) = lines.next() {
                    let words = count[1..].parse::<usize>().unwrap();
                    let words: Vec<String> = (0..words).filter_map(|_| lines.by_ref().nth(1)).collect();
                    let _ = (&stream).write_all(answer(&words).as_bytes());
                }
            }
        });
        address
    }

    fn result(may_lose: bool, answer: impl Fn(&[String]) -> String + Send + 'static) -> RunResult {
        let mut result = RunResult::default();
        talk(serve(answer), Demands { may_lose, must_serve: true }, &mut result);
        result
    }

    fn answers(get: &'static str) -> impl Fn(&[String]) -> String + Send + 'static {
        move |words| match &*words[0] {
            "SET" => "+OK\r\n".to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            _ => get.to_owned(),
        }
    }

    #[test]
    fn a_lost_value_is_wrong_unless_the_model_may_lose_it() {
        assert!(!result(false, answers("$-1\r\n")).wrong.is_empty());
        assert!(result(true, answers("$-1\r\n")).wrong.is_empty());
    }

    #[test]
    fn a_value_that_was_replaced_is_wrong_in_every_model() {
        assert!(!result(true, answers("$8\r\nvalue0.0\r\n")).wrong.is_empty());
    }

    #[test]
    fn an_error_is_no_wrong_answer() {
        assert!(result(false, answers("-TRYAGAIN\r\n")).wrong.is_empty());
    }

    #[test]
    fn a_server_that_answers_no_more_hangs() {
        let silent = result(false, |_| "what\r\n".to_owned());
        assert!(!silent.unanswered.is_empty());
    }
}
