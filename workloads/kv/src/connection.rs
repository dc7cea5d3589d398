//! A connection without its socket: what is read goes in, plans come out, and what is to be written.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Now, Plan, Refusal, Reply, Server,
    budget::Charge,
    clock::deadline_after,
    output::Output,
    resp::{Decoder, Found},
    session::{Session, Step},
};

/// What a client over the limit is told, before his connection is closed.
pub const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// How much is worth reading at once. A buffer of that size can serve many connections: what a connection does not need
/// yet it keeps itself.
pub const READ: usize = 16 * 1024;

/// A client's requests and replies. It neither reads nor writes, nor does it know who does, or who runs its plans:
///
/// 1. what was read is [received](Connection::received), and the [end](Connection::end) of it is told;
/// 2. [`next`](Connection::next) is asked for plans, until there is none. Each is run and
///    [answered](Connection::answer). Several may be asked for before they are answered; they are on one shard then, which
///    must run them in their order, and they are answered in their order. So nobody sees what a client has asked for
///    later and not what it has asked for before;
/// 3. what is in [`output`](Connection::output) is written, and it is told how much was. Then 2., and, if it
///    [wants](Connection::wants_input) to, 1. again; until it [is over](Connection::is_over).
///
/// It is bounded: while a client does not take its replies, it wants no input and has no plans;
/// what plans and replies take is counted (see [`Server::in_flight`]), and without room for it a
/// request is answered with an error. After a wrong password it wants nothing for a while: see
/// [`pause`](Connection::pause). It counts itself in and, when it is dropped, out.
#[derive(Debug)]
pub struct Connection {
    server: Arc<Server>,
    session: Session,
    decoder: Decoder,
    input: Vec<u8>,
    /// So much of it is done with.
    done: usize,
    charge: Charge,
    /// For plans and replies.
    flight: Charge,
    /// What plans that are not answered take, and replies that wait for those.
    under_way: usize,
    waiting: VecDeque<Waiting>,
    /// The shard that the plans to be answered are on; none if they are on several.
    at: Option<usize>,
    /// A plan on others, which is next when these are answered.
    postponed: Option<Box<(Plan, Waiting)>>,
    output: Output,
    commands: u64,
    /// When a request was last whole, or something was written.
    heard: Instant,
    /// When the password must have been given.
    auth_deadline: Option<Instant>,
    /// Until when nothing is done for a client whose password was wrong.
    paused_until: Option<Instant>,
    /// Nothing more will be received.
    has_ended: bool,
    /// Nothing more will be asked for.
    is_closing: bool,
    /// There is no whole request among what was received.
    needs_more: bool,
    /// A WATCH is under way, whose answer the next step must know.
    is_watching: bool,
}

/// What is to be replied, in order.
#[derive(Debug)]
enum Waiting {
    /// What a plan of this weight is answered.
    Asked(usize),
    /// The same, for a WATCH.
    Watched(usize),
    /// This, once all before it are replied.
    Reply(Reply),
}

/// No more plans at a time.
const PIPELINE: usize = 1024;
/// With plans of this many bytes under way, no others are begun: a client that sends large values
/// waits for its own and is not refused because of them.
const UNDER_WAY: usize = 256 * 1024;
/// A connection that has nothing to do keeps no more than this for the next request.
pub(super) const KEPT: usize = 2 * 1024;

impl Connection {
    /// A new client; none, if there are too many, who is told so: [`TOO_MANY`].
    #[must_use]
    pub fn new(server: &Arc<Server>) -> Option<Self> {
        let session = Session::new(server.enter()?, server);
        let auth_deadline = session.is_stranger().then(|| deadline_after(server.stranger_enters()));
        Some(Self {
            server: server.clone(),
            session,
            decoder: Decoder::default(),
            input: Vec::new(),
            done: 0,
            charge: Charge::of_connection(server.budget.clone()),
            flight: Charge::of_connection(server.in_flight().clone()),
            under_way: 0,
            waiting: VecDeque::new(),
            at: None,
            postponed: None,
            output: Output::default(),
            commands: 0,
            heard: Instant::now(),
            auth_deadline,
            paused_until: None,
            has_ended: false,
            is_closing: false,
            needs_more: true,
            is_watching: false,
        })
    }

    /// These bytes were read. What is not a whole request yet is kept, and counts as memory. If there is no room for it,
    /// the request is refused, and its bytes are forgotten as they come.
    pub fn received(&mut self, bytes: &[u8]) {
        if self.is_closing {
            return;
        }
        if !self.charge.is(self.held() + bytes.len()) {
            self.decoder.discard();
        }
        self.input.extend_from_slice(bytes);
        self.needs_more = false;
    }

    /// Nothing more will be read: the client has said all that it wants to, or the server stops. Requests that are here are
    /// answered, and then it is over.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// The next thing to be done on shards. None if there is nothing, or as long as there are too many replies to be
    /// written, or plans to be answered first.
    pub fn next(&mut self, now: Now) -> Option<Plan> {
        // Only here, so that a pause does not end between two looks at it.
        self.paused_until = self.paused_until.filter(|until| *until > Instant::now());
        if self.waiting.is_empty()
            && let Some(postponed) = self.postponed.take()
        {
            let (plan, waiting) = *postponed;
            return self.ask(plan, waiting);
        }
        while self.has_room() {
            let found = match self.decoder.decode(&self.input[self.done..], self.session.is_stranger()) {
                Ok(found) => found,
                Err(malformed) => {
                    self.close(Reply::Error(malformed.to_string().into()));
                    break;
                }
            };
            let step = match found {
                Found::Request(request) => {
                    self.done += request.length();
                    self.commands += 1;
                    self.session.step(&request, now, &self.server)
                }
                Found::Discarded(bytes) => {
                    self.done += bytes;
                    self.commands += 1;
                    Step::Reply(self.session.refused())
                }
                Found::Part(bytes) => {
                    self.done += bytes;
                    self.needs_more = true;
                    break;
                }
            };
            let asked = match step {
                Step::Reply(reply) => {
                    self.reply(reply);
                    if self.auth_deadline.is_some() {
                        self.look_at_password();
                    }
                    continue;
                }
                Step::Close(reply) => {
                    self.close(reply);
                    continue;
                }
                Step::HangUp => {
                    self.hang_up();
                    continue;
                }
                Step::Ask(plan) | Step::Watch(plan) if !self.admits(&plan) => {
                    self.session.forget_watch();
                    self.reply(plan.refused(0, Refusal::Full));
                    continue;
                }
                Step::Ask(plan) => {
                    let weight = plan.weight();
                    self.ask(plan, Waiting::Asked(weight))
                }
                Step::Watch(plan) => {
                    self.is_watching = true;
                    let weight = plan.weight();
                    self.ask(plan, Waiting::Watched(weight))
                }
            };
            if asked.is_some() {
                return asked;
            }
        }
        self.tidy();
        None
    }

    /// What the first plan that was not yet answered is.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn answer(&mut self, reply: Reply) {
        let reply = match self.waiting.pop_front().expect("a plan was asked for") {
            Waiting::Asked(weight) => {
                self.under_way -= weight;
                reply
            }
            Waiting::Watched(weight) => {
                self.under_way -= weight;
                self.is_watching = false;
                self.session.answered(reply)
            }
            Waiting::Reply(_) => unreachable!("replies do not wait at the head"),
        };
        let reply = self.admitted(reply);
        self.output.push(reply);
        while let Some(Waiting::Reply(_)) = self.waiting.front() {
            if let Some(Waiting::Reply(reply)) = self.waiting.pop_front() {
                self.under_way -= reply.weight();
                self.output.push(reply);
            }
        }
        self.recount();
    }

    /// How many plans are to be answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.waiting.iter().filter(|waiting| !matches!(waiting, Waiting::Reply(_))).count()
    }

    /// What is to be written; there may be more behind it. Nothing, if it is empty.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// So much of the [output](Connection::output) was written.
    pub fn wrote(&mut self, bytes: usize) {
        self.output.wrote(bytes);
        self.recount();
        if self.server.config.idle_timeout.is_some() {
            self.heard = Instant::now();
        }
    }

    /// Whether more should be read.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.has_ended && self.has_room()
    }

    /// Whether all is written that will ever be: the connection is to be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let has_said_all = self.has_ended && (self.needs_more || self.paused_until.is_some());
        (self.is_closing || has_said_all)
            && self.waiting.is_empty()
            && self.postponed.is_none()
            && self.output.is_empty()
    }

    /// How long the client may go on without a whole request, or without the password; `None` is
    /// for ever. Nothing is left if that took too long: the connection is to be closed. Single
    /// bytes make it no longer.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        let idle =
            self.server.config.idle_timeout.map(|timeout| timeout.saturating_sub(self.heard.elapsed()));
        let auth = self.auth_deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        [idle, auth].into_iter().flatten().min()
    }

    /// How long to wait before [`next`](Connection::next) is asked again, since the client's
    /// password was wrong. `None` is not at all. Meanwhile the connection has no plans and [wants
    /// no input](Connection::wants_input), and others are served; if the input
    /// [ends](Connection::end) meanwhile, it is over.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Gives back what memory a connection does not need that has nothing to do.
    pub fn shrink(&mut self) {
        if self.done == self.input.len() {
            self.input = Vec::new();
            self.done = 0;
        }
        self.decoder.shrink();
        self.output.shrink();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    fn has_room(&self) -> bool {
        let may_ask = !self.is_closing && !self.is_watching && self.postponed.is_none();
        let is_bounded = self.waiting.len() < PIPELINE && self.under_way < UNDER_WAY;
        may_ask && is_bounded && !self.output.is_full() && self.paused_until.is_none()
    }

    fn held(&self) -> usize {
        self.input.len() - self.done + self.decoder.heap()
    }

    /// Counts a plan that is about to be asked for, if there is room for it.
    fn admits(&mut self, plan: &Plan) -> bool {
        let (before, weight) = (self.under_way + self.output.weight(), plan.weight());
        let is_admitted = self.flight.is(before + weight);
        if is_admitted {
            self.under_way += weight;
        }
        is_admitted
    }

    /// The reply, if there is room to keep it until the client has taken it.
    fn admitted(&mut self, reply: Reply) -> Reply {
        if !matches!(reply, Reply::Bulk(_) | Reply::Array(_)) {
            return reply;
        }
        let kept = self.under_way + self.output.weight() + reply.weight();
        if self.flight.is(kept) { reply } else { Reply::dropped() }
    }

    /// Gives back what is no longer under way.
    fn recount(&mut self) {
        if !self.flight.is_zero() {
            // It never grows here.
            let _ = self.flight.is(self.under_way + self.output.weight());
        }
    }

    /// The client may have given the password, or a wrong one.
    #[cold]
    fn look_at_password(&mut self) {
        if !self.session.is_stranger() {
            (self.auth_deadline, self.paused_until) = (None, None);
            self.server.stranger_leaves();
            return;
        }
        let penalty = self.session.take_penalty();
        if !penalty.is_zero() {
            self.paused_until = Some(deadline_after(penalty));
        }
    }

    /// The plan, unless it has to wait until others are answered.
    fn ask(&mut self, plan: Plan, waiting: Waiting) -> Option<Plan> {
        let at = if let [part] = plan.parts() { Some(part.shard) } else { None };
        if self.waiting.is_empty() || at.is_some() && at == self.at {
            self.at = at;
            self.waiting.push_back(waiting);
            return Some(plan);
        }
        self.postponed = Some(Box::new((plan, waiting)));
        None
    }

    fn reply(&mut self, reply: Reply) {
        if self.waiting.is_empty() {
            return self.output.push(reply);
        }
        let reply = self.admitted(reply);
        self.under_way += reply.weight();
        self.waiting.push_back(Waiting::Reply(reply));
    }

    fn close(&mut self, reply: Reply) {
        self.reply(reply);
        self.hang_up();
    }

    /// Nothing more is asked for, and what was received is forgotten.
    fn hang_up(&mut self) {
        self.is_closing = true;
        (self.input, self.done) = (Vec::new(), 0);
        let _ = self.charge.is(0);
    }

    /// What is done with is forgotten.
    fn tidy(&mut self) {
        if self.commands > 0 {
            self.heard = Instant::now();
            self.server.count(std::mem::take(&mut self.commands));
        }
        self.input.drain(..self.done);
        self.done = 0;
        if self.input.capacity() > KEPT && self.input.len() < self.input.capacity() / 4 {
            self.input.shrink_to(self.input.len());
        }
        let _ = self.charge.is(self.held());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.count(self.commands);
        if self.auth_deadline.is_some() {
            self.server.stranger_leaves();
        }
        self.server.leave();
    }
}

#[cfg(test)]
mod tests;
