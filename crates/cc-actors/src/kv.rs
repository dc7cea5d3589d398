//! `kv` by actors.
//!
//! ```text
//!              connection events           requests
//!   acceptor ───────────────────> registry    ┌───> shard actors
//!      │  <╌╌╌╌╌╌ listener ╌╌╌╌╌╌╌  ^ ╎       │       ╎
//!      └╌╌╌╌╌╌> clients ────────────┘ ╎       │       ╎
//!        start    ^ ^ └───────────────────────┘       ╎
//!                 ╎ └╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘
//!                 └╌╌╌╌ sockets ╌╌╌╌╌╌┘      replies
//! ```
//!
//! - **Split.** An actor per client, which waits for its socket, and a [shard
//!   actor](crate::shard_actor) per shard, of which there are `ctx.workers`. Consecutive pipelined
//!   requests for one shard travel in one message; every change to another shard costs a round
//!   trip.
//! - **Share.** Nothing but the counters and limits of the [`Server`], and the sockets: the
//!   registry may shut down the listener and the socket of each client. A plan that must run as one
//!   step on several shards holds their actors, in ascending order.
//! - **Bound.** Clients, by number; the plans in flight per client, by `PLANS_IN_FLIGHT`. A
//!   client's actor waits for its socket to take replies and for more requests at the same time,
//!   until too many replies wait; then it sends no more requests. Mailboxes have room for some
//!   requests, and each reply has its own channel.
//! - **Deadlock.** Solid arrows wait for room. Clients and the acceptor send to shard actors and
//!   the registry, which wait for room nowhere. A client that holds shards waits only for [higher
//!   ones](crate::shard_actor).
//! - **Order.** A shard actor's mailbox keeps the order of a client's requests. Requests for
//!   another shard are sent only after these are answered: otherwise another client might see the
//!   effect of the later one first.
//! - **Stop.** A message to the [registry](crate::connection_registry), which shuts down the
//!   listener and the reading sides of all sockets. The clients' actors find the end of their
//!   input, answer what has arrived, and end. After the time to drain the writing sides are shut
//!   down as well. The shard actors end when no client can send to them any more.
//! - **Fail.** A panic of a client's actor ends that client only. A panic of a shard actor loses
//!   its shard and the requests that were running, whose reply is `INDETERMINATE`. The actor goes
//!   on with an empty shard, of another epoch.

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use cc_workloads::{
    Ctx, Error, Result, Stop,
    kv::{Clock, Config, Connection, Now, READ, Server, Slots, Totals, accept_again, hang_up, turn_away},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{SendFlags, send},
};

use crate::{
    actor::{Address, Halted, Mailbox, System, system},
    connection_registry::{ConnectionEvent, ConnectionRegistry},
    shard_actor::ShardRouter,
};

/// Maximum events in the registry's mailbox. It never waits for anything else, so a few suffice.
const EVENTS: usize = 64;

/// Maximum plans in flight per client: the replies to all of them may be in memory at once.
const PLANS_IN_FLIGHT: usize = 256;

/// Stack of a client's actor, in bytes: its calls are not deep. The system provides only the pages
/// that a thread touches.
const STACK: usize = 256 << 10;

// ANCHOR: kv-run
/// Serves each client by an actor of its own; the calling thread is the last actor, the registry.
pub fn run(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
    let server = Server::new(config.clone(), Slots::shards_of(ctx.workers, 1)?, port);
    // The system has a stop of its own, which is never requested: the user's stop must not halt
    // actors that still have requests to answer. It becomes a message instead.
    system(&Stop::new(), |system| {
        let (registry, events) = system.mailbox(EVENTS);
        let registry_on_stop = registry.clone();
        let _on_stop = ctx.stop.on_request(move || {
            let _ = registry_on_stop.send(ConnectionEvent::Stop);
        });
        let listener = Arc::new(listener);
        let (open, closed) = system.mailbox(1);
        let connections = ConnectionRegistry::new(listener.clone(), open, config.drain);
        let to = Addresses { shards: ShardRouter::start(&system, &server)?, registry };
        let acceptor = Acceptor {
            system: system.small(STACK),
            server: server.clone(),
            stop: ctx.stop.clone(),
            closed,
            to,
        };
        system.spawn("acceptor", move || acceptor.work(&listener))?;
        connections.work(&events)
    })?;
    Ok(server.totals())
}
// ANCHOR_END: kv-run

// ANCHOR: kv-accept
impl Acceptor<'_, '_> {
    fn work(self, listener: &TcpListener) -> Result<(), Halted> {
        let error = self.accept(listener).err();
        self.to.registry.send(ConnectionEvent::AcceptorEnded(error))
    }

    /// Accepts clients until a stop is requested.
    fn accept(&self, listener: &TcpListener) -> Result<()> {
        let mut number = 0;
        loop {
            let accepted = listener.accept();
            if self.stop.requested() {
                return Ok(());
            }
            match accepted {
                Ok((stream, _)) => {
                    number += 1;
                    self.spawn_client(number, stream);
                }
                Err(error) => match accept_again(&error) {
                    // Waits for this time, or until the registry closes the listener.
                    Some(pause) => {
                        let _ = self.closed.serve_until(Some(Instant::now() + pause));
                    }
                    None => return Err(Error::io("accept")(error)),
                },
            }
        }
    }

    /// Starts an actor for a client, or turns the client away.
    fn spawn_client(&self, number: u64, stream: TcpStream) {
        let Some(connection) = Connection::new(&self.server) else { return turn_away(&stream) };
        let stream = Arc::new(stream);
        // If the registry has ended, so has the run, and no client is served.
        let opened = ConnectionEvent::Opened(number, stream.clone());
        let Ok(()) = self.to.registry.send(opened) else { return };
        let registration = Registration { number, registry: self.to.registry.clone() };
        let client = Client {
            connection,
            shards: self.to.shards.clone(),
            stop: self.stop.clone(),
            clock: self.server.config().clock.clone(),
            stream: stream.clone(),
            _registration: registration,
        };
        if self.system.spawn_loose(format!("client-{number}"), move || client.serve()).is_err() {
            turn_away(&stream);
        }
    }
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Client {
    /// Serves the client until it has gone. An error affects no other client.
    fn serve(mut self) {
        if self.exchange().is_ok() {
            hang_up(&self.stream);
        }
    }

    /// Reads requests, has them run and writes the replies, until the connection ends.
    fn exchange(&mut self) -> io::Result<()> {
        // Disables Nagle's algorithm: otherwise a small reply waits for an acknowledgement.
        let _ = self.stream.set_nodelay(true);
        let mut has_limit = false;
        // Uninitialized: the part that no read fills is never touched, so its pages of the stack
        // are never committed.
        let mut buffer = [MaybeUninit::uninit(); READ];
        while !self.connection.is_over() {
            let mut wants_input = self.connection.wants_input();
            if let Some(pause) = self.connection.pause()
                && self.connection.output().is_empty()
            {
                if is_shut_within(&self.stream, pause)? {
                    self.connection.end();
                }
            } else if !self.connection.output().is_empty() {
                wants_input = await_room(&self.stream, &self.connection)?;
            } else if wants_input {
                self.connection.shrink();
                limit(&self.stream, self.connection.time_left(), &mut has_limit)?;
            }
            if wants_input {
                match rustix::io::read(&self.stream, &mut buffer).map(|(bytes, _)| bytes) {
                    Ok([]) => self.connection.end(),
                    Ok(bytes) => self.connection.received(bytes),
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
                if self.stop.requested() {
                    self.connection.end();
                }
            }
            self.answer()?;
        }
        Ok(())
    }

    /// Runs all requests that have arrived, and writes the replies that the socket takes.
    fn answer(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        loop {
            while self.run_plans(now) {}
            if self.connection.output().is_empty() {
                return Ok(());
            }
            while !self.connection.output().is_empty() {
                let output = self.connection.output();
                match send(&*self.stream, output, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(bytes) => self.connection.wrote(bytes),
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Runs the next plans, as many as may be in flight at once. Returns whether there were any.
    fn run_plans(&mut self, now: Now) -> bool {
        let mut plans = Vec::new();
        while plans.len() < PLANS_IN_FLIGHT
            && let Some(plan) = self.connection.next(now)
        {
            plans.push(plan);
        }
        let replies = match &mut plans[..] {
            [plan] if !plan.is_isolated() => vec![self.shards.run_each(plan)],
            [plan] if plan.parts().len() > 1 => vec![self.shards.run(plan)],
            plans => self.shards.run_in_order(plans),
        };
        replies.into_iter().for_each(|reply| self.connection.answer(reply));
        !plans.is_empty()
    }
}
// ANCHOR_END: kv-work

/// The actor that accepts clients.
struct Acceptor<'scope, 'env> {
    system: System<'scope, 'env>,
    server: Arc<Server>,
    stop: Stop,
    /// Its only address is dropped when the listener is closed.
    closed: Mailbox<Infallible>,
    to: Addresses,
}

/// The actors that a client sends messages to.
#[derive(Clone)]
struct Addresses {
    shards: ShardRouter,
    registry: Address<ConnectionEvent>,
}

/// The actor that serves one client.
struct Client {
    connection: Connection,
    shards: ShardRouter,
    stop: Stop,
    clock: Clock,
    stream: Arc<TcpStream>,
    /// Declared last, so that it is dropped last: the registry is told when all else is gone.
    _registration: Registration,
}

/// Reports, when it is dropped, that a client has gone: also if its actor panics.
struct Registration {
    number: u64,
    registry: Address<ConnectionEvent>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // If the registry has ended, so has the run.
        let _ = self.registry.send(ConnectionEvent::Closed(self.number));
    }
}

/// Waits until the socket takes replies or, if the connection wants it, has input. Returns whether
/// there is input to read. Fails when the client has no time left.
fn await_room(stream: &TcpStream, connection: &Connection) -> io::Result<bool> {
    let wants_input = connection.wants_input();
    let input = if wants_input { PollFlags::IN } else { PollFlags::empty() };
    let events = poll_within(stream, input | PollFlags::OUT, connection.time_left())?;
    // Checked before the next write: a full socket takes a little more now and then, even if the
    // client takes nothing.
    if events.is_empty() && connection.time_left().is_some_and(|left| left.is_zero()) {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(wants_input && events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR))
}

/// Limits the time of the next read. Most clients never have a limit, and need no system call for
/// it.
fn limit(stream: &TcpStream, timeout: Option<Duration>, has_limit: &mut bool) -> io::Result<()> {
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(ErrorKind::TimedOut.into());
    }
    if timeout.is_some() || *has_limit {
        *has_limit = timeout.is_some();
        stream.set_read_timeout(timeout)?;
    }
    Ok(())
}

/// Waits for this time. Returns whether the socket's reading side was shut down meanwhile, by the
/// client or by the registry.
fn is_shut_within(stream: &TcpStream, time: Duration) -> io::Result<bool> {
    Ok(!poll_within(stream, PollFlags::RDHUP, Some(time))?.is_empty())
}

/// Waits for one of these events of the socket, for at most this time if there is a limit. Returns
/// the events that have occurred: none if the time is over or a signal has arrived.
fn poll_within(stream: &TcpStream, events: PollFlags, time: Option<Duration>) -> io::Result<PollFlags> {
    let timeout = time
        .map(|time| Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() });
    let mut socket = [PollFd::new(stream, events)];
    match poll(&mut socket, timeout.as_ref()) {
        Err(error) if error != Errno::INTR => Err(error.into()),
        _ => Ok(socket[0].revents()),
    }
}

#[cfg(test)]
mod tests;
