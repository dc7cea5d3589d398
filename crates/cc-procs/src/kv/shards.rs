//! All shards, as one worker sees them: its own, and those at the end of its ways to the others.

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

use super::own::{Ask, Own, Said};
use crate::mesh::Mesh;

/// Most questions of this worker that another one has not answered. The other keeps no more for it,
/// and no more answers; and one that does not answer at all has clients wait that ask its shard,
/// and no others.
const CREDITS: usize = 4096;

/// A worker that has been asked something, and has said nothing for this time, is silent. Its
/// [lease](super::own::LEASE) of another's shard has ended before, so that the other is not taken
/// for silent, too.
const SILENCE: Duration = Duration::from_secs(5);

/// A plan on several shards is committed no later than this after it was begun: as long as none of
/// the leases that it has can have ended, also if this worker was suspended meanwhile.
const COMMIT_WITHIN: Duration = Duration::from_secs(2);

/// An answer of this size counts as memory.
const LARGE: usize = 16 << 10;

/// What a worker has died with, or has not answered. It is not known how far it came.
const INDETERMINATE: Reply = Reply::error(
    "INDETERMINATE the worker that was asked has died or does not answer; what was asked may have been done",
);

/// What workers say to each other.
#[derive(Serialize, Deserialize)]
enum Message {
    /// Something is asked of the other's shard, under a number of who asks.
    Ask(usize, Ask),
    /// The answer to what has this number.
    Answer(usize, Answer),
    /// So many clients has who says this.
    Clients(usize),
}

/// The shards. Worker `n` owns shard `n`.
pub(super) struct Shards {
    me: usize,
    own: Own,
    mesh: Mesh<Message>,
    heard: Vec<Message>,
    said: VecDeque<Said>,
    asked: Slab<Asked>,
    /// Plans so far. Its last 32 bits are the upper ones of a plan's number, so that a late answer
    /// is not taken for another plan's; the lower ones are its place.
    plans: usize,
    /// Clients for whom there is a reply, or room again.
    ready: Vec<usize>,
    /// Some of them are ready though nothing was heard.
    has_resumed: bool,
    peers: Vec<Peer>,
    /// For answers of others, which are copies, until clients take them.
    in_flight: SharedBudget,
}

/// A worker, as this one knows it; itself included.
struct Peer {
    /// How many clients it has; no bound on one that is down.
    clients: usize,
    /// How many this one has, as far as the other was told.
    told: usize,
    /// What it was asked and has not answered.
    unanswered: usize,
    /// When it last said something, or was asked something and owed nothing.
    heard: Instant,
    is_silent: bool,
    /// Clients who wait until it can be asked more.
    stalled: Vec<usize>,
}

impl Peer {
    fn new(clients: usize) -> Self {
        let (heard, stalled) = (Instant::now(), Vec::new());
        Self { clients, told: usize::MAX, unanswered: 0, heard, is_silent: false, stalled }
    }
}

/// A plan on its way.
struct Asked {
    number: usize,
    /// Answers that are large; in a box, since most are not, and each plan is moved several times.
    copies: Option<Box<Copies>>,
    /// Who wants to know; none if he has gone.
    client: Option<usize>,
    plan: Plan,
    phase: Phase,
    /// The shards whose answers are still to come.
    awaited: SmallVec<[usize; 2]>,
    answers: SmallVec<[(usize, Answer); 1]>,
    reply: Option<Reply>,
}

/// What answers take of the budget that are large copies.
struct Copies {
    bytes: usize,
    charge: Charge,
    /// There was no room for an answer to what was done.
    is_dropped: bool,
}

enum Phase {
    /// Each part for itself.
    Run,
    /// In a box, since most plans ask one shard.
    Prepare(Box<Prepared>),
    Commit,
}

/// How far a plan has come that needs several shards as one.
struct Prepared {
    begun: Instant,
    /// What is not prepared yet, in ascending order of shards.
    rest: vec::IntoIter<Part>,
    held: Vec<usize>,
    /// A shard that was held, and has been lost.
    lost: Option<usize>,
}

impl Shards {
    /// Those of worker `me`, which has no way to the others yet. Events at the way to one will have
    /// this token, plus its number. Answers between workers take of `in_flight`, and each has at
    /// most this many bytes of values or is one value.
    pub(super) fn new(
        me: usize,
        shard: Shard,
        (in_flight, room): (SharedBudget, u64),
        registry: Registry,
        first: Token,
        workers: usize,
    ) -> Self {
        let peer = |worker| Peer::new(if worker == me { 0 } else { usize::MAX });
        Self {
            me,
            own: Own::new(me, shard, room),
            mesh: Mesh::new(registry, first, workers),
            heard: Vec::new(),
            said: VecDeque::new(),
            asked: Slab::new(),
            plans: 0,
            ready: Vec::new(),
            has_resumed: false,
            peers: (0..workers).map(peer).collect(),
            in_flight,
        }
    }

    /// Runs a plan at once, if that is possible.
    pub(super) fn run(&mut self, plan: &Plan) -> Option<Reply> {
        self.own.run(plan)
    }

    /// Whether a plan may be asked for. If not, its client is [ready](Shards::take_ready) when that
    /// has changed.
    pub(super) fn admit(&mut self, client: usize, plan: &Plan) -> bool {
        let full = plan.parts().iter().map(|part| part.shard).find(|worker| !self.has_room(*worker));
        full.inspect(|worker| self.peers[*worker].stalled.push(client));
        full.is_none()
    }

    /// Whether a worker can be asked more, or is known not to answer.
    fn has_room(&self, worker: usize) -> bool {
        let peer = &self.peers[worker];
        peer.is_silent || peer.unanswered < CREDITS && !self.mesh.is_full(worker)
    }

    /// Has a plan run. Its client is [ready](Shards::take_ready) when there is a reply to what has this number.
    pub(super) fn ask(&mut self, client: usize, mut plan: Plan) -> usize {
        let parts = plan.take_parts();
        let is_one = parts.len() > 1 && plan.is_isolated();
        let (awaited, answers) = (parts.iter().map(|part| part.shard).collect(), SmallVec::new());
        self.plans += 1;
        let number = (self.plans & 0xffff_ffff) << 32 | self.asked.vacant_key();
        let mut asked = Asked {
            number,
            copies: None,
            client: Some(client),
            plan,
            phase: Phase::Run,
            awaited,
            answers,
            reply: None,
        };
        if is_one {
            asked.awaited.clear();
            let rest = parts.into_vec().into_iter();
            let prepared = Prepared { begun: Instant::now(), rest, held: Vec::new(), lost: None };
            asked.phase = Phase::Prepare(Box::new(prepared));
            self.asked.insert(asked);
            self.prepare(number);
            self.settle();
            return number;
        }
        self.asked.insert(asked);
        for part in parts {
            self.tell(part.shard, number, Ask::Run(part));
        }
        self.settle();
        number
    }

    /// The reply, once it is there.
    pub(super) fn take_reply(&mut self, number: usize) -> Option<Reply> {
        self.of(number)?.reply.as_ref()?;
        self.asked.remove(place(number)).reply
    }

    /// The plan of this number, if it is still under way.
    fn of(&mut self, number: usize) -> Option<&mut Asked> {
        self.asked.get_mut(place(number)).filter(|asked| asked.number == number)
    }

    /// Nobody wants to know the reply any more. What was asked is done all the same.
    pub(super) fn forget(&mut self, number: usize) {
        if self.take_reply(number).is_none()
            && let Some(asked) = self.of(number)
        {
            asked.client = None;
        }
    }

    /// Whether clients are ready though nothing was heard: the next turn must not wait.
    pub(super) fn have_resumed(&self) -> bool {
        self.has_resumed
    }

    /// The clients for whom there are replies, or room again.
    pub(super) fn take_ready(&mut self) -> Vec<usize> {
        self.has_resumed = false;
        std::mem::take(&mut self.ready)
    }

    /// The worker at whose way something has happened, if it is one.
    pub(super) fn worker(&self, token: Token) -> Option<usize> {
        self.mesh.worker(token)
    }

    /// Does what another worker says.
    pub(super) fn hear(&mut self, worker: usize) {
        let was_up = self.mesh.is_up(worker);
        let mut heard = std::mem::take(&mut self.heard);
        let goes_on = self.mesh.hear(worker, &mut heard);
        if !heard.is_empty() {
            (self.peers[worker].heard, self.peers[worker].is_silent) = (Instant::now(), false);
        }
        for message in heard.drain(..) {
            match message {
                Message::Ask(number, ask) => self.own.ask(worker, number, ask, &mut self.said),
                Message::Answer(number, answer) => {
                    self.peers[worker].unanswered = self.peers[worker].unanswered.saturating_sub(1);
                    self.answered(number, worker, answer);
                }
                Message::Clients(clients) => self.peers[worker].clients = clients,
            }
        }
        self.heard = heard;
        if was_up && !goes_on {
            self.lose(worker);
        }
        self.settle();
    }

    /// There is a new way to this worker; the old one has ended.
    pub(super) fn connect(&mut self, worker: usize, way: UnixStream) -> Result<()> {
        self.hear(worker);
        while self.mesh.has_more(worker) {
            self.hear(worker);
        }
        self.mesh.connect(worker, way).map_err(Error::io("way to a worker"))?;
        let stalled = std::mem::take(&mut self.peers[worker].stalled);
        self.peers[worker] = Peer { stalled, ..Peer::new(0) };
        Ok(())
    }

    /// So many clients are here. A worker that does not read is told the last number when it does.
    pub(super) fn have_clients(&mut self, clients: usize) {
        self.peers[self.me].clients = clients;
        for (worker, peer) in self.peers.iter_mut().enumerate() {
            if peer.told != clients && worker != self.me && !self.mesh.is_full(worker) {
                self.mesh.send(worker, Message::Clients(clients));
                peer.told = clients;
            }
        }
    }

    /// How many clients the worker has that has the fewest. One that is silent accepts none.
    pub(super) fn fewest_clients(&self) -> usize {
        let peers = self.peers.iter().filter(|peer| !peer.is_silent);
        peers.map(|peer| peer.clients).min().unwrap_or_default()
    }

    /// Hears what was left over of the turn before.
    pub(super) fn hear_more(&mut self) {
        for worker in 0..self.peers.len() {
            if self.mesh.has_more(worker) {
                self.hear(worker);
            }
        }
    }

    /// Whether something is left over.
    pub(super) fn have_more(&self) -> bool {
        (0..self.peers.len()).any(|worker| self.mesh.has_more(worker))
    }

    /// Whether [`tend`](Shards::tend) must be called after a while, though nothing happens.
    pub(super) fn are_awaited(&self) -> bool {
        self.own.is_held() || self.peers.iter().any(|peer| peer.unanswered > 0 && !peer.is_silent)
    }

    /// Notices who does not answer, and has clients go on that waited for room.
    pub(super) fn tend(&mut self) {
        if self.own.end_lease(&mut self.said) {
            self.has_resumed = true;
            self.settle();
        }
        for worker in 0..self.peers.len() {
            let peer = &self.peers[worker];
            let is_awaited = worker != self.me && peer.unanswered > 0 && !peer.is_silent;
            if is_awaited && peer.heard.elapsed() >= SILENCE {
                self.peers[worker].is_silent = true;
                self.each_under_way(worker, Self::give_up_on);
                self.settle();
                self.has_resumed = true;
            }
            if !self.peers[worker].stalled.is_empty() && self.has_room(worker) {
                self.ready.append(&mut self.peers[worker].stalled);
                self.has_resumed = true;
            }
        }
    }

    /// Sends what was said to the others.
    pub(super) fn flush(&mut self) {
        self.mesh.flush();
    }

    pub(super) fn sweep(&mut self, now: Now) {
        self.own.sweep(now);
    }

    pub(super) fn are_volatile(&self) -> bool {
        self.own.is_volatile()
    }
}

/// How a plan goes its way.
impl Shards {
    /// Asks a shard's owner. If it is down, that is the answer.
    fn tell(&mut self, shard: usize, number: usize, ask: Ask) {
        let is_answered = !matches!(ask, Ask::Abort);
        let peer = &mut self.peers[shard];
        if shard == self.me {
            peer.unanswered += usize::from(is_answered);
            self.own.ask(self.me, number, ask, &mut self.said);
            return;
        }
        if peer.is_silent && is_answered {
            self.said.push_back(Said { to: self.me, from: shard, number, answer: Err(Refusal::Silent) });
            return;
        }
        if is_answered && self.mesh.is_up(shard) {
            if peer.unanswered == 0 {
                peer.heard = Instant::now();
            }
            peer.unanswered += 1;
        }
        if !self.mesh.send(shard, Message::Ask(number, ask)) && is_answered {
            self.said.push_back(Said { to: self.me, from: shard, number, answer: Err(Refusal::Down) });
        }
    }

    /// Has answers go where they belong.
    fn settle(&mut self) {
        while let Some(Said { to, from, number, answer }) = self.said.pop_front() {
            if to == self.me {
                if from == self.me {
                    self.peers[from].unanswered = self.peers[from].unanswered.saturating_sub(1);
                }
                self.answered(number, from, answer);
            } else {
                // If it is down by now, it does not want to know.
                self.mesh.send(to, Message::Answer(number, answer));
            }
        }
    }

    fn answered(&mut self, number: usize, from: usize, answer: Answer) {
        // Unless it was given up before.
        let Some(asked) = self.asked.get_mut(place(number)).filter(|asked| asked.number == number) else {
            return;
        };
        if asked.reply.is_some() || !asked.awaited.contains(&from) {
            return;
        }
        asked.awaited.retain(|shard| *shard != from);
        match (&mut asked.phase, answer) {
            (Phase::Prepare(prepared), Ok(_)) => {
                prepared.held.push(from);
                match prepared.lost {
                    Some(lost) => self.give_up(number, lost, Refusal::Down),
                    None if prepared.begun.elapsed() > COMMIT_WITHIN => {
                        self.give_up(number, from, Refusal::Silent);
                    }
                    None => self.prepare(number),
                }
            }
            (Phase::Prepare(_), Err(why)) => self.give_up(number, from, why),
            (Phase::Run | Phase::Commit, answer) => {
                let answer = if from == self.me { answer } else { asked.keep(answer, &self.in_flight) };
                asked.answers.push((from, answer));
                self.reply(number);
            }
        }
    }

    /// Prepares the next part, or commits if there is none.
    fn prepare(&mut self, number: usize) {
        let asked = &mut self.asked[place(number)];
        let Phase::Prepare(prepared) = &mut asked.phase else { unreachable!("it is being prepared") };
        if let Some(part) = prepared.rest.next() {
            asked.awaited.push(part.shard);
            self.tell(part.shard, number, Ask::Prepare(part));
        } else {
            let held = std::mem::take(&mut prepared.held);
            asked.phase = Phase::Commit;
            asked.awaited.extend_from_slice(&held);
            held.into_iter().for_each(|shard| self.tell(shard, number, Ask::Commit));
        }
    }

    /// Aborts what is held, since this shard has refused its part.
    fn give_up(&mut self, number: usize, shard: usize, why: Refusal) {
        let asked = &mut self.asked[place(number)];
        let Phase::Prepare(prepared) = &mut asked.phase else { unreachable!("it is being prepared") };
        let held = std::mem::take(&mut prepared.held);
        let reply = asked.plan.refused(shard, why);
        held.into_iter().for_each(|held| self.tell(held, number, Ask::Abort));
        self.done(number, reply);
    }

    /// Replies, if all answers are there.
    fn reply(&mut self, number: usize) {
        let asked = &mut self.asked[place(number)];
        if !asked.awaited.is_empty() {
            return;
        }
        let answers = std::mem::take(&mut asked.answers);
        // Who has prepared cannot refuse: it is gone.
        let is_torn =
            matches!(asked.phase, Phase::Commit) && answers.iter().any(|(_, answer)| answer.is_err());
        let is_dropped = asked.copies.as_ref().is_some_and(|copies| copies.is_dropped);
        let reply = match (is_dropped, is_torn) {
            (true, _) => Reply::dropped(),
            (false, true) => INDETERMINATE,
            (false, false) => asked.plan.reply(answers),
        };
        self.done(number, reply);
    }

    fn done(&mut self, number: usize, reply: Reply) {
        let asked = &mut self.asked[place(number)];
        asked.reply = Some(reply);
        match asked.client {
            Some(client) => self.ready.push(client),
            None => drop(self.asked.remove(place(number))),
        }
    }

    /// A worker has died, with its shard, and whatever it was asked or did for its clients.
    fn lose(&mut self, worker: usize) {
        let stalled = std::mem::take(&mut self.peers[worker].stalled);
        self.peers[worker] = Peer { stalled, ..Peer::new(usize::MAX) };
        self.own.lose(worker, &mut self.said);
        self.each_under_way(worker, Self::bereave);
    }

    /// Does something with each plan that is not answered.
    fn each_under_way(&mut self, worker: usize, what: fn(&mut Self, usize, usize)) {
        let under_way = self.asked.iter().filter(|(_, asked)| asked.reply.is_none());
        let numbers: Vec<_> = under_way.map(|(_, asked)| asked.number).collect();
        numbers.into_iter().for_each(|number| what(self, number, worker));
    }

    /// A worker does not answer: a plan that waits for it is answered without it. What the worker
    /// does later of it is not waited for, but what it would hold is let go.
    fn give_up_on(&mut self, number: usize, worker: usize) {
        let Some(asked) = self.of(number).filter(|asked| asked.awaited.contains(&worker)) else { return };
        match asked.phase {
            Phase::Prepare(_) => {
                self.tell(worker, number, Ask::Abort);
                self.answered(number, worker, Err(Refusal::Silent));
            }
            Phase::Run if asked.plan.is_isolated() => self.done(number, INDETERMINATE),
            Phase::Run | Phase::Commit => self.answered(number, worker, Err(Refusal::Silent)),
        }
    }

    fn bereave(&mut self, number: usize, worker: usize) {
        let Some(asked) = self.of(number) else { return };
        let is_awaited = asked.awaited.contains(&worker);
        match &mut asked.phase {
            Phase::Prepare(prepared) if prepared.held.contains(&worker) => {
                prepared.held.retain(|held| *held != worker);
                prepared.lost = Some(worker);
            }
            _ if !is_awaited => {}
            Phase::Run if asked.plan.is_isolated() => self.done(number, INDETERMINATE),
            Phase::Run | Phase::Prepare(_) | Phase::Commit => {
                self.answered(number, worker, Err(Refusal::Down));
            }
        }
    }
}

impl Asked {
    /// Counts an answer, which is a copy; or has an error in its place, if there is no room for it.
    fn keep(&mut self, answer: Answer, budget: &SharedBudget) -> Answer {
        let bytes: usize = answer.iter().flatten().map(Reply::size).sum();
        if bytes < LARGE {
            return answer;
        }
        let none = || Box::new(Copies { bytes: 0, charge: Charge::new(budget.clone()), is_dropped: false });
        let copies = self.copies.get_or_insert_with(none);
        copies.bytes += bytes;
        if copies.charge.is(copies.bytes) {
            return answer;
        }
        copies.is_dropped = true;
        Err(Refusal::Large)
    }
}

/// The place of the plan with this number.
fn place(number: usize) -> usize {
    number & 0xffff_ffff
}
