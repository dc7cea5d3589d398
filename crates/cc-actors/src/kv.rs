//! `kv` by actors.
//!
//! ```text
//!               who is inside          questions
//!   doorman ─────────────────> porter      ┌──> keepers
//!      │  <╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  ^ ╎        │       ╎
//!      └╌╌╌╌╌╌> clients ────────┘ ╎        │       ╎
//!        start    ^ ^ └────────────────────┘       ╎
//!                 ╎ └╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘
//!                 └╌╌╌ sockets ╌╌╌┘      answers
//! ```
//!
//! - **Split.** An actor for each client, which waits for its socket, and a [keeper](crate::keeper)
//!   for each shard, as many as `ctx.workers`. What a client has sent at once goes to a keeper in
//!   one message, as far as it is for the same: a pipeline that changes from one to another costs a
//!   journey for each change.
//! - **Share.** Nothing but what the [`Server`] counts. A plan on several shards holds their
//!   keepers, in ascending order.
//! - **Bound.** Clients, by number; what is under way for each, by the length of a round. A client
//!   that does not take its replies keeps its own actor, which then asks for nothing. Mailboxes
//!   have room for some questions, and an answer has its own channel.
//! - **Deadlock.** Solid arrows wait for room. Clients and the doorman write to keepers and the
//!   porter, which wait for room nowhere. While a client holds keepers it waits only for those
//!   [after them](crate::keeper).
//! - **Order.** A keeper's mailbox. A client's questions are in it in their order; those for
//!   another keeper are sent when they are answered, or another client might see the later one
//!   first.
//! - **Stop.** A message to the [porter](crate::porter), which shuts the listener and the reading
//!   sides of all sockets: clients find the end of their input, answer what was there, and go.
//!   After the time to drain the writing sides follow. The keepers go when no client can ask them
//!   any more.
//! - **Fail.** A panic of a client's actor is its own end. One of a keeper's loses its shard and
//!   the questions in its hands, whose reply is `INDETERMINATE`; it goes on with an empty one, of
//!   another epoch.

use std::{
    convert::Infallible,
    io::{self, ErrorKind, Write},
    iter,
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
};

use crate::{
    actor::{Address, Halted, Mailbox, System, system},
    keeper::Keepers,
    porter::{Note, Porter},
};

/// Maximum notes in the mailbox of the porter, which never waits long.
const NOTES: usize = 64;

/// So many plans of a client may be under way.
const ROUND: usize = 256;

/// A client's actor calls nothing deep. What it does not touch of its stack is not there.
const STACK: usize = 256 << 10;

// ANCHOR: kv-run
/// Serves each client by an actor of its own; the calling thread is the last actor, the porter.
pub fn run(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
    let server = Server::new(config.clone(), Slots::shards_of(ctx.workers, 1)?, port);
    // The stop is a message among others here: it must not halt actors that have something to
    // finish.
    system(&Stop::new(), |system| {
        let (porter, notes) = system.mailbox(NOTES);
        let bell = porter.clone();
        let _on_stop = ctx.stop.on_request(move || _ = bell.send(Note::Stop));
        let (listener, (open, closed)) = (Arc::new(listener), system.mailbox(1));
        let book = Porter::new(listener.clone(), open, config.drain);
        let to = Addresses { keepers: Keepers::start(&system, &server)?, porter };
        let (server, stop) = (server.clone(), ctx.stop.clone());
        let doorman = Doorman { system: system.small(STACK), server, stop, closed, to };
        system.spawn("doorman", move || doorman.work(&listener))?;
        book.work(&notes)
    })?;
    Ok(server.totals())
}
// ANCHOR_END: kv-run

/// The actors that a client sends messages to.
#[derive(Clone)]
struct Addresses {
    keepers: Keepers,
    porter: Address<Note>,
}

/// The actor at the listener.
struct Doorman<'scope, 'env> {
    system: System<'scope, 'env>,
    server: Arc<Server>,
    stop: Stop,
    /// Its only address is dropped when the door is closed.
    closed: Mailbox<Infallible>,
    to: Addresses,
}

// ANCHOR: kv-accept
impl Doorman<'_, '_> {
    fn work(self, listener: &TcpListener) -> Result<(), Halted> {
        let failed = self.accept(listener).err();
        self.to.porter.send(Note::Shut(failed))
    }

    /// Lets clients in until a stop is requested.
    fn accept(&self, listener: &TcpListener) -> Result<()> {
        let mut number = 0;
        loop {
            match listener.accept() {
                _ if self.stop.requested() => return Ok(()),
                Ok((stream, _)) => {
                    number += 1;
                    self.welcome(number, stream);
                }
                Err(error) => match accept_again(&error) {
                    // For so long, unless the porter closes the door meanwhile.
                    Some(pause) => _ = self.closed.serve_until(Some(Instant::now() + pause)),
                    None => return Err(Error::io("accept")(error)),
                },
            }
        }
    }

    /// Gives a client an actor, or tells it that there is none.
    fn welcome(&self, number: u64, stream: TcpStream) {
        let Some(connection) = Connection::new(&self.server) else { return turn_away(&stream) };
        let stream = Arc::new(stream);
        // If the porter is gone, so is the system, and no client is served.
        let Ok(()) = self.to.porter.send(Note::Entered(number, stream.clone())) else { return };
        let leave = Leave { number, porter: self.to.porter.clone() };
        let client = Client {
            connection,
            keepers: self.to.keepers.clone(),
            stop: self.stop.clone(),
            clock: self.server.config().clock.clone(),
            stream: stream.clone(),
            _leave: leave,
        };
        if self.system.spawn_loose(format!("client-{number}"), move || client.work()).is_err() {
            turn_away(&stream);
        }
    }
}
// ANCHOR_END: kv-accept

/// An actor that serves one client.
struct Client {
    connection: Connection,
    keepers: Keepers,
    stop: Stop,
    clock: Clock,
    stream: Arc<TcpStream>,
    /// Last, so that it is dropped when all the rest is gone.
    _leave: Leave,
}

/// Tells the porter, when it is dropped, that a client has gone.
struct Leave {
    number: u64,
    porter: Address<Note>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        // If the porter is gone, so is the system.
        let _ = self.porter.send(Note::Left(self.number));
    }
}

// ANCHOR: kv-work
impl Client {
    /// Serves it to its end. An error concerns no other client.
    fn work(mut self) {
        if self.converse().is_ok() {
            hang_up(&self.stream);
        }
    }

    /// Reads, asks and writes by turns.
    fn converse(&mut self) -> io::Result<()> {
        // Without it, it is slower.
        let _ = self.stream.set_nodelay(true);
        let mut has_limit = false;
        // What is not read into it is not touched.
        let mut buffer = [MaybeUninit::uninit(); READ];
        while !self.connection.is_over() {
            if let Some(pause) = self.connection.pause() {
                if is_shut_within(&self.stream, pause)? {
                    self.connection.end();
                }
            } else if self.connection.wants_input() {
                self.connection.shrink();
                limit(&self.stream, self.connection.patience(), &mut has_limit)?;
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

    /// Has run what was asked for, until nothing is left of it and of the replies.
    fn answer(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        loop {
            while self.round(now) {}
            if self.connection.output().is_empty() {
                return Ok(());
            }
            while !self.connection.output().is_empty() {
                match (&*self.stream).write(self.connection.output()) {
                    Ok(bytes) => self.connection.wrote(bytes),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Has as much run as can be under way at once, and says whether there was anything.
    fn round(&mut self, now: Now) -> bool {
        let mut plans: Vec<_> = iter::from_fn(|| self.connection.next(now)).take(ROUND).collect();
        let replies = match &mut plans[..] {
            [plan] if !plan.is_isolated() => vec![self.keepers.run_each(plan)],
            [plan] if plan.parts().len() > 1 => vec![self.keepers.run(plan)],
            plans => self.keepers.run_in_order(plans),
        };
        replies.into_iter().for_each(|reply| self.connection.answer(reply));
        !plans.is_empty()
    }
}
// ANCHOR_END: kv-work

/// Has the next reads and writes fail after this time. Most clients never have a limit, and need no
/// system call for it.
fn limit(stream: &TcpStream, patience: Option<Duration>, has_limit: &mut bool) -> io::Result<()> {
    if patience.is_some_and(|patience| patience.is_zero()) {
        return Err(ErrorKind::TimedOut.into());
    }
    if patience.is_some() || *has_limit {
        *has_limit = patience.is_some();
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
    }
    Ok(())
}

/// Waits for this time. Whether the socket's reading side was shut down meanwhile, by the client or
/// by the porter.
fn is_shut_within(stream: &TcpStream, time: Duration) -> io::Result<bool> {
    let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
    let mut socket = [PollFd::new(stream, PollFlags::RDHUP)];
    match poll(&mut socket, Some(&timeout)) {
        Err(error) if error != Errno::INTR => Err(error.into()),
        _ => Ok(!socket[0].revents().is_empty()),
    }
}

#[cfg(test)]
mod tests;
