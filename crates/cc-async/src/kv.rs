//! `kv` on async/await, on tokio's multi-thread runtime.
//!
//! - **Split.** A task for each client. It costs what it keeps between two requests, not a stack, so there may be as many as
//!   there are descriptors; the runtime's workers, one for each core, poll whichever has been heard of.
//! - **Share.** All keys, in shards with a lock each. It is std's lock and not tokio's: a plan takes less time than going to
//!   sleep would, and since no guard can be kept across an `await` (the future would not be `Send`), nobody is polled who
//!   holds one. Locks are taken in ascending order of shards, so that no two tasks wait for each other.
//! - **Bound.** Connections, by number; what each of them holds, by what it is. What is read goes into a buffer on the
//!   worker's stack, which a future has only while it is polled. A client that does not take its replies is not asked for
//!   more requests.
//! - **Order.** A client's requests are run in their order, by its task. Plans on the same shards are run in the order in
//!   which their locks were had.
//! - **Stop.** A [`CancellationToken`] ends `accept`, and wakes every task that waits for its client: it reads a last time
//!   what has arrived, answers, and ends. Whoever is left after the time to drain is dropped with the runtime.
//! - **Fail.** A panic ends the task of one client. If it held a lock, nobody knows what is left of that shard: it is
//!   replaced by an empty one, of another epoch.

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

/// Many more than there are workers, so that two of them seldom want the same.
const SHARDS: usize = 64;

// ANCHOR: kv-run
/// Serves on a runtime of its own, with `ctx.workers` threads; the calling thread accepts.
pub fn run(listener: net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let runtime = build(Builder::new_multi_thread().worker_threads(ctx.workers.get()).enable_all())?;
    let (stop, _on_stop) = token(&ctx.stop);
    runtime.block_on(async {
        let door = Door::new(listener, config, SHARDS, stop)?;
        let (shards, clients) = (Arc::new(Shards::new(&door.server)), TaskTracker::new());
        let sweeping = tokio::spawn(sweep(door.server.clone(), shards.clone()));
        let welcome = |stream, connection, door: &Door| {
            let (client, shards) = (door.client(), shards.clone());
            clients.spawn(async move { client.serve(stream, connection, |plan| shards.run(plan)).await });
        };
        door.accept(welcome).await?;
        drain(&clients, config.drain).await;
        sweeping.abort();
        Ok(door.server.totals())
    })
}
// ANCHOR_END: kv-run

// ANCHOR: kv-accept
/// Where clients come in.
pub(crate) struct Door {
    listener: TcpListener,
    pub(crate) server: Arc<Server>,
    stop: CancellationToken,
}

impl Door {
    /// Must be called in a runtime.
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

    /// Lets clients in until a stop is requested.
    pub(crate) async fn accept(&self, welcome: impl Fn(TcpStream, Connection, &Self)) -> Result<()> {
        while let Some(accepted) = self.stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => match Connection::new(&self.server) {
                    Some(connection) => welcome(stream, connection, self),
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

    /// What the task of a client takes along.
    pub(crate) fn client(&self) -> Client {
        Client { server: self.server.clone(), stop: self.stop.clone() }
    }
}

/// Waits until all clients have gone, for this time at most. Those that have not go with the
/// runtime.
pub(crate) async fn drain(clients: &TaskTracker, time: Duration) {
    clients.close();
    let _ = timeout(time, clients.wait()).await;
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
/// A client's task.
pub(crate) struct Client {
    server: Arc<Server>,
    stop: CancellationToken,
}

impl Client {
    /// Serves it to its end. Whatever goes wrong concerns nobody else.
    pub(crate) async fn serve(self, stream: TcpStream, connection: Connection, run: impl Fn(&Plan) -> Reply) {
        // Without it, it is slower.
        let _ = stream.set_nodelay(true);
        if self.converse(&stream, connection, run).await.is_ok() {
            hang_up(&stream);
        }
    }

    /// Reads, runs and writes by turns.
    async fn converse(
        &self,
        stream: &TcpStream,
        mut connection: Connection,
        run: impl Fn(&Plan) -> Reply,
    ) -> io::Result<()> {
        // Registered once, not for each request.
        let mut stopped = pin!(self.stop.cancelled());
        while !connection.is_over() {
            if let Some(pause) = connection.pause() {
                select! {
                    biased;
                    () = &mut stopped => connection.end(),
                    () = sleep(pause) => {}
                }
            } else if connection.wants_input() {
                connection.shrink();
                select! {
                    biased;
                    readable = within(connection.patience(), stream.readable()) => readable?,
                    () = &mut stopped => {}
                }
                read(stream, &mut connection)?;
                if self.stop.is_cancelled() {
                    connection.end();
                }
            }
            self.answer(stream, &mut connection, &run).await?;
        }
        Ok(())
    }

    /// Runs what was asked for, until nothing is left of it and of the replies.
    async fn answer(
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
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        within(connection.patience(), stream.writable()).await?;
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// Waits for the client no longer than it may take.
async fn within(patience: Option<Duration>, ready: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    match patience {
        Some(patience) if patience.is_zero() => Err(ErrorKind::TimedOut.into()),
        Some(patience) => timeout(patience, ready).await?,
        None => ready.await,
    }
}

/// Reads what is there. Apart, so that the buffer is not kept in the future of every client.
fn read(stream: &TcpStream, connection: &mut Connection) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); READ];
    let room = &mut buffer[..];
    match stream.try_io(Interest::READABLE, move || Ok(rustix::io::read(stream, room)?)) {
        Ok(([], _)) => connection.end(),
        Ok((bytes, _)) => connection.received(bytes),
        // It turned out otherwise: it is waited for again.
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Removes what has expired and nobody asks for, until it is dropped.
async fn sweep(server: Arc<Server>, shards: Arc<Shards>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = server.now();
        for shard in 0..SHARDS {
            // The lock is taken for each slice, so that plans get it in between.
            kv::sweep(SHARDS, |places| shards.lock(shard).sweep(now, places));
        }
        ticks.tick().await;
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
