//! Keepers: each is an actor that owns a shard, and runs or prepares what clients' actors send it.
//!
//! - **Answers.** A question carries the sending end of the channel for its answer, which has room
//!   for it: a keeper never waits for the client that it answers. If that end is dropped without an
//!   answer, the question was lost with the shard.
//! - **Holds.** The client that is granted a [`Hold`] is the only one the keeper listens to: the
//!   keeper waits for what comes through that channel, and all other messages wait in its mailbox.
//!   A hold is a value, so it ends with the client's actor, however that ends.
//! - **Deadlock.** A keeper waits for a message, or for the end of a hold. A client that holds some
//!   keepers asks only for those after them, so the client that holds the last one waits for
//!   nothing and finishes; then the one before it can, and so on to the first. A client that holds
//!   none may wait for any keeper.
//! - **Fail.** A panic ends a keeper's life, and with it go the shard and the question in hand. The
//!   next life begins at once on the same thread and mailbox, since a thread that must be started
//!   first can be refused. Nothing is known of what was in hand but that it is lost; what was in
//!   the mailbox was not begun, and finds an empty shard.

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

/// Maximum questions in a keeper's mailbox; a client that asks more waits for room.
const MAILBOX: usize = 128;

/// The addresses of all keepers, by the numbers of their shards. The keepers end when the last
/// clone of these is dropped.
#[derive(Clone)]
pub struct Keepers(Vec<Address<Question>>);

/// To a keeper.
enum Question {
    /// Run these, one after the other.
    Run(Parts, oneshot::Sender<Vec<Answer>>),
    /// Prepare this, and be held.
    Hold(Part, oneshot::Sender<Result<Hold, Refusal>>),
}

/// A part is prepared, and its keeper does nothing before this is used. Dropping it gives the part
/// up.
pub struct Hold(oneshot::Sender<oneshot::Sender<Replies>>);

// ANCHOR: kv-hold
impl Keepers {
    /// Starts one for each shard of the server.
    pub fn start(system: &System, server: &Server) -> Result<Self> {
        let shards = 0..server.slots().shards();
        let started = shards.map(|number| {
            let (keeper, questions) = system.mailbox(MAILBOX);
            let life = Keeper::new(server, questions);
            system.spawn(format!("shard-{number}"), move || life.work())?;
            Ok(keeper)
        });
        started.collect::<Result<_>>().map(Self)
    }

    /// Runs plans that are all on one shard, by one message.
    pub fn run_in_order(&self, plans: &mut [Plan]) -> Vec<Reply> {
        let Some(shard) = plans.first().map(|plan| plan.parts()[0].shard) else { return Vec::new() };
        let parts = plans.iter_mut().flat_map(Plan::take_parts).collect();
        match self.ask(shard, parts).recv() {
            Ok(answers) => {
                plans.iter().zip(answers).map(|(plan, answer)| plan.reply([(shard, answer)])).collect()
            }
            Err(_gone) => plans.iter().map(|_| lost(shard)).collect(),
        }
    }

    /// Runs a plan whose parts need not be run as one.
    pub fn run_each(&self, plan: &mut Plan) -> Reply {
        let ask = |part: Part| (part.shard, self.ask(part.shard, Parts::from_buf([part])));
        // All, before the first is waited for.
        let asked: Vec<_> = plan.take_parts().into_iter().map(ask).collect();
        let answer = |answers: oneshot::Receiver<Vec<Answer>>| answers.recv().ok()?.pop();
        plan.reply(asked.into_iter().map(|(shard, to)| (shard, answer(to).unwrap_or(Err(Refusal::Down)))))
    }

    /// Has these run, one after the other, and nothing between them. What is sent later is run
    /// later.
    fn ask(&self, shard: usize, parts: Parts) -> oneshot::Receiver<Vec<Answer>> {
        let (to, answers) = oneshot::channel();
        // If the keeper has gone, `to` is dropped, and the wait for the answers fails.
        let _ = self.0[shard].send(Question::Run(parts, to));
        answers
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
        // To all before the first is waited for.
        let committed: Vec<_> = held.into_iter().map(|(shard, hold)| (shard, hold.commit())).collect();
        let mut answers = Vec::with_capacity(committed.len());
        for (shard, replies) in committed {
            let Ok(replies) = replies.recv() else { return lost(shard) };
            answers.push((shard, Ok(replies)));
        }
        plan.reply(answers)
    }

    /// Waits for the hold.
    fn hold(&self, part: Part) -> Result<Hold, Refusal> {
        let (shard, (to, granted)) = (part.shard, oneshot::channel());
        let _ = self.0[shard].send(Question::Hold(part, to));
        // Nothing was done if it is lost.
        granted.recv().unwrap_or(Err(Refusal::Down))
    }
}

impl Hold {
    /// Has the part run, and lets go.
    #[must_use]
    pub fn commit(self) -> oneshot::Receiver<Replies> {
        let (to, replies) = oneshot::channel();
        let _ = self.0.send(to);
        replies
    }
}

/// What is replied if a shard was lost that was running it.
#[must_use]
pub fn lost(shard: usize) -> Reply {
    Reply::Error(format!("INDETERMINATE shard {shard} was lost, before or after this was done").into())
}
// ANCHOR_END: kv-hold

/// One life of an actor that keeps a shard, or several, one after the other.
struct Keeper {
    shard: Shard,
    budget: SharedBudget,
    clock: Clock,
    questions: Mailbox<Question>,
    swept: Instant,
}

// ANCHOR: kv-keep
impl Keeper {
    fn new(server: &Server, questions: Mailbox<Question>) -> Self {
        let (budget, clock) = (server.budget().clone(), server.config().clock.clone());
        let shard = Shard::empty(&budget);
        Self { shard, budget, clock, questions, swept: Instant::now() }
    }

    /// Lives as often as it must. What a panic has gone through is not trusted again.
    fn work(mut self) -> Result<(), Halted> {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.live())) {
                Ok(halted) => return halted,
                Err(_reported) => self.shard = Shard::empty(&self.budget),
            }
        }
    }

    fn live(&mut self) -> Result<(), Halted> {
        loop {
            let chores = self.shard.stats().volatile > 0;
            match self.questions.serve_until(chores.then(|| self.swept + SWEEP))? {
                Some(Question::Run(parts, to)) => {
                    // The receiver is gone if the client's actor is; the answers are then not
                    // needed.
                    let _ = to.send(parts.iter().map(|part| self.run(part)).collect());
                }
                Some(Question::Hold(part, to)) => self.be_held(&part, to),
                None => {}
            }
            if chores && self.swept.elapsed() >= SWEEP {
                self.sweep();
            }
        }
    }

    fn run(&mut self, part: &Part) -> Answer {
        #[cfg(test)]
        tests::strike(part);
        self.shard.run(part)
    }

    fn be_held(&mut self, part: &Part, to: oneshot::Sender<Result<Hold, Refusal>>) {
        if let Err(why) = self.shard.prepare(part) {
            let _ = to.send(Err(why));
            return;
        }
        let (hold, end) = oneshot::channel();
        // If the client's actor has gone, the hold is dropped, which ends it.
        let _ = to.send(Ok(Hold(hold)));
        match end.recv() {
            Ok(to) => {
                #[cfg(test)]
                tests::strike(part);
                let _ = to.send(self.shard.commit(part));
            }
            Err(_gone) => self.shard.abort(),
        }
    }

    /// Removes expired keys that no client asks for.
    fn sweep(&mut self) {
        let now = self.clock.now();
        kv::sweep(1, |places| self.shard.sweep(now, places));
        self.swept = Instant::now();
    }
}
// ANCHOR_END: kv-keep

#[cfg(test)]
pub(crate) mod tests;
