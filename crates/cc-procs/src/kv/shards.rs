//! All shards, as one worker sees them: its own, and those of its peers.

use std::{
    collections::VecDeque,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
    vec,
};

use cc_workloads::{
    Error, Result,
    kv::{Answer, Charge, Now, Part, Plan, Refusal, Reply, Shard, SharedBudget},
};
use mio::{Registry, Token};
use serde::{Deserialize, Serialize};
use slab::Slab;
use smallvec::SmallVec;

use super::own::{OwnShard, Request, Response};
use crate::mesh::Mesh;

/// Maximum requests in flight to one peer. It bounds what the peer stores for this worker, and what
/// a peer that does not answer can hold up: the clients that need its shard wait, and no others.
const REQUESTS_IN_FLIGHT: usize = 4096;

/// Time after which a peer is *silent*, if it has requests in flight and sends nothing. It is
/// longer than the [lease](super::own::LEASE): a peer whose shard is held by a suspended worker
/// does not answer until that lease ends, and must not be taken for silent as well.
const SILENCE: Duration = Duration::from_secs(5);

/// Maximum time between the first `Prepare` of a plan and its commit. It is so much shorter than
/// the [lease](super::own::LEASE) that no lease of the plan can have ended by then, even if this
/// worker was suspended meanwhile.
const COMMIT_WITHIN: Duration = Duration::from_secs(2);

/// Minimum size of an answer that is charged to the budget, in bytes.
const LARGE: usize = 16 << 10;

/// The reply if a worker has died or is silent after it was sent the request: the command may or
/// may not have been executed.
const INDETERMINATE: Reply = Reply::error(
    "INDETERMINATE the shard's worker has died or does not answer; the command may or may not have been executed",
);

/// Between two workers.
#[derive(Serialize, Deserialize)]
enum Message {
    /// A request to the receiver's shard, with the sender's number of the plan.
    Request(usize, Request),
    /// The answer to the request with this number.
    Response(usize, Answer),
    /// The sender's current number of clients.
    Clients(usize),
}

/// All shards. Worker `n` owns shard `n`.
pub(super) struct Shards {
    /// The number of this worker, and of its shard.
    this: usize,
    own: OwnShard,
    mesh: Mesh<Message>,
    /// Messages that were received; empty between two calls, to reuse its memory.
    received: Vec<Message>,
    /// Responses that are not delivered yet: of the own shard, or in place of a peer's.
    responses: VecDeque<Response>,
    plans: Slab<PlanInFlight>,
    /// Number of plans so far. Its low 32 bits become the high bits of a plan's number, so that a
    /// late answer is not taken for that of another plan in the same slot.
    submitted: usize,
    /// Clients that have a reply, or may submit again.
    ready: Vec<usize>,
    /// A client became ready without an event, so the next poll must not wait.
    has_resumed: bool,
    peers: Vec<Peer>,
    /// For answers of peers, which are copies, until clients take them.
    answers_budget: SharedBudget,
}

/// What this worker knows of a worker, itself included.
struct Peer {
    /// Its number of clients; `usize::MAX` if it is down.
    clients: usize,
    /// This worker's number of clients that it was last sent.
    clients_sent: usize,
    /// Number of requests to it that it has not answered.
    unanswered: usize,
    /// When it last sent something or, if that is later, was sent the first unanswered request.
    last_heard: Instant,
    is_silent: bool,
    /// Clients that wait until it can be sent more requests.
    stalled: Vec<usize>,
}

impl Peer {
    fn new(clients: usize) -> Self {
        Self {
            clients,
            clients_sent: usize::MAX,
            unanswered: 0,
            last_heard: Instant::now(),
            is_silent: false,
            stalled: Vec::new(),
        }
    }
}

/// A plan that was submitted, until its reply is taken.
struct PlanInFlight {
    number: usize,
    /// Boxed, since most plans have no large answers, and each plan is moved several times.
    large_answers: Option<Box<LargeAnswers>>,
    /// The client that waits for the reply; `None` if it has gone.
    client: Option<usize>,
    plan: Plan,
    phase: Phase,
    /// The shards whose answers are still to come.
    awaited: SmallVec<[usize; 2]>,
    answers: SmallVec<[(usize, Answer); 1]>,
    reply: Option<Reply>,
}

/// The large answers of a plan, which are charged to the budget.
struct LargeAnswers {
    bytes: usize,
    charge: Charge,
    /// An answer was dropped, for which the budget had no room. Its part has been run.
    has_dropped: bool,
}

enum Phase {
    /// All parts run independently.
    Run,
    /// Boxed, since most plans need one shard.
    Prepare(Box<Preparation>),
    Commit,
}

/// The state of a plan whose parts are prepared, one after the other.
struct Preparation {
    begun: Instant,
    /// The parts whose shards have been sent no request, in ascending order of the shards.
    remaining: vec::IntoIter<Part>,
    held: Vec<usize>,
    /// A shard that was held, and has been lost.
    lost: Option<usize>,
}

impl Shards {
    /// The shards of worker `this`, which has no links to its peers yet. Events of the link to a
    /// peer will have the token `first` plus its number. An answer to a peer has at most
    /// `max_answer` bytes of values, or is one value.
    pub(super) fn new(
        this: usize,
        shard: Shard,
        (answers_budget, max_answer): (SharedBudget, u64),
        registry: Registry,
        first: Token,
        workers: usize,
    ) -> Self {
        let peer = |worker| Peer::new(if worker == this { 0 } else { usize::MAX });
        Self {
            this,
            own: OwnShard::new(this, shard, max_answer),
            mesh: Mesh::new(registry, first, workers),
            received: Vec::new(),
            responses: VecDeque::new(),
            plans: Slab::new(),
            submitted: 0,
            ready: Vec::new(),
            has_resumed: false,
            peers: (0..workers).map(peer).collect(),
            answers_budget,
        }
    }

    /// Runs a plan at once, if it needs only this worker's shard and that is not held.
    pub(super) fn run(&mut self, plan: &Plan) -> Option<Reply> {
        self.own.run(plan)
    }

    /// Whether a plan may be submitted. If not, its client is [ready](Shards::take_ready) when that
    /// may have changed.
    pub(super) fn admit(&mut self, client: usize, plan: &Plan) -> bool {
        for part in plan.parts() {
            if !self.has_room(part.shard) {
                self.peers[part.shard].stalled.push(client);
                return false;
            }
        }
        true
    }

    /// Whether a worker can be sent more requests, or is silent, which refuses them at once.
    fn has_room(&self, worker: usize) -> bool {
        let peer = &self.peers[worker];
        peer.is_silent || peer.unanswered < REQUESTS_IN_FLIGHT && !self.mesh.is_full(worker)
    }

    /// Has a plan run, and returns its number. Its client is [ready](Shards::take_ready) when there
    /// is a reply.
    pub(super) fn submit(&mut self, client: usize, mut plan: Plan) -> usize {
        let parts = plan.take_parts();
        let is_atomic = parts.len() > 1 && plan.is_isolated();
        self.submitted += 1;
        let number = (self.submitted & 0xffff_ffff) << 32 | self.plans.vacant_key();
        let mut in_flight = PlanInFlight {
            number,
            large_answers: None,
            client: Some(client),
            plan,
            phase: Phase::Run,
            awaited: SmallVec::new(),
            answers: SmallVec::new(),
            reply: None,
        };
        if is_atomic {
            in_flight.phase = Phase::Prepare(Box::new(Preparation {
                begun: Instant::now(),
                remaining: parts.into_vec().into_iter(),
                held: Vec::new(),
                lost: None,
            }));
            self.plans.insert(in_flight);
            self.prepare_next(number);
        } else {
            in_flight.awaited = parts.iter().map(|part| part.shard).collect();
            self.plans.insert(in_flight);
            for part in parts {
                self.send(part.shard, number, Request::Run(part));
            }
        }
        self.deliver_responses();
        number
    }

    /// Takes the reply to a plan, if it has one.
    pub(super) fn take_reply(&mut self, number: usize) -> Option<Reply> {
        self.plan(number)?.reply.as_ref()?;
        self.plans.remove(slot(number)).reply
    }

    /// The plan with this number, if it is still in flight.
    fn plan(&mut self, number: usize) -> Option<&mut PlanInFlight> {
        self.plans.get_mut(slot(number)).filter(|plan| plan.number == number)
    }

    /// Drops the reply to a plan, now or when it is there, since its client has gone. The plan runs
    /// all the same.
    pub(super) fn forget(&mut self, number: usize) {
        if self.take_reply(number).is_none()
            && let Some(plan) = self.plan(number)
        {
            plan.client = None;
        }
    }

    /// Whether clients are ready without an event: the next poll must not wait.
    pub(super) fn has_resumed(&self) -> bool {
        self.has_resumed
    }

    /// Takes the list of clients that have replies, or may submit again.
    pub(super) fn take_ready(&mut self) -> Vec<usize> {
        self.has_resumed = false;
        std::mem::take(&mut self.ready)
    }

    /// The worker whose link has this token, if it is the token of a link.
    pub(super) fn worker(&self, token: Token) -> Option<usize> {
        self.mesh.worker(token)
    }

    /// Receives and handles the messages of a peer.
    pub(super) fn receive(&mut self, worker: usize) {
        let was_connected = self.mesh.is_connected(worker);
        let mut received = std::mem::take(&mut self.received);
        let is_open = self.mesh.receive(worker, &mut received);
        if !received.is_empty() {
            self.peers[worker].last_heard = Instant::now();
            self.peers[worker].is_silent = false;
        }
        for message in received.drain(..) {
            match message {
                Message::Request(number, request) => {
                    self.own.handle(worker, number, request, &mut self.responses);
                }
                Message::Response(number, answer) => {
                    self.peers[worker].unanswered = self.peers[worker].unanswered.saturating_sub(1);
                    self.on_answer(number, worker, answer);
                }
                Message::Clients(clients) => self.peers[worker].clients = clients,
            }
        }
        self.received = received;
        if was_connected && !is_open {
            self.on_worker_death(worker);
        }
        self.deliver_responses();
    }

    /// Adds a link to this worker, which replaces the link to its predecessor.
    pub(super) fn connect(&mut self, worker: usize, link: UnixStream) -> Result<()> {
        // All that the predecessor has sent counts, so it is received first.
        self.receive(worker);
        while self.mesh.has_more(worker) {
            self.receive(worker);
        }
        self.mesh.connect(worker, link).map_err(Error::io("link to a worker"))?;
        let stalled = std::mem::take(&mut self.peers[worker].stalled);
        self.peers[worker] = Peer { stalled, ..Peer::new(0) };
        Ok(())
    }

    /// Sets this worker's number of clients, and tells the peers. A peer whose link is full is told
    /// the current number when it has room.
    pub(super) fn set_clients(&mut self, clients: usize) {
        self.peers[self.this].clients = clients;
        for (worker, peer) in self.peers.iter_mut().enumerate() {
            if peer.clients_sent != clients && worker != self.this && !self.mesh.is_full(worker) {
                self.mesh.send(worker, Message::Clients(clients));
                peer.clients_sent = clients;
            }
        }
    }

    /// The smallest number of clients of a worker. Silent workers do not count: they accept none.
    pub(super) fn fewest_clients(&self) -> usize {
        let peers = self.peers.iter().filter(|peer| !peer.is_silent);
        peers.map(|peer| peer.clients).min().unwrap_or_default()
    }

    /// Receives what the previous turn of the event loop has left.
    pub(super) fn receive_more(&mut self) {
        for worker in 0..self.peers.len() {
            if self.mesh.has_more(worker) {
                self.receive(worker);
            }
        }
    }

    /// Whether a peer may have sent more than was received.
    pub(super) fn has_more(&self) -> bool {
        (0..self.peers.len()).any(|worker| self.mesh.has_more(worker))
    }

    /// Whether [`check_peers`](Shards::check_peers) must be called after a while, even without an
    /// event.
    pub(super) fn needs_check(&self) -> bool {
        self.own.is_held() || self.peers.iter().any(|peer| peer.unanswered > 0 && !peer.is_silent)
    }

    /// Ends an expired lease, finds the peers that have become silent, and resumes clients that
    /// waited for room.
    pub(super) fn check_peers(&mut self) {
        if self.own.end_lease(&mut self.responses) {
            self.has_resumed = true;
            self.deliver_responses();
        }
        for worker in 0..self.peers.len() {
            let peer = &self.peers[worker];
            let is_awaited = worker != self.this && peer.unanswered > 0 && !peer.is_silent;
            if is_awaited && peer.last_heard.elapsed() >= SILENCE {
                self.peers[worker].is_silent = true;
                self.for_each_unanswered(|shards, number| shards.on_silence(number, worker));
                self.deliver_responses();
                self.has_resumed = true;
            }
            if !self.peers[worker].stalled.is_empty() && self.has_room(worker) {
                self.ready.append(&mut self.peers[worker].stalled);
                self.has_resumed = true;
            }
        }
    }

    /// Writes the messages to the peers.
    pub(super) fn flush(&mut self) {
        self.mesh.flush();
    }

    /// Removes expired keys of this worker's shard.
    pub(super) fn sweep(&mut self, now: Now) {
        self.own.sweep(now);
    }

    /// Whether any key of this worker's shard may expire.
    pub(super) fn is_volatile(&self) -> bool {
        self.own.is_volatile()
    }
}

/// The steps of a plan.
impl Shards {
    /// Sends a request to the owner of a shard. If the owner is down or silent, the response is a
    /// refusal.
    fn send(&mut self, shard: usize, number: usize, request: Request) {
        let is_answered = !matches!(request, Request::Abort);
        let peer = &mut self.peers[shard];
        if shard == self.this {
            peer.unanswered += usize::from(is_answered);
            self.own.handle(self.this, number, request, &mut self.responses);
            return;
        }
        if peer.is_silent && is_answered {
            self.refuse(shard, number, Refusal::Silent);
            return;
        }
        if is_answered && self.mesh.is_connected(shard) {
            if peer.unanswered == 0 {
                peer.last_heard = Instant::now();
            }
            peer.unanswered += 1;
        }
        if !self.mesh.send(shard, Message::Request(number, request)) && is_answered {
            self.refuse(shard, number, Refusal::Down);
        }
    }

    /// Responds to a request of this worker in place of the shard's owner.
    fn refuse(&mut self, shard: usize, number: usize, why: Refusal) {
        self.responses.push_back(Response { to: self.this, from: shard, number, answer: Err(why) });
    }

    /// Delivers the responses: to plans of this worker, or to peers.
    fn deliver_responses(&mut self) {
        while let Some(Response { to, from, number, answer }) = self.responses.pop_front() {
            if to == self.this {
                if from == self.this {
                    self.peers[from].unanswered = self.peers[from].unanswered.saturating_sub(1);
                }
                self.on_answer(number, from, answer);
            } else {
                // If there is no link, the peer is dead, and does not need the answer.
                self.mesh.send(to, Message::Response(number, answer));
            }
        }
    }

    /// Takes the answer of a shard to a plan's last request to it.
    fn on_answer(&mut self, number: usize, from: usize, answer: Answer) {
        // There is none if the plan was completed without this answer. (Not `self.plan`, which
        // would borrow all of `self`.)
        let Some(plan) = self.plans.get_mut(slot(number)).filter(|plan| plan.number == number) else {
            return;
        };
        if plan.reply.is_some() || !plan.awaited.contains(&from) {
            return;
        }
        plan.awaited.retain(|shard| *shard != from);
        match (&mut plan.phase, answer) {
            (Phase::Prepare(preparation), Ok(_)) => {
                preparation.held.push(from);
                match preparation.lost {
                    Some(lost) => self.abort(number, lost, Refusal::Down),
                    None if preparation.begun.elapsed() > COMMIT_WITHIN => {
                        self.abort(number, from, Refusal::Silent);
                    }
                    None => self.prepare_next(number),
                }
            }
            (Phase::Prepare(_), Err(why)) => self.abort(number, from, why),
            (Phase::Run | Phase::Commit, answer) => {
                let is_own = from == self.this;
                let answer = if is_own { answer } else { plan.charge(answer, &self.answers_budget) };
                plan.answers.push((from, answer));
                self.reply_if_complete(number);
            }
        }
    }

    /// Prepares the next part of a plan, or commits the plan if all are prepared.
    fn prepare_next(&mut self, number: usize) {
        let plan = &mut self.plans[slot(number)];
        let Phase::Prepare(preparation) = &mut plan.phase else { unreachable!("it is being prepared") };
        if let Some(part) = preparation.remaining.next() {
            plan.awaited.push(part.shard);
            self.send(part.shard, number, Request::Prepare(part));
        } else {
            let held = std::mem::take(&mut preparation.held);
            plan.phase = Phase::Commit;
            plan.awaited.extend_from_slice(&held);
            for shard in held {
                self.send(shard, number, Request::Commit);
            }
        }
    }

    /// Releases all shards that a plan holds, since this shard has refused its part.
    fn abort(&mut self, number: usize, shard: usize, why: Refusal) {
        let plan = &mut self.plans[slot(number)];
        let Phase::Prepare(preparation) = &mut plan.phase else { unreachable!("it is being prepared") };
        let held = std::mem::take(&mut preparation.held);
        let reply = plan.plan.refused(shard, why);
        for shard in held {
            self.send(shard, number, Request::Abort);
        }
        self.complete(number, reply);
    }

    /// Completes a plan if all answers are there.
    fn reply_if_complete(&mut self, number: usize) {
        let plan = &mut self.plans[slot(number)];
        if !plan.awaited.is_empty() {
            return;
        }
        let answers = std::mem::take(&mut plan.answers);
        // A prepared part cannot be refused, so an error means that its shard is lost, while others
        // may have committed.
        let is_torn =
            matches!(plan.phase, Phase::Commit) && answers.iter().any(|(_, answer)| answer.is_err());
        let has_dropped = plan.large_answers.as_ref().is_some_and(|answers| answers.has_dropped);
        let reply = match (has_dropped, is_torn) {
            (true, _) => Reply::dropped(),
            (false, true) => INDETERMINATE,
            (false, false) => plan.plan.reply(answers),
        };
        self.complete(number, reply);
    }

    /// Stores the reply to a plan for its client, or drops the plan if the client has gone.
    fn complete(&mut self, number: usize, reply: Reply) {
        let plan = &mut self.plans[slot(number)];
        plan.reply = Some(reply);
        match plan.client {
            Some(client) => self.ready.push(client),
            None => {
                self.plans.remove(slot(number));
            }
        }
    }

    /// Handles the death of a worker: its shard is lost, and so are its requests to this one.
    fn on_worker_death(&mut self, worker: usize) {
        let stalled = std::mem::take(&mut self.peers[worker].stalled);
        self.peers[worker] = Peer { stalled, ..Peer::new(usize::MAX) };
        self.own.on_worker_death(worker, &mut self.responses);
        self.for_each_unanswered(|shards, number| shards.on_death(number, worker));
    }

    /// Calls `handle` with the number of each plan that has no reply.
    fn for_each_unanswered(&mut self, handle: impl Fn(&mut Self, usize)) {
        let unanswered = self.plans.iter().filter(|(_, plan)| plan.reply.is_none());
        let numbers: Vec<_> = unanswered.map(|(_, plan)| plan.number).collect();
        for number in numbers {
            handle(self, number);
        }
    }

    /// Completes a plan that waits for a silent worker without it. If the worker goes on later, its
    /// answer is ignored, and it does not go on holding its shard for this plan.
    fn on_silence(&mut self, number: usize, worker: usize) {
        let Some(plan) = self.plan(number).filter(|plan| plan.awaited.contains(&worker)) else { return };
        match plan.phase {
            Phase::Prepare(_) => {
                self.send(worker, number, Request::Abort);
                self.on_answer(number, worker, Err(Refusal::Silent));
            }
            Phase::Run if plan.plan.is_isolated() => self.complete(number, INDETERMINATE),
            Phase::Run | Phase::Commit => self.on_answer(number, worker, Err(Refusal::Silent)),
        }
    }

    /// Has a plan go on without a dead worker.
    fn on_death(&mut self, number: usize, worker: usize) {
        let Some(plan) = self.plan(number) else { return };
        let is_awaited = plan.awaited.contains(&worker);
        match &mut plan.phase {
            // The plan cannot commit any more. It is aborted when the next shard has answered.
            Phase::Prepare(preparation) if preparation.held.contains(&worker) => {
                preparation.held.retain(|held| *held != worker);
                preparation.lost = Some(worker);
            }
            _ if !is_awaited => {}
            Phase::Run if plan.plan.is_isolated() => self.complete(number, INDETERMINATE),
            Phase::Run | Phase::Prepare(_) | Phase::Commit => {
                self.on_answer(number, worker, Err(Refusal::Down));
            }
        }
    }
}

impl PlanInFlight {
    /// Charges a peer's answer to the budget if it is large. If there is no room for it, returns a
    /// refusal in its place.
    fn charge(&mut self, answer: Answer, budget: &SharedBudget) -> Answer {
        let bytes: usize = answer.iter().flatten().map(Reply::size).sum();
        if bytes < LARGE {
            return answer;
        }
        let large_answers = self.large_answers.get_or_insert_with(|| {
            Box::new(LargeAnswers { bytes: 0, charge: Charge::new(budget.clone()), has_dropped: false })
        });
        large_answers.bytes += bytes;
        if large_answers.charge.is(large_answers.bytes) {
            return answer;
        }
        large_answers.has_dropped = true;
        Err(Refusal::Large)
    }
}

/// The slot of the plan with this number.
fn slot(number: usize) -> usize {
    number & 0xffff_ffff
}
