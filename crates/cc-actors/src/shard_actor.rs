//! Shard actors: each owns a shard, and runs or prepares what clients' actors send it.
//!
//! - **Replies.** A request carries the sending end of the channel for its reply, which has room
//!   for it: a shard actor never waits for the client that it replies to. If that end is dropped
//!   without a reply, the request was lost with the shard.
//! - **Holds.** A client that is granted a [`Hold`] has the shard actor to itself: it waits for
//!   what comes through that channel, and all other requests wait in its mailbox. A hold is a
//!   value, so it ends with the client's actor, also if that panics.
//! - **Deadlock.** Holds are acquired in ascending order of the shards. The client that holds the
//!   highest shard waits for nothing, so it finishes; then the client that holds the next lower one
//!   can, and so on: no deadlock. A client that holds none may wait for any shard actor.
//! - **Fail.** A panic loses the shard and the request that was running. The actor goes on with an
//!   empty shard, on the same thread and mailbox, since the system could refuse another thread. The
//!   lost request may or may not have been executed. The requests in the mailbox were not begun,
//!   and find the empty shard.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use cc_workloads::{
    Result,
    kv::{
        self, Answer, Clock, Part, Parts, Plan, Refusal, Replies, Reply, SWEEP, Server, Shard, SharedBudget,
    },
};

use crate::actor::{Address, Halted, Mailbox, System};

/// Maximum requests in a shard actor's mailbox; a client that sends more waits for room.
const MAILBOX: usize = 128;

/// The addresses of all shard actors, by the numbers of their shards. The actors end when the last
/// clone of it is dropped.
#[derive(Clone)]
pub struct ShardRouter(Vec<Address<Request>>);

/// To a shard actor.
enum Request {
    /// Run these parts in order.
    Run(Parts, oneshot::Sender<Vec<Answer>>),
    /// Prepare this part, and be held.
    Hold(Part, oneshot::Sender<Result<Hold, Refusal>>),
}

/// A shard on which a part is prepared, and whose actor does nothing else meanwhile. Dropping it
/// aborts the part.
pub struct Hold(oneshot::Sender<oneshot::Sender<Replies>>);

// ANCHOR: kv-hold
impl ShardRouter {
    /// Starts an actor for each shard of the server.
    pub fn start(system: &System, server: &Server) -> Result<Self> {
        let mut addresses = Vec::new();
        for number in 0..server.slots().shards() {
            let (address, requests) = system.mailbox(MAILBOX);
            let actor = ShardActor::new(server, requests);
            system.spawn(format!("shard-{number}"), move || actor.work())?;
            addresses.push(address);
        }
        Ok(Self(addresses))
    }

    /// Runs plans that are all on one shard, with one message.
    pub fn run_in_order(&self, plans: &mut [Plan]) -> Vec<Reply> {
        let Some(shard) = plans.first().map(|plan| plan.parts()[0].shard) else { return Vec::new() };
        let parts = plans.iter_mut().flat_map(Plan::take_parts).collect();
        match self.send(shard, parts).recv() {
            Ok(answers) => {
                plans.iter().zip(answers).map(|(plan, answer)| plan.reply([(shard, answer)])).collect()
            }
            Err(_lost) => plans.iter().map(|_| lost(shard)).collect(),
        }
    }

    /// Runs a plan whose parts need not be run as one.
    pub fn run_each(&self, plan: &mut Plan) -> Reply {
        // Sends all parts before it waits for the first answer.
        let mut pending = Vec::new();
        for part in plan.take_parts() {
            pending.push((part.shard, self.send(part.shard, Parts::from_buf([part]))));
        }
        plan.reply(pending.into_iter().map(|(shard, answers_rx)| {
            let answer = answers_rx.recv().ok().and_then(|mut answers| answers.pop());
            (shard, answer.unwrap_or(Err(Refusal::Down)))
        }))
    }

    /// Has these parts run in order, with nothing between them. Parts that are sent later run
    /// later.
    fn send(&self, shard: usize, parts: Parts) -> oneshot::Receiver<Vec<Answer>> {
        let (answers_tx, answers_rx) = oneshot::channel();
        // If the actor has ended, `answers_tx` is dropped, and receiving the answers fails.
        let _ = self.0[shard].send(Request::Run(parts, answers_tx));
        answers_rx
    }

    /// Runs a plan on all its shards as one.
    pub fn run(&self, plan: &mut Plan) -> Reply {
        let mut held = Vec::new();
        for part in plan.take_parts() {
            let shard = part.shard;
            match self.hold(part) {
                Ok(hold) => held.push((shard, hold)),
                Err(why) => return plan.refused(shard, why),
            }
        }
        // Commits all parts before it waits for the first replies.
        let committed: Vec<_> = held.into_iter().map(|(shard, hold)| (shard, hold.commit())).collect();
        let mut answers = Vec::with_capacity(committed.len());
        for (shard, replies_rx) in committed {
            let Ok(replies) = replies_rx.recv() else { return lost(shard) };
            answers.push((shard, Ok(replies)));
        }
        plan.reply(answers)
    }

    /// Has this part prepared, and waits until its shard is held.
    fn hold(&self, part: Part) -> Result<Hold, Refusal> {
        let shard = part.shard;
        let (hold_tx, hold_rx) = oneshot::channel();
        let _ = self.0[shard].send(Request::Hold(part, hold_tx));
        // A shard that is lost before it is held has done nothing.
        hold_rx.recv().unwrap_or(Err(Refusal::Down))
    }
}

impl Hold {
    /// Has the part run, and releases the shard.
    #[must_use]
    pub fn commit(self) -> oneshot::Receiver<Replies> {
        let (replies_tx, replies_rx) = oneshot::channel();
        let _ = self.0.send(replies_tx);
        replies_rx
    }
}

/// The reply to a request that was running on a shard when it was lost.
#[must_use]
pub fn lost(shard: usize) -> Reply {
    Reply::Error(
        format!("INDETERMINATE shard {shard} was lost; the command may or may not have been executed").into(),
    )
}
// ANCHOR_END: kv-hold

/// An actor that owns a shard, and replaces it by an empty one after a panic.
struct ShardActor {
    shard: Shard,
    budget: SharedBudget,
    clock: Clock,
    requests: Mailbox<Request>,
    last_sweep: Instant,
}

// ANCHOR: kv-keep
impl ShardActor {
    fn new(server: &Server, requests: Mailbox<Request>) -> Self {
        let (budget, clock) = (server.budget().clone(), server.config().clock.clone());
        let shard = Shard::empty(&budget);
        Self { shard, budget, clock, requests, last_sweep: Instant::now() }
    }

    fn work(mut self) -> Result<(), Halted> {
        loop {
            // Unwind safe: only the shard can be inconsistent after a panic, and it is replaced.
            match catch_unwind(AssertUnwindSafe(|| self.serve())) {
                Ok(halted) => return halted,
                Err(_panic) => self.shard = Shard::empty(&self.budget),
            }
        }
    }

    fn serve(&mut self) -> Result<(), Halted> {
        loop {
            let needs_sweep = self.shard.stats().volatile > 0;
            match self.requests.serve_until(needs_sweep.then(|| self.last_sweep + SWEEP))? {
                Some(Request::Run(parts, answers_tx)) => {
                    // The receiver is gone if the client's actor is; the answers are then not
                    // needed.
                    let _ = answers_tx.send(parts.iter().map(|part| self.run(part)).collect());
                }
                Some(Request::Hold(part, hold_tx)) => self.hold(&part, hold_tx),
                None => {}
            }
            if needs_sweep && self.last_sweep.elapsed() >= SWEEP {
                self.sweep();
            }
        }
    }

    fn run(&mut self, part: &Part) -> Answer {
        #[cfg(test)]
        tests::hit(part);
        self.shard.run(part)
    }

    /// Prepares a part, and waits until the client commits it or gives it up.
    fn hold(&mut self, part: &Part, hold_tx: oneshot::Sender<Result<Hold, Refusal>>) {
        if let Err(why) = self.shard.prepare(part) {
            let _ = hold_tx.send(Err(why));
            return;
        }
        let (commit_tx, commit_rx) = oneshot::channel();
        // If the client's actor has ended, the hold is dropped here, and `recv` fails at once.
        let _ = hold_tx.send(Ok(Hold(commit_tx)));
        match commit_rx.recv() {
            Ok(replies_tx) => {
                #[cfg(test)]
                tests::hit(part);
                let _ = replies_tx.send(self.shard.commit(part));
            }
            Err(_dropped) => self.shard.abort(),
        }
    }

    /// Removes expired keys that no client reads.
    fn sweep(&mut self) {
        let now = self.clock.now();
        kv::sweep(1, |buckets| self.shard.sweep(now, buckets));
        self.last_sweep = Instant::now();
    }
}
// ANCHOR_END: kv-keep

#[cfg(test)]
pub(crate) mod tests;
