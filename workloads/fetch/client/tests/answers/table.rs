//! Raw answers, and the line that each leads to. Where curl reads an answer, so do the clients, if
//! it is not dangerous; the README names what is refused.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// What a resource leads to.
pub(super) enum Want {
    /// It is fetched, with this status and body.
    Body(u16, Vec<u8>),
    /// It fails for this reason.
    Failure(&'static str),
}

/// A row of the table.
pub(super) struct Row {
    /// What is special about it.
    pub(super) name: String,
    /// The path that is requested first.
    pub(super) path: &'static str,
    /// The answer to each request; the last one is repeated.
    pub(super) answers: Vec<Vec<u8>>,
    /// The line.
    pub(super) want: Want,
    /// Whether the client waits for the end of the connection.
    pub(super) ends_with_the_connection: bool,
}

const MALFORMED: &str = "the answer is not HTTP, or its head has no end";
const NO_ANSWER: &str = "closed without an answer";

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn steps(&mut self, name: &str, answers: &[&[u8]], want: Want) {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        let name = name.to_owned();
        self.0.push(Row { name, path: "/row", answers, want, ends_with_the_connection: false });
    }

    fn raw(&mut self, name: &str, answer: &[u8], want: Want) {
        self.steps(name, &[answer], want);
    }

    fn body(&mut self, name: &str, answer: &str, status: u16, body: &[u8]) {
        self.raw(name, answer.as_bytes(), Want::Body(status, body.to_vec()));
    }

    fn ok(&mut self, name: &str, answer: &str) {
        self.raw(name, answer.as_bytes(), hello());
    }

    fn fails(&mut self, name: &str, answer: &str, why: &'static str) {
        self.raw(name, answer.as_bytes(), Want::Failure(why));
    }

    /// An answer that ends with the connection.
    fn ends(&mut self, name: &str, answer: &str, want: Want) {
        self.raw(name, answer.as_bytes(), want);
        self.last().ends_with_the_connection = true;
    }

    fn last(&mut self) -> &mut Row {
        self.0.last_mut().expect("there is a row")
    }
}

/// The whole table.
pub(super) fn rows() -> Vec<Row> {
    let mut table = Table::default();
    status_lines(&mut table);
    interim(&mut table);
    header_lines(&mut table);
    lengths(&mut table);
    chunks(&mut table);
    encodings(&mut table);
    without_bodies(&mut table);
    redirects(&mut table);
    ranges(&mut table);
    table.0
}

fn hello() -> Want {
    Want::Body(200, b"hello".to_vec())
}

/// The body ended after this many bytes.
fn short(received: u64) -> Want {
    Want::Failure(match received {
        0 => "the body ended early, after 0 bytes",
        3 => "the body ended early, after 3 bytes",
        _ => "the body ended early, after 5 bytes",
    })
}

/// The body is encoded, which was not requested.
fn not_requested(encoding: &str) -> Want {
    // The table lives as long as the test.
    Want::Failure(format!("encoded as {encoding:?}, which was not requested").leak())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn to(location: &str) -> String {
    format!("HTTP/1.1 302 There\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

/// Status lines and versions.
fn status_lines(t: &mut Table) {
    t.ok("a plain answer", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    t.ok("HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    t.ok("HTTP/1.0, kept", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello");
    t.ok("no reason", "HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello");
    t.ok("an empty reason", "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\nhello");
    t.ok("a long reason", &format!("HTTP/1.1 200 {}\r\ncontent-length: 5\r\n\r\nhello", "x".repeat(10_000)));
    t.ok("two spaces", "HTTP/1.1  200  OK\r\ncontent-length: 5\r\n\r\nhello");
    t.ok("a reason in UTF-8", "HTTP/1.1 200 été\r\ncontent-length: 5\r\n\r\nhello");
    t.ok("lines without carriage returns", "HTTP/1.1 200 OK\ncontent-length: 5\n\nhello");
    t.ok("one line without a carriage return", "HTTP/1.1 200 OK\r\nx: y\ncontent-length: 5\r\n\nhello");
    for (name, start) in [
        ("HTTP/0.9", "hello"),
        ("a line end first", "\r\nHTTP/1.1 200 OK"),
        ("HTTP/1.2", "HTTP/1.2 200 OK"),
        ("HTTP/2", "HTTP/2 200 OK"),
        ("HTTP/2.0", "HTTP/2.0 200 OK"),
        ("HTTP/11.1", "HTTP/11.1 200 OK"),
        ("no version", "HTTP/ 200 OK"),
        ("a version in lower case", "http/1.1 200 OK"),
        ("another protocol", "ICY 200 OK"),
        ("SSH", "SSH-2.0-OpenSSH_9.9"),
        ("RTSP", "RTSP/1.0 200 OK"),
        ("two digits", "HTTP/1.1 20 OK"),
        ("four digits", "HTTP/1.1 2000 OK"),
        ("a status below 100", "HTTP/1.1 099 OK"),
        ("no status", "HTTP/1.1"),
        ("an empty status", "HTTP/1.1 "),
        ("a status in words", "HTTP/1.1 OK"),
        ("a negative status", "HTTP/1.1 -200 OK"),
        ("a status in hex", "HTTP/1.1 0xc8 OK"),
        ("tabs", "HTTP/1.1\t200\tOK"),
        ("a NUL in the reason", "HTTP/1.1 200 O\0K"),
    ] {
        t.fails(name, &format!("{start}\r\ncontent-length: 5\r\n\r\nhello"), MALFORMED);
    }
    t.fails("a NUL only", "\0", MALFORMED);
    for (status, why) in [
        (300, "300 Multiple Choices"),
        (304, "304 Not Modified"),
        (305, "305 Use Proxy"),
        (400, "400 Bad Request"),
        (404, "404 Not Found"),
        (407, "407 Proxy Authentication Required"),
        (410, "410 Gone"),
        (416, "416 Range Not Satisfiable"),
        (418, "418 I'm a teapot"),
        (451, "451 Unavailable For Legal Reasons"),
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
        (599, "599"),
        (600, "600"),
        (999, "999"),
    ] {
        let body = if status == 304 { "" } else { "no" };
        t.fails(
            &format!("status {status}"),
            &format!("HTTP/1.1 {status} No\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
            why,
        );
    }
    t.body("status 201", "HTTP/1.1 201 Made\r\ncontent-length: 2\r\n\r\nhi", 201, b"hi");
    t.body("status 203", "HTTP/1.1 203 Other\r\ncontent-length: 2\r\n\r\nhi", 203, b"hi");
    t.body("status 299", "HTTP/1.1 299 Odd\r\ncontent-length: 2\r\n\r\nhi", 299, b"hi");
}

/// Answers before the final one.
fn interim(t: &mut Table) {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    t.ok("100", &format!("HTTP/1.1 100 Continue\r\n\r\n{ok}"));
    t.ok("100 with a length", &format!("HTTP/1.1 100 Continue\r\ncontent-length: 9\r\n\r\n{ok}"));
    t.ok("102", &format!("HTTP/1.1 102 Processing\r\n\r\n{ok}"));
    t.ok("103", &format!("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n{ok}"));
    t.ok("199", &format!("HTTP/1.1 199 Odd\r\n\r\n{ok}"));
    t.ok("twenty times 100", &format!("{}{ok}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(20)));
    t.ok("100 of HTTP/1.0", &format!("HTTP/1.0 100 Continue\r\n\r\n{ok}"));
    t.fails("100 without end", &"HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000), MALFORMED);
    t.fails("101", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nhello", "101 Switching Protocols");
    t.fails("a final answer that is none", "HTTP/1.1 100 Continue\r\n\r\nhello", MALFORMED);
    t.ends("only 100", "HTTP/1.1 100 Continue\r\n\r\n", Want::Failure(NO_ANSWER));
}

/// Header lines.
fn header_lines(t: &mut Table) {
    for (name, line) in [
        ("no colon", "x-odd"),
        ("a space before the colon", "x-odd : 1"),
        ("a tab before the colon", "x-odd\t: 1"),
        ("a space in a name", "x odd: 1"),
        ("an empty name", ": 1"),
        ("an empty value", "x-odd:"),
        ("only a colon", ":"),
        ("a name in UTF-8", "é: 1"),
        ("a value in UTF-8", "x-odd: é"),
        ("a control character in a name", "x\u{1}: 1"),
        ("a control character in a value", "x: a\u{1}b"),
        ("DEL in a value", "x: a\u{7f}b"),
        ("a tab in a value", "x: a\tb"),
        ("colons in a value", "x:::a"),
        ("spaces around a value", "x:   a   "),
        ("a folded value", "x: a\r\n b"),
        ("a value that is folded with a tab", "x: a\r\n\tb"),
        ("a value that is folded twice", "x: a\r\n b\r\n c"),
        ("a value that begins folded", "x:\r\n a"),
        ("a fold without carriage returns", "x: a\n b"),
        ("a folded line of spaces", "x: a\r\n   \r\n b"),
        ("quotes", "x: \"a"),
        ("a cookie", "set-cookie: a=b\r\nset-cookie: c=d"),
        ("a byte order mark", "\u{feff}x: a"),
    ] {
        t.ok(name, &format!("HTTP/1.1 200 OK\r\n{line}\r\ncontent-length: 5\r\n\r\nhello"));
    }
    t.raw(
        "bytes that are no UTF-8",
        b"HTTP/1.1 200 OK\r\nx: \xff\xfe\r\ncontent-length: 5\r\n\r\nhello",
        hello(),
    );
    t.raw("a name of such bytes", b"HTTP/1.1 200 OK\r\n\xff: 1\r\ncontent-length: 5\r\n\r\nhello", hello());
    t.fails("a NUL in a value", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 5\r\n\r\nhello", MALFORMED);
    t.fails("a NUL in a name", "HTTP/1.1 200 OK\r\nx\0: b\r\ncontent-length: 5\r\n\r\nhello", MALFORMED);
    t.fails("a NUL in a length", "HTTP/1.1 200 OK\r\ncontent-length: 5\0\r\n\r\nhello", MALFORMED);
    for (count, is_ok) in
        [(0, true), (99, true), (101, true), (129, true), (1000, true), (4999, true), (5001, false)]
    {
        let lines: String = (0..count).map(|nth| format!("x-{nth}: y\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 5\r\n\r\nhello");
        t.raw(
            &format!("{count} headers"),
            answer.as_bytes(),
            if is_ok { hello() } else { Want::Failure(MALFORMED) },
        );
    }
    t.ok(
        "1000 times the same header",
        &format!("HTTP/1.1 200 OK\r\n{}content-length: 5\r\n\r\nhello", "x: y\r\n".repeat(1000)),
    );
    for (size, is_ok) in [(16, true), (17, true), (64, true), (290, true), (301, false), (2000, false)] {
        let lines = format!("x: {}\r\n", "y".repeat(1019)).repeat(size);
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 5\r\n\r\nhello");
        t.raw(
            &format!("a head of {size} KiB"),
            answer.as_bytes(),
            if is_ok { hello() } else { Want::Failure(MALFORMED) },
        );
    }
    t.ok(
        "a line of 200 KiB",
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 5\r\n\r\nhello", "y".repeat(200 << 10)),
    );
    t.ok(
        "a fold of 200 KiB",
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 5\r\n\r\nhello", "y\r\n ".repeat(4900)),
    );
    t.ends("half a status line", "HTTP/1.1 20", Want::Failure(NO_ANSWER));
    t.ends("half a head", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Want::Failure(NO_ANSWER));
    t.ends("nothing", "", Want::Failure(NO_ANSWER));
}

/// Content-Length.
fn lengths(t: &mut Table) {
    for (name, lines) in [
        ("in upper case", "CONTENT-LENGTH: 5"),
        ("twice the same length", "content-length: 5\r\ncontent-length: 5"),
        ("a list of the same length", "content-length: 5, 5"),
        ("a length with zeros", "content-length: 0005"),
        ("a length with spaces", "content-length:    5   "),
        ("a length without a space", "content-length:5"),
        ("a space before the colon of a length", "content-length : 5"),
        ("a folded length", "content-length:\r\n 5"),
        ("a header whose name is longer", "content-length-x: 3\r\ncontent-length: 5"),
        ("identity", "transfer-encoding: identity\r\ncontent-length: 5"),
        ("an empty transfer coding", "transfer-encoding:\r\ncontent-length: 5"),
    ] {
        t.ok(name, &format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello"));
    }
    for (name, lines) in [
        ("two lengths", "content-length: 5\r\ncontent-length: 3"),
        ("a list of two lengths", "content-length: 5, 3"),
        ("a plus", "content-length: +5"),
        ("a negative length", "content-length: -5"),
        ("a length in hex", "content-length: 0x5"),
        ("a length with a letter", "content-length: 5x"),
        ("a length in words", "content-length: five"),
        ("an empty length", "content-length:"),
        ("a fraction", "content-length: 5.0"),
        ("an exponent", "content-length: 5e0"),
        ("a list with an empty element", "content-length: 5,"),
        ("a length of 63 bits", "content-length: 9223372036854775808"),
        ("a length of 64 bits", "content-length: 18446744073709551615"),
        ("a length of more", "content-length: 99999999999999999999999"),
        ("a length without a colon", "content-length 5"),
        ("a length with a control character", "content-length: 5\u{1}"),
        ("a length in other digits", "content-length: ٥"),
        ("a length and one that is ignored", "content-length: 5\r\ncontent-length 3"),
        ("a folded length of two", "content-length: 5\r\n 5"),
    ] {
        t.fails(name, &format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello"), MALFORMED);
    }
    t.body("an empty body", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"");
    t.ok("more than the length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello and more");
    t.ok("an answer too many", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    t.ok("a line end too many", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello\r\n");
    t.ends("less than the length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", short(3));
    t.ends("nothing of the length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", short(0));
    t.ends("a great length", "HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\nhello", short(5));
    t.ends("no length", "HTTP/1.1 200 OK\r\n\r\nhello", hello());
    t.ends("no length in HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", hello());
    t.ends("no length, kept", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nhello", hello());
    t.ends("no length and no body", "HTTP/1.1 200 OK\r\n\r\n", Want::Body(200, vec![]));
    t.ends(
        "a body that looks like an answer",
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n",
        Want::Body(200, b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()),
    );
    t.ok(
        "a connection that is closed",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
    );
    t.ok("connection options", "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 5\r\n\r\nhello");
    let large = "x".repeat(100_000);
    t.body(
        "100 kB",
        &format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{large}"),
        200,
        large.as_bytes(),
    );
}

/// Chunks and transfer codings.
fn chunks(t: &mut Table) {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    for (name, body) in [
        ("a chunk", "5\r\nhello\r\n0\r\n\r\n"),
        ("five chunks", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"),
        ("an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        ("an extension with a quoted value", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
        ("an extension after a space", "5 ;a\r\nhello\r\n0\r\n\r\n"),
        ("spaces after the size", "5  \r\nhello\r\n0  \r\n\r\n"),
        ("a size with zeros", "00000005\r\nhello\r\n000\r\n\r\n"),
        ("lines without carriage returns of chunks", "5\nhello\n0\n\n"),
        ("trailers", "5\r\nhello\r\n0\r\nx: y\r\nz: a\r\n\r\n"),
        ("a trailer that is a length", "5\r\nhello\r\n0\r\ncontent-length: 3\r\n\r\n"),
        ("a trailer that is no header", "5\r\nhello\r\n0\r\nodd\r\n\r\n"),
        ("bytes after the last chunk", "5\r\nhello\r\n0\r\n\r\nmore"),
    ] {
        t.ok(name, &chunked(body));
    }
    t.body("no chunks", &chunked("0\r\n\r\n"), 200, b"");
    t.body(
        "sizes in both cases",
        &chunked(&format!("a\r\n{}\r\nB\r\n{}\r\n0\r\n\r\n", "x".repeat(10), "x".repeat(11))),
        200,
        &[b'x'; 21],
    );
    let large = "x".repeat(0x12345);
    t.body("a large chunk", &chunked(&format!("12345\r\n{large}\r\n0\r\n\r\n")), 200, large.as_bytes());
    for (name, body) in [
        ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        ("an empty size", "\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("only an extension", ";a\r\nhello\r\n0\r\n\r\n"),
        ("a size in words", "five\r\nhello\r\n0\r\n\r\n"),
        ("a prefix of hex", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a plus before a size", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a size of 17 digits", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("twenty digits", "00000000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("two sizes", "5 5\r\nhello\r\n0\r\n\r\n"),
        ("no line end after the content", "5\r\nhello0\r\n\r\n"),
        ("more than the size", "5\r\nhello!\r\n0\r\n\r\n"),
        ("less than the size", "7\r\nhello\r\n0\r\n\r\n"),
    ] {
        t.fails(name, &chunked(body), MALFORMED);
    }
    t.fails(
        "an extension without end",
        &chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000))),
        MALFORMED,
    );
    t.fails(
        "trailers without end",
        &chunked(&format!("5\r\nhello\r\n0\r\n{}\r\n", "x: y\r\n".repeat(4000))),
        MALFORMED,
    );
    t.ends("no last chunk", &chunked("5\r\nhello\r\n"), short(5));
    t.ends("no line end after the last chunk", &chunked("5\r\nhello\r\n0\r\n"), short(5));
    t.ends("half a chunk", &chunked("5\r\nhel"), short(3));
    t.ends("half a size", &chunked("5"), short(0));
    t.ends("no chunk at all", &chunked(""), short(0));
    t.ends("a vast chunk", &chunked("ffffffffffffffff\r\nhello"), short(5));
    let five = "5\r\nhello\r\n0\r\n\r\n";
    for (name, head) in [
        ("a coding in upper case", "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED"),
        ("a coding with spaces", "HTTP/1.1 200 OK\r\ntransfer-encoding:   chunked   "),
        ("a space before the colon of a coding", "HTTP/1.1 200 OK\r\ntransfer-encoding : chunked"),
        ("a folded coding", "HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n chunked"),
        ("a coding twice", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        ("a coding twice in a list", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked"),
        ("identity, then chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: identity, chunked"),
        ("a list with empty elements", "HTTP/1.1 200 OK\r\ntransfer-encoding: , chunked,"),
        ("chunks of HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked"),
        (
            "chunks of HTTP/1.0, kept",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked",
        ),
        ("a length before chunks", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked"),
        ("a length after chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3"),
        (
            "a malformed length and chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: x",
        ),
    ] {
        t.ok(name, &format!("{head}\r\n\r\n{five}"));
    }
    for (name, value) in [
        ("gzip, then chunked", "gzip, chunked"),
        ("chunked, then gzip", "chunked, gzip"),
        ("only gzip", "gzip"),
        ("an unknown coding", "foo"),
        ("a longer name", "xchunked"),
        ("a parameter", "chunked;q=1"),
        ("a quoted coding", "'chunked'"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {value}\r\n\r\n{five}");
        t.raw(name, answer.as_bytes(), not_requested(value));
    }
    t.fails(
        "a coding without a colon",
        &format!("HTTP/1.1 200 OK\r\ntransfer-encoding chunked\r\n\r\n{five}"),
        MALFORMED,
    );
    t.fails(
        "a coding with a control character",
        &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\u{b}\r\n\r\n{five}"),
        MALFORMED,
    );
}

/// Content-Encoding.
fn encodings(t: &mut Table) {
    let hi = gzip(b"hello");
    for name in ["gzip", "x-gzip", "GZIP", "Gzip", " gzip ", "identity, gzip", "gzip, identity", "none, gzip"]
    {
        t.raw(&format!("encoding {name:?}"), &encoded(name, &hi), hello());
    }
    for name in
        ["", "identity", "none", "utf-8", "UTF8", "binary", "8bit", "iso-8859-1", "text", "none, none", "é"]
    {
        t.raw(&format!("encoding {name:?}"), &encoded(name, b"hello"), hello());
    }
    for name in ["br", "deflate", "compress", "x-compress", "zstd", "BR"] {
        t.raw(&format!("encoding {name:?}"), &encoded(name, b"hello"), not_requested(&name.to_lowercase()));
    }
    for name in ["gzip, gzip", "br, gzip", "gzip, br"] {
        t.raw(&format!("encoding {name:?}"), &encoded(name, &hi), not_requested(name));
    }
    let twice =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n";
    t.raw("two encodings", twice, not_requested("br, gzip"));
    let broken = || Want::Failure("broken gzip");
    t.raw("empty gzip", &encoded("gzip", b""), Want::Body(200, vec![]));
    t.raw("gzip of nothing", &encoded("gzip", &gzip(b"")), Want::Body(200, vec![]));
    t.raw("gzip without its end", &encoded("gzip", &hi[..hi.len() - 3]), broken());
    t.raw("gzip without its head", &encoded("gzip", &hi[3..]), broken());
    t.raw("no gzip", &encoded("gzip", b"hello"), broken());
    t.raw("gzip and bytes", &encoded("gzip", &[&hi[..], b"more"].concat()), broken());
    t.raw("gzip twice in a row", &encoded("gzip", &[gzip(b"hel"), gzip(b"lo")].concat()), hello());
    let mut wrong = hi.clone();
    let sum = wrong.len() - 6;
    wrong[sum] ^= 1;
    t.raw("a wrong sum", &encoded("gzip", &wrong), broken());
    t.raw(
        "a bomb",
        &encoded("gzip", &gzip(&vec![0; 8 << 20])),
        Want::Failure("decompresses to more than is allowed"),
    );
    let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n";
    let size = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", hi.len());
    t.raw("gzip in a chunk", &[head, size.as_bytes(), &hi, b"\r\n0\r\n\r\n"].concat(), hello());
    t.raw(
        "empty gzip in no chunk",
        &[head, &b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"[..]].concat(),
        Want::Body(200, vec![]),
    );
    t.raw("gzip until the end", &[head, &b"\r\n"[..], &hi].concat(), hello());
    t.last().ends_with_the_connection = true;
    t.raw("empty gzip until the end", &[head, &b"\r\n"[..]].concat(), Want::Body(200, vec![]));
    t.last().ends_with_the_connection = true;
    for path in ["/a.tar.gz", "/A.GZ", "/a.tgz", "/a.gz?b=c"] {
        t.raw(&format!("a gzip file {path}"), &encoded("x-gzip", &hi), Want::Body(200, hi.clone()));
        t.last().path = path;
    }
    t.raw(
        "a gzip file by its type",
        &encoded("gzip\r\ncontent-type: application/gzip; a=b", &hi),
        Want::Body(200, hi.clone()),
    );
    t.raw("a file that is named like one", &encoded("gzip", &hi), hello());
    t.last().path = "/agz?x=.gz";
    t.steps(
        "a gzip file that is elsewhere",
        &[to("/12345").as_bytes(), &encoded("gzip", &hi)],
        Want::Body(200, hi.clone()),
    );
    t.last().path = "/a.gz";
}

/// Statuses whose answers have no body.
fn without_bodies(t: &mut Table) {
    let none = |status| Want::Body(status, vec![]);
    t.raw("204", b"HTTP/1.1 204 No Content\r\n\r\n", none(204));
    t.raw("204 with a length", b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", none(204));
    t.raw("204 with a body", b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", none(204));
    t.raw("204 with a length of 0", b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", none(204));
    t.raw(
        "204 with chunks",
        b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        none(204),
    );
    t.raw("204 with a malformed length", b"HTTP/1.1 204 No Content\r\ncontent-length: x\r\n\r\n", none(204));
    t.raw("204 of HTTP/1.0", b"HTTP/1.0 204 No Content\r\n\r\n", none(204));
    t.raw("204 with gzip", b"HTTP/1.1 204 No Content\r\ncontent-encoding: gzip\r\n\r\n", none(204));
    t.raw("205", b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n", none(205));
    t.body("205 with a body", "HTTP/1.1 205 Reset Content\r\ncontent-length: 2\r\n\r\nhi", 205, b"hi");
    t.fails(
        "304 with a length",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        "304 Not Modified",
    );
    t.fails(
        "304 with a body",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello",
        "304 Not Modified",
    );
    t.fails("404 without a length", "HTTP/1.1 404 Not Found\r\n\r\nno", "404 Not Found");
    t.fails(
        "404 with chunks",
        "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "404 Not Found",
    );
    t.fails(
        "404 with malformed chunks",
        "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\nno\r\n",
        "404 Not Found",
    );
    t.ends(
        "404 with half a body",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nno",
        Want::Failure("404 Not Found"),
    );
    t.fails(
        "404 with a large body",
        &format!("HTTP/1.1 404 Not Found\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000)),
        "404 Not Found",
    );
    t.fails(
        "404 with large chunks",
        &format!(
            "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
            format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(64)
        ),
        "404 Not Found",
    );
    t.fails(
        "404 with two lengths",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nno",
        MALFORMED,
    );
}

/// Redirects.
fn redirects(t: &mut Table) {
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    for status in [301, 302, 303, 307, 308] {
        let first = format!("HTTP/1.1 {status} There\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n");
        t.steps(&format!("redirect {status}"), &[first.as_bytes(), ok], hello());
    }
    for target in [
        "/b",
        "b",
        "./b",
        "../b",
        "?b",
        "/b#c",
        "/caf%C3%A9",
        "/café",
        "/a b",
        " /b ",
        "/b?c=é",
        "/%",
        "/\"<>",
        "\\b",
        "/b\tc",
    ] {
        t.steps(&format!("to {target:?}"), &[to(target).as_bytes(), ok], hello());
    }
    t.steps(
        "to bytes that are no UTF-8",
        &[b"HTTP/1.1 302 There\r\nlocation: /caf\xe9\r\ncontent-length: 0\r\n\r\n", ok],
        hello(),
    );
    t.steps(
        "to a folded address",
        &[b"HTTP/1.1 302 There\r\nlocation:\r\n /b\r\ncontent-length: 0\r\n\r\n", ok],
        hello(),
    );
    t.steps(
        "to the same address twice",
        &[b"HTTP/1.1 302 There\r\nlocation: /b\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n", ok],
        hello(),
    );
    t.steps(
        "with a small body",
        &[b"HTTP/1.1 302 There\r\nlocation: /b\r\ncontent-length: 5\r\n\r\nthere", ok],
        hello(),
    );
    t.steps("with chunks", &[b"HTTP/1.1 302 There\r\nlocation: /b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthere\r\n0\r\n\r\n", ok], hello());
    t.steps("without a length", &[b"HTTP/1.1 302 There\r\nlocation: /b\r\n\r\nthere", ok], hello());
    t.steps(
        "with an unknown encoding",
        &[b"HTTP/1.1 302 There\r\nlocation: /b\r\ncontent-encoding: br\r\ncontent-length: 0\r\n\r\n", ok],
        hello(),
    );
    t.steps("of HTTP/1.0", &[b"HTTP/1.0 302 There\r\nlocation: /b\r\n\r\n", ok], hello());
    t.steps(
        "after 103",
        &[b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 302 There\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n", ok],
        hello(),
    );
    t.steps("two", &[to("/b").as_bytes(), to("/c").as_bytes(), ok], hello());
    let ten: Vec<_> = (0..11).map(|nth| to(&format!("/to/{nth}"))).collect();
    let steps = |count: usize| ten[..count].iter().map(String::as_bytes).chain([ok]).collect::<Vec<_>>();
    t.steps("ten", &steps(10), hello());
    t.steps("eleven", &steps(11), Want::Failure("more than 10 redirects"));
    t.steps("to itself", &[to("/row").as_bytes()], Want::Failure("redirect loop"));
    t.steps("in a circle", &[to("/b").as_bytes(), to("/row").as_bytes()], Want::Failure("redirect loop"));
    let nowhere = "a redirect without a valid address";
    t.fails("to nowhere", "HTTP/1.1 302 There\r\ncontent-length: 0\r\n\r\n", nowhere);
    t.fails("to an empty address", &to(""), nowhere);
    t.fails(
        "to two addresses",
        "HTTP/1.1 302 There\r\nlocation: /b\r\nlocation: /c\r\ncontent-length: 0\r\n\r\n",
        nowhere,
    );
    for target in ["http://", "http://[", "http://a b/", "http://h:99999/"] {
        t.fails(&format!("to {target:?}"), &to(target), nowhere);
    }
    for (target, why) in [
        ("ftp://h/", "ftp is neither http nor https"),
        ("file:///etc/passwd", "file is neither http nor https"),
        ("javascript:alert(1)", "javascript is neither http nor https"),
        ("data:,x", "data is neither http nor https"),
        ("mailto:a@b", "mailto is neither http nor https"),
    ] {
        t.fails(&format!("to {target:?}"), &to(target), why);
    }
    t.fails("to a long address", &to(&format!("/{}", "x".repeat(9000))), "longer than 8000 bytes");
}

/// Ranges that were not requested.
fn ranges(t: &mut Table) {
    let part = |range: &str, body: &str| {
        format!(
            "HTTP/1.1 206 Partial\r\ncontent-range: {range}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let other = "the answer has another part of the body than requested";
    t.body("all of it", &part("bytes 0-4/5", "hello"), 206, b"hello");
    t.body("all of it in chunks", "HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-4/5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 206, b"hello");
    t.ends(
        "all of it until the end",
        "HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-4/5\r\n\r\nhello",
        Want::Body(206, b"hello".to_vec()),
    );
    t.ends("less than all of it", "HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-4/5\r\n\r\nhel", short(3));
    t.raw("less than all of it in chunks", b"HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-4/5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n\r\n", short(3));
    for (name, range, body) in [
        ("the first part", "bytes 0-4/9", "hello"),
        ("the last part", "bytes 4-8/9", "hello"),
        ("an unknown total", "bytes 0-4/*", "hello"),
        ("another length", "bytes 0-4/5", "hell"),
        ("a range in words", "all", "hello"),
        ("another unit", "lines 0-4/5", "hello"),
        ("a range that ends first", "bytes 4-0/5", "hello"),
        ("a vast range", "bytes 0-18446744073709551615/*", "hello"),
    ] {
        t.fails(name, &part(range, body), other);
    }
    t.fails("no range", "HTTP/1.1 206 Partial\r\ncontent-length: 5\r\n\r\nhello", other);
    t.fails("several ranges", "HTTP/1.1 206 Partial\r\ncontent-type: multipart/byteranges; boundary=x\r\ncontent-length: 5\r\n\r\n--x--", other);
    t.ok(
        "a range of status 200",
        "HTTP/1.1 200 OK\r\ncontent-range: bytes 3-4/9\r\ncontent-length: 5\r\n\r\nhello",
    );
}
