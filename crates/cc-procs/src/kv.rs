//! `kv` on worker processes.
//!
//! - **Split.** Worker processes that all accept on one listener, each with one thread and one
//!   event loop, as the [reference](cc_workloads::kv::sequential). The worker that accepts a client
//!   serves it: with a worker per core, reads and writes use all cores. The worker with the fewest
//!   clients accepts the next one, since a client cannot be moved later.
//! - **Share.** Nothing. Each worker owns one shard, and sends the other workers requests for their
//!   keys. A process has one thread, so its data needs no locks. A worker has one shard and not
//!   several, so that a plan on all keys has as few owners as possible.
//! - **Bound.** Requests in flight to each worker; beyond that, the clients that need its shard
//!   wait. Plans in flight per client, by the size of its answers. An answer, and all answers that
//!   clients have not taken, by memory. Connections and memory, of which each worker has its share.
//! - **Order.** A link between two workers keeps the order of messages, so consecutive plans of a
//!   client on one shard may be in flight together. A plan on another shard waits until they are
//!   answered: otherwise another client might see the effect of the later one first. Plans on
//!   several shards hold them in ascending order.
//! - **Stop.** The coordinator tells the workers. Each answers what has arrived, closes its
//!   connections and sends its totals. It goes on to answer its peers, which may still need its
//!   shard, until all have sent their totals; then all are killed.
//! - **Fail.** A worker that dies, by a panic or by a signal, loses its shard and its clients'
//!   connections, and nothing else. Clients of other workers receive TRYAGAIN until its successor
//!   serves, or INDETERMINATE if it had been sent the request already. The shards that it held are
//!   released. A worker that does not answer becomes *silent* after a time: requests to its shard
//!   receive TRYAGAIN, all others go on, and the shards that it holds are released. When it answers
//!   again, it is used again, with all of its data.

mod own;
mod shards;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    convert::Infallible,
    io::{self, ErrorKind, Read, Write},
    net,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_workloads::{
    Ctx, Error, Result,
    kv::{
        Config, Connection, Now, Plan, READ, SWEEP, Server, Shard, Slots, Totals, accept_again,
        deadline_after, hang_up, turn_away,
    },
};
use mio::{
    Events, Interest, Poll, Token,
    event::Event,
    net::{TcpListener, TcpStream},
    unix::SourceFd,
};
use slab::Slab;

use self::shards::Shards;
use crate::prefork::{self, Lifeline, WorkerContext};

/// The token of the listener. Those of clients begin at 0.
const LISTENER: Token = Token(usize::MAX - 1);

/// The token of the lifeline. Those of the links to other workers are below it.
const LIFELINE: Token = Token(usize::MAX - 2);

/// Maximum plans in flight per client. An answer from another worker is a copy, which stays in
/// memory until the answers to all earlier plans have been taken.
const PLANS_IN_FLIGHT: usize = 256;

/// Maximum plans in flight of a client that begins; it doubles with each small answer.
const FIRST_PLANS_IN_FLIGHT: usize = 16;

/// Size of an answer, in bytes, after which a client may have only one plan in flight.
const LARGE: usize = 64 << 10;

/// Maximum reads from one client in its turn, so that others have theirs.
const MAX_READS_PER_TURN: usize = 16;

/// Maximum writes to one client between two reads. A client that takes a long queue of replies as
/// fast as they are written must not take the turns of others.
const MAX_WRITES: usize = 16;

/// Maximum time-out of a poll: mio counts milliseconds in 32 bits. A longer wait takes several.
const MAX_POLL_TIMEOUT: Duration = Duration::from_secs(3600);

// ANCHOR: kv-run
/// Has worker processes serve the clients; the calling thread replaces those that die.
pub fn run(listener: net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let share = config.share(Slots::shards_of(ctx.workers, 1)?);
    let totals: Vec<Totals> = prefork::run(ctx, "kv", &share, &listener, config.drain)?;
    let mut sum = Totals::default();
    for totals in totals {
        sum += totals;
    }
    Ok(sum)
}

/// In a worker process of this workload, serves clients and does not return.
pub(crate) fn enter() {
    prefork::enter("kv", work);
}

/// Serves clients, in a worker process.
pub(crate) fn work(context: WorkerContext<Config, Totals>) -> Result<Infallible> {
    let mut event_loop = Loop::new(context)?;
    let mut events = Events::with_capacity(1024);
    loop {
        event_loop.turn(&mut events)?;
    }
}
// ANCHOR_END: kv-run

// ANCHOR: kv-accept
impl Loop {
    /// Accepts clients while it is this worker's turn to do so.
    fn accept(&mut self, now: Now) -> Result<()> {
        while let Some(since) = self.backlog
            && self.is_next(since)
        {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.backlog = None,
                Err(error) => match accept_again(&error) {
                    Some(Duration::ZERO) => {}
                    // The next turn of the loop tries again: `backlog` limits its poll to `SWEEP`.
                    Some(_) => return Ok(()),
                    None => return Err(Error::io("accept")(error)),
                },
            }
            self.shards.set_clients(self.clients.len());
        }
        Ok(())
    }

    /// Whether this worker should accept the next client: no other has many fewer, or those that
    /// have do not accept it in time. (If all had to have exactly as many, busy workers would wait
    /// for each other at every client.)
    fn is_next(&self, since: Instant) -> bool {
        let clients = self.clients.len();
        let fewest = self.shards.fewest_clients();
        let has_room = clients < self.server.config().max_connections;
        let is_near = clients <= fewest.saturating_add(fewest / 8);
        clients <= fewest || has_room && (is_near || since.elapsed() >= SWEEP)
    }

    /// Begins to serve a client, or turns it away.
    fn welcome(&mut self, mut stream: TcpStream, now: Now) {
        let Some(connection) = Connection::new(&self.server) else { return turn_away(&stream) };
        let entry = self.clients.vacant_entry();
        let number = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        // Disables Nagle's algorithm: otherwise a small reply waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        if self.poll.registry().register(&mut stream, Token(number), interest).is_ok() {
            entry.insert(Client::new(stream, connection));
            self.serve(number, now);
        }
    }
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Loop {
    /// Gives a client its turn.
    fn serve(&mut self, number: usize, now: Now) {
        let Self { clients, shards, buffer, .. } = self;
        let Some(client) = clients.get_mut(number) else { return };
        match client.turn(number, shards, buffer, now).unwrap_or(TurnOutcome::Close) {
            TurnOutcome::Wait => {
                if let Some(pause) = client.connection.pause() {
                    self.paused.push(Reverse((deadline_after(pause), number)));
                }
            }
            TurnOutcome::Again => self.runnable.push(number),
            TurnOutcome::Close => self.close(number),
        }
    }

    /// Closes a client's connection, and forgets its plans.
    fn close(&mut self, number: usize) {
        if let Some(mut client) = self.clients.try_remove(number) {
            client.forget_plans(&mut self.shards);
            // If this fails, closing the socket has the same effect.
            let _ = self.poll.registry().deregister(&mut client.stream);
            hang_up(&client.stream);
        }
    }

    /// Sweeps the shard and closes idle connections, if that is due.
    fn housekeeping(&mut self, now: Now) {
        let idle_check = self.server.idle_check_interval();
        let interval = idle_check.map_or(SWEEP, |interval| SWEEP.min(interval));
        if self.last_sweep.elapsed() < interval {
            return;
        }
        self.last_sweep = Instant::now();
        self.shards.sweep(now);
        if idle_check.is_some() {
            self.hang_up_on_idle();
        }
    }

    /// Closes the connections of clients whose time is over.
    fn hang_up_on_idle(&mut self) {
        let is_idle = |client: &Client| client.connection.time_left().is_some_and(|left| left.is_zero());
        let mut idle = Vec::new();
        for (number, client) in &self.clients {
            if is_idle(client) {
                idle.push(number);
            }
        }
        for number in idle {
            self.close(number);
        }
    }
}

impl Client {
    /// Submits, writes and reads, until the client waits for its socket or for a shard, or has had
    /// its turn.
    fn turn(
        &mut self,
        number: usize,
        shards: &mut Shards,
        buffer: &mut [u8],
        now: Now,
    ) -> io::Result<TurnOutcome> {
        for _ in 0..MAX_READS_PER_TURN {
            let has_room = self.submit_plans(number, shards, now);
            let has_written = self.write()?;
            if self.connection.is_over() {
                return Ok(TurnOutcome::Close);
            }
            if !has_room || self.connection.pause().is_some() {
                return Ok(TurnOutcome::Wait);
            }
            let has_read = self.read(buffer)?;
            if !has_read && !has_written {
                self.shrink();
                return Ok(TurnOutcome::Wait);
            }
        }
        Ok(TurnOutcome::Again)
    }

    /// Takes the replies that are there, and submits the next plans. Returns whether the shards had
    /// room for them.
    fn submit_plans(&mut self, number: usize, shards: &mut Shards, now: Now) -> bool {
        self.take_replies(shards);
        if self.stalled.is_some() && !(self.may_retry && self.may_submit()) {
            return false;
        }
        self.may_retry = false;
        if let Some(plan) = self.stalled.take()
            && !self.submit(number, *plan, shards)
        {
            return false;
        }
        while self.may_submit() {
            let Some(plan) = self.connection.next(now) else { return true };
            if !self.submit(number, plan, shards) {
                return false;
            }
        }
        true
    }

    /// Runs a plan, or keeps it for another attempt if a shard has no room for it. Returns whether
    /// there was room.
    fn submit(&mut self, number: usize, plan: Plan, shards: &mut Shards) -> bool {
        let has_room = shards.admit(number, &plan);
        if has_room {
            self.run(number, plan, shards);
        } else {
            self.stalled = Some(Box::new(plan));
        }
        has_room
    }

    /// Whether the client may have another plan in flight.
    fn may_submit(&self) -> bool {
        self.in_flight.len() < self.max_in_flight
    }

    fn run(&mut self, number: usize, plan: Plan, shards: &mut Shards) {
        if self.in_flight.is_empty()
            && let Some(reply) = shards.run(&plan)
        {
            return self.connection.answer(reply);
        }
        self.in_flight.push_back(shards.submit(number, plan));
        // A plan that needs no other worker has its reply now.
        self.take_replies(shards);
    }

    /// Takes the replies to the first plans in flight, up to the first that has none yet.
    fn take_replies(&mut self, shards: &mut Shards) {
        while let Some(reply) = self.in_flight.front().and_then(|plan| shards.take_reply(*plan)) {
            self.in_flight.pop_front();
            // After a large answer, as many plans again would take too much memory. After a small
            // one, more plans may be in flight.
            self.max_in_flight =
                if reply.size() >= LARGE { 1 } else { PLANS_IN_FLIGHT.min(self.max_in_flight * 2) };
            self.connection.answer(reply);
        }
    }

    /// Gives back memory that the client does not need while it waits.
    fn shrink(&mut self) {
        if self.in_flight.is_empty() && self.connection.output().is_empty() {
            self.in_flight.shrink_to(0);
            self.connection.shrink();
        }
    }

    /// Has the replies to the plans in flight dropped, since the client has gone.
    fn forget_plans(&mut self, shards: &mut Shards) {
        for plan in self.in_flight.drain(..) {
            shards.forget(plan);
        }
    }

    /// Writes what the socket takes. Returns whether that lets the client submit, read or write
    /// more.
    fn write(&mut self) -> io::Result<bool> {
        // While plans are in flight, more replies follow soon, and are written with these.
        let is_worth_it = self.in_flight.is_empty() || self.connection.output().len() >= READ;
        let was_blocked = !self.connection.output().is_empty() && !self.connection.wants_input();
        let (mut writes, mut has_written) = (0, false);
        while is_worth_it && self.is_writable && writes < MAX_WRITES && !self.connection.output().is_empty() {
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

    /// Reads one buffer. Returns whether anything was read, the end included.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.is_readable || !self.may_submit() || !self.connection.wants_input() {
            return Ok(false);
        }
        match self.stream.read(buffer) {
            Ok(0) => self.connection.end(),
            Ok(bytes) => {
                // A read that does not fill the buffer has emptied the socket, and an event reports
                // when there is more. Only the client's end has been reported already.
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
    /// Accepts no more clients, and reads from those that are connected for the last time.
    fn stop(&mut self) {
        let _ = self.poll.registry().deregister(&mut self.listener);
        self.backlog = None;
        self.deadline = Some(deadline_after(self.server.config().drain));
        let numbers: Vec<_> = self.clients.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let client = &mut self.clients[number];
            client.is_readable = true;
            let result = client.read(&mut self.buffer);
            client.connection.end();
            if result.is_err() {
                self.close(number);
            } else {
                self.runnable.push(number);
            }
        }
    }

    /// Sends the totals when all clients have gone, or the time to drain is over.
    fn drain(&mut self) -> Result<()> {
        let Some(deadline) = self.deadline.filter(|_| !self.has_sent_totals) else { return Ok(()) };
        if Instant::now() >= deadline {
            let numbers: Vec<_> = self.clients.iter().map(|(number, _)| number).collect();
            for number in numbers {
                self.close(number);
            }
        }
        if self.clients.is_empty() {
            self.has_sent_totals = true;
            self.lifeline.send_result(self.server.totals()).map_err(Error::io("lifeline"))?;
        }
        Ok(())
    }
}
// ANCHOR_END: kv-drain

/// A worker process: its clients, its shard, and its links to the other workers.
struct Loop {
    poll: Poll,
    listener: TcpListener,
    lifeline: Lifeline<Totals>,
    server: Arc<Server>,
    shards: Shards,
    clients: Slab<Client>,
    /// Clients whose next turn does not wait for an event.
    runnable: Vec<usize>,
    /// Clients that are paused because their password was wrong, by the end of the pause.
    paused: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Since when clients may be waiting to be accepted, if any may.
    backlog: Option<Instant>,
    last_sweep: Instant,
    /// The end of the time to drain, once the worker must stop.
    deadline: Option<Instant>,
    has_sent_totals: bool,
    buffer: Box<[u8]>,
}

struct Client {
    stream: TcpStream,
    connection: Connection,
    /// The next plan, for which a shard had no room.
    stalled: Option<Box<Plan>>,
    /// There may be room for it now.
    may_retry: bool,
    /// The numbers of the plans in flight, in the order of their requests.
    in_flight: VecDeque<usize>,
    /// Maximum plans in flight, by the size of the last answers.
    max_in_flight: usize,
    /// Cached readiness: set by an event, cleared by `WouldBlock` (events are edge-triggered).
    is_readable: bool,
    is_writable: bool,
    /// The client has closed its sending side. No further event will report that, so it is read to
    /// its end.
    has_ended: bool,
}

/// What follows a client's turn.
#[derive(PartialEq, Eq)]
enum TurnOutcome {
    /// The client waits for its socket, or for a reply.
    Wait,
    /// The client has another turn, after those of others.
    Again,
    /// The connection is to be closed.
    Close,
}

impl Loop {
    fn new(context: WorkerContext<Config, Totals>) -> Result<Self> {
        let WorkerContext { number, workers, setup: config, listener, peers, lifeline } = context;
        let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
        let server = Server::new(config, workers, port);
        let shard = Shard::empty(server.budget()).of_process(server.clone());
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new().map_err(Error::io("poll"))?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE).map_err(Error::io("poll"))?;
        let fd = lifeline.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&fd), LIFELINE, Interest::READABLE).map_err(Error::io("poll"))?;
        let registry = registry.try_clone().map_err(Error::io("poll"))?;
        let first = Token(LIFELINE.0 - workers);
        let max_answer = server.config().max_memory.unwrap_or(u64::MAX);
        let answers = (server.in_flight().clone(), max_answer);
        let mut shards = Shards::new(number, shard, answers, registry, first, workers);
        for (worker, link) in peers {
            shards.connect(worker, link)?;
        }
        Ok(Self {
            poll,
            listener,
            lifeline,
            server,
            shards,
            clients: Slab::new(),
            runnable: Vec::new(),
            paused: BinaryHeap::new(),
            backlog: None,
            last_sweep: Instant::now(),
            deadline: None,
            has_sent_totals: false,
            buffer: vec![0; READ].into(),
        })
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        let timeout = self.poll_timeout().map(|timeout| timeout.min(MAX_POLL_TIMEOUT));
        match self.poll.poll(events, timeout) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(Error::io("poll")(e)),
            _ => {}
        }
        let now = self.server.now();
        for event in &*events {
            match event.token() {
                LISTENER => self.backlog = self.backlog.or_else(|| Some(Instant::now())),
                LIFELINE => self.receive_commands()?,
                token => self.handle(token, event),
            }
        }
        while let Some(Reverse((at, client))) = self.paused.peek().copied()
            && at <= Instant::now()
        {
            self.paused.pop();
            self.runnable.push(client);
        }
        let ready = self.shards.take_ready();
        for client in &ready {
            if let Some(client) = self.clients.get_mut(*client) {
                client.may_retry = true;
            }
        }
        for client in std::mem::take(&mut self.runnable).into_iter().chain(ready) {
            self.serve(client, now);
        }
        self.shards.receive_more();
        self.accept(now)?;
        self.housekeeping(now);
        self.drain()?;
        self.shards.set_clients(self.clients.len());
        self.shards.check_peers();
        // Last, so that all messages of this turn are written at once.
        self.shards.flush();
        Ok(())
    }

    /// The time after which the loop must turn even without an event.
    fn poll_timeout(&self) -> Option<Duration> {
        if !self.runnable.is_empty() || self.shards.has_resumed() || self.shards.has_more() {
            return Some(Duration::ZERO);
        }
        let is_watching = self.backlog.is_some() || self.shards.is_volatile() || self.shards.needs_check();
        let until_check = is_watching.then_some(SWEEP);
        let has_clients = !self.clients.is_empty();
        let until_idle_check = self.server.idle_check_interval().filter(|_| has_clients);
        let resumed = self.paused.peek().map(|Reverse((at, _))| *at);
        let drained = self.deadline.filter(|_| !self.has_sent_totals);
        let until = |time: Option<Instant>| time.map(|time| time.saturating_duration_since(Instant::now()));
        let timeouts = [until_check, until_idle_check, until(resumed), until(drained)];
        // At least a millisecond, so that the loop never spins on a time that has passed.
        timeouts.into_iter().flatten().min().map(|timeout| timeout.max(Duration::from_millis(1)))
    }

    /// Handles an event of a link or of a client's socket.
    fn handle(&mut self, token: Token, event: &Event) {
        if let Some(worker) = self.shards.worker(token) {
            self.shards.receive(worker);
        } else if let Some(client) = self.clients.get_mut(token.0) {
            client.has_ended |= event.is_read_closed() || event.is_error();
            client.is_readable |= event.is_readable() || client.has_ended;
            client.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
            if client.connection.pause().is_none() {
                self.runnable.push(token.0);
            }
        }
    }

    /// Handles what the coordinator has sent.
    fn receive_commands(&mut self) -> Result<()> {
        while let Some(event) = self.lifeline.receive().map_err(Error::io("lifeline"))? {
            match event {
                prefork::Event::Connect(worker, link) => self.shards.connect(worker, link)?,
                prefork::Event::Stop => self.stop(),
            }
        }
        Ok(())
    }
}

impl Client {
    fn new(stream: TcpStream, connection: Connection) -> Self {
        Self {
            stream,
            connection,
            stalled: None,
            may_retry: false,
            in_flight: VecDeque::new(),
            max_in_flight: FIRST_PLANS_IN_FLIGHT,
            // Assumed, until a read or a write returns `WouldBlock`: a request may have arrived
            // before the socket was registered.
            is_readable: true,
            is_writable: true,
            has_ended: false,
        }
    }
}
