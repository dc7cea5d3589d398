//! The actor that owns the listener, and the registry of connected clients.
//!
//! Clients' actors wait in the kernel for their sockets, where no message reaches them. The
//! registry has all these sockets, and wakes the clients by shutting the sockets down. It sends no
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

/// To the registry.
pub enum ConnectionEvent {
    /// The client with this number is about to be served, on this socket.
    Opened(u64, Arc<TcpStream>),
    /// This client has gone.
    Closed(u64),
    /// A stop is requested.
    Stop,
    /// The acceptor has ended, with this error if not by the stop: no client will connect any more.
    AcceptorEnded(Option<Error>),
}

/// See the [module](self).
pub struct ConnectionRegistry {
    /// Maximum time that connected clients have after the listener is closed.
    drain: Duration,
    listener: OpenListener,
    connections: HashMap<u64, Arc<TcpStream>>,
    /// How all sockets were shut down, those of clients that are registered later included.
    shutdown: Option<Shutdown>,
    /// The end of the time to drain.
    deadline: Option<Instant>,
    has_acceptor_ended: bool,
    error: Option<Error>,
}

/// A listener, at which the acceptor waits; dropping this ends that wait.
struct OpenListener {
    listener: Arc<TcpListener>,
    /// No message is ever sent: the acceptor only sees that this address is dropped.
    open: Option<Address<Infallible>>,
}

// ANCHOR: kv-drain
impl ConnectionRegistry {
    /// An empty registry. It drops `open` when it closes the listener.
    #[must_use]
    pub fn new(listener: Arc<TcpListener>, open: Address<Infallible>, drain: Duration) -> Self {
        Self {
            drain,
            listener: OpenListener { listener, open: Some(open) },
            connections: HashMap::new(),
            shutdown: None,
            deadline: None,
            has_acceptor_ended: false,
            error: None,
        }
    }

    /// Registers clients until all have gone and the acceptor has ended.
    pub fn work(mut self, events: &Mailbox<ConnectionEvent>) -> Result<()> {
        while !(self.has_acceptor_ended && self.connections.is_empty()) {
            match events.receive_until(self.deadline) {
                Ok(Some(event)) => self.handle(event),
                // The time to drain is over. It still waits until each client has said that it has
                // gone.
                Ok(None) => self.shut_down(Shutdown::Both),
                Err(Halted) => {
                    self.shut_down(Shutdown::Both);
                    break;
                }
            }
        }
        self.error.map_or(Ok(()), Err)
    }

    fn handle(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Opened(number, stream) => self.register(number, stream),
            ConnectionEvent::Closed(number) => {
                self.connections.remove(&number);
            }
            ConnectionEvent::Stop => self.close(),
            ConnectionEvent::AcceptorEnded(error) => {
                self.has_acceptor_ended = true;
                self.error = error;
                self.close();
            }
        }
    }

    fn register(&mut self, number: u64, stream: Arc<TcpStream>) {
        if let Some(how) = self.shutdown {
            let _ = stream.shutdown(how);
        }
        self.connections.insert(number, stream);
    }

    /// Closes the listener. Connected clients can send nothing more, and have the time to drain to
    /// receive their replies.
    fn close(&mut self) {
        if self.shutdown.is_none() {
            self.listener.close();
            self.shut_down(Shutdown::Read);
            self.deadline = Some(deadline_after(self.drain));
        }
    }

    /// Shuts all sockets down, and from now on those of clients that are registered later.
    fn shut_down(&mut self, how: Shutdown) {
        self.shutdown = Some(how);
        self.deadline = None;
        for stream in self.connections.values() {
            // Fails for a socket that the client has closed.
            let _ = stream.shutdown(how);
        }
    }
}
// ANCHOR_END: kv-drain

impl OpenListener {
    fn close(&mut self) {
        self.open = None;
        // Fails only if the listener is shut down already.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Read);
    }
}

impl Drop for OpenListener {
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

    /// Runs a registry after `test`, which is given its address, and the mailbox by which the
    /// acceptor waits.
    fn with_registry(
        test: impl FnOnce(&TcpListener, &Address<ConnectionEvent>, &Mailbox<Infallible>),
    ) -> Result<()> {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        system(&Stop::new(), |system| {
            let (address, events) = system.mailbox(16);
            let (open, closed) = system.mailbox(1);
            let registry = ConnectionRegistry::new(listener.clone(), open, Duration::ZERO);
            test(&listener, &address, &closed);
            let result = registry.work(&events);
            assert!(closed.serve_until(None).is_err(), "the listener is closed");
            result
        })
    }

    #[test]
    fn a_closed_listener_ends_the_acceptors_wait() {
        with_registry(|_, registry, closed| {
            let now = Some(Instant::now());
            assert!(closed.serve_until(now).is_ok(), "it is open");
            registry.send(ConnectionEvent::Stop).unwrap();
            registry.send(ConnectionEvent::AcceptorEnded(None)).unwrap();
        })
        .unwrap();
    }

    #[test]
    fn the_acceptors_error_is_the_result() {
        let result = with_registry(|_, registry, _| {
            let error = Error::io("accept")(std::io::ErrorKind::Other.into());
            registry.send(ConnectionEvent::AcceptorEnded(Some(error))).unwrap();
        });
        assert!(result.is_err());
    }

    /// Once its socket is shut down, reports that the client and the acceptor have ended.
    fn leave(client: Arc<TcpStream>, registry: Address<ConnectionEvent>) {
        std::thread::spawn(move || {
            let _ = std::io::Read::read(&mut &*client, &mut [0]);
            registry.send(ConnectionEvent::Closed(1)).unwrap();
            registry.send(ConnectionEvent::AcceptorEnded(None)).unwrap();
        });
    }

    #[test]
    fn a_stop_shuts_down_connected_clients_and_waits_for_them() {
        with_registry(|listener, registry, _| {
            let client = stream(listener);
            registry.send(ConnectionEvent::Opened(1, client.clone())).unwrap();
            registry.send(ConnectionEvent::Stop).unwrap();
            leave(client, registry.clone());
        })
        .unwrap();
    }

    #[test]
    fn a_client_that_connects_after_the_stop_is_shut_down() {
        with_registry(|listener, registry, _| {
            let client = stream(listener);
            registry.send(ConnectionEvent::Stop).unwrap();
            registry.send(ConnectionEvent::Opened(1, client.clone())).unwrap();
            leave(client, registry.clone());
        })
        .unwrap();
    }
}
