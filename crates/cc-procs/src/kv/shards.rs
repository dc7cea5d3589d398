//! All shards, as one worker sees them: its own, and those at the end of its ways to the others.

use std::{collections::VecDeque, os::unix::net::UnixStream, vec};

use cc_workloads::{
    Error, Result,
    kv::{Answer, Now, Part, Plan, Refusal, Reply, Shard},
};
use mio::{Registry, Token};
use serde::{Deserialize, Serialize};
use slab::Slab;
use smallvec::SmallVec;

use super::own::{Ask, Own, Said};
use crate::mesh::Mesh;

/// No more plans at a time. So none of the others has to keep more for this worker, nor answers to it.
const CREDITS: usize = 4096;

/// What a worker has died with. Nobody knows how far it came.
const INDETERMINATE: Reply =
    Reply::error("INDETERMINATE the worker that was asked has died; what was asked may have been done");

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
    /// Clients for whom there is a reply.
    ready: Vec<usize>,
    /// How many clients each worker has; no bound on one that is down.
    clients: Vec<usize>,
}

/// A plan on its way.
struct Asked {
    /// Who wants to know; none if he has gone.
    client: Option<usize>,
    plan: Plan,
    phase: Phase,
    /// The shards whose answers are still to come.
    awaited: SmallVec<[usize; 2]>,
    answers: SmallVec<[(usize, Answer); 1]>,
    reply: Option<Reply>,
}

enum Phase {
    /// Each part for itself.
    Run,
    Prepare(Prepared),
    Commit,
}

/// How far a plan has come that needs several shards as one.
struct Prepared {
    /// What is not prepared yet, in ascending order of shards.
    rest: vec::IntoIter<Part>,
    held: Vec<usize>,
    /// A shard that was held, and has been lost.
    lost: Option<usize>,
}

impl Shards {
    /// Those of worker `me`, which has no way to the others yet. Events at the way to one will have this token, plus its number.
    pub(super) fn new(me: usize, shard: Shard, registry: Registry, first: Token, workers: usize) -> Self {
        let mut clients = vec![usize::MAX; workers];
        clients[me] = 0;
        Self {
            me,
            own: Own::new(me, shard),
            mesh: Mesh::new(registry, first, workers),
            heard: Vec::new(),
            said: VecDeque::new(),
            asked: Slab::new(),
            ready: Vec::new(),
            clients,
        }
    }

    /// Runs a plan at once, if that is possible.
    pub(super) fn run(&mut self, plan: &Plan) -> Option<Reply> {
        self.own.run(plan)
    }

    /// Whether another plan may be asked for.
    pub(super) fn have_room(&self) -> bool {
        self.asked.len() < CREDITS && !self.mesh.is_full()
    }

    /// Has a plan run. Its client is [ready](Shards::take_ready) when there is a reply to what has this number.
    pub(super) fn ask(&mut self, client: usize, mut plan: Plan) -> usize {
        let parts = plan.take_parts();
        let is_one = parts.len() > 1 && plan.is_isolated();
        let (awaited, answers) = (parts.iter().map(|part| part.shard).collect(), SmallVec::new());
        let mut asked =
            Asked { client: Some(client), plan, phase: Phase::Run, awaited, answers, reply: None };
        if is_one {
            asked.awaited.clear();
            let rest = parts.into_vec().into_iter();
            asked.phase = Phase::Prepare(Prepared { rest, held: Vec::new(), lost: None });
            let number = self.asked.insert(asked);
            self.prepare(number);
            self.settle();
            return number;
        }
        let number = self.asked.insert(asked);
        for part in parts {
            self.tell(part.shard, number, Ask::Run(part));
        }
        self.settle();
        number
    }

    /// The reply, once it is there.
    pub(super) fn take_reply(&mut self, number: usize) -> Option<Reply> {
        self.asked[number].reply.as_ref()?;
        self.asked.remove(number).reply
    }

    /// Nobody wants to know the reply any more. What was asked is done all the same.
    pub(super) fn forget(&mut self, number: usize) {
        if self.take_reply(number).is_none() {
            self.asked[number].client = None;
        }
    }

    /// The clients for whom there are replies.
    pub(super) fn take_ready(&mut self) -> Vec<usize> {
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
        for message in heard.drain(..) {
            match message {
                Message::Ask(number, ask) => self.own.ask(worker, number, ask, &mut self.said),
                Message::Answer(number, answer) => self.answered(number, worker, answer),
                Message::Clients(clients) => self.clients[worker] = clients,
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
        self.mesh.connect(worker, way).map_err(Error::io("way to a worker"))?;
        self.mesh.send(worker, Message::Clients(self.clients[self.me]));
        self.clients[worker] = 0;
        Ok(())
    }

    /// So many clients are here.
    pub(super) fn have_clients(&mut self, clients: usize) {
        if self.clients[self.me] != clients {
            self.clients[self.me] = clients;
            for worker in 0..self.clients.len() {
                self.mesh.send(worker, Message::Clients(clients));
            }
        }
    }

    /// How many clients the worker has that has the fewest.
    pub(super) fn fewest_clients(&self) -> usize {
        self.clients.iter().copied().min().unwrap_or_default()
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
        if shard == self.me {
            self.own.ask(self.me, number, ask, &mut self.said);
        } else if !self.mesh.send(shard, Message::Ask(number, ask)) && is_answered {
            self.said.push_back(Said { to: self.me, from: shard, number, answer: Err(Refusal::Down) });
        }
    }

    /// Has answers go where they belong.
    fn settle(&mut self) {
        while let Some(Said { to, from, number, answer }) = self.said.pop_front() {
            if to == self.me {
                self.answered(number, from, answer);
            } else {
                // If it is down by now, it does not want to know.
                self.mesh.send(to, Message::Answer(number, answer));
            }
        }
    }

    fn answered(&mut self, number: usize, from: usize, answer: Answer) {
        let asked = &mut self.asked[number];
        asked.awaited.retain(|shard| *shard != from);
        match (&mut asked.phase, answer) {
            (Phase::Prepare(prepared), Ok(_)) => {
                prepared.held.push(from);
                match prepared.lost {
                    Some(lost) => self.give_up(number, lost, Refusal::Down),
                    None => self.prepare(number),
                }
            }
            (Phase::Prepare(_), Err(why)) => self.give_up(number, from, why),
            (Phase::Run | Phase::Commit, answer) => {
                asked.answers.push((from, answer));
                self.reply(number);
            }
        }
    }

    /// Prepares the next part, or commits if there is none.
    fn prepare(&mut self, number: usize) {
        let asked = &mut self.asked[number];
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
        let asked = &mut self.asked[number];
        let Phase::Prepare(prepared) = &mut asked.phase else { unreachable!("it is being prepared") };
        let held = std::mem::take(&mut prepared.held);
        let reply = asked.plan.refused(shard, why);
        held.into_iter().for_each(|held| self.tell(held, number, Ask::Abort));
        self.done(number, reply);
    }

    /// Replies, if all answers are there.
    fn reply(&mut self, number: usize) {
        let asked = &mut self.asked[number];
        if !asked.awaited.is_empty() {
            return;
        }
        let answers = std::mem::take(&mut asked.answers);
        // Who has prepared cannot refuse: it is gone.
        let is_torn =
            matches!(asked.phase, Phase::Commit) && answers.iter().any(|(_, answer)| answer.is_err());
        let reply = if is_torn { INDETERMINATE } else { asked.plan.reply(answers) };
        self.done(number, reply);
    }

    fn done(&mut self, number: usize, reply: Reply) {
        let asked = &mut self.asked[number];
        asked.reply = Some(reply);
        match asked.client {
            Some(client) => self.ready.push(client),
            None => drop(self.asked.remove(number)),
        }
    }

    /// A worker has died, with its shard, and whatever it was asked or did for its clients.
    fn lose(&mut self, worker: usize) {
        self.clients[worker] = usize::MAX;
        self.own.lose(worker, &mut self.said);
        let under_way = self.asked.iter().filter(|(_, asked)| asked.reply.is_none());
        let numbers: Vec<_> = under_way.map(|(number, _)| number).collect();
        numbers.into_iter().for_each(|number| self.bereave(number, worker));
    }

    fn bereave(&mut self, number: usize, worker: usize) {
        let asked = &mut self.asked[number];
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
