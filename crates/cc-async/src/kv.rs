//! `kv` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task for each client. Between two requests it takes no stack, only the memory
//!   that it keeps, so the limit of clients is the limit of descriptors. The runtime's workers, as
//!   many as `--workers` says, poll the tasks whose sockets are ready.
//! - **Share.** All keys, in shards that have a lock each. The lock is of `std`, not of tokio: a
//!   plan takes less time than a task switch would. Its guard is not `Send`, so a future that kept
//!   one across an `await` would not compile as a task. Locks are taken in ascending order of
//!   shards, so a deadlock is impossible.
//! - **Bound.** The number of connections, and the memory that each may hold. The read buffer is on
//!   the stack of the worker, and not in the future of each client. A client's task waits for room
//!   for replies and for more requests at the same time, until too many replies wait.
//! - **Order.** A client's requests are run in their order, by its task. Plans on the same shards
//!   are run in the order in which they get the locks.
//! - **Stop.** A [`CancellationToken`] ends `accept` and wakes each task that waits for its client.
//!   The task reads once more what has arrived, answers, and ends. Tasks that are left after the
//!   time to drain are dropped with the runtime.
//! - **Fail.** A panic ends the task of one client. If the task held the lock of a shard, the shard
//!   may be inconsistent. It is replaced by an empty one with another epoch.

use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use cc_workloads::{
    Ctx, Error, Result,
    kv::{
        self, Config, Connection, Plan, READ, Reply, SWEEP, Server, Shard, SharedBudget, Totals,
        accept_again, hang_up, turn_away,
    },
};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    runtime::Builder,
    select,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::runtime::{build, token};

/// Number of shards, each with a lock: many more than workers, so that two tasks seldom want the
/// same lock.
const SHARDS: usize = 64;

// ANCHOR: kv-run
/// Serves on its own runtime, with `ctx.workers` threads; the calling thread accepts.
pub fn run(listener: net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let runtime = build(Builder::new_multi_thread().worker_threads(ctx.workers.get()).enable_all())?;
    let (stop, _on_stop) = token(&ctx.stop);
    runtime.block_on(async {
        let acceptor = Acceptor::new(listener, config, SHARDS, stop)?;
        let shards = Arc::new(Shards::new(&acceptor.server));
        let clients = TaskTracker::new();
        let sweeping = tokio::spawn(sweep(acceptor.server.clone(), shards.clone()));
        let spawn_client = |client: Client, stream, connection| {
            let shards = shards.clone();
            clients.spawn(async move { client.serve(stream, connection, |plan| shards.run(plan)).await });
        };
        acceptor.accept(spawn_client).await?;
        drain(&clients, config.drain).await;
        sweeping.abort();
        Ok(acceptor.server.totals())
    })
}
// ANCHOR_END: kv-run

// ANCHOR: kv-accept
impl Acceptor {
    /// Must be called within a runtime: the listener is registered with it.
    pub(crate) fn new(
        listener: net::TcpListener,
        config: &Config,
        shards: usize,
        stop: CancellationToken,
    ) -> Result<Self> {
        let failed = || Error::io("listener");
        let port = listener.local_addr().map_err(failed())?.port();
        listener.set_nonblocking(true).map_err(failed())?;
        let listener = TcpListener::from_std(listener).map_err(failed())?;
        Ok(Self { listener, server: Server::new(config.clone(), shards, port), stop })
    }

    /// Accepts clients until a stop is requested. `accept` is cancel safe: a connection that is not
    /// returned stays in the listener's backlog.
    pub(crate) async fn accept(&self, spawn_client: impl Fn(Client, TcpStream, Connection)) -> Result<()> {
        while let Some(accepted) = self.stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => match Connection::new(&self.server) {
                    Some(connection) => spawn_client(self.client(), stream, connection),
                    None => turn_away(&stream),
                },
                Err(error) => match accept_again(&error) {
                    Some(pause) => _ = self.stop.run_until_cancelled(sleep(pause)).await,
                    None => return Err(Error::io("accept")(error)),
                },
            }
        }
        Ok(())
    }

    /// What the task of a client owns.
    fn client(&self) -> Client {
        Client { server: self.server.clone(), stop: self.stop.clone() }
    }
}

/// Waits until the tasks of all clients have ended, or for this time at most. Those that are left
/// are dropped with the runtime.
pub(crate) async fn drain(clients: &TaskTracker, time: Duration) {
    clients.close();
    let _ = timeout(time, clients.wait()).await;
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Client {
    /// Serves a client until its connection ends. An error concerns this client only.
    pub(crate) async fn serve(self, stream: TcpStream, connection: Connection, run: impl Fn(&Plan) -> Reply) {
        // Disables Nagle's algorithm: otherwise a small reply waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        if self.exchange(&stream, connection, run).await.is_ok() {
            hang_up(&stream);
        }
    }

    /// Reads requests, runs them and writes the replies, until the connection ends.
    async fn exchange(
        &self,
        stream: &TcpStream,
        mut connection: Connection,
        run: impl Fn(&Plan) -> Reply,
    ) -> io::Result<()> {
        // Registered with the token once, and not for each request.
        let mut stopped = pin!(self.stop.cancelled());
        while !connection.is_over() {
            if let Some(pause) = connection.pause()
                && connection.output().is_empty()
            {
                // Cancel safe: `connection` knows how long the pause still is.
                select! {
                    biased;
                    () = &mut stopped => connection.end(),
                    () = sleep(pause) => {}
                }
            } else if let Some(interest) = interest(&connection) {
                connection.shrink();
                // Cancel safe: `ready` consumes nothing, and the read below has no `await`.
                // `biased` saves the random choice of a branch, which makes no difference here:
                // after either, what has arrived is read. A stop ends the input.
                select! {
                    biased;
                    ready = within(connection.time_left(), stream.ready(interest)) => { ready?; }
                    () = &mut stopped, if connection.wants_input() => {}
                }
                if connection.wants_input() {
                    read(stream, &mut connection)?;
                }
                if self.stop.is_cancelled() {
                    connection.end();
                }
            }
            self.answer(stream, &mut connection, &run)?;
        }
        Ok(())
    }

    /// Runs the plans of the requests that were read, and writes the replies that the socket takes.
    fn answer(
        &self,
        stream: &TcpStream,
        connection: &mut Connection,
        run: impl Fn(&Plan) -> Reply,
    ) -> io::Result<()> {
        let now = self.server.now();
        loop {
            while let Some(plan) = connection.next(now) {
                connection.answer(run(&plan));
            }
            if connection.output().is_empty() {
                return Ok(());
            }
            while !connection.output().is_empty() {
                match stream.try_write(connection.output()) {
                    Ok(bytes) => connection.wrote(bytes),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// What the connection waits for; `None` if it can go on.
fn interest(connection: &Connection) -> Option<Interest> {
    match (connection.wants_input(), connection.output().is_empty()) {
        (true, true) => Some(Interest::READABLE),
        (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
        (false, false) => Some(Interest::WRITABLE),
        (false, true) => None,
    }
}

/// Waits until the socket is ready, or fails after the time-out.
async fn within<T>(limit: Option<Duration>, ready: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        Some(limit) if limit.is_zero() => Err(ErrorKind::TimedOut.into()),
        Some(limit) => timeout(limit, ready).await?,
        None => ready.await,
    }
}

/// Reads what has arrived. A function that is not `async`: in one that is, the buffer could become
/// part of the future, once per client.
fn read(stream: &TcpStream, connection: &mut Connection) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); READ];
    let room = &mut buffer[..];
    match stream.try_io(Interest::READABLE, move || Ok(rustix::io::read(stream, room)?)) {
        Ok(([], _)) => connection.end(),
        Ok((bytes, _)) => connection.received(bytes),
        // `WouldBlock` has cleared tokio's cached readiness; the caller waits for the next event.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Removes expired entries that no request touches, until it is dropped.
async fn sweep(server: Arc<Server>, shards: Arc<Shards>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = server.now();
        for shard in 0..SHARDS {
            // The lock is taken for each slice, so that plans get it in between.
            kv::sweep(SHARDS, |slots| shards.lock(shard).sweep(now, slots));
        }
        ticks.tick().await;
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

/// Accepts clients, on several threads or on one.
pub(crate) struct Acceptor {
    listener: TcpListener,
    pub(crate) server: Arc<Server>,
    stop: CancellationToken,
}

/// What the task of a client owns.
pub(crate) struct Client {
    server: Arc<Server>,
    stop: CancellationToken,
}

/// All keys, in [`SHARDS`] shards with a lock each.
struct Shards {
    shards: Vec<Mutex<Shard>>,
    budget: SharedBudget,
}
