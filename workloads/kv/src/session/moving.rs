//! RENAME, RENAMENX and COPY between two shards, in two steps.
//!
//! A plan does not know the value of the source when it is made. So a first plan reads the source
//! (and whether the target exists), and a second one writes, under the condition that the source
//! has not changed and, where the target must be absent, that it is. If the condition fails, both
//! steps are repeated. The second plan is one step for all clients, as an EXEC after a WATCH is,
//! and the models need no other mechanism for it.

use super::{
    super::{
        Check, Command, Expiry, Keys, Move, Now, Plan, Reply, Server, SetReply, Slots, Value, When,
        plan::Planner,
    },
    Session, Step,
};

/// A move that has begun.
#[derive(Debug)]
pub(super) struct Moving {
    what: Move,
    attempts: usize,
    /// The second plan is in flight.
    is_written: bool,
}

/// How often a move begins again because its keys were changed in between.
const MAX_ATTEMPTS: usize = 100;

const TOO_OFTEN: Reply = Reply::error("TRYAGAIN the keys are changed too often; nothing was done");

impl Session {
    /// Begins a move whose keys are on different shards.
    pub(super) fn begin_move(&mut self, what: Move, slots: Slots, now: Now) -> Step {
        let moving = Moving { what, attempts: 0, is_written: false };
        let plan = moving.read(slots, now);
        self.moving = Some(moving.into());
        Step::Move(plan)
    }

    /// Takes the reply to a plan of a move. Returns the reply to the client, or the next plan,
    /// whose reply is passed here, too.
    pub(in super::super) fn moved(&mut self, reply: Reply, server: &Server) -> Result<Plan, Reply> {
        let Some(mut moving) = self.moving.take() else { return Err(reply) };
        let (slots, now) = (server.slots, server.now());
        let plan = match (moving.is_written, reply) {
            (true, Reply::NilArray) if moving.attempts < MAX_ATTEMPTS => {
                (moving.attempts, moving.is_written) = (moving.attempts + 1, false);
                moving.read(slots, now)
            }
            (true, Reply::NilArray) => return Err(TOO_OFTEN),
            (false, Reply::Array(read)) => {
                moving.is_written = true;
                moving.write(read, slots, now)?
            }
            // Only the first plan was run, which changes nothing.
            (false, reply) if reply == Reply::dropped() => return Err(Reply::out_of_memory()),
            (_, reply) => return Err(reply),
        };
        self.moving = Some(moving);
        Ok(plan)
    }
}

impl Moving {
    fn read(&self, slots: Slots, now: Now) -> Plan {
        let Move { from, to, kind } = &self.what;
        let target = kind.needs_absence().then(|| Command::Exists(Keys::from([to.clone()])));
        Planner::new(slots, now).steps([Command::Entry(from.clone())].into_iter().chain(target))
    }

    /// The second plan, or the reply if there is nothing to write.
    fn write(&self, read: Vec<Reply>, slots: Slots, now: Now) -> Result<Plan, Reply> {
        let Move { from, to, kind } = &self.what;
        let mut read = read.into_iter();
        let Some(Reply::Array(source)) = read.next() else { return Err(kind.missing()) };
        if matches!(read.next(), Some(Reply::Int(1..))) {
            return Err(Reply::Int(0));
        }
        let Some((value, expiry, check)) = self.source(source) else { return Err(kind.missing()) };
        let mut checks = vec![check];
        checks.extend(kind.needs_absence().then(|| Check::absent(to.clone())));
        let (when, reply) = (When::Always, SetReply::Status);
        let mut commands = vec![Command::Set { key: to.clone(), value, expiry, when, reply }];
        commands.extend((!kind.keeps_source()).then(|| Command::Del(Keys::from([from.clone()]))));
        Ok(Planner::new(slots, now).checked(checks, commands, kind.moved()))
    }

    /// The value and the expiry in the reply to [`Command::Entry`], and the check that they are
    /// still the same.
    fn source(&self, source: Vec<Reply>) -> Option<(Value, Expiry, Check)> {
        let [Reply::Bulk(value), Reply::Int(left), Reply::Int(epoch), Reply::Int(number)] =
            <[Reply; 4]>::try_from(source).ok()?
        else {
            return None;
        };
        let expiry = if left < 0 { Expiry::Never } else { Expiry::After(left) };
        let key = self.what.from.clone();
        Some((value, expiry, Check { key, epoch: epoch as u64, number: number as u64 }))
    }
}
