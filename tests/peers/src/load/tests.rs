//! Tests of the load against servers that the test controls; none depends on the clock.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(address: SocketAddr, flags: &str) -> Args {
    let line = format!("load --connect {address} --value 3 {flags}");
    Line::try_parse_from(line.split(' ')).unwrap().args
}

/// Calls `serve` for each connection, of which there are `connections`, and returns the outcome of
/// the load.
fn loaded(flags: &str, connections: usize, serve: impl Fn(TcpStream) + Sync) -> Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let args = args(listener.local_addr().unwrap(), &format!("--connections {connections} {flags}"));
    thread::scope(|scope| {
        let serve = &serve;
        scope.spawn(move || {
            for _ in 0..connections {
                let stream = listener.accept().unwrap().0;
                scope.spawn(move || serve(stream));
            }
        });
        run(&args)
    })
}

/// Calls `answer` for each request until the client closes, with the request's number and whether
/// it reads. With a value of three bytes, a GET has 36 bytes and a SET 45.
fn each(mut stream: TcpStream, mut answer: impl FnMut(&mut TcpStream, usize, bool)) {
    for nth in 0.. {
        let mut request = [0; 45];
        if stream.read_exact(&mut request[..36]).is_err() {
            return;
        }
        let reads = request.starts_with(b"*2");
        if !reads && stream.read_exact(&mut request[36..]).is_err() {
            return;
        }
        answer(&mut stream, nth, reads);
    }
}

fn right(reads: bool) -> &'static [u8] {
    if reads { b"$3\r\nabc\r\n" } else { b"+OK\r\n" }
}

/// Sends bytes to a client that may be gone.
fn say(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

#[test]
fn what_is_asked_is_counted_and_answered() {
    for flags in [
        "--requests 1000 --pipeline 16",
        "--requests 1000",
        "--requests 1000 --rate 1e6",
        "--requests 3 --pipeline 9",
    ] {
        let outcome =
            loaded(flags, 4, |stream| each(stream, |stream, _, reads| say(stream, right(reads)))).unwrap();
        let wanted = if flags.contains(" 3 ") { 3 } else { 1000 };
        assert_eq!((outcome.requests, outcome.misses), (wanted, 0), "{flags}");
        assert!(outcome.check().is_ok() && outcome.reads < wanted, "{flags}");
        assert_eq!(outcome.late_s.is_some(), flags.contains("rate"));
        assert!(
            outcome.latency_s.p50 <= outcome.latency_s.p999
                && outcome.latency_s.p999 <= outcome.latency_s.max * 1.001
        );
    }
}

#[test]
fn replies_may_come_byte_by_byte() {
    let outcome = loaded("--requests 60 --pipeline 4", 2, |stream| {
        stream.set_nodelay(true).unwrap();
        each(stream, |stream, _, reads| right(reads).chunks(1).for_each(|byte| say(stream, byte)));
    });
    assert!(outcome.unwrap().check().is_ok());
}

#[test]
fn errors_are_named_and_are_no_success() {
    let outcome = loaded("--requests 100", 1, |stream| {
        each(stream, |stream, nth, reads| {
            say(stream, if nth < 3 { b"-OOM no room\r\n" } else { right(reads) });
        });
    });
    let error = outcome.unwrap().check().unwrap_err().to_string();
    assert_eq!(error, "3 of 100 replies are errors: OOM no room (3 ×)");
}

#[test]
fn replies_of_another_kind_are_no_success() {
    let outcome = loaded("--requests 10", 1, |stream| each(stream, |stream, _, _| say(stream, b"+OK\r\n")));
    let error = outcome.unwrap().check().unwrap_err().to_string();
    assert!(error.contains("are answered with 0 values and 10 times OK"), "{error}");
    let outcome = loaded("--requests 10", 1, |stream| {
        each(stream, |stream, _, reads| say(stream, &right(reads).repeat(2)));
    });
    assert_eq!(outcome.unwrap_err().to_string(), "there are more replies than requests");
}

#[test]
fn who_hangs_up_is_found_out() {
    for flags in ["--requests 100 --pipeline 4", "--requests 100 --rate 1e5"] {
        let outcome = loaded(flags, 1, |stream| {
            each(stream, |stream, nth, reads| match nth {
                10 => stream.shutdown(std::net::Shutdown::Both).unwrap(),
                _ => say(stream, right(reads)),
            });
        });
        let error = format!("{:#}", outcome.unwrap_err());
        // The error depends on whether the client writes or reads first.
        assert!(
            error.contains("hung up") || error.contains("Broken pipe") || error.contains("reset"),
            "{error}"
        );
    }
}

/// A server that stalls once, until another two hundred requests have come. One comes every
/// millisecond, so the stall lasts a fifth of a second.
#[test]
fn who_stands_still_is_seen_by_all_who_come_meanwhile() {
    let outcome = loaded("--requests 1000 --rate 1000 --even", 1, |stream| {
        let mut held = Vec::new();
        each(stream, |stream, nth, reads| {
            held.extend_from_slice(right(reads));
            if !(100..300).contains(&nth) {
                say(stream, &held);
                held.clear();
            }
        });
    });
    let outcome = outcome.unwrap();
    assert!(outcome.check().is_ok());
    // Of a thousand requests, two hundred wait between 0 and 200 ms: a fifth of all requests shows
    // the stall, and not one alone.
    let late = outcome.latency_s;
    assert!(late.p999 >= 0.198 && late.p90 >= 0.099, "{late}");
}

#[test]
fn a_flag_that_has_no_meaning_is_refused() {
    for flags in ["", "--requests 1 --seconds 1", "--requests 1 --rate 1 --pipeline 2", "--requests 1 --even"]
    {
        let line = format!("load --connect 127.0.0.1:1 {flags}");
        assert!(Line::try_parse_from(line.split_whitespace()).is_err(), "{flags}");
    }
}
