//! The shard that a worker owns: whoever asks, one after the other, and who waits while it is held.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use cc_workloads::kv::{self, Answer, Now, Part, Plan, Refusal, Replies, Reply, Shard};
use serde::{Deserialize, Serialize};

/// A shard is held no longer for one plan, since the worker that holds it may be suspended: the
/// plan is aborted, and its commit refused.
pub(super) const LEASE: Duration = Duration::from_secs(4);

/// What the owner of a shard is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// A part that is a whole plan, or need not be done as one with others.
    Run(Part),
    /// One of several parts. If it can be done, whoever asks holds the shard from now on.
    Prepare(Part),
    /// To do what was prepared, and let go.
    Commit,
    /// To forget it, however far it has come, and let go. This is not answered, but the part is if
    /// it was not yet.
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
    /// Most bytes of values in an answer to another worker, which is a copy.
    room: u64,
    /// Who came while it was held. No worker asks for more than it has credits.
    waiting: VecDeque<(usize, usize, Ask)>,
}

struct Hold {
    by: usize,
    number: usize,
    part: Part,
    since: Instant,
}

impl Own {
    pub(super) fn new(number: usize, shard: Shard, room: u64) -> Self {
        Self { number, shard, held: None, room, waiting: VecDeque::new() }
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
        let is_end = matches!(ask, Ask::Commit | Ask::Abort);
        if self.held.is_some() && !is_end {
            self.waiting.push_back((by, number, ask));
            return;
        }
        self.answer(by, number, ask, said);
        self.resume(said);
    }

    /// Aborts a plan that has held the shard for too long, if there is one.
    pub(super) fn end_lease(&mut self, said: &mut VecDeque<Said>) -> bool {
        let has_ended = self.held.as_ref().is_some_and(|hold| hold.since.elapsed() >= LEASE);
        if has_ended {
            self.abort();
            self.resume(said);
        }
        has_ended
    }

    /// Whether it is held, so that the lease must be seen to.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// A worker has died: it holds nothing any more, and nothing is done for it.
    pub(super) fn lose(&mut self, worker: usize, said: &mut VecDeque<Said>) {
        self.waiting.retain(|(by, ..)| *by != worker);
        if self.held.as_ref().is_some_and(|hold| hold.by == worker) {
            self.abort();
        }
        self.resume(said);
    }

    /// Removes what has expired. A shard that is held is left alone: it has memory set aside, which
    /// a sweep would give back.
    pub(super) fn sweep(&mut self, now: Now) {
        if self.held.is_none() {
            kv::sweep(1, |places| self.shard.sweep(now, places));
        }
    }

    /// Whether there is anything to be swept.
    pub(super) fn is_volatile(&self) -> bool {
        self.shard.stats().volatile > 0
    }

    fn answer(&mut self, by: usize, number: usize, ask: Ask, said: &mut VecDeque<Said>) {
        let answer = match ask {
            Ask::Run(part) => self.fits(by, &part).and_then(|()| self.shard.run(&part)),
            Ask::Prepare(part) => self.prepare(by, number, part),
            Ask::Commit => self.commit(by, number),
            Ask::Abort if self.is_held_by(by, number) => return self.abort(),
            Ask::Abort => {
                let before = self.waiting.len();
                self.waiting.retain(|(other, its, _)| (*other, *its) != (by, number));
                if self.waiting.len() == before {
                    return;
                }
                Err(Refusal::Silent)
            }
        };
        said.push_back(Said { to: by, from: self.number, number, answer });
    }

    /// Whether there is room for the answer on its way.
    fn fits(&self, by: usize, part: &Part) -> Result<(), Refusal> {
        let fits = by == self.number || self.shard.answer_fits(part, self.room);
        if fits { Ok(()) } else { Err(Refusal::Large) }
    }

    fn prepare(&mut self, by: usize, number: usize, part: Part) -> Answer {
        self.fits(by, &part)?;
        self.shard.prepare(&part)?;
        self.held = Some(Hold { by, number, part, since: Instant::now() });
        Ok(Replies::new())
    }

    /// Refused if the lease has ended.
    fn commit(&mut self, by: usize, number: usize) -> Answer {
        let hold = self.held.take_if(|hold| (hold.by, hold.number) == (by, number)).ok_or(Refusal::Silent)?;
        Ok(self.shard.commit(&hold.part))
    }

    fn is_held_by(&self, by: usize, number: usize) -> bool {
        self.held.as_ref().is_some_and(|hold| (hold.by, hold.number) == (by, number))
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
