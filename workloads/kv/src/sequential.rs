//! The reference: one thread, one poll loop, one shard, so nothing is shared.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, ErrorKind, Read, Write},
    net,
    sync::Arc,
    time::{Duration, Instant},
};

use cc_core::{
    contract::Ctx,
    error::{Error, Result},
};
use mio::{
    Events, Interest, Poll, Token, Waker,
    event::Event,
    net::{TcpListener, TcpStream},
};
use slab::Slab;

use super::{
    Config, Connection, Now, READ, SWEEP, Server, Shard, Totals, accept_again, deadline_after, hang_up,
    sweep, turn_away,
};
/// The listener's token.
const LISTENER: Token = Token(usize::MAX - 1);
/// The token of the waker, which wakes the poll when a stop is requested.
const STOP: Token = Token(usize::MAX - 2);
/// Maximum buffers that are read from one client before other clients have their turn.
const MAX_READS_PER_TURN: usize = 16;
/// Maximum writes to one client between two reads. A client that takes a long queue of replies as
/// fast as they are written must not take the turns of others.
const MAX_WRITES: usize = 16;

// ANCHOR: kv-run
/// Serves all clients on the calling thread.
pub fn run(listener: net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
    let server = Server::new(config.clone(), 1, port);
    let poll = Poll::new().map_err(Error::io("poll"))?;
    // This clone lives until `run` returns. The hook drops its own after the call, and dropping the
    // last one closes the descriptor, whose event the poll would then lose.
    let waker = Arc::new(Waker::new(poll.registry(), STOP).map_err(Error::io("poll"))?);
    let stop_waker = waker.clone();
    let _stop = ctx.stop.on_request(move || stop_waker.wake().expect("a counter of wake-ups is never full"));
    let mut work = Loop::new(poll, listener, server)?;
    let mut events = Events::with_capacity(1024);
    while !ctx.stop.requested() {
        work.turn(&mut events)?;
    }
    work.drain(&mut events)
}
// ANCHOR_END: kv-run

struct Loop {
    poll: Poll,
    listener: TcpListener,
    server: Arc<Server>,
    shard: Shard,
    clients: Slab<Client>,
    /// Clients whose last turn ended with work left to do.
    runnable: Vec<Token>,
    /// Clients that have sent a wrong password, with the instant at which each continues. The
    /// earliest is on top.
    paused: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Connections may wait that could not be accepted because descriptors were short.
    has_backlog: bool,
    last_sweep: Instant,
    buffer: Box<[u8]>,
}

struct Client {
    stream: TcpStream,
    connection: Connection,
    /// Cached readiness: set by poll events, cleared by `WouldBlock` (the poll is edge-triggered).
    is_readable: bool,
    is_writable: bool,
    /// The client has closed its sending side, so reading must continue up to the end of the
    /// stream.
    has_ended: bool,
}

/// What follows a client's turn.
#[derive(PartialEq, Eq)]
enum TurnOutcome {
    /// The client waits for an event of its socket.
    Wait,
    /// The client has more work to do, and gets another turn.
    Again,
    /// The connection is over.
    Close,
}

// ANCHOR: kv-work
impl Loop {
    fn new(poll: Poll, listener: net::TcpListener, server: Arc<Server>) -> Result<Self> {
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(Error::io("poll"))?;
        let shard = Shard::empty(server.budget());
        Ok(Self {
            poll,
            listener,
            server,
            shard,
            clients: Slab::new(),
            runnable: Vec::new(),
            paused: BinaryHeap::new(),
            has_backlog: false,
            last_sweep: Instant::now(),
            buffer: vec![0; READ].into(),
        })
    }

    /// Waits for events or deadlines and handles them.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        let timeout = if self.runnable.is_empty() { self.poll_timeout() } else { Some(Duration::ZERO) };
        wait(&mut self.poll, events, timeout)?;
        let now = self.server.now();
        for token in std::mem::take(&mut self.runnable) {
            self.serve(token, now);
        }
        self.resume(now);
        for event in &*events {
            match event.token() {
                LISTENER => self.has_backlog = true,
                STOP => {}
                token => self.ready(token, event, now),
            }
        }
        if self.has_backlog {
            self.accept(now)?;
        }
        self.housekeeping(now);
        Ok(())
    }

    /// How long the poll may wait if no event arrives; `None` is without limit.
    fn poll_timeout(&self) -> Option<Duration> {
        let has_chores = self.has_backlog || self.shard.stats().volatile > 0;
        let has_clients = !self.clients.is_empty();
        let until_idle = self.server.idle_check_interval().filter(|_| has_clients);
        let resumes = self.paused.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
        let chores = has_chores.then_some(SWEEP);
        [chores, until_idle, resumes]
            .into_iter()
            .flatten()
            .min()
            .map(|timeout| timeout.max(Duration::from_millis(1)))
    }

    fn accept(&mut self, now: Now) -> Result<()> {
        self.has_backlog = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => match accept_again(&error) {
                    Some(Duration::ZERO) => {}
                    // `housekeeping` runs at that time, and `turn` accepts again.
                    Some(_) => {
                        self.has_backlog = true;
                        return Ok(());
                    }
                    None => return Err(Error::io("accept")(error)),
                },
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, now: Now) {
        let Some(connection) = Connection::new(&self.server) else { return turn_away(&stream) };
        let entry = self.clients.vacant_entry();
        let token = Token(entry.key());
        // Best effort: disables Nagle's algorithm; otherwise a small reply waits for an
        // acknowledgement.
        let _ = stream.set_nodelay(true);
        if self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok()
        {
            entry.insert(Client {
                stream,
                connection,
                is_readable: true,
                is_writable: true,
                has_ended: false,
            });
            self.serve(token, now);
        }
    }

    fn ready(&mut self, token: Token, event: &Event, now: Now) {
        let Some(client) = self.clients.get_mut(token.0) else { return };
        client.has_ended |= event.is_read_closed() || event.is_error();
        client.is_readable |= event.is_readable() || client.has_ended;
        client.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        if client.connection.pause().is_none() {
            self.serve(token, now);
        }
    }

    /// Serves the clients whose pause is over.
    fn resume(&mut self, now: Now) {
        while let Some(Reverse((at, key))) = self.paused.peek().copied()
            && at <= Instant::now()
        {
            self.paused.pop();
            self.serve(Token(key), now);
        }
    }

    /// Gives a client its turn and handles the outcome.
    fn serve(&mut self, token: Token, now: Now) {
        let Self { clients, shard, buffer, .. } = self;
        let Some(client) = clients.get_mut(token.0) else { return };
        match client.turn(shard, buffer, now).unwrap_or(TurnOutcome::Close) {
            TurnOutcome::Wait => {
                let pause = client.connection.pause();
                self.paused.extend(pause.map(|pause| Reverse((deadline_after(pause), token.0))));
            }
            TurnOutcome::Again => self.runnable.push(token),
            TurnOutcome::Close => self.close(token),
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(mut client) = self.clients.try_remove(token.0) {
            // Best effort: closing the socket deregisters it, too.
            let _ = self.poll.registry().deregister(&mut client.stream);
            hang_up(&client.stream);
        }
    }

    /// Periodic work: sweeps expired entries and closes idle connections.
    fn housekeeping(&mut self, now: Now) {
        let until_idle = self.server.idle_check_interval();
        let every = until_idle.map_or(SWEEP, |interval| SWEEP.min(interval));
        if self.last_sweep.elapsed() < every {
            return;
        }
        self.last_sweep = Instant::now();
        sweep(1, |buckets| self.shard.sweep(now, buckets));
        if until_idle.is_some() {
            self.hang_up_on_idle();
        }
    }

    fn hang_up_on_idle(&mut self) {
        let is_idle = |client: &Client| client.connection.time_left().is_some_and(|left| left.is_zero());
        let idle: Vec<_> =
            self.clients.iter().filter(|(_, client)| is_idle(client)).map(|(key, _)| Token(key)).collect();
        idle.into_iter().for_each(|token| self.close(token));
    }
}

impl Client {
    /// Reads, executes and writes until the socket would block or the client's turn ends.
    fn turn(&mut self, shard: &mut Shard, buffer: &mut [u8], now: Now) -> io::Result<TurnOutcome> {
        for _ in 0..MAX_READS_PER_TURN {
            while let Some(plan) = self.connection.next(now) {
                self.connection.answer(plan.run([&mut *shard]));
            }
            let has_written = self.write()?;
            if self.connection.is_over() {
                return Ok(TurnOutcome::Close);
            }
            if self.connection.pause().is_some() {
                return Ok(TurnOutcome::Wait);
            }
            let has_read = self.read(buffer)?;
            if !has_read && !has_written {
                return Ok(TurnOutcome::Wait);
            }
        }
        Ok(TurnOutcome::Again)
    }

    /// Writes what the socket takes. Returns whether the connection was blocked by its output and
    /// can now continue, or whether more can be written.
    fn write(&mut self) -> io::Result<bool> {
        let was_blocked = !self.connection.wants_input();
        let (mut writes, mut has_written) = (0, false);
        while self.is_writable && writes < MAX_WRITES && !self.connection.output().is_empty() {
            writes += 1;
            match self.stream.write(self.connection.output()) {
                Ok(bytes) => {
                    has_written = true;
                    self.connection.wrote(bytes);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(was_blocked && has_written || writes == MAX_WRITES)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.is_readable || !self.connection.wants_input() {
            return Ok(false);
        }
        match self.stream.read(buffer) {
            Ok(0) => self.connection.end(),
            Ok(bytes) => {
                // A short read has emptied the socket's buffer.
                self.is_readable = bytes == buffer.len() || self.has_ended;
                self.connection.received(&buffer[..bytes]);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.is_readable = false;
                return Ok(false);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(true)
    }
}
// ANCHOR_END: kv-work

// ANCHOR: kv-drain
impl Loop {
    /// Answers what has arrived, until clients have taken their replies or the time is over.
    fn drain(mut self, events: &mut Events) -> Result<Totals> {
        let deadline = deadline_after(self.server.config().drain);
        let now = self.server.now();
        // No more clients are accepted, and each client is read once more.
        let _ = self.poll.registry().deregister(&mut self.listener);
        for token in self.tokens() {
            let client = &mut self.clients[token.0];
            client.is_readable = true;
            let heard = client.read(&mut self.buffer);
            client.connection.end();
            if heard.is_err() { self.close(token) } else { self.serve(token, now) }
        }
        while !self.clients.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let left = if self.runnable.is_empty() { left } else { Duration::ZERO };
            wait(&mut self.poll, events, Some(left))?;
            for token in std::mem::take(&mut self.runnable) {
                self.serve(token, now);
            }
            for event in &*events {
                self.ready(event.token(), event, now);
            }
        }
        self.clients.clear();
        Ok(self.server.totals())
    }

    fn tokens(&self) -> Vec<Token> {
        self.clients.iter().map(|(key, _)| Token(key)).collect()
    }
}
// ANCHOR_END: kv-drain

/// Longer waits are cut to this: mio converts the timeout to milliseconds in 32 bits.
const MAX_WAIT: Duration = Duration::from_secs(3600);

fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> Result<()> {
    match poll.poll(events, timeout.map(|timeout| timeout.min(MAX_WAIT))) {
        Err(e) if e.kind() != ErrorKind::Interrupted => Err(Error::io("poll")(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
