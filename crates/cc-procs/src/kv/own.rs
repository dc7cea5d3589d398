//! The shard that a worker owns: whoever asks, one after the other, and who waits while it is held.

use std::collections::VecDeque;

use cc_workloads::kv::{Answer, Now, Part, Plan, Replies, Reply, SWEEP, Shard};
use serde::{Deserialize, Serialize};

/// What the owner of a shard is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// A part that is a whole plan, or need not be done as one with others.
    Run(Part),
    /// One of several parts. If it can be done, whoever asks holds the shard from now on.
    Prepare(Part),
    /// To do what was prepared, and let go.
    Commit,
    /// To forget it, and let go. This is not answered.
    Abort,
}

/// What the owner of a shard answers.
pub(super) struct Said {
    /// The worker that has asked.
    pub(super) to: usize,
    /// The worker that answers, which is the shard.
    pub(super) from: usize,
    /// As whoever asked has numbered it.
    pub(super) number: usize,
    pub(super) answer: Answer,
}

/// A worker's own shard.
pub(super) struct Own {
    number: usize,
    shard: Shard,
    held: Option<Hold>,
    /// Who came while it was held. No worker asks for more than it has credits.
    waiting: VecDeque<(usize, usize, Ask)>,
}

struct Hold {
    by: usize,
    part: Part,
}

impl Own {
    pub(super) fn new(number: usize, shard: Shard) -> Self {
        Self { number, shard, held: None, waiting: VecDeque::new() }
    }

    /// Runs a plan that needs no other shard, if nobody has to be waited for.
    pub(super) fn run(&mut self, plan: &Plan) -> Option<Reply> {
        match plan.parts() {
            [part] if part.shard == self.number && self.held.is_none() => Some(plan.run([&mut self.shard])),
            _ => None,
        }
    }

    /// Does what a worker asks, and what others had to wait with until then.
    pub(super) fn ask(&mut self, by: usize, number: usize, ask: Ask, said: &mut VecDeque<Said>) {
        let is_holder = matches!(ask, Ask::Commit | Ask::Abort);
        if self.held.is_some() && !is_holder {
            self.waiting.push_back((by, number, ask));
            return;
        }
        self.answer(by, number, ask, said);
        self.resume(said);
    }

    /// A worker has died: it holds nothing any more, and nothing is done for it.
    pub(super) fn lose(&mut self, worker: usize, said: &mut VecDeque<Said>) {
        self.waiting.retain(|(by, ..)| *by != worker);
        if self.held.as_ref().is_some_and(|hold| hold.by == worker) {
            self.abort();
        }
        self.resume(said);
    }

    /// See [`SWEEP`]. Who holds it has memory set aside, so it is left alone.
    pub(super) fn sweep(&mut self, now: Now) {
        // Ten times is a millisecond, in which nobody is served.
        let _ = self.held.is_none() && (0..10).all(|_| self.shard.sweep(now, SWEEP.1));
    }

    /// Whether there is anything to be swept.
    pub(super) fn is_volatile(&self) -> bool {
        self.shard.stats().volatile > 0
    }

    fn answer(&mut self, by: usize, number: usize, ask: Ask, said: &mut VecDeque<Said>) {
        let answer = match ask {
            Ask::Run(part) => self.shard.run(&part),
            Ask::Prepare(part) => self.prepare(by, part),
            Ask::Commit => Ok(self.commit()),
            Ask::Abort => return self.abort(),
        };
        said.push_back(Said { to: by, from: self.number, number, answer });
    }

    fn prepare(&mut self, by: usize, part: Part) -> Answer {
        self.shard.prepare(&part)?;
        self.held = Some(Hold { by, part });
        Ok(Replies::new())
    }

    fn commit(&mut self) -> Replies {
        let hold = self.held.take().expect("who commits has prepared");
        self.shard.commit(&hold.part)
    }

    fn abort(&mut self) {
        self.held = None;
        self.shard.abort();
    }

    fn resume(&mut self, said: &mut VecDeque<Said>) {
        while self.held.is_none()
            && let Some((by, number, ask)) = self.waiting.pop_front()
        {
            self.answer(by, number, ask, said);
        }
    }
}
