//! How a connection to a client ends.

use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::TOO_MANY;

/// Maximum reads of what a client has sent and will not be answered: a client that goes on sending
/// must not keep its server here.
const READS: usize = 64;

/// Tells a client that there are too many, and hangs up. Never waits: a new connection's buffer has
/// room, and a client that has gone needs no answer.
pub fn turn_away(stream: impl AsFd) {
    let _ = send(&stream, TOO_MANY, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    hang_up(stream);
}

/// Ends a connection so that the client gets the last reply, and never waits. A socket that is
/// closed while it has unread bytes is reset, and a reset discards what the client has not read
/// (RFC 2525, section 2.17).
pub fn hang_up(stream: impl AsFd) {
    let mut buffer = [0; 4096];
    let mut read = || recv(&stream, &mut buffer, RecvFlags::DONTWAIT).is_ok_and(|(bytes, _)| bytes > 0);
    let _ = shutdown(&stream, Shutdown::Write).is_ok() && (0..READS).all(|_| read());
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// What a client receives that has sent more than its server has read.
    fn received(end: impl FnOnce(TcpStream)) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&[b'x'; 10_000]).unwrap();
        let (server, _) = listener.accept().unwrap();
        // It is here before the connection ends.
        server.peek(&mut [0]).unwrap();
        end(server);
        let mut text = Vec::new();
        client.read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn the_last_reply_arrives_though_something_is_unread() {
        // It waits in the server's buffer, since it is more than the client's has room for.
        let mut sent = 0;
        let reply = received(|mut stream| {
            stream.set_nonblocking(true).unwrap();
            while let Ok(bytes) = stream.write(&[b'y'; 1 << 16]) {
                sent += bytes;
            }
            hang_up(&stream);
        });
        assert_eq!(reply.len(), sent);
        assert_eq!(received(|stream| turn_away(&stream)), TOO_MANY);
    }
}
