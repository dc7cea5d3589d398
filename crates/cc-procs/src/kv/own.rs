//! The shard that a worker owns: it runs the requests of all workers in turn. While it is held for
//! a plan, other requests wait.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use cc_workloads::kv::{self, Answer, Now, Part, Plan, Refusal, Replies, Reply, Shard};
use serde::{Deserialize, Serialize};

/// Maximum time for which a shard is held for one plan, since the worker that holds it may be
/// suspended. After that the plan is aborted, and its commit refused.
pub(super) const LEASE: Duration = Duration::from_secs(4);

/// To the owner of a shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Run this part, which is a whole plan, or need not be atomic with other parts.
    Run(Part),
    /// Prepare one of several parts that are atomic. If it can be run, the requester holds the
    /// shard from now on.
    Prepare(Part),
    /// Run the part that is prepared, and release the shard.
    Commit,
    /// Forget the part, whether or not it is prepared, and release the shard. An abort has no
    /// response, but a `Prepare` that still waits is then refused.
    Abort,
}

/// From the owner of a shard.
pub(super) struct Response {
    /// The worker that has sent the request.
    pub(super) to: usize,
    /// The worker that responds, whose number is also that of the shard.
    pub(super) from: usize,
    /// The requester's number of the plan.
    pub(super) number: usize,
    pub(super) answer: Answer,
}

/// A worker's own shard.
pub(super) struct OwnShard {
    number: usize,
    shard: Shard,
    held: Option<Hold>,
    /// Maximum bytes of values in a response to another worker, which is a copy.
    max_answer: u64,
    /// Requests that arrived while the shard was held. Every worker limits the number of its
    /// requests in flight.
    waiting: VecDeque<(usize, usize, Request)>,
}

struct Hold {
    /// The worker that holds the shard, and its number of the plan.
    by: usize,
    number: usize,
    part: Part,
    since: Instant,
}

impl OwnShard {
    pub(super) fn new(number: usize, shard: Shard, max_answer: u64) -> Self {
        Self { number, shard, held: None, max_answer, waiting: VecDeque::new() }
    }

    /// Runs a plan at once, if it needs only this shard and the shard is not held.
    pub(super) fn run(&mut self, plan: &Plan) -> Option<Reply> {
        match plan.parts() {
            [part] if part.shard == self.number && self.held.is_none() => Some(plan.run([&mut self.shard])),
            _ => None,
        }
    }

    /// Handles a request of worker `by`, and the waiting requests that it lets go on.
    pub(super) fn handle(
        &mut self,
        by: usize,
        number: usize,
        request: Request,
        responses: &mut VecDeque<Response>,
    ) {
        let is_end = matches!(request, Request::Commit | Request::Abort);
        if self.held.is_some() && !is_end {
            self.waiting.push_back((by, number, request));
            return;
        }
        self.answer(by, number, request, responses);
        self.resume(responses);
    }

    /// Aborts a plan that has held the shard for longer than its lease. Returns whether there was
    /// one.
    pub(super) fn end_lease(&mut self, responses: &mut VecDeque<Response>) -> bool {
        let has_ended = self.held.as_ref().is_some_and(|hold| hold.since.elapsed() >= LEASE);
        if has_ended {
            self.abort();
            self.resume(responses);
        }
        has_ended
    }

    /// Whether the shard is held, so that the lease must be watched.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Releases what a dead worker held, and forgets its requests.
    pub(super) fn on_worker_death(&mut self, worker: usize, responses: &mut VecDeque<Response>) {
        self.waiting.retain(|(by, ..)| *by != worker);
        if self.held.as_ref().is_some_and(|hold| hold.by == worker) {
            self.abort();
        }
        self.resume(responses);
    }

    /// Removes expired keys. Not while the shard is held: it then has memory reserved, which a
    /// sweep would give back.
    pub(super) fn sweep(&mut self, now: Now) {
        if self.held.is_none() {
            kv::sweep(1, |buckets| self.shard.sweep(now, buckets));
        }
    }

    /// Whether any key may expire.
    pub(super) fn is_volatile(&self) -> bool {
        self.shard.stats().volatile > 0
    }

    fn answer(&mut self, by: usize, number: usize, request: Request, responses: &mut VecDeque<Response>) {
        let answer = match request {
            Request::Run(part) => self.fits(by, &part).and_then(|()| self.shard.run(&part)),
            Request::Prepare(part) => self.prepare(by, number, part),
            Request::Commit => self.commit(by, number),
            Request::Abort if self.is_held_by(by, number) => return self.abort(),
            Request::Abort => {
                let before = self.waiting.len();
                self.waiting.retain(|(other, its, _)| (*other, *its) != (by, number));
                if self.waiting.len() == before {
                    return;
                }
                Err(Refusal::Silent)
            }
        };
        responses.push_back(Response { to: by, from: self.number, number, answer });
    }

    /// Refuses a part whose answer would be too large to send to another worker.
    fn fits(&self, by: usize, part: &Part) -> Result<(), Refusal> {
        let fits = by == self.number || self.shard.answer_fits(part, self.max_answer);
        if fits { Ok(()) } else { Err(Refusal::Large) }
    }

    fn prepare(&mut self, by: usize, number: usize, part: Part) -> Answer {
        self.fits(by, &part)?;
        self.shard.prepare(&part)?;
        self.held = Some(Hold { by, number, part, since: Instant::now() });
        Ok(Replies::new())
    }

    /// Runs the prepared part. Refused if the lease has ended.
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

    /// Handles waiting requests until one of them holds the shard.
    fn resume(&mut self, responses: &mut VecDeque<Response>) {
        while self.held.is_none()
            && let Some((by, number, request)) = self.waiting.pop_front()
        {
            self.answer(by, number, request, responses);
        }
    }
}
