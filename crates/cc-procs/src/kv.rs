//! `kv` on worker processes.
//!
//! - **Split.** Worker processes that all accept on one listener, each with one thread and one poll loop, as the
//!   [reference](cc_workloads::kv::sequential). Who accepts a client serves it: with a worker for each core, no core waits
//!   for another to read or write. A client goes to who has the fewest, since nobody can take one back.
//! - **Share.** Nothing. Each worker owns one shard, and asks for the keys of others by message. Within a process nobody
//!   else is there, so there is no lock and nothing atomic to wait for. One shard and not several, so that a plan on all keys
//!   has as many owners to ask as there are processes.
//! - **Bound.** Questions that another worker has not answered, beyond which a client waits that
//!   asks its shard; plans of a client, by the size of its answers; an answer, and all answers that
//!   clients have not taken, by memory; connections and memory, of which each worker has its share.
//! - **Order.** A way between two workers keeps it, so a client's plans on one shard may follow each other unanswered. One on
//!   another shard waits until they are answered: what a client does later, nobody may see earlier. Plans on several
//!   shards hold them in ascending order.
//! - **Stop.** The coordinator tells the workers. Each answers what has arrived, closes its connections, tells its totals,
//!   and goes on to answer the others, which may still need its shard, until all have got so far; then they are ended.
//! - **Fail.** A worker that dies, of a panic or by a signal, takes its shard and its clients'
//!   connections along, and no more. Others are told TRYAGAIN until its successor is there, or
//!   INDETERMINATE if it had been asked already. What it held of other shards it holds no longer. A
//!   worker that does not answer is left out after a time: clients that ask its shard are told
//!   TRYAGAIN, others go on, and what it holds of other shards is aborted. When it goes on, it is
//!   asked again, and has what it had.

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
use crate::prefork::{self, Lifeline, News, Place};

/// Whether something is at the listener.
const LISTENER: Token = Token(usize::MAX - 1);
/// The coordinator says something.
const LIFELINE: Token = Token(usize::MAX - 2);
/// A client has no more plans under way: an answer of another worker is a copy, and waits here until all before it are
/// taken.
const AHEAD: usize = 256;
/// With answers of this size it has only one.
const LARGE: usize = 64 << 10;
/// A client who has more to say than so many buffers waits for the others' turns.
const TURN: usize = 16;
/// Longer waits end early: mio counts in 32 bits of milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

// ANCHOR: kv-run
/// Has worker processes serve; the calling thread replaces those that die.
pub fn run(listener: net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let share = config.share(Slots::shards_of(ctx.workers, 1)?);
    let totals = prefork::run("kv", &share, &listener, ctx, config.drain)?;
    let mut sum = Totals::default();
    totals.into_iter().for_each(|totals: Totals| sum += totals);
    Ok(sum)
}

/// In a worker process, does its part and does not return.
pub(crate) fn enter() {
    prefork::enter("kv", work);
}

/// A worker's part.
pub(crate) fn work(place: Place<Config, Totals>) -> Result<Infallible> {
    let mut work = Loop::new(place)?;
    let mut events = Events::with_capacity(1024);
    loop {
        work.turn(&mut events)?;
    }
}
// ANCHOR_END: kv-run

struct Loop {
    poll: Poll,
    listener: TcpListener,
    lifeline: Lifeline<Totals>,
    server: Arc<Server>,
    shards: Shards,
    clients: Slab<Client>,
    /// Who has not said all yet.
    unheard: Vec<usize>,
    /// When the next turn is of clients whose password was wrong, the earliest first.
    paused: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Since when there may be clients to be accepted.
    backlog: Option<Instant>,
    swept: Instant,
    /// Until when clients have time to go, if they must.
    deadline: Option<Instant>,
    has_told: bool,
    buffer: Box<[u8]>,
}

struct Client {
    stream: TcpStream,
    connection: Connection,
    /// The next plan, for which there is no room yet.
    stalled: Option<Box<Plan>>,
    /// There may be room for it now.
    may_retry: bool,
    /// The numbers of the plans that are to be answered, in order.
    due: VecDeque<usize>,
    /// How many there may be.
    ahead: usize,
    /// It was so when we last heard of it, and did not turn out otherwise since.
    is_readable: bool,
    is_writable: bool,
    /// The client will send nothing more, so that the end is to be read, too.
    has_ended: bool,
}

/// What comes after a client's turn.
#[derive(PartialEq, Eq)]
enum After {
    /// It waits for its socket, or for an answer.
    Wait,
    /// It wants another turn.
    Again,
    /// It is over.
    Close,
}

impl Loop {
    fn new(place: Place<Config, Totals>) -> Result<Self> {
        let Place { number, workers, setup: config, listener, ways, lifeline } = place;
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
        let (registry, first) = (registry.try_clone().map_err(Error::io("poll"))?, LIFELINE.0 - workers);
        let room = (server.in_flight().clone(), server.config().max_memory.unwrap_or(u64::MAX));
        let mut shards = Shards::new(number, shard, room, registry, Token(first), workers);
        ways.into_iter().try_for_each(|(worker, way)| shards.connect(worker, way))?;
        Ok(Self {
            poll,
            listener,
            lifeline,
            server,
            shards,
            clients: Slab::new(),
            unheard: Vec::new(),
            paused: BinaryHeap::new(),
            backlog: None,
            swept: Instant::now(),
            deadline: None,
            has_told: false,
            buffer: vec![0; READ].into(),
        })
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        match self.poll.poll(events, self.patience().map(|patience| patience.min(LONGEST_WAIT))) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(Error::io("poll")(e)),
            _ => {}
        }
        let now = self.server.now();
        for event in &*events {
            match event.token() {
                LISTENER => self.backlog = self.backlog.or_else(|| Some(Instant::now())),
                LIFELINE => self.obey()?,
                token => self.happened(token, event),
            }
        }
        while let Some(Reverse((at, client))) = self.paused.peek().copied()
            && at <= Instant::now()
        {
            self.paused.pop();
            self.unheard.push(client);
        }
        let ready = self.shards.take_ready();
        for client in &ready {
            if let Some(client) = self.clients.get_mut(*client) {
                client.may_retry = true;
            }
        }
        for client in std::mem::take(&mut self.unheard).into_iter().chain(ready) {
            self.serve(client, now);
        }
        self.shards.hear_more();
        self.accept(now)?;
        self.look_around(now);
        self.drain()?;
        self.shards.have_clients(self.clients.len());
        self.shards.tend();
        // Everything that was said in this turn goes at once.
        self.shards.flush();
        Ok(())
    }

    /// How long nothing needs to be done if nobody says anything.
    fn patience(&self) -> Option<Duration> {
        if !self.unheard.is_empty() || self.shards.have_resumed() || self.shards.have_more() {
            return Some(Duration::ZERO);
        }
        let has_chores = self.backlog.is_some() || self.shards.are_volatile() || self.shards.are_awaited();
        let has_clients = !self.clients.is_empty();
        let until_idle = self.server.config().patience_interval().filter(|_| has_clients);
        let resumes = self.paused.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
        let chores = has_chores.then_some(SWEEP);
        let waits = self.deadline.filter(|_| !self.has_told);
        let until_drained = waits.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let all = [chores, until_idle, resumes, until_drained];
        all.into_iter().flatten().min().map(|patience| patience.max(Duration::from_millis(1)))
    }

    fn happened(&mut self, token: Token, event: &Event) {
        if let Some(worker) = self.shards.worker(token) {
            self.shards.hear(worker);
        } else if let Some(client) = self.clients.get_mut(token.0) {
            client.has_ended |= event.is_read_closed() || event.is_error();
            client.is_readable |= event.is_readable() || client.has_ended;
            client.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
            if client.connection.pause().is_none() {
                self.unheard.push(token.0);
            }
        }
    }

    /// Does what the coordinator says.
    fn obey(&mut self) -> Result<()> {
        while let Some(news) = self.lifeline.hear().map_err(Error::io("lifeline"))? {
            match news {
                News::Way(worker, way) => self.shards.connect(worker, way)?,
                News::Stop => self.stop(),
            }
        }
        Ok(())
    }
}

// ANCHOR: kv-accept
impl Loop {
    /// Lets clients in for as long as it is this worker's turn to.
    fn accept(&mut self, now: Now) -> Result<()> {
        while let Some(since) = self.backlog
            && self.is_next(since)
        {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.backlog = None,
                Err(error) => match accept_again(&error) {
                    Some(Duration::ZERO) => {}
                    // With the chores.
                    Some(_) => return Ok(()),
                    None => return Err(Error::io("accept")(error)),
                },
            }
            self.shards.have_clients(self.clients.len());
        }
        Ok(())
    }

    /// Whether nobody has many fewer clients, or who has does not come. (With exactly as many each, workers that are busy would
    /// have to wait for each other at every client.)
    fn is_next(&self, since: Instant) -> bool {
        let (clients, fewest) = (self.clients.len(), self.shards.fewest_clients());
        let has_room = clients < self.server.config().max_connections;
        let is_near = clients <= fewest.saturating_add(fewest / 8);
        clients <= fewest || has_room && (is_near || since.elapsed() >= SWEEP)
    }

    fn welcome(&mut self, mut stream: TcpStream, now: Now) {
        let Some(connection) = Connection::new(&self.server) else { return turn_away(&stream) };
        let entry = self.clients.vacant_entry();
        let (number, interest) = (entry.key(), Interest::READABLE | Interest::WRITABLE);
        // Without it, it is slower.
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
        match client.turn(number, shards, buffer, now).unwrap_or(After::Close) {
            After::Wait => {
                let pause = client.connection.pause();
                self.paused.extend(pause.map(|pause| Reverse((deadline_after(pause), number))));
            }
            After::Again => self.unheard.push(number),
            After::Close => self.close(number),
        }
    }

    fn close(&mut self, number: usize) {
        if let Some(mut client) = self.clients.try_remove(number) {
            client.forget(&mut self.shards);
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
        self.shards.sweep(now);
        if until_idle.is_some() {
            self.hang_up_on_idle();
        }
    }

    fn hang_up_on_idle(&mut self) {
        let is_idle = |client: &Client| client.connection.patience().is_some_and(|left| left.is_zero());
        let idle: Vec<_> =
            self.clients.iter().filter(|(_, client)| is_idle(client)).map(|(number, _)| number).collect();
        idle.into_iter().for_each(|number| self.close(number));
    }
}

impl Client {
    fn new(stream: TcpStream, connection: Connection) -> Self {
        let (is_readable, is_writable, has_ended) = (true, true, false);
        let (stalled, may_retry, due) = (None, false, VecDeque::new());
        Self { stream, connection, stalled, may_retry, due, ahead: 16, is_readable, is_writable, has_ended }
    }

    /// Reads, asks, answers and writes until its socket or a shard has it wait, or it has had its turn.
    fn turn(&mut self, number: usize, shards: &mut Shards, buffer: &mut [u8], now: Now) -> io::Result<After> {
        for _ in 0..TURN {
            let has_stalled = !self.ask(number, shards, now);
            let has_written = self.write()?;
            if self.connection.is_over() {
                return Ok(After::Close);
            }
            if has_stalled || self.connection.pause().is_some() {
                return Ok(After::Wait);
            }
            let has_read = self.read(buffer)?;
            if !has_read && !has_written {
                self.rest();
                return Ok(After::Wait);
            }
        }
        Ok(After::Again)
    }

    /// Takes answers, and asks for what is next. Whether that was possible; if not, there is no room for it.
    fn ask(&mut self, number: usize, shards: &mut Shards, now: Now) -> bool {
        self.answer(shards);
        if self.stalled.is_some() && !(self.may_retry && self.may_ask()) {
            return false;
        }
        self.may_retry = false;
        if let Some(plan) = self.stalled.take()
            && !self.submit(number, *plan, shards)
        {
            return false;
        }
        while self.may_ask() {
            let Some(plan) = self.connection.next(now) else { return true };
            if !self.submit(number, plan, shards) {
                return false;
            }
        }
        true
    }

    /// Runs a plan or, if there is no room for it, keeps it for the next try. Whether there was.
    fn submit(&mut self, number: usize, plan: Plan, shards: &mut Shards) -> bool {
        let has_room = shards.admit(number, &plan);
        if has_room {
            self.run(number, plan, shards);
        } else {
            self.stalled = Some(Box::new(plan));
        }
        has_room
    }

    /// Whether it has not as much under way as it may.
    fn may_ask(&self) -> bool {
        self.due.len() < self.ahead
    }

    fn run(&mut self, number: usize, plan: Plan, shards: &mut Shards) {
        if self.due.is_empty()
            && let Some(reply) = shards.run(&plan)
        {
            return self.connection.answer(reply);
        }
        self.due.push_back(shards.ask(number, plan));
        // If it was at hand.
        self.answer(shards);
    }

    /// Answers as far as the replies are there.
    fn answer(&mut self, shards: &mut Shards) {
        while let Some(reply) = self.due.front().and_then(|number| shards.take_reply(*number)) {
            self.due.pop_front();
            // As many as before would be too many; or could have been more.
            self.ahead = if reply.size() >= LARGE { 1 } else { AHEAD.min(self.ahead * 2) };
            self.connection.answer(reply);
        }
    }

    /// Gives back what it does not need while it waits.
    fn rest(&mut self) {
        if self.due.is_empty() && self.connection.output().is_empty() {
            self.due.shrink_to(0);
            self.connection.shrink();
        }
    }

    /// Nobody wants to know what was asked for it.
    fn forget(&mut self, shards: &mut Shards) {
        self.due.drain(..).for_each(|number| shards.forget(number));
    }

    /// Whether there may be more to do then.
    fn write(&mut self) -> io::Result<bool> {
        // Replies that follow soon are written with those that are there.
        let is_worth_it = self.due.is_empty() || self.connection.output().len() >= READ;
        let was_blocked = !self.connection.output().is_empty() && !self.connection.wants_input();
        while is_worth_it && self.is_writable && !self.connection.output().is_empty() {
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
        if !self.is_readable || !self.may_ask() || !self.connection.wants_input() {
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
    /// Nobody else is let in, and those who are there are heard for the last time.
    fn stop(&mut self) {
        let _ = self.poll.registry().deregister(&mut self.listener);
        self.backlog = None;
        self.deadline = Some(deadline_after(self.server.config().drain));
        let numbers: Vec<_> = self.clients.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let client = &mut self.clients[number];
            client.is_readable = true;
            let heard = client.read(&mut self.buffer);
            client.connection.end();
            if heard.is_err() { self.close(number) } else { self.unheard.push(number) }
        }
    }

    /// Tells the totals when all have gone that must, or it is time.
    fn drain(&mut self) -> Result<()> {
        let Some(deadline) = self.deadline.filter(|_| !self.has_told) else { return Ok(()) };
        if Instant::now() >= deadline {
            let numbers: Vec<_> = self.clients.iter().map(|(number, _)| number).collect();
            numbers.into_iter().for_each(|number| self.close(number));
        }
        if self.clients.is_empty() {
            self.has_told = true;
            self.lifeline.tell(self.server.totals()).map_err(Error::io("lifeline"))?;
        }
        Ok(())
    }
}
// ANCHOR_END: kv-drain
