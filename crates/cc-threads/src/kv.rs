//! `kv` on free threads.
//!
//! - **Split.** A thread for each client: it reads, runs what it has read, writes, and waits in the
//!   kernel for its client. Nothing is handed from one thread to another, so a request costs only
//!   its system calls.
//! - **Share.** All keys, in shards that have a lock each. A thread takes the locks of a plan's
//!   shards in ascending order, so a deadlock is impossible. It holds no lock while it waits for a
//!   socket. A lock is held while one plan runs. A readers-writer lock would not pay: a GET is so
//!   short that taking the lock dominates it.
//! - **Bound.** The number of connections, and the memory that each may hold. While a client does
//!   not take its replies, its thread waits for room in the socket and for more requests at the
//!   same time, until too many replies wait. The limit of this model is one stack per client.
//! - **Order.** A client's requests are run in their order, by its thread. Plans on the same shards
//!   are run in the order in which they get the locks.
//! - **Stop.** The listener and the reading sides of all sockets are shut down. This wakes all
//!   threads that wait in a read: they see the end of the input, answer what has arrived, and end.
//!   After the time to drain, the writing sides are shut down, too.
//! - **Fail.** A panic ends the thread of one client. If the thread held the lock of a shard, the
//!   shard may be inconsistent. It is replaced by an empty one with another epoch.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::{Shutdown, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, Scope},
    time::Duration,
};

use cc_workloads::{
    Ctx, Error, Result,
    kv::{
        self, Config, Connection, Plan, READ, Reply, SWEEP, Server, Shard, SharedBudget, Totals,
        accept_again, hang_up, turn_away,
    },
};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{SendFlags, send},
};

use crate::threads;

/// Number of shards, each with a lock: many more than cores, so that two threads seldom want the
/// same lock.
const SHARDS: usize = 64;

/// Stack size of a client's thread. 256 KiB suffices, since the call depth is small. Pages of a
/// stack that are never touched are never committed.
const STACK: usize = 256 << 10;

// ANCHOR: kv-run
/// Serves each client on a thread of its own, and sweeps on one more; the calling thread accepts.
pub fn run(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
    let listener = Arc::new(listener);
    let server = Server::new(config.clone(), SHARDS, port);
    let shards = Shards::new(&server);
    let connections = Arc::<ConnectionRegistry>::default();
    let _on_stop = ctx.stop.on_request({
        let (listener, connections) = (listener.clone(), connections.clone());
        move || {
            // Wakes `accept`. Fails only if the listener has been shut down already.
            let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Read);
            connections.shut_down(Shutdown::Read);
        }
    });
    let (end_tx, end_rx) = bounded::<()>(0);
    thread::scope(|scope| {
        threads::start(scope, "sweep", || sweep(&server, &shards, &end_rx))?;
        let shared = Shared { ctx, server: &server, shards: &shards, connections: &connections };
        let accepted = shared.accept(scope, &listener);
        connections.drain(config.drain);
        // Ends `sweep`: the channel carries no message, its closing is the signal.
        drop(end_tx);
        accepted
    })?;
    Ok(server.totals())
}
// ANCHOR_END: kv-run

// ANCHOR: kv-accept
impl<'a> Shared<'a> {
    /// Accepts clients until a stop is requested.
    fn accept<'s>(self, scope: &'s Scope<'s, 'a>, listener: &TcpListener) -> Result<()> {
        loop {
            let accepted = listener.accept();
            if self.ctx.stop.requested() {
                return Ok(());
            }
            match accepted {
                Ok((stream, _)) => self.spawn_client(scope, stream),
                Err(error) => match accept_again(&error) {
                    Some(pause) => self.connections.pause(pause),
                    None => return Err(Error::io("accept")(error)),
                },
            }
        }
    }

    /// Starts a thread for a client. If there is none, tells the client so and closes the
    /// connection.
    fn spawn_client<'s>(self, scope: &'s Scope<'s, 'a>, stream: TcpStream) {
        let Some(connection) = Connection::new(self.server) else { return turn_away(&stream) };
        let client = self.connections.register(stream);
        let stream = client.stream.clone();
        let thread = thread::Builder::new().name(format!("client-{}", client.number)).stack_size(STACK);
        let serve = move || self.serve(&client, connection);
        if thread.spawn_scoped(scope, serve).is_err() {
            turn_away(&stream);
        }
    }

    /// Serves a client until its connection ends. An error or a panic concerns this client only.
    /// The panic hook has reported a panic, with the thread's name.
    fn serve(self, client: &Client, connection: Connection) {
        // `AssertUnwindSafe` is sound: the connection is dropped, and `Shards::lock` replaces a
        // shard whose lock is poisoned.
        let exchange = AssertUnwindSafe(|| self.exchange(&client.stream, connection));
        if let Ok(Ok(())) = catch_unwind(exchange) {
            hang_up(&client.stream);
        }
    }
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Shared<'_> {
    /// Reads requests, runs them and writes the replies, until the connection ends.
    fn exchange(self, stream: &TcpStream, mut connection: Connection) -> io::Result<()> {
        // Disables Nagle's algorithm: otherwise a small reply waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let mut has_limit = false;
        // Uninitialized: the part that no read fills is never touched, so its pages of the stack
        // are never committed.
        let mut buffer = [MaybeUninit::uninit(); READ];
        while !connection.is_over() {
            let mut wants_input = connection.wants_input();
            if let Some(pause) = connection.pause()
                && connection.output().is_empty()
            {
                if is_shut_within(stream, pause)? {
                    connection.end();
                }
            } else if !connection.output().is_empty() {
                wants_input = await_room(stream, &connection)?;
            } else if wants_input {
                connection.shrink();
                limit(stream, connection.time_left(), &mut has_limit)?;
            }
            if wants_input {
                match rustix::io::read(stream, &mut buffer).map(|(bytes, _)| bytes) {
                    Ok([]) => connection.end(),
                    Ok(bytes) => connection.received(bytes),
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
                if self.ctx.stop.requested() {
                    connection.end();
                }
            }
            self.answer(stream, &mut connection)?;
        }
        Ok(())
    }

    /// Runs the plans of the requests that were read, and writes the replies that the socket takes.
    fn answer(self, stream: &TcpStream, connection: &mut Connection) -> io::Result<()> {
        let now = self.server.now();
        loop {
            while let Some(plan) = connection.next(now) {
                connection.answer(self.shards.run(&plan));
            }
            if connection.output().is_empty() {
                return Ok(());
            }
            while !connection.output().is_empty() {
                match send(stream, connection.output(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(bytes) => connection.wrote(bytes),
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// Waits until the socket has room for replies or, if the connection wants it, input.
/// Returns whether it has input to read. Fails when the client has no time left.
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

/// Sets the time-out of the next read. Most clients never have one, and cost no system call here.
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

/// Waits for this time at most. Returns whether the reading side of the socket was shut down
/// meanwhile, by the client or for a stop.
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

/// Removes expired entries that no request touches, until the channel closes.
fn sweep(server: &Server, shards: &Shards, end_rx: &Receiver<()>) {
    while end_rx.recv_timeout(SWEEP) == Err(RecvTimeoutError::Timeout) {
        let now = server.now();
        for shard in 0..SHARDS {
            // The lock is taken for each slice, so that plans get it in between.
            kv::sweep(SHARDS, |slots| shards.lock(shard).sweep(now, slots));
        }
    }
}
// ANCHOR_END: kv-work

// ANCHOR: kv-plan
impl Shards {
    fn new(server: &Server) -> Self {
        let budget = server.budget().clone();
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::empty(&budget))).collect();
        Self { shards, budget }
    }

    /// Runs a plan while holding the locks of all of its shards. A plan's parts are in ascending
    /// order of their shards, so two plans never wait for each other.
    fn run(&self, plan: &Plan) -> Reply {
        if let [part] = plan.parts() {
            return plan.run([&mut *self.lock(part.shard)]);
        }
        let mut guards: Vec<_> = plan.parts().iter().map(|part| self.lock(part.shard)).collect();
        plan.run(guards.iter_mut().map(|shard| &mut **shard))
    }

    /// Locks a shard. If a panic has poisoned the lock, the shard may be inconsistent: it is
    /// replaced by an empty one.
    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        let lock = &self.shards[shard];
        lock.lock().unwrap_or_else(|poisoned| {
            let mut shard = poisoned.into_inner();
            *shard = Shard::empty(&self.budget);
            lock.clear_poison();
            shard
        })
    }
}
// ANCHOR_END: kv-plan

impl ConnectionRegistry {
    fn register(&self, stream: TcpStream) -> Client<'_> {
        let stream = Arc::new(stream);
        let mut open = self.open();
        open.registered += 1;
        let number = open.registered;
        open.streams.insert(number, stream.clone());
        if let Some(how) = open.shut_down {
            let _ = stream.shutdown(how);
        }
        Client { number, stream, connections: self }
    }

    /// Shuts down all sockets, and those that are registered later.
    fn shut_down(&self, how: Shutdown) {
        let mut open = self.open();
        open.shut_down = Some(how);
        for stream in open.streams.values() {
            // Fails if the client has closed the connection.
            let _ = stream.shutdown(how);
        }
        self.changed.notify_all();
    }

    /// Waits for this time, or until the sockets are shut down.
    fn pause(&self, time: Duration) {
        let _ = self.changed.wait_timeout_while(self.open(), time, |open| open.shut_down.is_none());
    }

    /// Waits until all clients are gone, or for this time at most. Then shuts down the sockets that
    /// are left, in both directions.
    fn drain(&self, time: Duration) {
        let _ = self.changed.wait_timeout_while(self.open(), time, |open| !open.streams.is_empty());
        self.shut_down(Shutdown::Both);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that could panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.connections.open().streams.remove(&self.number);
        self.connections.changed.notify_all();
    }
}

/// What the threads of all clients share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    ctx: &'a Ctx,
    server: &'a Arc<Server>,
    shards: &'a Shards,
    connections: &'a ConnectionRegistry,
}

/// All keys, in [`SHARDS`] shards with a lock each.
struct Shards {
    shards: Vec<Mutex<Shard>>,
    budget: SharedBudget,
}

/// The sockets of all clients. Shutting a socket down wakes the thread that waits for it.
#[derive(Default)]
struct ConnectionRegistry {
    open: Mutex<Open>,
    /// Notified when a client has gone, or the sockets are shut down.
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    streams: HashMap<u64, Arc<TcpStream>>,
    /// How many clients were registered so far.
    registered: u64,
    /// How the sockets were shut down; later ones are shut down in the same way.
    shut_down: Option<Shutdown>,
}

/// A registered client. Dropping it removes its socket from the registry.
struct Client<'a> {
    number: u64,
    stream: Arc<TcpStream>,
    connections: &'a ConnectionRegistry,
}
