//! The porter: the actor that owns the door, and the book of connected clients.
//!
//! Clients' actors wait in the kernel for what their sockets bring, where no message reaches them.
//! The porter has all sockets in its book, and wakes clients by shutting theirs. It sends no
//! message, so it never waits for room.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_workloads::{Error, Result, kv::deadline_after};

use crate::actor::{Address, Halted, Mailbox};

/// To the porter.
pub enum Note {
    /// A client is about to be served, on this socket.
    Entered(u64, Arc<TcpStream>),
    /// This client has gone.
    Left(u64),
    /// A stop is requested.
    Stop,
    /// From the doorman: no client will enter any more, for this reason if it is not the stop.
    Shut(Option<Error>),
}

/// See the [module](self).
pub struct Porter {
    /// How long clients have to go when the door is closed.
    patience: Duration,
    door: Door,
    inside: HashMap<u64, Arc<TcpStream>>,
    /// What newcomers find shut down, too.
    closed: Option<Shutdown>,
    deadline: Option<Instant>,
    /// No client will enter any more.
    is_shut: bool,
    failed: Option<Error>,
}

/// A listener; dropping it ends the doorman's wait there.
struct Door {
    listener: Arc<TcpListener>,
    /// No message is sent to the doorman, which sees only that this address is gone.
    open: Option<Address<Infallible>>,
}

// ANCHOR: kv-drain
impl Porter {
    /// No client is inside yet. `open` is dropped when the door is closed.
    #[must_use]
    pub fn new(listener: Arc<TcpListener>, open: Address<Infallible>, patience: Duration) -> Self {
        Self {
            patience,
            door: Door { listener, open: Some(open) },
            inside: HashMap::new(),
            closed: None,
            deadline: None,
            is_shut: false,
            failed: None,
        }
    }

    /// Keeps the book until all clients have left, and none will enter any more.
    pub fn work(mut self, notes: &Mailbox<Note>) -> Result<()> {
        while !(self.is_shut && self.inside.is_empty()) {
            match notes.receive_until(self.deadline) {
                Ok(Some(note)) => self.take(note),
                // The time is up. They will have gone soon now, but not before they say so.
                Ok(None) => self.hang_up(Shutdown::Both),
                Err(Halted) => {
                    self.hang_up(Shutdown::Both);
                    break;
                }
            }
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Entered(number, stream) => self.enter(number, stream),
            Note::Left(number) => _ = self.inside.remove(&number),
            Note::Stop => self.close(),
            Note::Shut(why) => {
                self.is_shut = true;
                self.failed = why;
                self.close();
            }
        }
    }

    fn enter(&mut self, number: u64, stream: Arc<TcpStream>) {
        if let Some(how) = self.closed {
            let _ = stream.shutdown(how);
        }
        self.inside.insert(number, stream);
    }

    /// Closes the door. Clients that are inside can send nothing more, and have the time to drain
    /// to take their replies.
    fn close(&mut self) {
        if self.closed.is_none() {
            self.door.close();
            self.hang_up(Shutdown::Read);
            self.deadline = Some(deadline_after(self.patience));
        }
    }

    /// Shuts all sockets down, and those of clients that enter from now on.
    fn hang_up(&mut self, how: Shutdown) {
        (self.closed, self.deadline) = (Some(how), None);
        // One that the client has closed cannot be shut down.
        self.inside.values().for_each(|stream| _ = stream.shutdown(how));
    }
}
// ANCHOR_END: kv-drain

impl Door {
    fn close(&mut self) {
        self.open = None;
        // Fails only if the listener is shut already.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Read);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use cc_workloads::Stop;

    use super::*;
    use crate::actor::system;

    fn stream(listener: &TcpListener) -> Arc<TcpStream> {
        Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
    }

    /// The porter has done its work after `test`, which is also given what the doorman waits with.
    fn with_porter(test: impl FnOnce(&TcpListener, &Address<Note>, &Mailbox<Infallible>)) -> Result<()> {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        system(&Stop::new(), |system| {
            let ((porter, notes), (open, closed)) = (system.mailbox(16), system.mailbox(1));
            let book = Porter::new(listener.clone(), open, Duration::ZERO);
            test(&listener, &porter, &closed);
            let worked = book.work(&notes);
            // The door is no more.
            assert!(closed.serve_until(None).is_err());
            worked
        })
    }

    #[test]
    fn the_doorman_does_not_wait_at_a_closed_door() {
        with_porter(|_, porter, closed| {
            let now = Some(Instant::now());
            assert!(closed.serve_until(now).is_ok(), "it is open");
            porter.send(Note::Stop).unwrap();
            porter.send(Note::Shut(None)).unwrap();
        })
        .unwrap();
    }

    #[test]
    fn why_nobody_is_let_in_is_said() {
        let ended = with_porter(|_, porter, _| {
            porter.send(Note::Shut(Some(Error::io("accept")(std::io::ErrorKind::Other.into())))).unwrap();
        });
        assert!(ended.is_err());
    }

    /// Leaves, and says that no other client will enter, once its socket is shut.
    fn leave(client: Arc<TcpStream>, porter: Address<Note>) {
        std::thread::spawn(move || {
            let _ = std::io::Read::read(&mut &*client, &mut [0]);
            porter.send(Note::Left(1)).unwrap();
            porter.send(Note::Shut(None)).unwrap();
        });
    }

    #[test]
    fn who_is_inside_is_told_to_go_and_waited_for() {
        with_porter(|listener, porter, _| {
            let client = stream(listener);
            porter.send(Note::Entered(1, client.clone())).unwrap();
            porter.send(Note::Stop).unwrap();
            leave(client, porter.clone());
        })
        .unwrap();
    }

    #[test]
    fn who_comes_late_finds_the_door_shut() {
        with_porter(|listener, porter, _| {
            let client = stream(listener);
            porter.send(Note::Stop).unwrap();
            porter.send(Note::Entered(1, client.clone())).unwrap();
            leave(client, porter.clone());
        })
        .unwrap();
    }
}
