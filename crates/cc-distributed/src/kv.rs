//! `kv` on a cluster.
//!
//! - **Split.** A node is a worker that owns shards. Clients connect to the coordinator, which owns none and asks the nodes
//!   that do: one request of a client is a message there and one back, which is what this model costs, and the
//!   coordinator's processor is what limits it. That clients could connect to any node would spare some of the way only where
//!   they know which, as Redis Cluster's do.
//! - **Share.** Nothing. A node's shards belong to one thread there, and to the session with it. What all clients ask
//!   goes to a node on one stream, in which questions that are there at the same time travel together.
//! - **Bound.** Connections, by number; questions on their way to a node, by the credit that it has granted, in bytes; plans
//!   that a client has on its way, by how large their answers may be. A client that does not take
//!   its replies is not heard.
//! - **Order.** A stream keeps the order, and a node's shards do. A plan on several nodes goes through them in ascending
//!   order: a shard is held for it from when it is prepared until it is run, and others line up there, not on the stream.
//! - **Stop.** Clients are heard for the last time and answered while there is time to drain; then the sessions
//!   end, and with them what they kept.
//! - **Fail.** A node that is silent for too long is taken for dead, and its session is over: whoever waits for an answer
//!   is told that it is indeterminate, whoever asks from then on that the shard is down. Another session has
//!   empty shards, of other epochs, so that it does not matter whether the node was dead: what it held nobody can ask for.

mod node;

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};

use cc_workloads::{
    Ctx, Error, Result,
    kv::{
        Config, Connection, Now, Part, Parts, Plan, READ, Refusal, Reply, Server, Slots, Totals,
        accept_again, hang_up, turn_away,
    },
};
use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::node::{Ask, Brief, Told};
use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    link::{Link, Promise, Ticket, Unasked},
    runtime::current_thread,
    worker::{Role, Service},
};

/// What a worker does for it.
pub(crate) const SERVICE: Service =
    Service { name: "kv", role: Role::Keeper { open: node::keep, requests: false } };

/// A node has so many, so that a plan that holds some does not keep all others waiting.
const SHARDS: usize = 8;

/// A client has no more plans on their way at once.
const AHEAD: usize = 256;
/// Nor more of them than have answers of these bytes, though always one: an answer is a copy, and
/// waits here until all before it are taken.
const BYTES: usize = 4 << 20;

// ANCHOR: kv-run
/// Serves with the workers that the command line names, or with `ctx.workers` processes of its own.
pub fn run(listener: std::net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let address = listener.local_addr().map_err(Error::io("address of the listener"))?;
    Slots::shards_of(ctx.workers, SHARDS)?;
    let brief = |n, nodes| {
        let max_memory = config.share(nodes).max_memory;
        encode(&Brief { first: n * SHARDS, shards: SHARDS, max_memory })
    };
    let options = Options::new(&ctx.options);
    let (cluster, links) = Cluster::keep("kv", brief, Some(options.lose_after), &options, ctx)?;
    let config = Config { shares: links.len(), ..config.clone() };
    let server = Server::new(config, SHARDS * links.len(), address.port());
    let (stop, stopped) = watch::channel(false);
    let _on_stop = ctx.stop.on_request(move || _ = stop.send_replace(true));
    let nodes = Nodes::new(links);
    let desk = Arc::new(Desk { server: server.clone(), nodes, stopped: Stopped(stopped) });
    // The clients have this thread, and the connections to the nodes have the cluster's.
    let accepted = current_thread().and_then(|runtime| runtime.block_on(desk.serve(listener)));
    cluster.close()?;
    accepted?;
    Ok(server.totals())
}
// ANCHOR_END: kv-run

/// What all clients have in common.
struct Desk {
    server: Arc<Server>,
    nodes: Nodes,
    stopped: Stopped,
}

// ANCHOR: kv-accept
impl Desk {
    /// Serves until a stop is requested, and drains then.
    async fn serve(self: Arc<Self>, listener: std::net::TcpListener) -> Result<()> {
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let listener = TcpListener::from_std(listener).map_err(Error::io("listener"))?;
        let mut clients = JoinSet::new();
        let accepted = tokio::select! {
            () = self.stopped.wait() => Ok(()),
            accepted = self.accept(&listener, &mut clients) => accepted,
        };
        drop(listener);
        // Whoever is left after that time is dropped.
        let _ =
            timeout(self.server.config().drain, async { while clients.join_next().await.is_some() {} }).await;
        clients.shutdown().await;
        accepted
    }

    /// Lets clients in. Those who come before it is known which nodes there are wait at the door.
    async fn accept(self: &Arc<Self>, listener: &TcpListener, clients: &mut JoinSet<()>) -> Result<()> {
        for link in &self.nodes.links {
            link.known().await;
        }
        loop {
            tokio::select! {
                Some(_) = clients.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.welcome(stream, clients),
                    Err(error) => match accept_again(&error) {
                        Some(pause) => sleep(pause).await,
                        None => return Err(Error::io("accept")(error)),
                    },
                },
            }
        }
    }

    /// Gives a client a task, or tells it that there are too many.
    fn welcome(self: &Arc<Self>, stream: TcpStream, clients: &mut JoinSet<()>) {
        let desk = self.clone();
        match Connection::new(&self.server) {
            Some(connection) => _ = clients.spawn(async move { desk.client(stream, connection).await }),
            None => turn_away(&stream),
        }
    }

    /// Serves a client to its end. Whatever goes wrong concerns nobody else; the runtime keeps a panic from others.
    async fn client(&self, mut stream: TcpStream, connection: Connection) {
        if self.converse(&mut stream, connection).await.is_ok() {
            hang_up(&stream);
        }
    }
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Desk {
    /// Reads, has run, and writes by turns.
    async fn converse(&self, stream: &mut TcpStream, mut connection: Connection) -> io::Result<()> {
        // Without it, it is slower.
        let _ = stream.set_nodelay(true);
        while !connection.is_over() {
            if let Some(pause) = connection.pause() {
                tokio::select! {
                    biased;
                    () = self.stopped.wait() => connection.end(),
                    () = sleep(pause) => {}
                }
            } else if connection.wants_input() {
                connection.shrink();
                self.hear(stream, &mut connection).await?;
            }
            let now = self.server.now();
            while self.round(&mut connection, now).await || !connection.output().is_empty() {
                self.write(stream, &mut connection).await?;
            }
        }
        Ok(())
    }

    /// Waits for what the client says, or for the stop: then it is heard for the last time.
    async fn hear(&self, stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
        let patience = connection.patience();
        tokio::select! {
            biased;
            heard = within(patience, read(stream, connection)) => return heard,
            () = self.stopped.wait() => {}
        }
        // Nobody says more then, and what has arrived is still to be had.
        let _ = shutdown(&*stream, Shutdown::Read);
        within(patience, read(stream, connection)).await?;
        connection.end();
        Ok(())
    }

    /// Has some plans run, which are all on their way before the first is answered. Whether there were any.
    async fn round(&self, connection: &mut Connection, now: Now) -> bool {
        let (mut asked, mut bytes) = (Vec::new(), 0);
        while asked.len() < AHEAD
            && bytes < BYTES
            && let Some(mut plan) = connection.next(now)
        {
            bytes += self.nodes.longest_answer(plan.parts());
            let sent = self.nodes.send(&mut plan).await;
            asked.push((plan, sent));
        }
        let has_any = !asked.is_empty();
        for (plan, sent) in asked {
            connection.answer(sent.reply(&plan).await);
        }
        has_any
    }

    async fn write(&self, stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
        while !connection.output().is_empty() {
            let patience = connection.patience();
            let wrote = within(patience, stream.write(connection.output())).await?;
            connection.wrote(wrote);
        }
        Ok(())
    }
}
// ANCHOR_END: kv-work

/// The ways to all nodes, in the order of their shards.
struct Nodes {
    links: Vec<Link>,
    /// The length of the longest value that each shard was ever sent, and so of the longest that it
    /// can answer with: no value is made but by a client.
    longest: Vec<AtomicUsize>,
}

/// What was asked, on behalf of a plan.
enum Sent {
    /// Each of these nodes, or it is down.
    Asked(Vec<(usize, Result<Promise, Unasked>)>),
    /// It is answered.
    Done(Reply),
}

// ANCHOR: kv-plan
impl Nodes {
    fn new(links: Vec<Link>) -> Self {
        let longest = (0..SHARDS * links.len()).map(|_| AtomicUsize::new(0)).collect();
        Self { links, longest }
    }

    /// The most bytes of values in a plan's answer. What it is about to set counts from now on: a
    /// shard that answers with it was sent it before.
    fn longest_answer(&self, parts: &[Part]) -> usize {
        let longest = |part: &Part| {
            let longest = &self.longest[part.shard];
            let set = part.longest_set();
            part.values().saturating_mul(longest.fetch_max(set, Ordering::Relaxed).max(set))
        };
        parts.iter().map(longest).fold(0, usize::saturating_add)
    }

    /// Asks what a plan needs. One on several nodes is run to its end meanwhile.
    async fn send(&self, plan: &mut Plan) -> Sent {
        let parts = plan.take_parts();
        if plan.is_isolated() && !is_on_one(&parts) {
            return Sent::Done(self.transact(plan, &parts).await);
        }
        let mut asked = Vec::with_capacity(1);
        for parts in by_node(&parts) {
            let shard = parts[0].shard;
            asked.push((shard, self.of(shard).ask(encode(&Ask::Run(parts))).await));
        }
        Sent::Asked(asked)
    }

    /// Prepares, in ascending order; and then commits, or aborts.
    async fn transact(&self, plan: &Plan, parts: &Parts) -> Reply {
        let mut held = Vec::new();
        for parts in by_node(parts) {
            match Hold::new(self.of(parts[0].shard), parts).await {
                Ok(hold) => held.push(hold),
                // Nothing was done, and those who have prepared are let go.
                Err((shard, why)) => return plan.refused(shard, why),
            }
        }
        let all: Vec<_> = held.into_iter().map(Hold::commit).collect();
        let mut answers = Told::new();
        for promise in all {
            match promise.await.ok().and_then(|told| done(&told)) {
                Some(told) => answers.extend(told),
                None => return lost(),
            }
        }
        plan.reply(answers)
    }

    fn of(&self, shard: usize) -> &Link {
        &self.links[shard / SHARDS]
    }
}

impl Sent {
    /// What the plan is answered.
    async fn reply(self, plan: &Plan) -> Reply {
        let asked = match self {
            Self::Asked(asked) => asked,
            Self::Done(reply) => return reply,
        };
        let mut answers = Told::new();
        for (shard, asked) in asked {
            let told = match asked {
                Ok(promise) => promise.await,
                Err(why) => {
                    answers.push((shard, Err(why.into())));
                    continue;
                }
            };
            match told.ok().and_then(|told| done(&told)) {
                Some(told) => answers.extend(told),
                None if plan.is_isolated() => return lost(),
                None => {}
            }
        }
        plan.reply(answers)
    }
}

/// A node's shards, held for a plan. It lets go of them when it is dropped, however far it has come: when the client has
/// gone, or another node has refused.
struct Hold<'a> {
    link: &'a Link,
    ticket: Option<Ticket>,
}

impl<'a> Hold<'a> {
    async fn new(link: &'a Link, parts: &[Part]) -> Result<Self, (usize, Refusal)> {
        let shard = parts[0].shard;
        let begun = link.begin(encode(&Ask::Prepare(parts))).await;
        let (promise, ticket) = begun.map_err(|why| (shard, why.into()))?;
        let hold = Self { link, ticket: Some(ticket) };
        // If the node is lost now, nothing was done either.
        let told = promise.await.ok().and_then(|told| postcard::from_bytes::<Told>(&told).ok());
        match &told.ok_or((shard, Refusal::Down))?[..] {
            [(shard, Err(why)), ..] => Err((*shard, *why)),
            _ => Ok(hold),
        }
    }

    fn commit(mut self) -> Promise {
        let ticket = self.ticket.take().expect("it is there until the end");
        let commit = encode(&Ask::<Parts>::Commit(ticket.number));
        self.link.end(ticket, commit)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let abort = encode(&Ask::<Parts>::Abort(ticket.number));
            // Nobody waits for the answer.
            drop(self.link.end(ticket, abort));
        }
    }
}
// ANCHOR_END: kv-plan

/// A plan's parts, node by node.
fn by_node(parts: &Parts) -> impl Iterator<Item = &[Part]> {
    parts.chunk_by(|one, other| one.shard / SHARDS == other.shard / SHARDS)
}

fn is_on_one(parts: &Parts) -> bool {
    by_node(parts).nth(1).is_none()
}

/// What a node has answered to something that is then done, or refused; none, if nobody knows.
fn done(told: &[u8]) -> Option<Told> {
    postcard::from_bytes(told).ok().filter(|told: &Told| !told.is_empty())
}

/// What a client is told when a node was lost, or cannot say what it did.
fn lost() -> Reply {
    Reply::error(
        "INDETERMINATE a node that was asked was lost or does not answer; what was asked may have been done",
    )
}

impl From<Unasked> for Refusal {
    fn from(why: Unasked) -> Self {
        match why {
            Unasked::Down => Self::Down,
            Unasked::TooLarge => Self::Full,
        }
    }
}

/// Whether a stop is requested, for those who wait.
struct Stopped(watch::Receiver<bool>);

impl Stopped {
    async fn wait(&self) {
        // Whoever would request it is gone only if it was.
        let _ = self.0.clone().wait_for(|is_requested| *is_requested).await;
    }
}

/// Takes what there is to be read. The buffer is there only while it is.
async fn read(stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
    poll_fn(|context| {
        let mut buffer = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(pin!(&mut *stream).poll_read(context, &mut buffer))?;
        match buffer.filled() {
            [] => connection.end(),
            bytes => connection.received(bytes),
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Does it within this time, if there is a limit.
async fn within<T>(patience: Option<Duration>, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match patience {
        Some(patience) if patience.is_zero() => Err(io::ErrorKind::TimedOut.into()),
        Some(patience) => timeout(patience, what).await?,
        None => what.await,
    }
}

#[cfg(test)]
mod tests {
    use cc_workloads::kv::{Command, Key, When};

    use super::*;

    fn part(shard: usize, command: Command) -> [Part; 1] {
        [Part { shard, now: Now(1), checks: Vec::new(), ops: [command].into() }]
    }

    #[test]
    fn an_answer_may_have_the_longest_value_that_its_shard_was_sent() {
        let longest = [AtomicUsize::new(0), AtomicUsize::new(0)].into();
        let nodes = Nodes { links: Vec::new(), longest };
        let key = || Key::from(&b"key"[..]);
        let get = |shard| nodes.longest_answer(&part(shard, Command::Get(key())));
        let set = |length| {
            let value = vec![b'x'; length].as_slice().into();
            part(1, Command::Set { key: key(), value, after: None, when: When::Always })
        };
        assert_eq!(get(1), 0);
        assert_eq!(nodes.longest_answer(&set(1 << 20)), 0, "it answers with no value");
        assert_eq!(nodes.longest_answer(&set(3)), 0);
        assert_eq!((get(0), get(1)), (0, 1 << 20));
        let keys = (0..3).map(|_| key()).collect();
        assert_eq!(nodes.longest_answer(&part(1, Command::Mget(keys))), 3 << 20);
    }
}
