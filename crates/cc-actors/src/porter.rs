//! The porter: the actor that owns the door, and the book of who is inside.
//!
//! Clients wait in the kernel for what their sockets bring, where no message reaches them. The porter has all sockets
//! in its book, and wakes clients by shutting theirs. It writes to nobody who has not asked it, so it never waits for
//! anybody.

use std::{
    collections::HashMap,
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_workloads::{Error, Result};

use crate::actor::{Halted, Mailbox};

/// To the porter.
pub enum Note {
    /// A client is about to be served, on this socket.
    Entered(u64, Arc<TcpStream>),
    /// This client has gone.
    Left(u64),
    /// From the doorman, who cannot let in anybody: say how many have left, once it is more than this. It is not
    /// answered if nobody can leave, or nobody is to be let in any more.
    Fewer(u64, oneshot::Sender<u64>),
    /// A stop is requested.
    Stop,
    /// From the doorman: nobody will enter any more, for this reason if it is not the stop.
    Shut(Option<Error>),
}

/// See the [module](self).
pub struct Porter {
    /// How long clients have to go when the door is closed.
    patience: Duration,
    door: Door,
    inside: HashMap<u64, Arc<TcpStream>>,
    left: u64,
    /// What the doorman waits for.
    fewer: Option<(u64, oneshot::Sender<u64>)>,
    /// What newcomers find shut down, too.
    closed: Option<Shutdown>,
    deadline: Option<Instant>,
    /// Nobody will enter any more.
    is_shut: bool,
    failed: Option<Error>,
}

/// Whoever waits at this listener waits no longer when this is dropped.
struct Door(Arc<TcpListener>);

// ANCHOR: kv-drain
impl Porter {
    /// Nobody is inside yet.
    #[must_use]
    pub fn new(listener: Arc<TcpListener>, patience: Duration) -> Self {
        Self {
            patience,
            door: Door(listener),
            inside: HashMap::new(),
            left: 0,
            fewer: None,
            closed: None,
            deadline: None,
            is_shut: false,
            failed: None,
        }
    }

    /// Keeps the book until everybody has left, and nobody will enter any more.
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
            Note::Left(number) => {
                self.inside.remove(&number);
                self.left += 1;
            }
            Note::Fewer(than, to) => self.fewer = Some((than, to)),
            Note::Stop => self.close(),
            Note::Shut(why) => {
                self.is_shut = true;
                self.failed = why;
                self.close();
            }
        }
        self.answer_doorman();
    }

    fn enter(&mut self, number: u64, stream: Arc<TcpStream>) {
        if let Some(how) = self.closed {
            let _ = stream.shutdown(how);
        }
        self.inside.insert(number, stream);
    }

    fn answer_doorman(&mut self) {
        if let Some((_, to)) = self.fewer.take_if(|(than, _)| *than < self.left) {
            let _ = to.send(self.left);
        }
        if self.inside.is_empty() || self.closed.is_some() {
            self.fewer = None;
        }
    }

    /// Closes the door. Those who are inside may say nothing more, and have so long to take their replies.
    fn close(&mut self) {
        if self.closed.is_none() {
            self.door.close();
            self.hang_up(Shutdown::Read);
            self.deadline = Some(Instant::now() + self.patience);
        }
    }

    /// Shuts all sockets down, and those of who enters from now on.
    fn hang_up(&mut self, how: Shutdown) {
        (self.closed, self.deadline) = (Some(how), None);
        // One that the client has closed cannot be shut down.
        self.inside.values().for_each(|stream| _ = stream.shutdown(how));
    }
}
// ANCHOR_END: kv-drain

impl Door {
    fn close(&self) {
        // Fails only if nobody waits there any more.
        let _ = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Read);
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
    use crate::actor::{Address, system};

    fn stream(listener: &TcpListener) -> Arc<TcpStream> {
        Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
    }

    fn with_porter(test: impl FnOnce(&TcpListener, &Address<Note>)) -> Result<()> {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        system(&Stop::new(), |system| {
            let (porter, notes) = system.mailbox(16);
            test(&listener, &porter);
            Porter::new(listener, Duration::ZERO).work(&notes)
        })
    }

    fn fewer(porter: &Address<Note>, than: u64) -> oneshot::Receiver<u64> {
        let (to, more) = oneshot::channel();
        porter.send(Note::Fewer(than, to)).unwrap();
        more
    }

    #[test]
    fn the_doorman_is_told_of_everybody_who_leaves() {
        let mut told = None;
        let ended = with_porter(|listener, porter| {
            for number in [1, 2, 3] {
                porter.send(Note::Entered(number, stream(listener))).unwrap();
            }
            porter.send(Note::Left(2)).unwrap();
            // Who left before the question counts, too.
            told = Some((fewer(porter, 0), fewer(porter, 1)));
            porter.send(Note::Left(1)).unwrap();
            porter.send(Note::Shut(None)).unwrap();
            porter.send(Note::Left(3)).unwrap();
        });
        let (first, second) = told.unwrap();
        assert_eq!([first.recv(), second.recv()], [Ok(1), Ok(2)]);
        ended.unwrap();
    }

    #[test]
    fn nobody_waits_for_those_who_are_not_there() {
        let mut told = None;
        let ended = with_porter(|_, porter| {
            told = Some(fewer(porter, 0));
            porter.send(Note::Shut(Some(Error::io("accept")(std::io::ErrorKind::Other.into())))).unwrap();
        });
        assert!(told.unwrap().recv().is_err());
        assert!(ended.is_err(), "why nobody is let in");
    }

    #[test]
    fn who_comes_late_finds_the_door_shut() {
        with_porter(|listener, porter| {
            let late = stream(listener);
            porter.send(Note::Stop).unwrap();
            porter.send(Note::Entered(1, late.clone())).unwrap();
            let porter = porter.clone();
            std::thread::spawn(move || {
                // Blocks until the socket is shut.
                let _ = std::io::Read::read(&mut &*late, &mut [0]);
                porter.send(Note::Left(1)).unwrap();
                porter.send(Note::Shut(None)).unwrap();
            });
        })
        .unwrap();
    }
}
