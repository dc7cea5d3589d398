//! What a client has asked for at once: one message to each keeper that it concerns, and the answers brought back into the order
//! of the questions.

use cc_workloads::kv::{Answer, Parts, Plan, Refusal, Reply};

use crate::keeper::{Keepers, lost};

/// So many plans of a client may be under way.
const ROUND: usize = 256;

/// What a client has asked for, to be sent to the keepers at once.
#[derive(Default)]
pub struct Round {
    /// What each keeper gets, with the number of its shard.
    lots: Vec<(usize, Parts)>,
    /// The shards of all parts, in the order of the plans.
    shards: Vec<usize>,
    /// The plans, and how many parts each has.
    plans: Vec<(Plan, usize)>,
}

/// It was sent.
pub struct Asked {
    answers: Vec<(usize, oneshot::Receiver<Vec<Answer>>)>,
    shards: Vec<usize>,
    plans: Vec<(Plan, usize)>,
}

// ANCHOR: kv-round
impl Round {
    /// Whether so many are under way that their answers should come first.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.plans.len() >= ROUND
    }

    /// Whether there is nothing to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Adds a plan whose parts may be run one by one.
    pub fn add(&mut self, mut plan: Plan) {
        let parts = plan.take_parts();
        self.plans.push((plan, parts.len()));
        for part in parts {
            self.shards.push(part.shard);
            match self.lots.iter_mut().find(|(shard, _)| *shard == part.shard) {
                Some((_, lot)) => lot.push(part),
                None => self.lots.push((part.shard, Parts::from_buf([part]))),
            }
        }
    }

    /// Sends each keeper what concerns it, in one message.
    #[must_use]
    pub fn ask(self, keepers: &Keepers) -> Asked {
        let Self { lots, shards, plans } = self;
        let answers = lots.into_iter().map(|(shard, lot)| (shard, keepers.ask(shard, lot))).collect();
        Asked { answers, shards, plans }
    }
}

impl Asked {
    /// Waits for all answers, and makes replies of them.
    pub fn replies(self) -> impl Iterator<Item = Reply> {
        let Self { answers, shards, plans } = self;
        // From the last that was asked: until it has answered, the others mostly have, and this actor wakes up once.
        let come = |(shard, answers): (usize, oneshot::Receiver<Vec<Answer>>)| {
            answers.recv().ok().map(|answers| (shard, answers.into_iter()))
        };
        let mut inbox: Vec<_> = answers.into_iter().rev().filter_map(come).collect();
        let mut next = move |shard| {
            let (_, answers) = inbox.iter_mut().find(|(from, _)| *from == shard)?;
            answers.next()
        };
        let mut shards = shards.into_iter();
        plans.into_iter().map(move |(plan, parts)| {
            reply(&plan, shards.by_ref().take(parts).map(|shard| (shard, next(shard))))
        })
    }
}

/// There is no answer of a shard that was lost with the question in hand.
fn reply(plan: &Plan, mut answers: impl Iterator<Item = (usize, Option<Answer>)>) -> Reply {
    if !plan.is_isolated() {
        return plan.reply(answers.map(|(shard, answer)| (shard, answer.unwrap_or(Err(Refusal::Down)))));
    }
    match answers.next().expect("a plan has a part") {
        (shard, Some(answer)) => plan.reply([(shard, answer)]),
        (shard, None) => lost(shard),
    }
}
// ANCHOR_END: kv-round
