//! How a connection to a client ends.

use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::TOO_MANY;

/// Maximum reads of bytes that will not be answered: a client that keeps sending must not keep the
/// server busy.
const MAX_READS: usize = 64;

/// Tells a client that there are too many, and closes. Never blocks: the buffer of a new connection
/// has room, and the result does not matter if the client has gone.
pub fn turn_away(stream: impl AsFd) {
    let _ = send(&stream, TOO_MANY, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    hang_up(stream);
}

/// Closes a connection so that the client receives the last reply. Never blocks. If a socket is
/// closed with unread bytes, TCP resets the connection, and the client loses what it has not read
/// yet (RFC 2525, section 2.17).
pub fn hang_up(stream: impl AsFd) {
    let mut buffer = [0; 4096];
    let mut read = || recv(&stream, &mut buffer, RecvFlags::DONTWAIT).is_ok_and(|(bytes, _)| bytes > 0);
    let _ = shutdown(&stream, Shutdown::Write).is_ok() && (0..MAX_READS).all(|_| read());
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// What a client receives if it has sent more than the server has read.
    fn received(end: impl FnOnce(TcpStream)) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&[b'x'; 10_000]).unwrap();
        let (server, _) = listener.accept().unwrap();
        // Wait until the client's bytes have arrived.
        server.peek(&mut [0]).unwrap();
        end(server);
        let mut text = Vec::new();
        client.read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn the_last_reply_arrives_though_something_is_unread() {
        // More than the client's receive buffer holds, so a part waits in the server's send buffer.
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
