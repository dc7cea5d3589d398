//! The client's reading of the protocol.

use std::{
    io::{ErrorKind, ErrorKind::InvalidData, ErrorKind::UnexpectedEof},
    net::TcpListener,
};

use super::{
    super::{client::Recorder, history::Outcome, resp::Frame},
    Answer, Op, keys,
    server::Server,
    store::Fault,
};

fn read(mut bytes: &[u8]) -> Result<Frame, ErrorKind> {
    Frame::read(&mut bytes).map_err(|error| error.kind())
}

fn frames() -> Vec<Frame> {
    let all = vec![
        Frame::Simple("OK".to_owned()),
        Frame::Error("ERR no".to_owned()),
        Frame::Integer(-5),
        Frame::Bulk(None),
        Frame::Bulk(Some("two\r\nlines".to_owned())),
        Frame::Array(None),
        Frame::request("GET x"),
    ];
    [all.clone(), vec![Frame::Array(Some(all))]].concat()
}

#[test]
fn what_was_written_is_read() {
    for frame in frames() {
        let mut bytes = vec![];
        frame.write(&mut bytes);
        assert_eq!(read(&bytes), Ok(frame));
    }
}

/// A connection that ends within an answer is lost; the bytes are not malformed.
#[test]
fn an_end_is_not_a_mistake() {
    for frame in frames() {
        let mut bytes = vec![];
        frame.write(&mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Err(UnexpectedEof), "{length} bytes of {frame:?}");
        }
    }
}

#[test]
fn what_is_not_the_protocol_is_a_mistake() {
    for bytes in ["?1\r\n", ":x\r\n", "$-2\r\n", "$99999999\r\n", "$1\r\nab\r\n", "+OK\n", "\r\n"] {
        assert_eq!(read(bytes.as_bytes()), Err(InvalidData), "{bytes:?}");
    }
}

#[test]
fn another_server_is_asked_if_one_is_gone() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::new(Fault::Nothing);
    let recorder = Recorder::new(&[gone, server.address], &keys(1));
    for _ in 0..2 {
        assert_eq!(recorder.client().ask(Op::Set(0, 1)), Outcome::Ok(Answer::Done));
    }
}
