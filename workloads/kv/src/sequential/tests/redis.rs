//! Runs the same scripts on `redis-server` and on the reference.

use std::{
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

use super::*;

/// A `redis-server` with its own socket. Dropping it kills the process.
struct Redis {
    child: Child,
    dir: tempfile::TempDir,
}

impl Redis {
    /// Starts the server. Without `redis-server`, prints that the test is skipped.
    fn start(options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--databases", "1", "--unixsocket"])
            .arg(dir.path().join("socket"))
            .args(options)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("skipped: there is no redis-server");
            return None;
        };
        Some(Self { child, dir })
    }

    fn says(&self, script: &[u8]) -> Vec<u8> {
        let mut stream = None;
        until(|| {
            stream = UnixStream::connect(self.dir.path().join("socket")).ok();
            stream.is_some()
        });
        let stream = stream.unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        said(&stream, script)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

const END: &[u8] = b"$19\r\nthat is all for now\r\n";

/// The replies to a script, up to the reply to the last ECHO or until the server closes the
/// connection.
fn said<S>(stream: &S, script: &[u8]) -> Vec<u8>
where
    for<'a> &'a S: Read + Write,
{
    let mut writer = stream;
    let script = [script, b"ECHO 'that is all for now'\r\n"].concat();
    // Fails if the server has closed the connection early.
    let _ = writer.write_all(&script);
    let (mut said, mut reader, mut buffer) = (Vec::new(), stream, [0; 4096]);
    while !said.ends_with(END) {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => said.extend_from_slice(&buffer[..bytes]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
            Err(e) => panic!("{e}: after {}", said.escape_ascii()),
        }
    }
    said
}

fn compare(redis: &Redis, server: &Running, script: &[u8]) {
    let stream = net::TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let ours = said(&stream, script);
    let theirs = redis.says(script);
    assert!(
        ours == theirs,
        "{}\nours:   {}\ntheirs: {}",
        script.escape_ascii(),
        ours.escape_ascii(),
        theirs.escape_ascii()
    );
}

/// Scripts that run on separate connections. A bar is the end of a line.
const SCRIPTS: &[&str] = &[
    "FOO a b|foo|GET|GETX a|get a b|'' a|FOO 'a\\'b'",
    "PING|PING a|PING a b|ECHO|ECHO a|ECHO a b|SELECT|SELECT 0|SELECT 1|SELECT -1|SELECT x|SELECT 99999999999",
    "SET a|SET a 1|GET a|SET a 2 EX|SET a 2 EX 0|SET a 2 EX -1|SET a 2 EX x|SET a 2 PX 0|SET a 2 FOO|GET a",
    "SET a 1 NX XX|SET a 1 NX NX|SET a 1 EX 10 PX 10|SET a 1 EX 10 EX 10|SET a 2 nx|SET a 2 xX|GET a|SET b 1 XX|GET b",
    "SET a 1 PX 9223372036854775807|SET a 1 EX 9223372036854775807|SET a 1 EX 9223372036854775|GET a",
    "SET a 1 EX 100|TTL a|SET a 2|TTL a|SET a 1 PX 100000|TTL a|PERSIST a|PERSIST a|TTL a|PTTL a|TTL zz|PTTL zz|PERSIST zz",
    "EXPIRE a 100|SET a 1|EXPIRE a 100|TTL a|EXPIRE a x|EXPIRE a|EXPIRE a 10 FOO|EXPIRE a x FOO|PEXPIRE a 200000|TTL a|\
     INCR a|TTL a|EXPIRE a 0|GET a|SET a 1|PEXPIRE a -1|EXISTS a",
    "EXPIRE a 9223372036854775807|PEXPIRE a 9223372036854775807|EXPIRE a -9223372036854775807|SET a 1|\
     PEXPIRE a -9223372036854775808|GET a",
    "INCR n|INCR n|DECR n|INCRBY n 10|INCRBY n -3|INCRBY n x|INCRBY n|DECR n 1|GET n|SET n x|INCR n|SET n 9223372036854775807|\
     INCR n|DECR n|INCRBY n 9223372036854775807|SET n ' 1'|INCR n|SET n 01|INCR n|SET n -0|INCR n|SET n ''|INCR n|\
     SET n -9223372036854775808|DECR n|INCRBY n -1|INCRBY n 1",
    "MSET a 1 b 2|MGET a b c|MGET|MSET|MSET a|MSET a 1 b|MSET a 1 a 2|GET a|DEL a b c|DEL|DEL a a|EXISTS|MSET a 1 b 2|\
     EXISTS a b c a|DEL a b a",
    "STRLEN a|SET a hello|STRLEN a|STRLEN|TYPE a|TYPE zz|TYPE|DBSIZE|DBSIZE x|FLUSHDB x|FLUSHDB SYNC x|FLUSHDB ASYNC|DBSIZE|\
     FLUSHDB sync",
    "EXEC|DISCARD|MULTI|MULTI|SET a 1|INCR a|GET a|PING|ECHO x|EXEC|GET a|EXEC|MULTI x",
    "MULTI|GET|EXEC|MULTI|FOO|SET a 1|EXEC|GET a|MULTI|SET a 1|DISCARD|GET a|MULTI|EXEC|EXEC x",
    "MULTI|SET a x|INCR a|SET a 1 FOO|INCRBY a y|MSET a 1 b|EXPIRE a z|SELECT 3|GET a|EXEC",
    "WATCH a|MULTI|SET a 1|EXEC|WATCH a|SET a 2|MULTI|SET a 3|EXEC|GET a|WATCH a|SET a 4|UNWATCH|MULTI|SET a 5|EXEC|GET a|\
     MULTI|WATCH a|UNWATCH|EXEC|WATCH",
    "WATCH a b|SET c 1|MULTI|GET c|EXEC|WATCH a|DEL a|MULTI|PING|EXEC|SET a 1|WATCH a|DEL a|MULTI|PING|EXEC|\
     SET a 1|WATCH a|EXPIRE a 100|MULTI|PING|EXEC|WATCH b|FLUSHDB|MULTI|PING|EXEC|SET b 1|WATCH b|FLUSHDB|MULTI|PING|EXEC|\
     WATCH b|SET b 1|DISCARD|MULTI|DISCARD|MULTI|PING|EXEC",
    "MULTI|MSET a 1 b 2|MGET a b c|EXISTS a b|DEL a b|DBSIZE|CLIENT GETNAME|CLIENT SETNAME x|CLIENT GETNAME|EXEC|CLIENT GETNAME",
    "AUTH|AUTH x|AUTH default x|AUTH a b c|HELLO 3 x|HELLO 4|HELLO x|HELLO 2 FOO|HELLO 2 AUTH a|HELLO 2 AUTH a b|\
     HELLO 2 SETNAME 'a b'|HELLO 2 SETNAME",
    "CLIENT|CLIENT FOO|CLIENT GETNAME|CLIENT GETNAME x|CLIENT SETNAME|CLIENT SETNAME 'a b'|CLIENT SETNAME ab|client getname|\
     CLIENT SETNAME ''|CLIENT GETNAME",
    "CONFIG|CONFIG FOO|CONFIG GET|CONFIG GET maxmemory|CONFIG GET save|CONFIG GET appendonly|CONFIG GET nothing|COMMAND FOO|\
     COMMAND INFO nothing|INFO nothing",
    "PING|QUIT|PING",
    "MULTI|SET a 1|QUIT|GET a",
    "  PING  |\tGET\ta|SET \"a b\" 'c d'|GET \"a b\"|SET a \"\\x41\\n\\\"\\q\"|GET a|SET a 'b\\'c\\n'|GET a|SET a x'y z'|GET a",
    "GET \"a",
    "GET 'a",
    "GET \"a\"b",
    "|||PING",
];

/// Scripts with the commands that drivers send in addition. They run in both protocols.
const MORE_SCRIPTS: &[&str] = &[
    "DECRBY n 3|DECRBY n -5|DECRBY n x|DECRBY n|DECRBY n -9223372036854775808|SET n x|DECRBY n 1|\
     SET n -9223372036854775807|DECRBY n 2|GET n|SET n -1|DECRBY n 9223372036854775807|DECRBY n 1",
    "SETNX a 1|SETNX a 2|GET a|SETNX a|SETEX a 10 x|TTL a|SETEX a 0 x|SETEX a -1 x|SETEX a x x|SETEX a 9223372036854775807 x|\
     SETEX a 10|PSETEX a 10000 y|TTL a|PSETEX a 0 y|PSETEX a x y|PSETEX a 9223372036854775807 y|GET a",
    "GETSET a 1|GETSET a 2|SET a 3 EX 100|GETSET a 4|TTL a|GETSET a|GETDEL a|GETDEL a|GETDEL|EXISTS a",
    "GETEX a|SET a 1|GETEX a|GETEX a EX 100|TTL a|GETEX a PERSIST|TTL a|GETEX a PX 100000|TTL a|GETEX a EX 10 PX 10|GETEX a EX|\
     GETEX a EX 0|GETEX a EX x|GETEX a FOO|GETEX a PERSIST EX 10|GETEX a EX 10 PERSIST|GETEX a EXAT 4102444800|EXPIRETIME a|\
     GETEX a KEEPTTL|GETEX a PXAT 1|GET a|SET a 1|GETEX a EX 9223372036854775807",
    "SET a b KEEPTTL|SET a b EX 100|SET a c KEEPTTL|TTL a|SET a c KEEPTTL EX 10|SET a c EX 10 KEEPTTL|SET a d GET|TTL a|SET zz d GET|\
     GET zz|SET a e NX GET|GET a|SET yy e NX GET|GET yy|SET ww e XX GET|EXISTS ww|SET a f GET XX|GET a|SET a b get keepttl|\
     SET a b EXAT 4102444800|EXPIRETIME a|PEXPIRETIME a|SET a b PXAT 4102444800123|PEXPIRETIME a|SET a b EXAT 0|SET a b EXAT -1|\
     SET a b EXAT x|SET a b PXAT 10 EX 10|SET a b EXAT 9223372036854775807|SET a b EXAT|SET a b PXAT 9223372036854775807|\
     SET a b PERSIST|SET a b EXAT 1|GET a",
    "SET a 1|EXPIRE a 100 XX|EXPIRE a 100 GT|TTL a|EXPIRE a 100 LT|TTL a|EXPIRE a 200 LT|EXPIRE a 200 GT|TTL a|EXPIRE a 50 NX|\
     EXPIRE a 50 XX LT|TTL a|EXPIRE a 50 NX XX|EXPIRE a 50 NX GT|EXPIRE a 50 GT LT|EXPIRE a 50 FOO|EXPIRE a x GT LT|\
     EXPIRE a 60 GT XX|TTL a|EXPIRE zz 10 NX|PEXPIRE a 50000 gt|PEXPIRE a 70000 gt|TTL a|EXPIRE a -1 GT|GET a|EXPIRE a -1 LT|GET a",
    "SET a 1|EXPIREAT a 4102444800|EXPIRETIME a|PEXPIRETIME a|PEXPIREAT a 4102444800123|PEXPIRETIME a|EXPIRETIME a|\
     PEXPIREAT a 4102444800500|EXPIRETIME a|EXPIRETIME zz|PEXPIRETIME zz|PERSIST a|EXPIRETIME a|EXPIREAT a x|EXPIREAT a|\
     EXPIREAT a 9223372036854775807|EXPIREAT a 4102444900 GT|EXPIREAT a 1 LT|EXISTS a|EXPIREAT a 1|SET a 1|EXPIREAT a 1|EXISTS a|\
     SET a 1|EXPIREAT a 0|EXISTS a|SET a 1|PEXPIREAT a -1|EXISTS a|EXPIRETIME",
    "MULTI|SET a 1 EXAT 4102444800|EXPIRETIME a|PEXPIRETIME a|EXPIREAT a 4102444900|EXPIRETIME a|GETEX a PERSIST|EXPIRETIME a|EXEC",
    "APPEND a x|APPEND a yz|GET a|APPEND a ''|APPEND a|SET a 1 EX 100|APPEND a 2|TTL a|INCR a|STRLEN a",
    "SET a 'This is a string'|GETRANGE a 0 3|GETRANGE a -3 -1|GETRANGE a 0 -1|GETRANGE a 10 100|GETRANGE a 5 2|GETRANGE a -1 -5|\
     GETRANGE a 100 200|GETRANGE a -100 -90|GETRANGE a -100 3|GETRANGE zz 0 -1|GETRANGE a x 1|GETRANGE a 0|\
     GETRANGE a -9223372036854775808 9223372036854775807|SET a ''|GETRANGE a 0 -1|GETRANGE a -1 -1",
    "SET a 'Hello World'|SETRANGE a 6 Redis|GET a|SETRANGE b 3 x|GET b|SETRANGE c 0 ''|EXISTS c|SETRANGE a 100 ''|SETRANGE a -1 x|\
     SETRANGE a x x|SETRANGE a 536870912 x|SETRANGE a 536870911 xx|SETRANGE a 9223372036854775807 x|SETRANGE a 0|SETRANGE a 0 ''|\
     EXPIRE a 100|SETRANGE a 0 J|TTL a|GET a",
    "MSETNX a 1 b 2|MSETNX b 1 c 2|MGET a b c|MSETNX a|MSETNX a 1 b|MSETNX x 1 x 2|GET x",
    "SET a 1 EX 100|RENAME a b|TTL b|GET a|RENAME a b|RENAME b b|RENAME zz zz|RENAMENX b b|RENAMENX zz b|SET c 2|RENAMENX b c|RENAMENX b d|\
     MGET a b c d|RENAME c d|MGET c d|TTL d|RENAME a|RENAMENX a",
    "SET a 1 EX 100|COPY a b|TTL b|COPY a b|SET a 2|COPY a b REPLACE|TTL b|MGET a b|COPY zz b|COPY a a|COPY a c DB 0|COPY a d DB 1|\
     COPY a d DB x|COPY a d FOO|COPY a d DB|COPY a|GET c",
    "WATCH a|SET b 1|RENAME b a|MULTI|PING|EXEC|WATCH a|RENAME a c|MULTI|PING|EXEC|SET a 1|WATCH a|APPEND a x|MULTI|PING|EXEC|\
     WATCH a|GETDEL a|MULTI|PING|EXEC|SET a 1|WATCH a|GETEX a|MULTI|PING|EXEC|WATCH a|GETEX a EX 10|MULTI|PING|EXEC",
    "MULTI|SET {t}a 1|RENAME {t}a {t}b|MSETNX {t}b 1 {t}c 2|MSETNX {t}d 1 {t}c 2|COPY {t}b {t}e|MGET {t}a {t}b {t}c {t}d {t}e|\
     GETSET {t}a 7|APPEND {t}a 8|SET {t}a 9 GET|KEYS zz|SCAN 0 MATCH zz|RANDOMKEY x|DBSIZE|EXEC|DISCARD",
    "KEYS *|SET a 1|KEYS *|KEYS b*|KEYS [a-c]|KEYS [^a]|KEYS \\\\a|KEYS|KEYS a b|RANDOMKEY|DEL a|RANDOMKEY|RANDOMKEY x",
    "SCAN 0|SET a 1|SCAN 0|SCAN 0 MATCH b*|SCAN 0 MATCH a*|SCAN 0 COUNT 1000|SCAN 0 TYPE string|SCAN 0 TYPE hash|SCAN 0 count 0|\
     SCAN 0 COUNT x|SCAN 0 FOO|SCAN 0 FOO 1|SCAN 0 MATCH|SCAN x|SCAN|SCAN 0 COUNT 10 MATCH * TYPE string",
    "MSET a 1 b 2 c 3|UNLINK a b zz|UNLINK|TOUCH c a c|TOUCH|FLUSHALL|DBSIZE|FLUSHALL ASYNC|FLUSHALL SYNC|FLUSHALL x|\
     FLUSHALL ASYNC x",
    "INCRBYFLOAT f 10.50|INCRBYFLOAT f 0.1|INCRBYFLOAT f -5|SET f 5.0e3|INCRBYFLOAT f 2.0e2|INCRBYFLOAT f x|SET f x|INCRBYFLOAT f 1|\
     SET f 3|INCRBYFLOAT f 1.1|INCRBYFLOAT f -4.1|INCRBYFLOAT f|SET f 1|EXPIRE f 100|INCRBYFLOAT f 1|TTL f|INCR f|\
     SET f 0.1|INCRBYFLOAT f 0.2|SET f ' 1'|INCRBYFLOAT f 1|INCRBYFLOAT zz nan|INCRBYFLOAT zz inf|INCRBYFLOAT zz ''",
    "CLIENT NO-EVICT ON|CLIENT NO-EVICT|CLIENT NO-EVICT x|CLIENT ID x|CLIENT LIST TYPE foo|CLIENT LIST TYPE replica|\
     CLIENT LIST ID x|CLIENT LIST FOO|CLIENT INFO x",
    "TIME x|RESET x|CLIENT SETNAME a|MULTI|SET a 1|RESET|GET a|CLIENT GETNAME|WATCH a|SET a 1|RESET|MULTI|PING|EXEC",
    "GET zz|MGET zz|WATCH a|SET a 1|MULTI|PING|EXEC|CONFIG GET save|CONFIG GET m*policy|SET a 1 NX|MULTI|GET zz|CONFIG GET save|EXEC|\
     COMMAND INFO nothing|COMMAND DOCS nothing|TYPE a|CLIENT GETNAME",
    "MULTI|HELLO 2 x|HELLO 4|EXEC",
];

/// Scripts that are sent unchanged.
const BYTES: &[&[u8]] = &[
    b"*2\r\n$3\r\nGET\r\n$-1\r\n",
    b"*x\r\n",
    b"*01\r\n$4\r\nPING\r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"*2147483648\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$01\r\na\r\n",
    b"*1\r\nx\r\n",
    b"*1\r\n:4\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$9223372036854775808\r\n",
    b"*0\r\n*-1\r\n*-5\r\n\r\n\nPING\n",
    b"*1\r\n$4\r\nPINGxx*1xx$4xxPING\r\n",
    b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\0\r\n\xff\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    b"*2\r\n$3\r\nFOO\r\n$4\r\na\r\nb\r\n",
];

#[test]
fn it_answers_as_redis_does() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = running();
    for script in SCRIPTS {
        let script = format!("FLUSHDB\r\n{}\r\n", script.replace('|', "\r\n"));
        compare(&redis, &server, script.as_bytes());
    }
    for script in BYTES {
        compare(&redis, &server, script);
    }
    for length in [100, 127, 128, 129, 1000] {
        let long = "x".repeat(length);
        let script = format!("{long} y z\r\nFOO {long} {long}\r\nFOO a {long}\r\nCLIENT {long}\r\n");
        compare(&redis, &server, script.as_bytes());
    }
    for start in ["", "*", "*1\r\n$"] {
        let endless = format!("{start}{}", "1".repeat(200_000));
        compare(&redis, &server, endless.as_bytes());
    }
}

/// What follows the reply to HELLO, in which servers differ.
fn after_hello(said: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(said, HELLO_END).expect("HELLO is answered");
    &said[start + HELLO_END.len()..]
}

const HELLO_END: &[u8] = b"$4\r\nnow:\r\n";

#[test]
fn it_answers_in_both_protocols_as_redis_does() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = running();
    for protocol in ["2", "3"] {
        for script in MORE_SCRIPTS.iter().chain(SCRIPTS.iter().filter(|script| !script.contains("HELLO"))) {
            let script = script.replace('|', "\r\n");
            let script = format!("HELLO {protocol}\r\nECHO now:\r\nFLUSHDB\r\n{script}\r\n");
            let stream = net::TcpStream::connect(server.address).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let (ours, theirs) = (said(&stream, script.as_bytes()), redis.says(script.as_bytes()));
            let (ours, theirs) = (after_hello(&ours), after_hello(&theirs));
            assert!(
                ours == theirs,
                "{script}\nours:   {}\ntheirs: {}",
                ours.escape_ascii(),
                theirs.escape_ascii()
            );
        }
    }
}

#[test]
fn it_keeps_unauthenticated_clients_out_as_redis_does() {
    let Some(redis) = Redis::start(&["--requirepass", "secret"]) else { return };
    let server = Running::start(Config { password: Some("secret".into()), ..Config::default() });
    let unauthenticated =
        ["GET a", "GET", "FOO a", "PING", "HELLO", "HELLO 2", "HELLO 3", "AUTH wrong", "AUTH default wrong"];
    let unauthenticated = unauthenticated.join("\r\n");
    for script in [
        "AUTH a secret\r\nMULTI\r\nEXEC\r\nCOMMAND COUNT\r\nHELLO 2 AUTH default wrong\r\nAUTH secret\r\nGET a\r\nAUTH wrong\r\nGET a",
        "HELLO 2 SETNAME x\r\nCLIENT GETNAME\r\nQUIT",
        "*11\r\n",
        "*2\r\n$16385\r\n",
        "*10\r\n$3\r\nGET\r\n",
    ] {
        compare(&redis, &server, format!("{unauthenticated}\r\n{script}\r\n").as_bytes());
    }
}

#[test]
fn random_scripts_are_answered_as_redis_does() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (server, mut rng) = (running(), fastrand::Rng::with_seed(7));
    let verbs = [
        "GET", "SET", "MGET", "MSET", "DEL", "EXISTS", "INCR", "INCRBY", "DECR", "STRLEN", "EXPIRE",
        "PERSIST", "TYPE", "DBSIZE", "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "PING", "ECHO",
        "DECRBY", "SETNX", "SETEX", "GETSET", "GETDEL", "APPEND", "GETRANGE", "SETRANGE", "UNLINK", "TOUCH",
        "PEXPIRE",
    ];
    let words = [
        "a",
        "b",
        "c",
        "a",
        "b",
        "0",
        "1",
        "-7",
        "9223372036854775807",
        "NX",
        "XX",
        "EX",
        "px",
        "-1",
        "10000",
        "''",
    ];
    for _ in 0..200 {
        let mut script = String::from("FLUSHDB\r\n");
        for _ in 0..50 {
            let count = rng.usize(..4);
            let mut request = vec![verbs[rng.usize(..verbs.len())]];
            request.extend((0..count).map(|_| words[rng.usize(..words.len())]));
            script += &(request.join(" ") + "\r\n");
        }
        // Otherwise the final ECHO would be queued.
        compare(&redis, &server, (script + "DISCARD\r\n").as_bytes());
    }
}
