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
