//! `kv` on free threads.
//!
//! - **Split.** A thread for each client: it reads, runs what it has read, writes, and waits in the kernel for the one that
//!   it serves. Nothing is handed from one thread to another, so a request costs no more than its system calls.
//! - **Share.** All keys, in shards with a lock each. Whoever has a plan takes the locks of its shards, in ascending order,
//!   so that no two wait for each other, and none while a socket is waited for. Nothing is held for longer than a plan
//!   takes. A lock that lets in several readers costs as much as a GET.
//! - **Bound.** Connections, by number; what each of them holds, by what it is. A client that does not take its replies
//!   keeps his thread in `write`, where it asks for no more requests. What limits this model is a stack for each client.
//! - **Order.** A client's requests are run in their order, by his thread. Plans on the same shards are run in the order
//!   in which their locks were had.
//! - **Stop.** The listener and the reading sides of all sockets are shut down, which wakes whoever waits there: threads
//!   find the end of their input, answer what was there, and go. After the time to drain the writing sides follow.
//! - **Fail.** A panic ends the thread of one client. If it held a lock, nobody knows what is left of that shard: it is
//!   replaced by an empty one, of another epoch.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Write},
    mem::MaybeUninit,
    net::{Shutdown, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, Scope},
    time::Duration,
};

use cc_workloads::{
    Ctx, Error, Result, Stop,
    kv::{
        self, Config, Connection, Plan, READ, Reply, SWEEP, Server, Shard, SharedBudget, Totals,
        accept_again, hang_up, turn_away,
    },
};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::threads;

/// Many more than there are cores, so that two threads seldom want the same.
const SHARDS: usize = 64;

/// A client's thread calls nothing deep. What it does not touch of its stack is not there.
const STACK: usize = 256 << 10;

// ANCHOR: kv-run
/// Serves each client on a thread of its own, and sweeps on one more; the calling thread accepts.
pub fn run(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let port = listener.local_addr().map_err(Error::io("address of the listener"))?.port();
    let server = Server::new(config.clone(), SHARDS, port);
    let (shards, clients, listener) = (Shards::new(&server), Arc::<Clients>::default(), Arc::new(listener));
    let (door, inside) = (listener.clone(), clients.clone());
    let _on_stop = ctx.stop.on_request(move || {
        // Fails only if nobody waits there any more.
        let _ = rustix::net::shutdown(&*door, rustix::net::Shutdown::Read);
        inside.hang_up(Shutdown::Read);
    });
    let (ended, end) = bounded::<()>(0);
    thread::scope(|scope| {
        threads::start(scope, "sweep", || sweep(&server, &shards, &end))?;
        let desk = Desk { server: &server, shards: &shards, clients: &clients, stop: &ctx.stop };
        let accepted = desk.accept(scope, &listener);
        clients.drain(config.drain);
        drop(ended);
        accepted
    })?;
    Ok(server.totals())
}
// ANCHOR_END: kv-run

/// What all threads have in common.
#[derive(Clone, Copy)]
struct Desk<'a> {
    server: &'a Arc<Server>,
    shards: &'a Shards,
    clients: &'a Clients,
    stop: &'a Stop,
}

// ANCHOR: kv-accept
impl<'a> Desk<'a> {
    /// Lets clients in until a stop is requested.
    fn accept<'s>(self, scope: &'s Scope<'s, 'a>, listener: &TcpListener) -> Result<()> {
        loop {
            match listener.accept() {
                _ if self.stop.requested() => return Ok(()),
                Ok((stream, _)) => self.welcome(scope, stream),
                Err(error) => match accept_again(&error) {
                    Some(pause) => self.clients.wait(pause),
                    None => return Err(Error::io("accept")(error)),
                },
            }
        }
    }

    /// Gives a client a thread, or tells it that there is none.
    fn welcome<'s>(self, scope: &'s Scope<'s, 'a>, stream: TcpStream) {
        let Some(connection) = Connection::new(self.server) else { return turn_away(&stream) };
        let client = self.clients.enter(stream);
        let stream = client.stream.clone();
        let thread = thread::Builder::new().name(format!("client-{}", client.number)).stack_size(STACK);
        let serve = move || self.serve(&client, connection);
        if thread.spawn_scoped(scope, serve).is_err() {
            turn_away(&stream);
        }
    }

    /// Serves a client to its end. Whatever goes wrong concerns nobody else; a panic has been reported with the
    /// thread's name.
    fn serve(self, client: &Client, connection: Connection) {
        let converse = || self.converse(&client.stream, connection);
        if let Ok(Ok(())) = catch_unwind(AssertUnwindSafe(converse)) {
            hang_up(&client.stream);
        }
    }
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Desk<'_> {
    /// Reads, runs and writes by turns.
    fn converse(self, stream: &TcpStream, mut connection: Connection) -> io::Result<()> {
        // Without it, it is slower.
        let _ = stream.set_nodelay(true);
        let mut has_limit = false;
        // What is not read into it is not touched.
        let mut buffer = [MaybeUninit::uninit(); READ];
        while !connection.is_over() {
            if let Some(pause) = connection.pause() {
                if is_shut_within(stream, pause)? {
                    connection.end();
                }
            } else if connection.wants_input() {
                connection.shrink();
                limit(stream, connection.patience(), &mut has_limit)?;
                match rustix::io::read(stream, &mut buffer).map(|(bytes, _)| bytes) {
                    Ok([]) => connection.end(),
                    Ok(bytes) => connection.received(bytes),
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
                if self.stop.requested() {
                    connection.end();
                }
            }
            self.answer(stream, &mut connection)?;
        }
        Ok(())
    }

    /// Runs what was asked for, until nothing is left of it and of the replies.
    fn answer(self, mut stream: &TcpStream, connection: &mut Connection) -> io::Result<()> {
        let now = self.server.now();
        loop {
            while let Some(plan) = connection.next(now) {
                connection.answer(self.shards.run(&plan));
            }
            if connection.output().is_empty() {
                return Ok(());
            }
            while !connection.output().is_empty() {
                match stream.write(connection.output()) {
                    Ok(bytes) => connection.wrote(bytes),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

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
/// for a stop.
fn is_shut_within(stream: &TcpStream, time: Duration) -> io::Result<bool> {
    let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
    let mut socket = [PollFd::new(stream, PollFlags::RDHUP)];
    match poll(&mut socket, Some(&timeout)) {
        Err(error) if error != Errno::INTR => Err(error.into()),
        _ => Ok(!socket[0].revents().is_empty()),
    }
}

/// Removes what has expired and nobody asks for, until the channel closes.
fn sweep(server: &Server, shards: &Shards, end: &Receiver<()>) {
    while end.recv_timeout(SWEEP) == Err(RecvTimeoutError::Timeout) {
        let now = server.now();
        for shard in 0..SHARDS {
            // The lock is taken for each slice, so that plans get it in between.
            kv::sweep(SHARDS, |places| shards.lock(shard).sweep(now, places));
        }
    }
}
// ANCHOR_END: kv-work

// ANCHOR: kv-plan
/// All keys, under so many locks.
struct Shards {
    shards: Vec<Mutex<Shard>>,
    budget: SharedBudget,
}

impl Shards {
    fn new(server: &Server) -> Self {
        let budget = server.budget().clone();
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::empty(&budget)));
        Self { shards: shards.collect(), budget }
    }

    /// Runs a plan on the shards that it needs, all of them held.
    fn run(&self, plan: &Plan) -> Reply {
        if let [part] = plan.parts() {
            return plan.run([&mut *self.lock(part.shard)]);
        }
        let mut held: Vec<_> = plan.parts().iter().map(|part| self.lock(part.shard)).collect();
        plan.run(held.iter_mut().map(|shard| &mut **shard))
    }

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

/// The sockets of those who are connected, for whoever has to wake their threads.
#[derive(Default)]
struct Clients {
    open: Mutex<Open>,
    fewer: Condvar,
}

#[derive(Default)]
struct Open {
    streams: HashMap<u64, Arc<TcpStream>>,
    entered: u64,
    /// What newcomers find shut down, too.
    closed: Option<Shutdown>,
}

/// A client who has entered, and leaves when this is dropped.
struct Client<'a> {
    number: u64,
    stream: Arc<TcpStream>,
    clients: &'a Clients,
}

impl Clients {
    fn enter(&self, stream: TcpStream) -> Client<'_> {
        let (mut open, stream) = (self.open(), Arc::new(stream));
        open.entered += 1;
        let number = open.entered;
        open.streams.insert(number, stream.clone());
        if let Some(how) = open.closed {
            let _ = stream.shutdown(how);
        }
        Client { number, stream, clients: self }
    }

    /// Shuts all sockets down, and those of who enters from now on.
    fn hang_up(&self, how: Shutdown) {
        let mut open = self.open();
        open.closed = Some(how);
        // One that the client has closed cannot be shut down.
        open.streams.values().for_each(|stream| _ = stream.shutdown(how));
        self.fewer.notify_all();
    }

    /// Waits for so long, unless all are asked to go meanwhile.
    fn wait(&self, time: Duration) {
        let _ = self.fewer.wait_timeout_while(self.open(), time, |open| open.closed.is_none());
    }

    /// Waits until all have gone, and after this time no longer for any of them.
    fn drain(&self, time: Duration) {
        let open = self.open();
        let _ = self.fewer.wait_timeout_while(open, time, |open| !open.streams.is_empty());
        self.hang_up(Shutdown::Both);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that could panic runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.clients.open().streams.remove(&self.number);
        self.clients.fewer.notify_all();
    }
}
