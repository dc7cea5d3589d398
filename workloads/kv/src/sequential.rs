//! The reference: one thread with one poll loop, one shard, and therefore nothing to share.

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
/// Whether something is at the listener.
const LISTENER: Token = Token(usize::MAX - 1);
/// A stop is requested.
const STOP: Token = Token(usize::MAX - 2);
/// A client who has more to say than so many buffers waits for the others' turns.
const TURN: usize = 16;

// ANCHOR: kv-run
/// Serves on the calling thread.
pub fn run(listener: net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
    let server = Server::new(config.clone(), 1, port);
    let poll = Poll::new().map_err(Error::io("poll"))?;
    // It outlives the hook: a wake-up whose waker is gone is forgotten.
    let waker = Arc::new(Waker::new(poll.registry(), STOP).map_err(Error::io("poll"))?);
    let rope = waker.clone();
    let _stop = ctx.stop.on_request(move || rope.wake().expect("a counter of wake-ups is never full"));
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
    /// Who has not said all yet.
    unheard: Vec<Token>,
    /// When the next turn is of clients whose password was wrong, the earliest first.
    paused: BinaryHeap<Reverse<(Instant, usize)>>,
    /// There may be clients who could not be accepted for want of descriptors.
    has_backlog: bool,
    swept: Instant,
    buffer: Box<[u8]>,
}

struct Client {
    stream: TcpStream,
    connection: Connection,
    /// It was so when we last heard of it, and did not turn out otherwise since.
    is_readable: bool,
    is_writable: bool,
    /// The client will send nothing more, so that the end is to be read, too.
    has_ended: bool,
}

/// What comes after a client's turn.
#[derive(PartialEq, Eq)]
enum After {
    /// It waits for its socket.
    Wait,
    /// It wants another turn.
    Again,
    /// It is over.
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
            unheard: Vec::new(),
            paused: BinaryHeap::new(),
            has_backlog: false,
            swept: Instant::now(),
            buffer: vec![0; READ].into(),
        })
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        let patience = if self.unheard.is_empty() { self.patience() } else { Some(Duration::ZERO) };
        wait(&mut self.poll, events, patience)?;
        let now = self.server.now();
        for token in std::mem::take(&mut self.unheard) {
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
        self.look_around(now);
        Ok(())
    }

    /// How long nothing needs to be done if nobody says anything.
    fn patience(&self) -> Option<Duration> {
        let has_chores = self.has_backlog || self.shard.stats().volatile > 0;
        let has_clients = !self.clients.is_empty();
        let until_idle = self.server.config().patience_interval().filter(|_| has_clients);
        let resumes = self.paused.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
        let chores = has_chores.then_some(SWEEP);
        [chores, until_idle, resumes]
            .into_iter()
            .flatten()
            .min()
            .map(|patience| patience.max(Duration::from_millis(1)))
    }

    fn accept(&mut self, now: Now) -> Result<()> {
        self.has_backlog = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => match accept_again(&error) {
                    Some(Duration::ZERO) => {}
                    // With the chores.
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
        // Without it, it is slower.
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

    /// Gives clients their turn whose pause is over.
    fn resume(&mut self, now: Now) {
        while let Some(Reverse((at, key))) = self.paused.peek().copied()
            && at <= Instant::now()
        {
            self.paused.pop();
            self.serve(Token(key), now);
        }
    }

    /// Gives a client its turn.
    fn serve(&mut self, token: Token, now: Now) {
        let Self { clients, shard, buffer, .. } = self;
        let Some(client) = clients.get_mut(token.0) else { return };
        match client.turn(shard, buffer, now).unwrap_or(After::Close) {
            After::Wait => {
                let pause = client.connection.pause();
                self.paused.extend(pause.map(|pause| Reverse((deadline_after(pause), token.0))));
            }
            After::Again => self.unheard.push(token),
            After::Close => self.close(token),
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(mut client) = self.clients.try_remove(token.0) {
            // Closing it does the same, if this fails.
            let _ = self.poll.registry().deregister(&mut client.stream);
            hang_up(&client.stream);
        }
    }

    /// What is to be done from time to time.
    fn look_around(&mut self, now: Now) {
        let until_idle = self.server.config().patience_interval();
        let every = until_idle.map_or(SWEEP, |interval| SWEEP.min(interval));
        if self.swept.elapsed() < every {
            return;
        }
        self.swept = Instant::now();
        sweep(1, |places| self.shard.sweep(now, places));
        if until_idle.is_some() {
            self.hang_up_on_idle();
        }
    }

    fn hang_up_on_idle(&mut self) {
        let is_idle = |client: &Client| client.connection.patience().is_some_and(|left| left.is_zero());
        let idle: Vec<_> =
            self.clients.iter().filter(|(_, client)| is_idle(client)).map(|(key, _)| Token(key)).collect();
        idle.into_iter().for_each(|token| self.close(token));
    }
}

impl Client {
    /// Reads, runs and writes until its socket has it wait, or it has had its turn.
    fn turn(&mut self, shard: &mut Shard, buffer: &mut [u8], now: Now) -> io::Result<After> {
        for _ in 0..TURN {
            while let Some(plan) = self.connection.next(now) {
                self.connection.answer(plan.run([&mut *shard]));
            }
            let has_written = self.write()?;
            if self.connection.is_over() {
                return Ok(After::Close);
            }
            if self.connection.pause().is_some() {
                return Ok(After::Wait);
            }
            let has_read = self.read(buffer)?;
            if !has_read && !has_written {
                return Ok(After::Wait);
            }
        }
        Ok(After::Again)
    }

    /// Whether there may be more to do then.
    fn write(&mut self) -> io::Result<bool> {
        let was_blocked = !self.connection.wants_input();
        while self.is_writable && !self.connection.output().is_empty() {
            match self.stream.write(self.connection.output()) {
                Ok(bytes) => self.connection.wrote(bytes),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(was_blocked && self.connection.output().is_empty())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.is_readable || !self.connection.wants_input() {
            return Ok(false);
        }
        match self.stream.read(buffer) {
            Ok(0) => self.connection.end(),
            Ok(bytes) => {
                // What did not fill the buffer was all there is.
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
    /// Answers what has arrived, for as long as clients take their replies and there is time.
    fn drain(mut self, events: &mut Events) -> Result<Totals> {
        let deadline = deadline_after(self.server.config().drain);
        let now = self.server.now();
        // Nobody else is let in, and those who are there are heard for the last time.
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
            let left = if self.unheard.is_empty() { left } else { Duration::ZERO };
            wait(&mut self.poll, events, Some(left))?;
            for token in std::mem::take(&mut self.unheard) {
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

/// Longer waits end early: mio counts in 32 bits of milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

fn wait(poll: &mut Poll, events: &mut Events, patience: Option<Duration>) -> Result<()> {
    match poll.poll(events, patience.map(|patience| patience.min(LONGEST_WAIT))) {
        Err(e) if e.kind() != ErrorKind::Interrupted => Err(Error::io("poll")(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
