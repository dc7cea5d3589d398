//! A client that sends what the test says, and reads replies as they are on the wire.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Maximum time for a reply, or until the server reads; a server that takes longer has failed.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// A connection.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        stream.set_read_timeout(Some(REPLY_LIMIT)).expect("it is a socket");
        stream.set_write_timeout(Some(REPLY_LIMIT)).expect("it is a socket");
        Self(BufReader::new(stream))
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Sends bytes to a server that may be gone.
    pub(super) fn try_send(&mut self, bytes: &[u8]) {
        // The reply shows whether it is.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Sends bytes, and returns whether the connection was still open, as far as can be seen.
    pub(super) fn trickle(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a request, whose arguments are separated by blanks, and checks the reply (see
    /// [`Client::reply`]).
    pub(super) fn says(&mut self, request: &str, reply: &str) {
        self.send(&encoded(request));
        assert_eq!(self.reply(), reply, "{request}");
    }

    /// The next reply as text: `+OK`, `-ERR …`, `:1`, `$value`, `$nil`, `[:1 $value]`, `nil` for a
    /// missing array.
    pub(super) fn reply(&mut self) -> String {
        let line = self.line().expect("there is a reply");
        let (kind, rest) = line.split_at(1);
        match (kind, rest.parse::<i64>()) {
            ("$", Ok(-1)) => "$nil".to_owned(),
            ("*", Ok(-1)) => "nil".to_owned(),
            ("$", Ok(length)) => format!("${}", self.bulk(length as usize)),
            ("*", Ok(items)) => {
                let items: Vec<_> = (0..items).map(|_| self.reply()).collect();
                format!("[{}]", items.join(" "))
            }
            _ => line,
        }
    }

    /// Like `reply`, but `None` if the connection is closed between two replies.
    pub(super) fn next_reply(&mut self) -> Option<String> {
        let has_more = self.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        has_more.then(|| self.reply())
    }

    /// Whether the next reply begins, and is an array or an error with this prefix. The remainder
    /// is not read.
    pub(super) fn next_reply_is_large_or(&mut self, error: &str) -> bool {
        let line = self.line().expect("there is a reply");
        line.starts_with('*') || line.starts_with(error)
    }

    /// Whether the server has closed the connection without a further reply. A reset counts as
    /// closed.
    pub(super) fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Closes the sending half of the connection.
    pub(super) fn close_half(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).expect("it is open");
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a reply comes in time");
        line.strip_suffix("\r\n").map(str::to_owned)
    }

    fn bulk(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).expect("a reply is whole");
        bytes.truncate(length);
        String::from_utf8(bytes).expect("it is text")
    }
}

/// A request as an array of bulk strings.
pub(super) fn encoded(request: &str) -> Vec<u8> {
    of(&request.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

/// A request of these arguments.
pub(super) fn of(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
