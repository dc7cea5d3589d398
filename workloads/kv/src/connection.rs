//! A connection without its socket: it takes the bytes that were read, and returns plans and the
//! bytes to write.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Now, Plan, Refusal, Reply, Server,
    budget::Charge,
    clock::deadline_after,
    output::{MAX_AHEAD, Output},
    resp::{Decoder, Found},
    session::{Session, Step},
};

/// The reply to a client above the limit, before its connection is closed.
pub const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Recommended size of a read. One buffer of this size can serve many connections, because a
/// connection copies the bytes that it cannot process yet.
pub const READ: usize = 16 * 1024;

/// A client's requests and replies. It does no I/O, and does not know how its plans are run:
///
/// 1. Pass the bytes that were read to [`received`](Connection::received), and report the end of
///    the stream with [`end`](Connection::end).
/// 2. Call [`next`](Connection::next) until it returns no plan. Run each plan and pass its reply to
///    [`answer`](Connection::answer). Several plans may be taken before they are answered. They are
///    all on one shard, which must run them in order, and they are answered in order. Therefore no
///    other client sees the effect of a later request without that of an earlier one.
/// 3. Write the [`output`](Connection::output), and report with [`wrote`](Connection::wrote) how
///    much was written. Then repeat step 2, and step 1 if the connection [wants
///    input](Connection::wants_input), until it [is over](Connection::is_over).
///
/// A client may send all of its requests before it reads a reply. Therefore the connection wants
/// input while output waits, and step 3 must not block: write what the socket takes, and then wait
/// for input and for room in the socket at the same time.
///
/// The connection is bounded. Replies that a client does not take wait up to
/// [`Config::max_output`](super::Config::max_output); then the connection returns no plans and
/// wants no input until the client takes some. A client that has sent more requests and takes
/// nothing for [`Config::output_timeout`](super::Config::output_timeout) has no [time
/// left](Connection::time_left). The memory of plans and replies is charged to a budget (see
/// [`Server::in_flight`]), and a request for which there is no memory is answered with an error.
/// After a wrong password the connection pauses: see [`pause`](Connection::pause). The connection
/// counts itself among the server's clients until it is dropped.
#[derive(Debug)]
pub struct Connection {
    server: Arc<Server>,
    session: Session,
    decoder: Decoder,
    input: Vec<u8>,
    /// How many bytes of `input` were processed.
    consumed: usize,
    charge: Charge,
    /// The charge for plans and replies.
    in_flight_charge: Charge,
    /// Weight of the plans that are not answered, and of the replies that wait for them.
    in_flight: usize,
    waiting: VecDeque<Waiting>,
    /// The shard of the unanswered plans; `None` if there is one plan on several shards.
    shard: Option<usize>,
    /// A plan on other shards. It is next when all plans before it are answered.
    postponed: Option<Box<(Plan, Waiting)>>,
    output: Output,
    commands: u64,
    /// When the last complete request arrived or the last reply was written.
    last_active: Instant,
    /// When the client must have given the password.
    auth_deadline: Option<Instant>,
    /// After a wrong password: nothing is processed until then. Boxed, as few connections have it.
    paused_until: Option<Box<Instant>>,
    /// Requests wait until the client takes replies: it must take some until then. Boxed as well.
    blocked_until: Option<Box<Instant>>,
    /// No more input will arrive.
    has_ended: bool,
    /// No more requests will be processed.
    is_closing: bool,
    /// `input` does not contain a complete request.
    needs_more: bool,
    /// A WATCH or a move between two shards is unanswered. The next request must know its result.
    is_watching: bool,
}

/// A reply that is due, in the order of the requests.
#[derive(Debug)]
enum Waiting {
    /// The reply to a plan of this weight.
    Plan(usize),
    /// The reply to the plan of a WATCH of this weight.
    Watch(usize),
    /// The reply to a plan of this weight of a move between two shards.
    Move(usize),
    /// This reply, after all earlier ones.
    Reply(Reply),
}

/// Maximum unanswered plans per connection, including the replies that wait for them.
const MAX_PLANS: usize = 1024;
/// No more plans are started while plans of this many bytes are in flight. A client that sends
/// large values therefore waits for its own plans, instead of being refused for lack of memory.
const MAX_IN_FLIGHT: usize = 256 * 1024;
/// Maximum bytes of buffer that an idle connection keeps for its next request.
pub(super) const MAX_IDLE_BUFFER: usize = 2 * 1024;

impl Connection {
    /// A connection for a new client. `None` if there are too many; then send [`TOO_MANY`].
    #[must_use]
    pub fn new(server: &Arc<Server>) -> Option<Self> {
        let session = Session::new(server.enter()?, server);
        let auth_deadline =
            session.is_unauthenticated().then(|| deadline_after(server.unauthenticated_enters()));
        Some(Self {
            server: server.clone(),
            session,
            decoder: Decoder::default(),
            input: Vec::new(),
            consumed: 0,
            charge: Charge::of_connection(server.budget.clone()),
            in_flight_charge: Charge::of_connection(server.in_flight().clone()),
            in_flight: 0,
            waiting: VecDeque::new(),
            shard: None,
            postponed: None,
            output: Output::default(),
            commands: 0,
            last_active: Instant::now(),
            auth_deadline,
            paused_until: None,
            blocked_until: None,
            has_ended: false,
            is_closing: false,
            needs_more: true,
            is_watching: false,
        })
    }

    /// Takes bytes that were read. An incomplete request is kept and charged to the memory budget.
    /// If the budget is exhausted, the request is refused, and its bytes are discarded as they
    /// arrive.
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

    /// No more bytes will arrive: the client has closed its sending side, or the server stops.
    /// Requests that have arrived are still answered; then the connection is over.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// The next plan to run. `None` if no complete request has arrived, if earlier plans must be
    /// answered first, or if too many replies wait to be written.
    pub fn next(&mut self, now: Now) -> Option<Plan> {
        // Evaluated only here, so that all checks of one call agree on whether the pause is over.
        self.paused_until.take_if(|until| **until <= Instant::now());
        if self.waiting.is_empty()
            && let Some(postponed) = self.postponed.take()
        {
            let (plan, waiting) = *postponed;
            return self.run_or_postpone(plan, waiting);
        }
        while self.has_room() {
            let found =
                match self.decoder.decode(&self.input[self.consumed..], self.session.is_unauthenticated()) {
                    Ok(found) => found,
                    Err(malformed) => {
                        self.close(Reply::Error(malformed.to_string().into()));
                        break;
                    }
                };
            let step = match found {
                Found::Request(request) => {
                    self.consumed += request.length();
                    self.commands += 1;
                    self.session.step(&request, now, &self.server)
                }
                Found::Discarded(bytes) => {
                    self.consumed += bytes;
                    self.commands += 1;
                    Step::Reply(self.session.refused())
                }
                Found::Part(bytes) => {
                    self.consumed += bytes;
                    self.needs_more = true;
                    break;
                }
            };
            let asked = match step {
                Step::Reply(reply) => {
                    self.reply(reply);
                    if self.auth_deadline.is_some() || self.session.is_unauthenticated() {
                        self.after_auth();
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
                Step::Run(plan) | Step::Watch(plan) | Step::Move(plan) if !self.admit_plan(&plan) => {
                    self.session.forget_step();
                    self.reply(plan.refused(0, Refusal::Full));
                    continue;
                }
                Step::Run(plan) => {
                    let weight = plan.weight();
                    self.run_or_postpone(plan, Waiting::Plan(weight))
                }
                Step::Watch(plan) => {
                    self.is_watching = true;
                    let weight = plan.weight();
                    self.run_or_postpone(plan, Waiting::Watch(weight))
                }
                Step::Move(plan) => {
                    self.is_watching = true;
                    let weight = plan.weight();
                    self.run_or_postpone(plan, Waiting::Move(weight))
                }
            };
            if asked.is_some() {
                return asked;
            }
        }
        self.compact();
        if self.blocked_until.is_none() && !self.input.is_empty() && self.is_output_full() {
            self.set_blocked(true);
        }
        None
    }

    /// Takes the reply to the first plan that is not answered yet.
    ///
    /// # Panics
    ///
    /// If all plans are answered.
    pub fn answer(&mut self, reply: Reply) {
        let reply = match self.waiting.pop_front().expect("a plan was asked for") {
            Waiting::Plan(weight) => {
                self.in_flight -= weight;
                reply
            }
            Waiting::Watch(weight) => {
                self.in_flight -= weight;
                self.is_watching = false;
                self.session.answered(reply)
            }
            Waiting::Move(weight) => {
                self.in_flight -= weight;
                match self.moved(reply) {
                    Some(reply) => reply,
                    // The next plan of the move is postponed, and returned by `next`.
                    None => return,
                }
            }
            Waiting::Reply(_) => unreachable!("replies do not wait at the head"),
        };
        let reply = self.admit_reply(reply);
        self.output.push(reply);
        while let Some(Waiting::Reply(_)) = self.waiting.front() {
            if let Some(Waiting::Reply(reply)) = self.waiting.pop_front() {
                self.in_flight -= reply.weight();
                self.output.push(reply);
            }
        }
        self.update_charge();
    }

    /// The number of plans that are not answered yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.waiting.iter().filter(|waiting| !matches!(waiting, Waiting::Reply(_))).count()
    }

    /// The bytes to write next; more may follow them. Empty if all replies are written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// Reports that this many bytes of the [output](Connection::output) were written.
    pub fn wrote(&mut self, bytes: usize) {
        self.output.wrote(bytes);
        self.update_charge();
        if self.blocked_until.is_some() && bytes > 0 {
            self.set_blocked(self.is_output_full());
        }
        if self.server.config.idle_timeout.is_some() {
            self.last_active = Instant::now();
        }
    }

    /// Whether more bytes should be read.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        // If too many replies wait, one more read tells whether the client has sent more requests.
        let is_processed = if self.is_output_full() { self.input.is_empty() } else { self.needs_more };
        !self.has_ended && is_processed && self.may_go_on()
    }

    /// Whether everything is written and nothing more will follow: close the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let has_said_all = self.has_ended && (self.needs_more || self.paused_until.is_some());
        (self.is_closing || has_said_all)
            && self.waiting.is_empty()
            && self.postponed.is_none()
            && self.output.is_empty()
    }

    /// How much time the client has left to send a complete request, to take a reply, or to give
    /// the password. `None` is without limit. If it is zero, close the connection; the reason is
    /// printed when the connection is dropped. Incomplete requests do not extend the time.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let idle =
            self.server.config.idle_timeout.map(|timeout| timeout.saturating_sub(self.last_active.elapsed()));
        let auth = self.auth_deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let blocked =
            self.blocked_until.as_ref().map(|until| until.saturating_duration_since(Instant::now()));
        [idle, auth, blocked].into_iter().flatten().min()
    }

    /// How long to wait before calling [`next`](Connection::next), because the client has sent a
    /// wrong password. `None` if there is no pause. During the pause the connection returns no
    /// plans and [wants no input](Connection::wants_input), and other clients are served. If the
    /// input [ends](Connection::end) during the pause, the connection is over.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.paused_until.as_ref().map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Releases memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        if self.consumed == self.input.len() {
            self.input = Vec::new();
            self.consumed = 0;
        }
        self.decoder.shrink();
        self.output.shrink();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    fn has_room(&self) -> bool {
        self.may_go_on() && !self.is_output_full()
    }

    /// Whether a request may be processed, unless too many replies wait for the client.
    fn may_go_on(&self) -> bool {
        let may_ask = !self.is_closing && !self.is_watching && self.postponed.is_none();
        let is_bounded = self.waiting.len() < MAX_PLANS && self.in_flight < MAX_IN_FLIGHT;
        may_ask && is_bounded && self.paused_until.is_none()
    }

    /// Whether the replies that wait for the client are too many to process a further request.
    fn is_output_full(&self) -> bool {
        let backlog = self.output.backlog();
        backlog >= MAX_AHEAD && self.server.is_output_full(backlog)
    }

    /// Notes that requests wait until the client takes replies, or that they do not any more.
    #[cold]
    fn set_blocked(&mut self, is_blocked: bool) {
        match (self.blocked_until.is_some(), is_blocked) {
            (false, true) => self.server.blocked_enters(),
            (true, false) => self.server.blocked_leaves(),
            _ => {}
        }
        self.blocked_until = is_blocked.then(|| deadline_after(self.server.config.output_timeout).into());
    }

    fn held(&self) -> usize {
        self.input.len() - self.consumed + self.decoder.heap()
    }

    /// Charges the budget for a plan. Returns whether there is room for it.
    fn admit_plan(&mut self, plan: &Plan) -> bool {
        let (before, weight) = (self.in_flight + self.output.weight(), plan.weight());
        let is_admitted = self.in_flight_charge.is(before + weight);
        if is_admitted {
            self.in_flight += weight;
        }
        is_admitted
    }

    /// Returns the reply, or an error in its place if there is no room to keep it until the client
    /// has taken it.
    fn admit_reply(&mut self, reply: Reply) -> Reply {
        if !reply.is_long() {
            return reply;
        }
        let kept = self.in_flight + self.output.weight() + reply.weight();
        if self.in_flight_charge.is(kept) { reply } else { Reply::dropped() }
    }

    /// Charges the budget for the replies that wait, and returns memory to it that plans and
    /// replies no longer use.
    fn update_charge(&mut self) {
        let weight = self.output.weight();
        if weight > 0 || !self.in_flight_charge.is_zero() {
            // Grows by small replies only, since others are admitted before. If that fails, the
            // budget is exhausted, so the output is full.
            let _ = self.in_flight_charge.is(self.in_flight + weight);
        }
    }

    /// Handles the result of an attempt to authenticate.
    #[cold]
    fn after_auth(&mut self) {
        if !self.session.is_unauthenticated() {
            (self.auth_deadline, self.paused_until) = (None, None);
            self.server.unauthenticated_leaves();
            return;
        }
        if self.auth_deadline.is_none() {
            // RESET has taken the authentication back.
            self.auth_deadline = Some(deadline_after(self.server.unauthenticated_enters()));
        }
        let penalty = self.session.take_penalty();
        if !penalty.is_zero() {
            self.paused_until = Some(deadline_after(penalty).into());
        }
    }

    /// Returns the plan if it may run now; otherwise keeps it until the earlier ones are answered.
    fn run_or_postpone(&mut self, plan: Plan, waiting: Waiting) -> Option<Plan> {
        let shard = if let [part] = plan.parts() { Some(part.shard) } else { None };
        if self.waiting.is_empty() || shard.is_some() && shard == self.shard {
            self.shard = shard;
            self.waiting.push_back(waiting);
            return Some(plan);
        }
        self.postponed = Some(Box::new((plan, waiting)));
        None
    }

    /// Continues a move between two shards after the reply to one of its plans. `None` if another
    /// plan follows, otherwise the reply to the client. Nothing else is in flight meanwhile.
    #[cold]
    fn moved(&mut self, reply: Reply) -> Option<Reply> {
        let reply = match self.session.moved(reply, &self.server) {
            Ok(plan) if self.admit_plan(&plan) => {
                let waiting = Waiting::Move(plan.weight());
                self.postponed = Some(Box::new((plan, waiting)));
                return None;
            }
            Ok(_) => {
                self.session.forget_step();
                Reply::out_of_memory()
            }
            Err(reply) => reply,
        };
        self.is_watching = false;
        Some(reply)
    }

    fn reply(&mut self, reply: Reply) {
        if self.waiting.is_empty() {
            let reply = if self.output.weight() > 0 { self.admit_reply(reply) } else { reply };
            self.output.push(reply);
            return self.update_charge();
        }
        let reply = self.admit_reply(reply);
        self.in_flight += reply.weight();
        self.waiting.push_back(Waiting::Reply(reply));
    }

    fn close(&mut self, reply: Reply) {
        self.reply(reply);
        self.hang_up();
    }

    /// Processes no more requests, and discards the input.
    fn hang_up(&mut self) {
        self.is_closing = true;
        (self.input, self.consumed) = (Vec::new(), 0);
        let _ = self.charge.is(0);
    }

    /// Discards processed input and counts the requests.
    fn compact(&mut self) {
        if self.commands > 0 {
            self.last_active = Instant::now();
            self.server.count(std::mem::take(&mut self.commands));
        }
        self.input.drain(..self.consumed);
        self.consumed = 0;
        if self.input.capacity() > MAX_IDLE_BUFFER && self.input.len() < self.input.capacity() / 4 {
            self.input.shrink_to(self.input.len());
        }
        let _ = self.charge.is(self.held());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.count(self.commands);
        if let Some(until) = &self.blocked_until {
            if **until <= Instant::now() {
                self.server.warn_of_blocked(self.output.backlog());
            }
            self.server.blocked_leaves();
        }
        if self.auth_deadline.is_some() {
            self.server.unauthenticated_leaves();
        }
        self.server.leave();
    }
}

#[cfg(test)]
mod tests;
