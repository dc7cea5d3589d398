//! `kv` on a cluster.
//!
//! - **Split.** A node is a worker that owns shards. Clients connect to the coordinator, which owns
//!   no shards and sends their requests to the nodes. Each request of a client costs one message to
//!   a node and one back; that is the price of this model, and the coordinator's processor limits
//!   the throughput. If clients could connect to any node, they would save a message only where
//!   they know which node to ask, as clients of Redis Cluster do.
//! - **Share.** Nothing. A node's shards belong to one thread there, and exist as long as the
//!   session. The requests of all clients for a node use one stream; those that are queued at the
//!   same time share a message.
//! - **Bound.** The number of connections. Requests in flight to a node: by the credit that it has
//!   granted, in bytes. Plans in flight of a client: by number, and by the possible size of their
//!   replies. Replies that a client does not take wait at the coordinator, which goes on reading
//!   requests until too many replies wait.
//! - **Order.** A stream keeps the order of requests, and so does a shard. A plan on several nodes
//!   visits them in ascending order. Each shard is held for it from its preparation to its commit;
//!   other plans queue at the shard, not on the stream.
//! - **Stop.** The server reads once more from each client, and answers that within the drain time.
//!   Then the sessions end, and with them the data.
//! - **Fail.** A node that is silent for too long is taken for dead, and its session ends. Requests
//!   that have no answer are answered with `INDETERMINATE`, later ones with `TRYAGAIN`. The next
//!   session has empty shards with other epochs. If the old node is still alive, that is harmless:
//!   no request can reach its data.

mod node;

use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cc_workloads::{
    Ctx, Error, Result,
    kv::{
        Config, Connection, Now, Part, Parts, Plan, READ, Refusal, Reply, Server, Slots, Totals,
        accept_again, hang_up, resp::MAX_BULK, turn_away,
    },
};
use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::node::{NodeSetup, Request, Response};
use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    link::{CreditHold, Link, Pending, SendError},
    runtime::current_thread,
    worker::{Role, Service},
};

/// What a worker does for this workload.
pub(crate) const SERVICE: Service =
    Service { name: "kv", role: Role::Stateful { open: node::open, requests: false } };

/// Shards per node: several, so that a plan that holds some does not block all other plans.
const SHARDS: usize = 8;

/// Maximum plans in flight per client: replies are sent in order, so an early answer is buffered
/// here until all before it have arrived.
const PLANS_IN_FLIGHT: usize = 256;

/// Maximum bytes of values in the replies to a client's plans in flight, because each reply is a
/// copy that is buffered here. One plan is always allowed.
const REPLY_BYTES_IN_FLIGHT: usize = 4 << 20;

// ANCHOR: kv-run
/// Serves with the workers that the command line names, or with `ctx.workers` processes that it
/// starts.
pub fn run(listener: std::net::TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let address = listener.local_addr().map_err(Error::io("address of the listener"))?;
    Slots::shards_of(ctx.workers, SHARDS)?;
    let setup = |n, nodes| {
        let max_memory = config.share(nodes).max_memory;
        encode(&NodeSetup { first: n * SHARDS, shards: SHARDS, max_memory })
    };
    let options = Options::new(&ctx.options);
    let (cluster, links) = Cluster::start_stateful("kv", setup, Some(options.lose_after), &options, ctx)?;
    let config = Config { shares: links.len(), ..config.clone() };
    let server = Server::new(config, SHARDS * links.len(), address.port());
    let (stop_tx, stop_rx) = watch::channel(false);
    let _on_stop = ctx.stop.on_request(move || _ = stop_tx.send_replace(true));
    let coordinator =
        Arc::new(Coordinator { server: server.clone(), nodes: Nodes::new(links), stop: StopSignal(stop_rx) });
    // The clients are served on this thread; the connections to the nodes are on the cluster's.
    let accepted = current_thread().and_then(|runtime| runtime.block_on(coordinator.serve(listener)));
    cluster.close()?;
    accepted?;
    Ok(server.totals())
}
// ANCHOR_END: kv-run

// ANCHOR: kv-accept
impl Coordinator {
    /// Serves until a stop is requested, and then drains.
    async fn serve(self: Arc<Self>, listener: std::net::TcpListener) -> Result<()> {
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let listener = TcpListener::from_std(listener).map_err(Error::io("listener"))?;
        let mut clients = JoinSet::new();
        let accepted = tokio::select! {
            () = self.stop.requested() => Ok(()),
            accepted = self.accept(&listener, &mut clients) => accepted,
        };
        // From here on the operating system refuses connections.
        drop(listener);
        let drained = async { while clients.join_next().await.is_some() {} };
        // Clients that are left after the drain time are disconnected.
        let _ = timeout(self.server.config().drain, drained).await;
        clients.shutdown().await;
        accepted
    }

    /// Accepts clients. Before the state of all nodes is known, they wait in the listener's
    /// backlog.
    async fn accept(self: &Arc<Self>, listener: &TcpListener, clients: &mut JoinSet<()>) -> Result<()> {
        for link in &self.nodes.links {
            link.until_known().await;
        }
        loop {
            // Both branches are cancel safe: no connection is lost when `accept` is dropped.
            tokio::select! {
                Some(_) = clients.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.start_client(stream, clients),
                    Err(error) => match accept_again(&error) {
                        Some(pause) => sleep(pause).await,
                        None => return Err(Error::io("accept")(error)),
                    },
                },
            }
        }
    }

    /// Starts a task for a client, or tells the client that there are too many.
    fn start_client(self: &Arc<Self>, stream: TcpStream, clients: &mut JoinSet<()>) {
        let coordinator = self.clone();
        match Connection::new(&self.server) {
            Some(connection) => {
                clients.spawn(async move { coordinator.client(stream, connection).await });
            }
            None => turn_away(&stream),
        }
    }

    /// Serves a client to its end. An error ends only this connection. The runtime catches a panic
    /// in a task, so that ends only this connection, too.
    async fn client(&self, stream: TcpStream, connection: Connection) {
        if self.converse(&stream, connection).await.is_ok() {
            hang_up(&stream);
        }
    }
}
// ANCHOR_END: kv-accept

// ANCHOR: kv-work
impl Coordinator {
    /// Reads requests, has them executed and writes the replies, in turns.
    async fn converse(&self, stream: &TcpStream, mut connection: Connection) -> io::Result<()> {
        // Disables Nagle's algorithm: otherwise a small reply waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        while !connection.is_over() {
            if let Some(pause) = connection.pause()
                && connection.output().is_empty()
            {
                tokio::select! {
                    biased;
                    () = self.stop.requested() => connection.end(),
                    () = sleep(pause) => {}
                }
            } else if let Some(interest) = interest(&connection) {
                connection.shrink();
                self.receive(stream, interest, &mut connection).await?;
            }
            let now = self.server.now();
            loop {
                let has_executed = self.execute_some(&mut connection, now).await;
                let has_replies = !connection.output().is_empty();
                let may_go_on = write(stream, &mut connection)? && has_replies;
                if !has_executed && !may_go_on {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for input of the client or for room for its replies, or for the stop; then it reads
    /// for the last time.
    async fn receive(
        &self,
        stream: &TcpStream,
        interest: Interest,
        connection: &mut Connection,
    ) -> io::Result<()> {
        let time_left = connection.time_left();
        tokio::select! {
            biased;
            // Cancel safe: `ready` consumes nothing.
            ready = within(time_left, stream.ready(interest)) => { ready?; }
            () = self.stop.requested(), if connection.wants_input() => {
                // Later input is refused; input that has arrived can still be read.
                let _ = shutdown(stream, Shutdown::Read);
                within(time_left, stream.readable()).await?;
                read(stream, connection)?;
                connection.end();
            }
        }
        if connection.wants_input() { read(stream, connection) } else { Ok(()) }
    }

    /// Executes some plans of a client; all are in flight before the first is answered. Returns
    /// whether there were any.
    async fn execute_some(&self, connection: &mut Connection, now: Now) -> bool {
        let mut in_flight = Vec::new();
        let mut bytes = 0;
        while in_flight.len() < PLANS_IN_FLIGHT
            && bytes < REPLY_BYTES_IN_FLIGHT
            && let Some(mut plan) = connection.next(now)
        {
            bytes += self.nodes.longest_answer(plan.parts());
            let sent = self.nodes.send(&mut plan).await;
            in_flight.push((plan, sent));
        }
        let has_any = !in_flight.is_empty();
        for (plan, sent) in in_flight {
            connection.answer(sent.reply(&plan).await);
        }
        has_any
    }
}
// ANCHOR_END: kv-work

// ANCHOR: kv-plan
impl Nodes {
    fn new(links: Vec<Link>) -> Self {
        let longest = (0..SHARDS * links.len()).map(|_| AtomicUsize::new(0)).collect();
        Self { links, longest }
    }

    /// Maximum bytes of values in the answer to a plan. A value that the plan sets counts for all
    /// later plans: a shard can answer only with a value that it was sent.
    fn longest_answer(&self, parts: &[Part]) -> usize {
        let longest = |part: &Part| {
            let set = part.longest_set();
            // `Relaxed` suffices: the value is an estimate, and guards no other memory.
            let before = self.longest[part.shard].fetch_max(set, Ordering::Relaxed);
            if part.appended() > 0 {
                // The value that is lengthened is not known here. It may be the longest one.
                let more = |longest: usize| Some(longest.saturating_add(part.appended()).min(MAX_BULK));
                let _ = self.longest[part.shard].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            }
            part.values().saturating_mul(before.max(set))
        };
        parts.iter().map(longest).fold(0, usize::saturating_add)
    }

    /// Sends a plan to the nodes that it needs. A transaction on several nodes is executed to its
    /// end here.
    async fn send(&self, plan: &mut Plan) -> SentPlan {
        let parts = plan.take_parts();
        if plan.is_isolated() && !is_on_one_node(&parts) {
            return SentPlan::Done(self.transact(plan, &parts).await);
        }
        let mut pending = Vec::with_capacity(1);
        for parts in by_node(&parts) {
            let shard = parts[0].shard;
            pending.push((shard, self.link_of(shard).request(encode(&Request::Run(parts))).await));
        }
        SentPlan::Pending(pending)
    }

    /// Executes a transaction by two-phase commit: prepares all nodes in ascending order, and then
    /// commits, or aborts.
    async fn transact(&self, plan: &Plan, parts: &Parts) -> Reply {
        let mut holds = Vec::new();
        for parts in by_node(parts) {
            match Hold::new(self.link_of(parts[0].shard), parts).await {
                Ok(hold) => holds.push(hold),
                // Nothing was executed. Dropping the holds aborts on the nodes that have prepared.
                Err((shard, refusal)) => return plan.refused(shard, refusal),
            }
        }
        // All commits are sent before the first is awaited: the transaction is decided, so each
        // node must commit even if another one is lost.
        let commits: Vec<_> = holds.into_iter().map(Hold::commit).collect();
        let mut answers = Response::new();
        for pending in commits {
            match pending.await.ok().and_then(|response| decode_executed(&response)) {
                Some(response) => answers.extend(response),
                None => return indeterminate(),
            }
        }
        plan.reply(answers)
    }

    fn link_of(&self, shard: usize) -> &Link {
        &self.links[shard / SHARDS]
    }
}

impl SentPlan {
    /// Waits for the reply to the plan.
    async fn reply(self, plan: &Plan) -> Reply {
        let pending = match self {
            Self::Pending(pending) => pending,
            Self::Done(reply) => return reply,
        };
        let mut answers = Response::new();
        for (shard, pending) in pending {
            let response = match pending {
                Ok(pending) => pending.await,
                Err(error) => {
                    answers.push((shard, Err(error.into())));
                    continue;
                }
            };
            match response.ok().and_then(|response| decode_executed(&response)) {
                Some(response) => answers.extend(response),
                None if plan.is_isolated() => return indeterminate(),
                // `Plan::reply` says which shards have no answer.
                None => {}
            }
        }
        plan.reply(answers)
    }
}

impl<'a> Hold<'a> {
    /// Prepares the parts of one node. An error names a shard, and why it refuses.
    async fn new(link: &'a Link, parts: &[Part]) -> Result<Self, (usize, Refusal)> {
        let shard = parts[0].shard;
        let begun = link.begin(encode(&Request::Prepare(parts))).await;
        let (pending, credit) = begun.map_err(|error| (shard, error.into()))?;
        let hold = Self { link, credit: Some(credit) };
        // If the node is lost before it answers, nothing was executed either.
        let response = pending.await.ok().and_then(|bytes| postcard::from_bytes::<Response>(&bytes).ok());
        match &response.ok_or((shard, Refusal::Down))?[..] {
            [(shard, Err(refusal)), ..] => Err((*shard, *refusal)),
            _ => Ok(hold),
        }
    }

    fn commit(mut self) -> Pending {
        let credit = self.credit.take().expect("it is taken only here and by drop");
        let commit = encode(&Request::<Parts>::Commit(credit.number));
        self.link.end(credit, commit)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(credit) = self.credit.take() {
            let abort = encode(&Request::<Parts>::Abort(credit.number));
            // The response is not needed.
            drop(self.link.end(credit, abort));
        }
    }
}
// ANCHOR_END: kv-plan

/// What the tasks of all clients share.
struct Coordinator {
    server: Arc<Server>,
    nodes: Nodes,
    stop: StopSignal,
}

/// The links to all nodes, in the order of their shards.
struct Nodes {
    links: Vec<Link>,
    /// For each shard the length of the longest value that it was ever sent. Only clients make
    /// values, so this is also the longest value that it can answer with.
    longest: Vec<AtomicUsize>,
}

/// A plan that was sent to its nodes.
enum SentPlan {
    /// For each node the first of its shards in the plan, and the pending response.
    Pending(Vec<(usize, Result<Pending, SendError>)>),
    /// The plan is complete already.
    Done(Reply),
}

/// A node's shards, held for a plan. Dropping it aborts the plan on that node: when the client has
/// gone, or another node has refused.
struct Hold<'a> {
    link: &'a Link,
    credit: Option<CreditHold>,
}

/// A plan's parts, node by node.
fn by_node(parts: &Parts) -> impl Iterator<Item = &[Part]> {
    parts.chunk_by(|one, other| one.shard / SHARDS == other.shard / SHARDS)
}

fn is_on_one_node(parts: &Parts) -> bool {
    by_node(parts).nth(1).is_none()
}

/// A node's response to parts that it has executed or refused. None if it does not say which.
fn decode_executed(response: &[u8]) -> Option<Response> {
    postcard::from_bytes(response).ok().filter(|response: &Response| !response.is_empty())
}

/// The reply if a node was lost, or cannot say what it did.
fn indeterminate() -> Reply {
    Reply::error("INDETERMINATE a node was lost or does not answer; the request may have been executed")
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Down => Self::Down,
            SendError::TooLarge => Self::Full,
        }
    }
}

/// Becomes true when a stop is requested.
struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    async fn requested(&self) {
        // It fails only if the sender is gone: when the callback has requested the stop, or the run
        // has ended.
        let _ = self.0.clone().wait_for(|is_requested| *is_requested).await;
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

/// Reads the input that has arrived. A function that is not `async`: in one that is, the buffer
/// could become part of the future, once per client.
fn read(stream: &TcpStream, connection: &mut Connection) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); READ];
    let received = stream.try_io(Interest::READABLE, || match rustix::io::read(stream, &mut buffer)?.0 {
        [] => {
            connection.end();
            Ok(())
        }
        bytes => {
            let has_emptied = bytes.len() < READ;
            connection.received(bytes);
            // A short read has emptied the socket. `WouldBlock` clears tokio's cached readiness,
            // which saves a read that finds nothing.
            if has_emptied { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        }
    });
    match received {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
        received => received,
    }
}

/// Writes the replies that the socket takes. Returns whether it has taken all.
fn write(stream: &TcpStream, connection: &mut Connection) -> io::Result<bool> {
    while !connection.output().is_empty() {
        match stream.try_write(connection.output()) {
            Ok(bytes) => connection.wrote(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Waits for an operation, for at most this time if there is a limit.
async fn within<T>(limit: Option<Duration>, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        Some(limit) if limit.is_zero() => Err(ErrorKind::TimedOut.into()),
        Some(limit) => timeout(limit, operation).await?,
        None => operation.await,
    }
}

#[cfg(test)]
mod tests {
    use cc_workloads::kv::{Command, Key};

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
            part(1, Command::set(key(), value))
        };
        assert_eq!(get(1), 0);
        assert_eq!(nodes.longest_answer(&set(1 << 20)), 0, "it answers with no value");
        assert_eq!(nodes.longest_answer(&set(3)), 0);
        assert_eq!((get(0), get(1)), (0, 1 << 20));
        let keys = (0..3).map(|_| key()).collect();
        assert_eq!(nodes.longest_answer(&part(1, Command::Mget(keys))), 3 << 20);
        let append = Command::Append(key(), [b'x'; 7][..].into());
        assert_eq!(nodes.longest_answer(&part(1, append)), 0);
        assert_eq!((get(0), get(1)), (0, (1 << 20) + 7), "an appended part lengthens a value");
    }
}
