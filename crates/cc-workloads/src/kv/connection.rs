//! A connection without its socket: what is read goes in, plans come out, and what is to be written.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Now, Plan, Reply, Server,
    budget::Charge,
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
/// It is bounded: while a client does not take its replies, it wants no input and has no plans. It counts itself in
/// and, when it is dropped, out.
#[derive(Debug)]
pub struct Connection {
    server: Arc<Server>,
    session: Session,
    decoder: Decoder,
    input: Vec<u8>,
    /// So much of it is done with.
    done: usize,
    charge: Charge,
    waiting: VecDeque<Waiting>,
    /// The shard that the plans to be answered are on; none if they are on several.
    at: Option<usize>,
    /// A plan on others, which is next when these are answered.
    postponed: Option<Box<(Plan, Waiting)>>,
    output: Output,
    commands: u64,
    heard: Instant,
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
    /// What a plan is answered.
    Asked,
    /// The same, for a WATCH.
    Watched,
    /// This, once all before it are replied.
    Reply(Reply),
}

/// No more plans at a time.
const PIPELINE: usize = 1024;
/// A connection that has nothing to do keeps no more than this for the next request.
pub(super) const KEPT: usize = 2 * 1024;

impl Connection {
    /// A new client; none, if there are too many, who is told so: [`TOO_MANY`].
    #[must_use]
    pub fn new(server: &Arc<Server>) -> Option<Self> {
        let session = Session::new(server.enter()?, server);
        Some(Self {
            server: server.clone(),
            session,
            decoder: Decoder::default(),
            input: Vec::new(),
            done: 0,
            charge: Charge::new(server.budget.clone()),
            waiting: VecDeque::new(),
            at: None,
            postponed: None,
            output: Output::default(),
            commands: 0,
            heard: Instant::now(),
            has_ended: false,
            is_closing: false,
            needs_more: true,
            is_watching: false,
        })
    }

    /// These bytes were read. What is not a whole request yet is kept, and counts as memory. If there is no room for it,
    /// the request is refused, and its bytes are forgotten as they come.
    pub fn received(&mut self, bytes: &[u8]) {
        self.heard = Instant::now();
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
                    continue;
                }
                Step::Close(reply) => {
                    self.close(reply);
                    continue;
                }
                Step::Ask(plan) => self.ask(plan, Waiting::Asked),
                Step::Watch(plan) => {
                    self.is_watching = true;
                    self.ask(plan, Waiting::Watched)
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
            Waiting::Asked => reply,
            Waiting::Watched => {
                self.is_watching = false;
                self.session.answered(reply)
            }
            Waiting::Reply(_) => unreachable!("replies do not wait at the head"),
        };
        self.output.push(reply);
        while let Some(Waiting::Reply(_)) = self.waiting.front() {
            if let Some(Waiting::Reply(reply)) = self.waiting.pop_front() {
                self.output.push(reply);
            }
        }
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
    }

    /// Whether more should be read.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.has_ended && self.has_room()
    }

    /// Whether all is written that will ever be: the connection is to be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        (self.is_closing || self.has_ended && self.needs_more)
            && self.waiting.is_empty()
            && self.postponed.is_none()
            && self.output.is_empty()
    }

    /// How long the client may stay silent; none is for ever. Nothing is left if it has been silent for too long: the
    /// connection is to be closed.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        let timeout = self.server.config.idle_timeout?;
        Some(timeout.saturating_sub(self.heard.elapsed()))
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
        may_ask && !self.output.is_full() && self.waiting.len() < PIPELINE
    }

    fn held(&self) -> usize {
        self.input.len() - self.done + self.decoder.heap()
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
            self.output.push(reply);
        } else {
            self.waiting.push_back(Waiting::Reply(reply));
        }
    }

    fn close(&mut self, reply: Reply) {
        self.reply(reply);
        self.is_closing = true;
        (self.input, self.done) = (Vec::new(), 0);
        self.charge.is(0);
    }

    /// What is done with is forgotten.
    fn tidy(&mut self) {
        self.server.count(std::mem::take(&mut self.commands));
        self.input.drain(..self.done);
        self.done = 0;
        if self.input.capacity() > KEPT && self.input.len() < self.input.capacity() / 4 {
            self.input.shrink_to(self.input.len());
        }
        self.charge.is(self.held());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.count(self.commands);
        self.server.leave();
    }
}

#[cfg(test)]
mod tests;
