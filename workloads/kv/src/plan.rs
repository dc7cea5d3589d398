//! How a command or a transaction is divided among shards.

mod join;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use self::join::{Inbox, Join};
use super::{
    Answer, Check, Command, Key, Keys, Now, Refusal, Replies, Reply, Shard, Slots, TtlUnit, Value,
    command::{MAX_SCANNED_SHARDS, Scan},
    shard::scan::Cursor,
    text::Info,
};

/// A command or transaction that runs atomically: no client sees a part of its effects.
///
/// - If it has one [part](Plan::parts), that shard [runs](Shard::run) it.
/// - If it has several, hold their shards, acquired in ascending order so that two plans cannot
///   deadlock. [Prepare](Shard::prepare) each part. Then [commit](Shard::commit) all of them, or,
///   if one was refused, [abort](Shard::abort) those that were prepared. Then release the shards.
///   The shards must also be released if the client is gone.
/// - If it is not [isolated](Plan::is_isolated), each part runs independently, and a refused part
///   does not affect the others.
///
/// [`Plan::reply`] combines the results; [`Plan::refused`] gives the reply to a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    parts: Parts,
    join: Join,
    weight: usize,
}

/// The parts of a plan; usually one.
pub type Parts = SmallVec<[Part; 1]>;

/// What one shard does for a plan. It is plain data, so it can be sent to the shard's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The shard's number.
    pub shard: usize,
    /// When the request was read. All parts of a plan have the same time.
    pub now: Now,
    /// The conditions under which the part may run.
    pub checks: Vec<Check>,
    /// The commands, in the order in which they run.
    pub ops: SmallVec<[Command; 1]>,
}

impl Plan {
    /// The plan of one command.
    #[must_use]
    pub fn new(command: Command, slots: Slots, now: Now) -> Self {
        match command.only_key() {
            Some(key) => {
                let (shard, weight) = (slots.shard(key), command.heap());
                let part = Part { shard, now, checks: Vec::new(), ops: SmallVec::from_buf([command]) };
                Self { parts: SmallVec::from_buf([part]), join: Join::One(shard), weight }
            }
            None => {
                let weight = command.weight(slots.shards());
                let mut planner = Planner::new(slots, now);
                let join = planner.command(command);
                Self { parts: planner.parts, join, weight }
            }
        }
    }

    /// The parts, in ascending order of their shards, at most one per shard. A plan that a
    /// connection returns has at least one.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The approximate memory that it takes while it is in flight, in bytes. The values in its
    /// reply are not included.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Takes the parts out of the plan, to send them away.
    #[must_use]
    pub fn take_parts(&mut self) -> Parts {
        std::mem::take(&mut self.parts)
    }

    /// Whether it must run atomically. (INFO does not: it asks every shard, and must report those
    /// that are down. Neither does SCAN, which promises nothing about keys that come and go.)
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        !matches!(self.join, Join::Info(..) | Join::Scan(..))
    }

    /// The reply to the client, from the answers of the shards in any order.
    #[must_use]
    pub fn reply(&self, answers: impl IntoIterator<Item = (usize, Answer)>) -> Reply {
        let mut answers = answers.into_iter();
        if let Join::One(_) = self.join
            && let Some((shard, answer)) = answers.next()
        {
            let only = |mut replies: Replies| replies.pop().expect("one command has one reply");
            return answer.map_or_else(|why| self.refused(shard, why), only);
        }
        let mut replies = Vec::new();
        for (shard, answer) in answers {
            match answer {
                Ok(all) => replies.push((shard, all.into_iter())),
                Err(_) if !self.is_isolated() => {}
                Err(why) => return self.refused(shard, why),
            }
        }
        replies.sort_unstable_by_key(|(shard, _)| *shard);
        self.join.reply(&mut Inbox(replies))
    }

    /// The reply to the client if this shard has refused its part.
    #[must_use]
    pub fn refused(&self, shard: usize, why: Refusal) -> Reply {
        match why {
            Refusal::Changed if matches!(self.join, Join::IfAbsent(_)) => Reply::Int(0),
            Refusal::Changed => Reply::NilArray,
            Refusal::Down => Reply::down(shard),
            Refusal::Silent => Reply::silent(shard),
            Refusal::Full if matches!(self.join, Join::Exec(_)) => Reply::error(
                "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
            ),
            Refusal::Full => Reply::out_of_memory(),
            Refusal::Large if matches!(self.join, Join::Exec(_)) => Reply::error(
                "EXECABORT Transaction discarded because of: OOM its reply is larger than the memory for replies",
            ),
            Refusal::Large => Reply::error("OOM the reply is larger than the memory for replies"),
        }
    }

    /// Runs the plan on shards that the caller holds: one for each part, in the same order.
    #[must_use]
    pub fn run<'a>(&self, shards: impl IntoIterator<Item = &'a mut Shard>) -> Reply {
        let mut held: SmallVec<[&mut Shard; 1]> = shards.into_iter().collect();
        if let ([part], [shard]) = (&self.parts[..], &mut held[..]) {
            return self.reply([(part.shard, shard.run(part))]);
        }
        for (at, part) in self.parts.iter().enumerate() {
            if let Err(why) = held[at].prepare(part) {
                held[..at].iter_mut().for_each(|shard| shard.abort());
                return self.refused(part.shard, why);
            }
        }
        self.reply(self.parts.iter().zip(held).map(|(part, shard)| (part.shard, Ok(shard.commit(part)))))
    }
}

/// A command that was queued between MULTI and EXEC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    Command(Command),
    /// A reply that needs no shard.
    Ready(Reply),
    Info(Box<Info>),
}

/// Divides commands among shards.
pub(super) struct Planner {
    slots: Slots,
    now: Now,
    parts: Parts,
}

impl Planner {
    pub(super) fn new(slots: Slots, now: Now) -> Self {
        Self { slots, now, parts: Parts::new() }
    }

    /// The plan of an EXEC. `weight` is that of its commands, including their plans and replies.
    pub(super) fn exec(mut self, checks: Vec<Check>, queue: Vec<Queued>, weight: usize) -> Plan {
        checks.into_iter().for_each(|check| self.check(check));
        let joins = queue.into_iter().map(|queued| self.queued(queued)).collect();
        Plan { parts: self.parts, join: Join::Exec(joins), weight }
    }

    /// The plan of an INFO.
    pub(super) fn info(mut self, info: Box<Info>) -> Plan {
        let (join, weight) = (self.queued(Queued::Info(info)), Command::Stats.weight(self.slots.shards()));
        Plan { parts: self.parts, join, weight }
    }

    /// A plan whose reply is an array of the replies to these commands, of which each has one key.
    pub(super) fn steps(mut self, commands: impl IntoIterator<Item = Command>) -> Plan {
        let mut weight = 0;
        let mut step = |command: Command| {
            weight += command.weight(1);
            self.command(command)
        };
        let joins = commands.into_iter().map(&mut step).collect();
        Plan { parts: self.parts, join: Join::Array(joins), weight }
    }

    /// A plan that runs these commands if the checks hold. Then the reply is `reply`, otherwise it
    /// is the null array.
    pub(super) fn checked(mut self, checks: Vec<Check>, commands: Vec<Command>, reply: Reply) -> Plan {
        let weight = commands.iter().map(|command| command.weight(1)).sum();
        checks.into_iter().for_each(|check| self.check(check));
        commands.into_iter().for_each(|command| drop(self.command(command)));
        Plan { parts: self.parts, join: Join::Ready(reply), weight }
    }

    fn check(&mut self, check: Check) {
        let shard = self.slots.shard(&check.key);
        self.part(shard).checks.push(check);
    }

    fn queued(&mut self, queued: Queued) -> Join {
        match queued {
            Queued::Command(command) => self.command(command),
            Queued::Ready(reply) => Join::Ready(reply),
            Queued::Info(info) if info.asks_shards() => Join::Info(info, self.every(&Command::Stats)),
            Queued::Info(info) => Join::Info(info, Vec::new()),
        }
    }

    fn command(&mut self, command: Command) -> Join {
        match command {
            Command::Mget(keys) => Join::Items(self.items(keys, Command::Mget)),
            Command::Versions(keys) => Join::Versions(self.items(keys, Command::Versions)),
            Command::Del(keys) => Join::Sum(self.divided(keys, Command::Del)),
            Command::Exists(keys) => Join::Sum(self.divided(keys, Command::Exists)),
            Command::Mset(pairs) => Join::All(self.pairs(pairs)),
            Command::Dbsize => Join::Sum(self.every(&Command::Dbsize)),
            Command::Flushdb => Join::All(self.every(&Command::Flushdb)),
            Command::Keys(_) => Join::Concat(self.every(&command)),
            Command::Randomkey => Join::Random(self.every(&command)),
            Command::Scan(scan) => self.scan(&scan),
            Command::Msetnx(pairs) if !self.is_one_shard(&pairs) => {
                pairs.iter().for_each(|(key, _)| self.check(Check::absent(key.clone())));
                Join::IfAbsent(self.pairs(pairs))
            }
            Command::Ttl { ref key, unit: unit @ (TtlUnit::Date(date) | TtlUnit::FineDate(date)) } => {
                let shard = self.slots.shard(key);
                let is_fine = matches!(unit, TtlUnit::FineDate(_));
                self.give(shard, command);
                Join::Date { shard, date, is_fine }
            }
            command => {
                // A command without a key would go to shard 0, but the arms above handle all of
                // these.
                let shard = command.first_key().map_or(0, |key| self.slots.shard(key));
                self.part(shard).ops.push(command);
                Join::One(shard)
            }
        }
    }

    fn is_one_shard(&self, pairs: &[(Key, Value)]) -> bool {
        let mut shards = pairs.iter().map(|(key, _)| self.slots.shard(key));
        let first = shards.next();
        shards.all(|shard| Some(shard) == first)
    }

    /// Asks the shard in which the cursor is, and those after it. They reply only if they have few
    /// keys: so a server with few keys replies all of them at once, and one with many does not look
    /// for keys that the reply would not contain.
    fn scan(&mut self, scan: &Scan) -> Join {
        let (all, first) = (self.slots.shards(), Cursor::from(scan.cursor).shard);
        let shards = first..all.min(first.saturating_add(MAX_SCANNED_SHARDS));
        for shard in shards.clone() {
            let is_first = shard == first;
            let cursor = if is_first { scan.cursor } else { Cursor::start(shard).into() };
            let scan = Scan { cursor, only_whole: !is_first, ..scan.clone() };
            self.give(shard, Command::Scan(scan.into()));
        }
        Join::Scan(shards, all)
    }

    fn part(&mut self, shard: usize) -> &mut Part {
        let at = self.parts.binary_search_by_key(&shard, |part| part.shard).unwrap_or_else(|at| {
            self.parts.insert(at, Part { shard, now: self.now, checks: Vec::new(), ops: smallvec![] });
            at
        });
        &mut self.parts[at]
    }

    fn every(&mut self, command: &Command) -> Vec<usize> {
        (0..self.slots.shards()).inspect(|shard| self.part(*shard).ops.push(command.clone())).collect()
    }

    /// Gives each shard its keys, in their order. Returns each key's shard.
    fn items(&mut self, keys: Keys, command: fn(Keys) -> Command) -> Vec<usize> {
        let shards = keys.iter().map(|key| self.slots.shard(key)).collect();
        self.divided(keys, command);
        shards
    }

    /// Gives each shard its keys, in their order. Returns the shards.
    fn divided(&mut self, keys: Keys, command: fn(Keys) -> Command) -> Vec<usize> {
        let groups = self.groups(keys, |key| key);
        groups.into_iter().map(|(shard, keys)| self.give(shard, command(keys))).collect()
    }

    fn pairs(&mut self, pairs: Vec<(Key, Value)>) -> Vec<usize> {
        let groups = self.groups::<_, SmallVec<[_; 1]>>(pairs, |(key, _)| key);
        groups.into_iter().map(|(shard, pairs)| self.give(shard, Command::Mset(pairs.into_vec()))).collect()
    }

    fn give(&mut self, shard: usize, command: Command) -> usize {
        self.part(shard).ops.push(command);
        shard
    }

    fn groups<T, G: Default + Extend<T>>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> &Key,
    ) -> Vec<(usize, G)> {
        let mut groups: Vec<(usize, G)> = Vec::new();
        for item in items {
            let shard = self.slots.shard(key(&item));
            let at = groups.binary_search_by_key(&shard, |group| group.0).unwrap_or_else(|at| {
                groups.insert(at, (shard, G::default()));
                at
            });
            groups[at].1.extend([item]);
        }
        groups
    }
}

impl Command {
    /// The key, if the command has only one and its reply is that of the key's shard.
    fn only_key(&self) -> Option<&Key> {
        match self {
            Self::Get(key)
            | Self::Set { key, .. }
            | Self::Add(key, _)
            | Self::Strlen(key)
            | Self::Type(key)
            | Self::Ttl { key, unit: TtlUnit::Seconds | TtlUnit::Milliseconds }
            | Self::Expire { key, .. }
            | Self::Persist(key)
            | Self::AddFloat(key, _)
            | Self::Getdel(key)
            | Self::Getex(key, _)
            | Self::Append(key, _)
            | Self::Getrange(key, ..)
            | Self::Setrange(key, ..)
            | Self::Entry(key) => Some(key),
            Self::Del(keys) | Self::Exists(keys) if keys.len() == 1 => keys.first(),
            _ => None,
        }
    }

    /// The key whose shard runs the command, if one shard does.
    fn first_key(&self) -> Option<&Key> {
        match self {
            Self::Move(mover) => Some(&mover.from),
            Self::Msetnx(pairs) => pairs.first().map(|(key, _)| key),
            _ => self.only_key(),
        }
    }
}

#[cfg(test)]
mod tests;
